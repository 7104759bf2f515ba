"""What `deploy/` offers: it fits the project, and runs where its program is at hand."""

import asyncio
import os
import re
import shlex
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from settings import load_settings
from tests.conftest import leave_out, require
from tests.support.app_client import Api, Serve
from tests.support.certificates import make_certificate
from tests.support.databases import DatabaseFixture, SqliteDatabase
from tests.support.live_server import find_program, free_port
from tests.support.paths import ROOT
from tests.support.report_factory import numbered, quarters, report
from tests.test_architecture import FOLDERS

pytestmark = pytest.mark.promise("Running it")

DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").iterdir())
SECONDS = 30


# Docker


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions with what stands behind them."""
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split()[0], line.partition(" ")[2]) for line in lines]


def test_dockerfile_copies_what_there_is_and_what_the_context_lets_through() -> None:
    admitted = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[0] == "!"
    }
    copied = [
        source
        for name, rest in instructions()
        if name == "COPY" and "--from" not in rest
        for source in shlex.split(rest)[:-1]
    ]
    assert copied
    for source in copied:
        assert (ROOT / source).exists(), source
        assert source in admitted


def test_image_holds_all_that_the_programs_import() -> None:
    copied = " ".join(rest for name, rest in instructions() if name == "COPY").split()
    assert {"bin", "elecdata.py", *FOLDERS} <= set(copied)


def test_image_does_not_run_as_root_and_is_looked_after() -> None:
    names = [name for name, _ in instructions()]
    assert names.index("USER") < names.index("CMD")
    assert dict(instructions())["USER"] == "elecdata:elecdata"
    assert "/health/live" in dict(instructions())["HEALTHCHECK"]
    for name, rest in instructions():
        if name == "FROM":
            assert re.match(r"python:\d\.\d+-slim-\w+", rest), "a tag that does not wander"
        assert name != "ADD"
        assert "ELECDATA_AUTH__SECRET=" not in rest


def environments(part: Any) -> Iterator[dict[str, str]]:
    for service in part["services"].values():
        yield service.get("environment", {})


def test_compose_file_names_what_there_is(tmp_path: Path) -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    folder = DEPLOY.joinpath(compose["services"]["server"]["build"]["context"]).resolve()
    assert folder == ROOT
    assert (folder / compose["services"]["server"]["build"]["dockerfile"]).exists()
    for service in compose["services"].values():
        assert set(service["networks"]) <= set(compose["networks"])
        assert set(service.get("depends_on", ())) <= set(compose["services"])
        assert set(service.get("secrets", ())) <= set(compose["secrets"])
        for other in service.get("depends_on", ()):
            assert "healthcheck" in compose["services"][other]
        for value in service.get("environment", {}).values():
            if str(value).startswith("/run/secrets/"):
                assert value.removeprefix("/run/secrets/") in service["secrets"]
    for name in ("server", "loader"):
        ours = compose["services"][name]
        assert ours["read_only"]
        assert ours["cap_drop"] == ["ALL"]
        # Each key is known, and each secret is taken from its file.
        environ = {
            key: str(tmp_path / "secret") if key.endswith("_FILE") else value
            for key, value in ours["environment"].items()
        }
        (tmp_path / "secret").write_text("a secret that is long enough to sign tokens with")
        open_to_all = {"ELECDATA_SERVER__HOST": "0.0.0.0"}  # noqa: S104 - as the image has it
        load_settings(DEPLOY / "config.yaml", {**environ, **open_to_all}).require_safe()


# systemd


def test_units_are_valid_where_the_programs_are_there(tmp_path: Path) -> None:
    require("systemd-analyze")
    for unit in UNITS:
        text = unit.read_text().replace("/opt/elecdata/bin", str(ROOT / "bin"))
        text = text.replace("/opt/elecdata/deploy", str(DEPLOY))
        (tmp_path / unit.name).write_text(text)
    units = [str(tmp_path / unit.name) for unit in UNITS]
    done = subprocess.run(  # noqa: S603 - a program of this machine's own
        ["systemd-analyze", "verify", "--man=no", *units],  # noqa: S607 - wherever it is
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


@pytest.mark.parametrize("name", ["elecdata.service", "elecdata-import.service"])
def test_units_are_confined(name: str) -> None:
    """To an exposure of at most 1.5 out of 10, as systemd counts."""
    require("systemd-analyze")
    unit = str(DEPLOY / "systemd" / name)
    subprocess.run(  # noqa: S603 - a program of this machine's own
        ["systemd-analyze", "security", "--offline=true", "--threshold=15", unit],  # noqa: S607 - wherever it is
        stdout=subprocess.DEVNULL,
        check=True,
    )


def test_configuration_for_installations_loads_and_publishes_nothing() -> None:
    settings = load_settings(DEPLOY / "config.yaml", {})
    assert settings.demonstration_keys() == ()
    assert settings.log.format == "json"


def test_reports_of_a_folder_are_imported_and_put_away(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path)
    incoming = tmp_path / "incoming"
    incoming.mkdir()
    days = ("2019-08-01", "2019-08-02")
    good = [incoming / f"{day} report.csv" for day in days]
    for day, file in zip(days, good, strict=True):
        file.write_text(report(*numbered(quarters(day, 4))))
    bad = incoming / "bad.csv"
    bad.write_text("nonsense\n")

    def run() -> int:
        environ = {k: v for k, v in os.environ.items() if not k.startswith("ELECDATA_")}
        environ |= {"VENV_PYTHON": sys.executable, "CONFIG": str(database.config)}
        script = str(DEPLOY / "import-reports.sh")
        done = subprocess.run(  # noqa: S603 - this project's own program
            [script, str(incoming)], cwd=ROOT, env=environ, capture_output=True, check=False
        )
        return done.returncode

    assert run() == 1
    assert sorted(path.name for path in incoming.glob("*.csv")) == ["bad.csv"]
    assert sorted((incoming / "done").iterdir()) == [incoming / "done" / file.name for file in good]
    assert database.run("SELECT COUNT(*) FROM consumpdata") == [(8,)]
    bad.unlink()
    assert run() == 0


# Prometheus


async def test_alerts_ask_for_metrics_that_there_are(api: Api) -> None:
    await api.get("getDataById?id=5")
    async with await api.client.get("/metrics") as response:
        told = await response.text()
    rules = yaml.safe_load((DEPLOY / "prometheus-alerts.yaml").read_text())["groups"][0]["rules"]
    assert len(rules) > 5
    for rule in rules:
        names = re.findall(r"elecdata_\w+", rule["expr"])
        assert names or rule["alert"] == "ElecdataDown"
        assert rule["annotations"]["summary"]
        for name in names:
            assert f"\n{name}{{" in told or f"\n{name} " in told, name


def test_alerts_are_valid_where_promtool_is_at_hand() -> None:
    promtool = find_program("promtool") or leave_out("promtool")
    rules = str(DEPLOY / "prometheus-alerts.yaml")
    subprocess.run([str(promtool), "check", "rules", rules], check=True)  # noqa: S603 - found above


# nginx


class Nginx:
    """The configuration for nginx as it stands, but for ports, paths and who runs it."""

    def __init__(self, program: Path, folder: Path, upstream: int) -> None:
        certificate, key, _ = make_certificate(folder)
        self.plain, self.secure = free_port("127.0.0.1"), free_port("127.0.0.1")
        text = (DEPLOY / "nginx.conf").read_text()
        for ours, theirs in (
            ("listen 80;", f"listen 127.0.0.1:{self.plain};"),
            ("listen 443 ", f"listen 127.0.0.1:{self.secure} "),
            ("/etc/elecdata/certificate.pem", str(certificate)),
            ("/etc/elecdata/key.pem", str(key)),
            ("server 127.0.0.1:5000;", f"server 127.0.0.1:{upstream};"),
        ):
            assert ours in text
            text = text.replace(ours, theirs)
        site = folder / "site.conf"
        site.write_text(text)
        temporary = "".join(
            f"{kind}_temp_path {folder}/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        main = folder / "nginx.conf"
        main.write_text(
            f"daemon off; pid {folder}/pid; error_log {folder}/errors notice;\n"
            f"events {{}}\nhttp {{\naccess_log off;\n{temporary}include {site};\n}}\n"
        )
        self.command = [str(program), "-e", f"{folder}/errors", "-p", str(folder), "-c", str(main)]
        self.trust = ssl.create_default_context(cafile=certificate)

    @contextmanager
    def running(self) -> Iterator[None]:
        process = subprocess.Popen(self.command)  # noqa: S603 - a program of this machine's own
        try:
            yield
        finally:
            process.terminate()
            process.wait(SECONDS)

    async def up(self) -> None:
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.secure)
            except ConnectionRefusedError:
                await asyncio.sleep(0)
            else:
                writer.close()
                return

    def url(self, path: str) -> str:
        return f"https://127.0.0.1:{self.secure}{path}"


@pytest.fixture
def nginx_program() -> Path:
    return find_program("nginx") or leave_out("nginx")


@contextmanager
def in_front(program: Path, folder: Path, api: Api) -> Iterator[Nginx]:
    nginx = Nginx(program, folder, api.port)
    with nginx.running():
        yield nginx


async def behind_nginx(serve: Serve, sample: DatabaseFixture) -> Api:
    return await serve(sample, ELECDATA_SERVER__PROXIES="127.0.0.1", ELECDATA_CACHE__TTL="0")


async def test_answers_pass_nginx_as_they_are_streamed(
    nginx_program: Path,
    serve: Serve,
    sample: DatabaseFixture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first page arrives while the second is not there yet, and all of them in the end."""
    api = await behind_nginx(serve, sample)
    more = asyncio.Event()
    pages: list[str] = []

    async def hold(statement: str) -> str:
        if "FROM pages" in statement:
            pages.append(statement)
            if len(pages) > 1:
                await more.wait()
        return statement

    monkeypatch.setattr(api.engine, "step_in", hold)
    with in_front(nginx_program, tmp_path, api) as nginx:
        await nginx.up()
        async with (
            aiohttp.ClientSession(headers={"SESSION": api.token}) as session,
            session.get(nginx.url("/apielec/getData"), ssl=nginx.trust) as response,
        ):
            assert response.status == 200
            assert (await response.content.readany()).startswith(b'{"message":""')
            more.set()
            assert (await response.read()).endswith(b"]}}")


async def test_nginx_forwards_the_client_address_and_no_forged_one(
    nginx_program: Path,
    serve: Serve,
    sample: DatabaseFixture,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    api = await behind_nginx(serve, sample)
    forged = {"X-Forwarded-For": "192.0.2.7", "SESSION": api.token}
    with in_front(nginx_program, tmp_path, api) as nginx:
        await nginx.up()
        async with aiohttp.ClientSession(headers=forged) as session:
            async with session.get(nginx.url("/apielec/ping"), ssl=nginx.trust) as response:
                assert response.status == 200
                assert response.headers["Strict-Transport-Security"]
            async with session.get(nginx.url("/metrics"), ssl=nginx.trust) as response:
                assert response.status == 404
            plain = f"http://127.0.0.1:{nginx.plain}/apielec/ping"
            async with session.get(plain, allow_redirects=False) as response:
                assert response.status == 308
                assert response.headers["Location"] == "https://127.0.0.1/apielec/ping"
    assert "from=127.0.0.1" in caplog.text
    assert "192.0.2.7" not in caplog.text


async def test_published_user_gets_no_token_through_nginx_even_if_the_server_does_not_know_it(
    nginx_program: Path, serve: Serve, sample: DatabaseFixture, tmp_path: Path
) -> None:
    api = await serve(sample)
    assert (await api.login("rick", "morty"))[0] == 200
    with in_front(nginx_program, tmp_path, api) as nginx:
        await nginx.up()
        login = {"Authorization": aiohttp.encode_basic_auth("rick", "morty")}
        async with (
            aiohttp.ClientSession(headers=login) as session,
            session.get(nginx.url("/login"), ssl=nginx.trust) as response,
        ):
            assert response.status == 401
            assert "log in on this machine only" in await response.text()


async def test_nginx_slows_down_who_guesses_passwords(
    nginx_program: Path, serve: Serve, sample: DatabaseFixture, tmp_path: Path
) -> None:
    api = await behind_nginx(serve, sample)
    with in_front(nginx_program, tmp_path, api) as nginx:
        await nginx.up()
        async with aiohttp.ClientSession() as session:
            statuses = []
            for _ in range(14):
                async with session.get(nginx.url("/login"), ssl=nginx.trust) as response:
                    statuses.append(response.status)
    assert statuses[:11] == [401] * 11
    assert 429 in statuses[11:]

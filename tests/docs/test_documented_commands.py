"""The commands of the documentation, run as they stand, one after the other."""

import asyncio
import importlib.util
import json
import re
import shlex
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click
import pytest

from tests.conftest import leave_out
from tests.docs.test_commands import COMMANDS
from tests.docs.test_deploy import Nginx
from tests.server.process.test_server_command import Server
from tests.support.app_client import token
from tests.support.databases import DatabaseFixture, MariadbDatabase
from tests.support.documentation_runner import LEFT_OUT, PAGES, DocumentationRunner, blocks
from tests.support.legacy_database import make_original
from tests.support.live_server import find_program
from tests.support.mariadb import MariaDB
from tests.support.paths import ROOT
from tests.support.process import TIMEOUT
from tools.configuration_page import PAGE as CONFIGURATION

KINDS = {"sh", "text", "json", "csv", "yaml", "python"}
SOME = 97
"""Lines of the sample: its first day."""
FOLDERS = {path.name for path in ROOT.iterdir() if path.is_dir() and path.name[0] != "."} - {"var"}
HTTP_PAGES = ("http", "aggregates", "errors", "v1")
FOLLOWED: set[str] = set()
Test = TypeVar("Test", bound=Callable[..., object])


def follows(*pages: str) -> Callable[[Test], Test]:
    """Notes that a test runs all commands of some pages."""
    FOLLOWED.update(pages)
    return lambda test: test


def takes_long(test: Test) -> Test:
    """Leaves a page to `make trust`."""
    for mark in (pytest.mark.promise("Running it", by_test=True), pytest.mark.trust):
        test = mark(test)
    return test


@follows("README.md")
def test_newcomer_gets_from_clone_to_dashboard_with_one_command(tmp_path: Path) -> None:
    """What it prints leads to the page and, pasted into another terminal, to readings."""
    with DocumentationRunner(tmp_path, "README.md") as reader:
        port = reader.follow_to_server()
        (run,) = reader.servers
        page = run.wait_for_line("/dashboard").rpartition(" ")[2]
        assert page == f"http://127.0.0.1:{port}/dashboard"
        assert "rick / morty" in run.wait_for_line("User and password:")
        run.wait_for_line("Press Ctrl-C to stop.")
        assert "<title>" in reader.ran(f"curl -sS --fail {page}")
        lines = [line.strip() for line in run.lines if re.match(r"  (TOKEN=|curl )", line)]
        assert len(lines) == 3
        asked = [json.loads(reader.ran(f"{lines[0]}\n{line}")) for line in lines[1:]]
        assert [answer["values"]["numrecs"] for answer in asked] == [2, 96]
        reader.follow()


@follows("docs/tutorials/first-report.md")
def test_tutorial_leads_from_a_csv_to_figures(tmp_path: Path) -> None:
    with DocumentationRunner(tmp_path, "docs/tutorials/first-report.md") as reader:
        reader.follow()


@takes_long
@follows("docs/tutorials/many-meters.md")
def test_tutorial_leads_from_one_meter_to_a_hundred(tmp_path: Path) -> None:
    with DocumentationRunner(tmp_path, "docs/tutorials/many-meters.md") as reader:
        reader.follow()


@follows("docs/how-to/loading.md")
def test_page_of_loading_loads_and_rejects(tmp_path: Path) -> None:
    with DocumentationRunner(tmp_path, "docs/how-to/loading.md") as reader:
        reader.follow()


@follows("docs/how-to/another-meter.md")
def test_page_of_another_meter_describes_and_reads_it(tmp_path: Path) -> None:
    with DocumentationRunner(tmp_path, "docs/how-to/another-meter.md") as reader:
        reader.follow()


@follows("docs/how-to/unknown-report.md")
def test_page_of_an_unknown_file_inspects_and_reads_it(tmp_path: Path) -> None:
    with DocumentationRunner(tmp_path, "docs/how-to/unknown-report.md") as reader:
        reader.follow()


@pytest.mark.promise("Running it", by_test=True)
@pytest.mark.one_database
@follows(*(f"docs/reference/{name}.md" for name in HTTP_PAGES))
@pytest.mark.parametrize("page", [f"docs/reference/{name}.md" for name in HTTP_PAGES])
def test_page_about_http_gives_what_it_says(
    alone: DatabaseFixture, tmp_path: Path, page: str
) -> None:
    with (
        Server(alone.config) as service,
        DocumentationRunner(
            tmp_path, page, TOKEN=token(), URL=f"http://127.0.0.1:{service.port()}"
        ) as reader,
    ):
        reader.replaced["127.0.0.1:5000"] = f"127.0.0.1:{service.port()}"
        reader.follow()


@takes_long
@follows("docs/how-to/running.md")
def test_page_of_running_leads_to_an_installation(tmp_path: Path) -> None:
    with DocumentationRunner(tmp_path, "docs/how-to/running.md", lines=SOME) as reader:
        reader.ran("elecdata load --quiet Monitoring_report.csv")
        reader.follow()


@takes_long
@follows("docs/how-to/workers.md")
def test_page_of_workers_starts_two(tmp_path: Path) -> None:
    with DocumentationRunner(tmp_path, "docs/how-to/workers.md", lines=SOME) as reader:
        reader.ran("elecdata load --quiet Monitoring_report.csv")
        port = reader.follow_to_server()
        ask = f"curl -sS --fail http://127.0.0.1:{port}/metrics"
        deadline = time.monotonic() + TIMEOUT
        # A worker knows of the others a second after they have started.
        while not re.search(r"(?m)^elecdata_workers 2", reader.ran(ask)):
            assert time.monotonic() < deadline


@takes_long
@follows("docs/how-to/meters.md")
def test_page_of_meters_adds_changes_exports_and_removes_them(tmp_path: Path) -> None:
    with DocumentationRunner(tmp_path, "docs/how-to/meters.md") as reader:
        reader.follow()
        flats = [json.loads(line)["meter"] for line in reader.said.splitlines()]
        assert flats == ["flat-1"]


@takes_long
@follows("docs/how-to/users.md")
def test_page_of_users_adds_one_and_disables_another(tmp_path: Path) -> None:
    with DocumentationRunner(tmp_path, "docs/how-to/users.md", lines=SOME) as reader:
        reader.ran("elecdata load --quiet Monitoring_report.csv")
        reader.follow()


@takes_long
@follows("docs/how-to/access.md")
def test_page_of_access_grants_groups_and_makes_keys(tmp_path: Path) -> None:
    with DocumentationRunner(tmp_path, "docs/how-to/access.md") as reader:
        reader.follow()


@takes_long
@follows("docs/how-to/audit.md")
def test_page_of_the_audit_trail_verifies_it(tmp_path: Path) -> None:
    with DocumentationRunner(tmp_path, "docs/how-to/audit.md", lines=SOME) as reader:
        reader.ran("elecdata load --quiet Monitoring_report.csv")
        reader.follow()


@takes_long
@follows("docs/how-to/backup.md")
def test_page_of_backup_copies_and_restores(tmp_path: Path) -> None:
    with DocumentationRunner(tmp_path, "docs/how-to/backup.md") as reader:
        reader.ran("elecdata load --quiet Monitoring_report.csv")
        reader.follow()


@takes_long
@follows("docs/how-to/nginx.md")
async def test_commands_of_the_nginx_page_go_through_it(tmp_path: Path) -> None:
    program = find_program("nginx") or leave_out("nginx")
    trusted = f"{tmp_path}/certificate.pem"
    with DocumentationRunner(
        tmp_path, "docs/how-to/nginx.md", lines=SOME, CURL_CA_BUNDLE=trusted
    ) as reader:
        # In two pieces, so that the runner does not replace it here as well.
        moved = f"s#/var/''lib/#{tmp_path}/var/''lib/#"
        reader.ran(f"sed '{moved}' deploy/config.yaml >/etc/elecdata/config.yaml")
        reader.ran("elecdata load --quiet --config /etc/elecdata/config.yaml Monitoring_report.csv")
        nginx = Nginx(program, tmp_path, reader.follow_to_server())
        reader.replaced |= {
            "https://meter.example.org": f"https://127.0.0.1:{nginx.secure}",
            "http://meter.example.org": f"http://127.0.0.1:{nginx.plain}",
        }
        with nginx.running():
            await nginx.up()
            await asyncio.to_thread(reader.follow)
        ready, told = json.JSONDecoder().raw_decode(reader.said)
        assert ready["status"] == "ready"
        assert reader.said[told:].split() == ["308", "https://127.0.0.1/dashboard", "404"]


@follows("docs/how-to/systemd.md")
def test_page_of_systemd_imports_a_folder(tmp_path: Path) -> None:
    with DocumentationRunner(tmp_path, "docs/how-to/systemd.md", lines=SOME) as reader:
        incoming = tmp_path / "var/lib/elecdata/incoming"
        incoming.mkdir()
        reader.ran("cp config.yaml /etc/elecdata/")
        shutil.copy(reader.folder / "Monitoring_report.csv", incoming / "a.csv")
        reader.follow()
        assert (incoming / "done" / "a.csv").exists()


@follows("docs/how-to/docker.md")
def test_page_of_docker_makes_the_secrets_that_the_compose_file_names(tmp_path: Path) -> None:
    with DocumentationRunner(tmp_path, "docs/how-to/docker.md", lines=SOME) as reader:
        reader.follow()
        compose = (ROOT / "deploy" / "compose.yaml").read_text()
        named = re.findall(r"file: (\./secrets/\w+)", compose)
        assert len(named) == 3
        for name in named:
            assert len((reader.folder / "deploy" / name).read_text()) == 65


@follows("docs/explanation/performance.md")
@follows("examples/README.md")
@pytest.mark.parametrize("page", ["docs/explanation/performance.md", "examples/README.md"])
def test_page_has_nothing_to_run_here(tmp_path: Path, page: str) -> None:
    with DocumentationRunner(tmp_path, page) as reader:
        assert reader.blocks == []


@follows("docs/how-to/mariadb.md")
def test_page_of_mariadb_makes_the_database(mariadb: MariaDB, tmp_path: Path) -> None:
    with (
        MariadbDatabase(tmp_path, mariadb) as database,
        DocumentationRunner(
            tmp_path,
            "docs/how-to/mariadb.md",
            ROOT_PASSWORD=mariadb.root_password,
            ELECDATA_DATABASE__READER__USER=database.reader_user,
        ) as reader,
    ):
        place = f"{mariadb.host}:{mariadb.port}/{database.name}"
        reader.replaced |= {
            "127.0.0.1:3306/elecprod": place,
            "USER=root": f"USER={mariadb.root_user}",
        }
        reader.follow()


@takes_long
@follows("docs/how-to/moving.md")
def test_page_of_moving_takes_the_original_database_over(mariadb: MariaDB, tmp_path: Path) -> None:
    with MariadbDatabase(tmp_path, mariadb) as database:
        make_original(database, ROOT / "Monitoring_report.csv")
        with DocumentationRunner(
            tmp_path,
            "docs/how-to/moving.md",
            ROOT_PASSWORD=mariadb.root_password,
            ELECDATA_DATABASE__READER__USER=database.reader_user,
        ) as reader:
            place = f"{mariadb.host}:{mariadb.port}/{database.name}"
            reader.replaced |= {
                "127.0.0.1:3306/elecprod": place,
                "USER=root": f"USER={mariadb.root_user}",
            }
            reader.follow()


def test_every_page_with_commands_is_followed() -> None:
    """A page that is new needs a test above."""
    commanding = {page for page in PAGES if any(kind == "sh" for kind, _ in blocks(page))}
    assert commanding == FOLLOWED


@pytest.mark.parametrize("page", PAGES)
def test_every_block_says_what_it_is(page: str) -> None:
    """Nothing is a command without being marked as one; so none escapes its test."""
    assert {kind for kind, _ in blocks(page)} <= KINDS
    outside = re.sub(r"(?ms)^```.*?^```$", "", PAGES[page].read_text())
    assert "```" not in outside
    assert not re.search(r"(?m)^\n {4,}\S", outside)
    for kind, text in blocks(page):
        if kind not in {"sh", "python"}:
            assert not re.match(r"(?:[$%#>] |(?:curl|python|make|docker|sudo) )", text)


def test_what_is_left_out_stands_in_its_page() -> None:
    for page, left_out in LEFT_OUT.items():
        first_lines = [text.partition("\n")[0] for kind, text in blocks(page) if kind == "sh"]
        assert set(left_out) <= set(first_lines)
        assert all(left_out.values())


@pytest.mark.parametrize("page", PAGES)
def test_commands_within_sentences_name_what_there_is(page: str) -> None:
    """Programs and their options, targets of make, files, and variables of the configuration."""
    outside = re.sub(r"(?ms)^```.*?^```$", "", PAGES[page].read_text())
    makefile = (ROOT / "Makefile").read_text()
    for span in re.findall(r"`([^`\n]+)`", outside):
        if found := re.search(r"python -m (\S+)", span):
            assert importlib.util.find_spec(found[1]), span
        elif found := re.search(r"elecdata ([a-z]+)(.*)", span):
            _check(found[1], shlex.split(found[2]))
        elif found := re.fullmatch(r"make(?: ([\w.-]+))?(?: ARGS=.*)?", span):
            target = found[1] or "help"
            assert f"\n{target}:" in makefile or target.startswith(".venv/"), span
        elif re.fullmatch(rf"(?:{'|'.join(FOLDERS)})/[\w./-]+", span):
            assert (ROOT / span).exists(), span


def _check(name: str, arguments: list[str]) -> None:
    command = COMMANDS[name]
    if isinstance(command, click.Group) and arguments and arguments[0] in command.commands:
        command = command.commands[arguments[0]]
    options = {name for param in command.params for name in param.opts}
    given = {argument for argument in arguments if argument.startswith("-")}
    assert given <= {*options, "--help"}, arguments


def test_variables_that_are_named_are_known() -> None:
    known = set(re.findall(r"`(ELECDATA_\w+)`", CONFIGURATION.read_text()))
    for page, path in PAGES.items():
        for name in re.findall(r"ELECDATA_[A-Z]\w+", path.read_text()):
            stem = name.removesuffix("_FILE")
            assert any(stem == each or stem.startswith(f"{each}__") for each in known), (page, name)

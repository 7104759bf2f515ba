"""`elecdata check`: what it finds, what it advises, and what it keeps to itself."""

import asyncio
import json
import shlex
import socket
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner

import server.__main__
from storage.factory import open_diagnostics
from tests.server.process.test_server_command import Server
from tests.support.app_client import SECRET
from tests.support.databases import DatabaseFixture, MariadbDatabase, SqliteDatabase
from tests.support.mariadb import MariaDB
from tests.support.neighbours import add_neighbours
from tests.support.redis_server import Redis
from tests.support.report_factory import numbered, quarters, report

READY = {"ELECDATA_SERVER__PORT": "0", "ELECDATA_AUTH__SECRET": SECRET}


class Checked:
    """What an examination said."""

    def __init__(self, config: Path, **environ: str | None) -> None:
        done = CliRunner().invoke(
            server.__main__.main,
            ["--config", str(config), "--check", "--json"],
            env={**READY, **environ},
        )
        self.text = done.output
        self.status = done.exit_code
        document = json.loads(done.stdout)
        assert document["ok"] == (self.status == 0)
        self.checks: dict[str, dict[str, Any]] = {
            check["subject"]: check for check in document["checks"]
        }

    def found(self, subject: str) -> tuple[str, str]:
        """The level of a finding, and its text with the advice."""
        check = self.checks[subject]
        return check["level"], f"{check['found']} {check.get('remedy', '')}".strip()


def recent(count: int) -> str:
    """A report whose last reading is of these days."""
    today = datetime.now(ZoneInfo("Europe/Madrid")).date().isoformat()
    return report(*numbered(quarters(today, count)))


@pytest.fixture
def loaded(database: DatabaseFixture) -> DatabaseFixture:
    """A database with readings of today."""
    database.configure(api_users={"morgan": "a long password"})
    asyncio.run(database.load(recent(4)))
    return database


@pytest.fixture
def on_mariadb(mariadb: MariaDB, tmp_path: Path) -> Iterator[MariadbDatabase]:
    """The same where there are accounts, limits and another clock."""
    with MariadbDatabase(tmp_path, mariadb) as database:
        asyncio.run(database.load(recent(4)))
        yield database


def test_everything_is_fine_where_everything_is(loaded: DatabaseFixture) -> None:
    checked = Checked(loaded.config)
    assert checked.status == 0
    assert {check["level"] for check in checked.checks.values()} == {"OK"}, checked.text
    assert list(checked.checks) == [
        "configuration", "credentials", "secret", "tls", "port", "workers", "database", "schema",
        "meters", "readings", "rights", "connections", "clock", "cache",
    ]  # fmt: skip


def test_findings_are_lines_without_colour(loaded: DatabaseFixture) -> None:
    done = CliRunner().invoke(
        server.__main__.main, ["--config", str(loaded.config), "--check"], env=READY
    )
    assert done.exit_code == 0
    assert "\x1b" not in done.output
    assert all(line.startswith(("OK    ", " " * 20)) for line in done.output.splitlines())


def test_no_secret_is_shown(loaded: DatabaseFixture, redis_url: str) -> None:
    secret = "Sesame9" * 6
    url = redis_url.replace("redis://", "redis://:Sesame9@")
    with Server(
        loaded.config,
        "--check",
        ELECDATA_AUTH__SECRET=secret,
        ELECDATA_CACHE__URL=url,
        ELECDATA_API_USERS__MORGAN="Sesame9",
    ) as checking:
        assert checking.wait() == 0
        said = "\n".join(checking.lines)
    assert "Sesame9" not in said
    assert "reads only" not in said


# Configuration


def test_each_key_says_where_it_was_set(loaded: DatabaseFixture) -> None:
    details = Checked(loaded.config).checks["configuration"]["details"]
    assert details["server.port"] == "ELECDATA_SERVER__PORT"
    assert details["database.url"] == f"{loaded.config}:1"
    assert "cache.ttl" not in details


def test_wrong_configuration_is_the_only_finding(tmp_path: Path) -> None:
    checked = Checked(tmp_path / "none.yaml")
    assert checked.status == 1
    ((level, text),) = [checked.found(subject) for subject in checked.checks]
    assert level == "FAIL"
    assert "none.yaml: cannot be read" in text


def test_demonstration_is_a_warning_at_home_and_a_failure_elsewhere(
    loaded: DatabaseFixture,
) -> None:
    loaded.configure(api_users={"rick": "morty"})
    home = Checked(loaded.config)
    assert home.status == 0
    assert home.found("credentials")[0] == "WARN"
    for exposed, reason in (
        ({"ELECDATA_SERVER__HOST": "0.0.0.0"}, "server.host: 0.0.0.0 serves"),  # noqa: S104 - never listens
        ({"ELECDATA_SERVER__PROXIES": "127.0.0.1"}, "server.proxies: a proxy passes on"),
    ):
        elsewhere = Checked(loaded.config, **exposed)
        assert elsewhere.status == 1
        level, text = elsewhere.found("credentials")
        assert level == "FAIL"
        assert text.startswith(reason)
        assert "api_users.rick" in text


# Secret, port, workers


def test_keys_are_named_with_the_one_that_signs(loaded: DatabaseFixture, tmp_path: Path) -> None:
    keys = {"ELECDATA_AUTH__KEYS": json.dumps({"old": "o" * 40, "new": "n" * 40})}
    alone = {"ELECDATA_AUTH__SECRET": "", "ELECDATA_AUTH__SECRET_STORE": str(tmp_path / "none")}
    signing = {"ELECDATA_AUTH__SIGN_WITH": "new"}
    for environ, said in (
        ({**keys, **alone}, "auth.keys old, new; old signs"),
        ({**keys, **alone, **signing}, "auth.keys old, new; new signs"),
        (keys, "auth.secret has 41 bytes; auth.keys old, new; the former signs"),
        ({**keys, **signing}, "auth.secret has 41 bytes; auth.keys old, new; new signs"),
    ):
        checked = Checked(loaded.config, **environ)
        assert checked.found("secret") == ("OK", said)
        assert "oooo" not in checked.text


def test_end_of_the_last_key_is_a_warning_before_it_is_a_failure(
    loaded: DatabaseFixture, tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    for days, level, said in (
        (100, "OK", "auth.keys a; a signs, and none from 20"),
        (13, "WARN", "auth.keys a; a signs, and none from 20"),
        (-1, "FAIL", "auth.keys a; none signs now, so nobody can log in"),
    ):
        key = {"secret": "k" * 40, "until": str(now + timedelta(days=days))}
        checked = Checked(
            loaded.config,
            ELECDATA_AUTH__KEYS=json.dumps({"a": key}),
            ELECDATA_AUTH__SECRET="",
            ELECDATA_AUTH__SECRET_STORE=str(tmp_path / "none"),
        )
        found = checked.found("secret")
        assert found[0] == level
        assert found[1].startswith(said)
        assert ("Append a key" in found[1]) == (level != "OK")


def test_secret_is_looked_at_and_not_made(loaded: DatabaseFixture, tmp_path: Path) -> None:
    store = tmp_path / "new" / "secret"
    environ = {
        "ELECDATA_AUTH__SECRET": "",
        "ELECDATA_AUTH__SECRET_STORE": str(store),
    }
    level, text = Checked(loaded.config, **environ).found("secret")
    assert (level, text) == ("OK", f"{store} will be created at the first start")
    assert not store.parent.exists()
    store.parent.mkdir()
    store.write_text("x" * 40)
    store.chmod(0o600)
    assert Checked(loaded.config, **environ).found("secret")[0] == "OK"
    store.chmod(0o644)
    checked = Checked(loaded.config, **environ)
    assert checked.status == 1
    level, text = checked.found("secret")
    assert level == "FAIL"
    assert "chmod 600" in text
    store.chmod(0o600)
    store.write_text("short")
    assert Checked(loaded.config, **environ).found("secret")[0] == "FAIL"


def test_secret_that_cannot_be_made_is_a_failure(loaded: DatabaseFixture, tmp_path: Path) -> None:
    """A file is in the place of its folder, which stops root too."""
    file = tmp_path / "file"
    file.touch()
    store = str(file / "secret")
    checked = Checked(loaded.config, ELECDATA_AUTH__SECRET="", ELECDATA_AUTH__SECRET_STORE=store)
    assert checked.found("secret")[0] == "FAIL"


def test_passwords_without_tls_are_a_warning_more_so_in_every_request(
    loaded: DatabaseFixture,
) -> None:
    elsewhere = {"ELECDATA_SERVER__HOST": "0.0.0.0"}  # noqa: S104 - never listens
    level, text = Checked(loaded.config, **elsewhere).found("tls")
    assert level == "WARN"
    assert "auth.basic" not in text
    elsewhere["ELECDATA_AUTH__BASIC"] = "true"
    level, text = Checked(loaded.config, **elsewhere).found("tls")
    assert level == "WARN"
    assert "to 0.0.0.0, and with auth.basic a password may be in every request Set server." in text
    assert text.endswith("Until then, set auth.basic to false.")
    elsewhere["ELECDATA_SERVER__HOST"] = "127.0.0.1"
    assert Checked(loaded.config, **elsewhere).found("tls")[0] == "OK"


@pytest.mark.promise("Seeing")
@pytest.mark.one_database
def test_port_in_use_is_a_failure(loaded: DatabaseFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        checked = Checked(loaded.config, ELECDATA_SERVER__PORT=str(port))
    assert checked.status == 1
    level, text = checked.found("port")
    assert level == "FAIL"
    assert f"cannot listen on 127.0.0.1:{port}" in text


def test_port_in_use_by_this_service_is_fine(loaded: DatabaseFixture) -> None:
    with Server(loaded.config) as running:
        port = running.port()
        checked = Checked(loaded.config, ELECDATA_SERVER__PORT=str(port))
        assert checked.found("port") == (
            "OK",
            f"127.0.0.1:{port}: this service is already listening",
        )


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
@pytest.mark.promise("Seeing")
@pytest.mark.one_database
def test_ipv6_address_is_checked_and_told_as_urls_have_it(loaded: DatabaseFixture) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as taken:
        port = taken.getsockname()[1]
        environ = {"ELECDATA_SERVER__HOST": "::1", "ELECDATA_SERVER__PORT": str(port)}
        level, text = Checked(loaded.config, **environ).found("port")
        assert (level, f"cannot listen on [::1]:{port}: " in text) == ("FAIL", True)
    assert Checked(loaded.config, **environ).found("port") == ("OK", f"[::1]:{port} is free")
    with Server(loaded.config, **environ) as running:
        running.wait_for_line(f"listening on http://[::1]:{port}")
        assert Checked(loaded.config, **environ).found("port") == (
            "OK",
            f"[::1]:{port}: this service is already listening",
        )


def test_more_workers_than_cores_is_a_warning(loaded: DatabaseFixture) -> None:
    level, text = Checked(loaded.config, ELECDATA_SERVER__WORKERS="64").found("workers")
    assert level == "WARN"
    assert "server.workers is 64" in text


# The database


def test_missing_database_is_a_failure_that_names_the_loader(database: DatabaseFixture) -> None:
    checked = Checked(database.config)
    assert checked.status == 1
    level, text = checked.found("database")
    assert level == "FAIL"
    # Where accounts are made by the loader as well, there is none to ask with yet.
    assert "elecdata load REPORT.csv" in text or "access denied" in text
    assert "schema" not in checked.checks


def test_older_layout_names_the_loader(loaded: DatabaseFixture) -> None:
    if isinstance(loaded, SqliteDatabase):
        loaded.run("PRAGMA user_version = 3")
    else:
        loaded.run("UPDATE schema_version SET statements = 3")
    level, text = Checked(loaded.config).found("schema")
    assert level == "WARN"
    assert text.startswith("3 of ")
    assert "elecdata load" in text


def test_newer_layout_is_a_failure(loaded: DatabaseFixture) -> None:
    if isinstance(loaded, SqliteDatabase):
        loaded.run("PRAGMA user_version = 999")
    else:
        loaded.run("UPDATE schema_version SET statements = 999")
    assert Checked(loaded.config).found("schema")[0] == "FAIL"


def test_meters_are_counted_by_the_zones_that_belong_to_them(loaded: DatabaseFixture) -> None:
    loaded.configure(meter={"timezone": "Atlantic/Canary"})
    found = Checked(loaded.config).found("meters")
    text = "1 meter: 1 in Europe/Madrid; new ones will be in Atlantic/Canary (meter.timezone)"
    assert found == ("OK", text)
    for name in ("shop", "house"):
        asyncio.run(loaded.load(recent(4), meter=name, register=True))
    checked = Checked(loaded.config)
    text = (
        "3 meters: 2 in Atlantic/Canary, 1 in Europe/Madrid; new ones will be in Atlantic/Canary"
        " (meter.timezone); requests have to name one, since meter.default is not set"
    )
    assert checked.found("meters") == ("OK", text)
    assert checked.found("readings")[1].startswith("12, the newest of ")
    assert "in Atlantic/Canary it is" in checked.found("clock")[1]
    level, text = Checked(loaded.config, ELECDATA_METER__DEFAULT="shop").found("meters")
    assert (level, text.endswith("; requests that name none mean shop")) == ("OK", True)


def test_zone_that_this_machine_does_not_know_is_a_warning(loaded: DatabaseFixture) -> None:
    loaded.run("UPDATE meters SET timezone = 'Mars/Olympus'")
    checked = Checked(loaded.config)
    level, text = checked.found("meters")
    assert level == "WARN"
    assert "this machine does not know the time zone Mars/Olympus" in text
    assert checked.found("readings")[0] == "OK"


def test_default_meter_that_is_not_registered_is_a_warning(loaded: DatabaseFixture) -> None:
    asyncio.run(loaded.load(recent(4), meter="shop", register=True))
    checked = Checked(loaded.config, ELECDATA_METER__DEFAULT="sohp")
    assert checked.status == 0
    text = (
        "2 meters: 2 in Europe/Madrid; meter.default is sohp, which is not registered Set"
        " meter.default to one of main, shop, or remove it, or register the meter with `elecdata"
        " load --meter sohp --register REPORT.csv`."
    )
    assert checked.found("meters") == ("WARN", text)


def test_newest_reading_is_that_of_all_meters_in_the_time_of_its_own(
    database: DatabaseFixture,
) -> None:
    asyncio.run(database.load(report(*numbered(quarters("2019-08-01", 5)))))
    database.configure(meter={"timezone": "America/New_York"})
    text = report(*numbered(quarters("2019-07-31 20:00:00", 5, ZoneInfo("America/New_York"))))
    asyncio.run(database.load(text, meter="west", register=True))
    found = Checked(database.config).found("readings")[1]
    assert found.startswith("10, the newest of 2019-07-31 21:00:00, ")
    database.run("DELETE FROM readings WHERE meter_id = 2 OR id = 5")
    found = Checked(database.config).found("readings")[1]
    assert found.startswith("4, the newest of 2019-08-01 00:45:00, ")


def test_meters_without_recent_readings_are_counted(loaded: DatabaseFixture) -> None:
    assert Checked(loaded.config).found("readings")[1].endswith(" old")
    old = report(*numbered(quarters("2019-08-01", 5)))
    asyncio.run(loaded.load(old, meter="old", register=True))
    level, text = Checked(loaded.config).found("readings")
    assert (level, text.endswith(" old; 1 meter has none of the last 40 days")) == ("OK", True)
    add_neighbours(loaded, [3], readings=0)
    loaded.run("UPDATE states SET last_utc = NULL")  # as where another program changed readings
    text = Checked(loaded.config).found("readings")[1]
    assert text.endswith(" old; 2 meters have none of the last 40 days")


def test_old_readings_and_none_are_warnings(database: DatabaseFixture) -> None:
    asyncio.run(database.load(report(*numbered(quarters("2019-08-01", 5)))))
    level, text = Checked(database.config).found("readings")
    assert level == "WARN"
    assert text.startswith("5, the newest of 2019-08-01 01:00:00, ")
    database.run("DELETE FROM readings")
    level, text = Checked(database.config).found("readings")
    assert (level, text.partition(" R")[0]) == ("WARN", "there are none yet")


@pytest.mark.parametrize(
    ("grant", "expected"),
    [
        ("INSERT, UPDATE (power) ON {db}.consumpdata", "INSERT ON {db}.consumpdata"),
        ("ALL ON {db}.*", "ALL PRIVILEGES ON {db}.*"),
        ("CREATE ON *.*", "CREATE ON *.*"),
        ("UPDATE ON {db}.revocations", "UPDATE ON {db}.revocations"),
        ("DELETE ON {db}.users", "DELETE ON {db}.users"),
        ("UPDATE (password) ON {db}.users", "UPDATE (password) ON {db}.users"),
    ],
)
def test_account_that_can_write_is_a_warning(
    on_mariadb: MariadbDatabase, grant: str, expected: str
) -> None:
    ((host,),) = on_mariadb.run(
        f"SELECT host FROM mysql.user WHERE user = '{on_mariadb.reader_user}'"
    )
    on_mariadb.run(
        f"GRANT {grant.format(db=on_mariadb.name)} TO '{on_mariadb.reader_user}'@'{host}'"
    )
    level, text = Checked(on_mariadb.config).found("rights")
    assert level == "WARN"
    assert expected.format(db=on_mariadb.name) in text
    assert on_mariadb.reader_user in text


def test_right_to_change_passwords_is_right_where_users_may_change_theirs(
    on_mariadb: MariadbDatabase,
) -> None:
    on_mariadb.configure(auth={"own_password": True})
    asyncio.run(on_mariadb.load(recent(1)))
    assert Checked(on_mariadb.config).found("rights")[0] == "OK"


@pytest.mark.parametrize(
    ("mode", "may"), [(0o666, "write to"), (0o644, "read the password hashes in")]
)
def test_file_that_everybody_can_open_is_a_warning_with_the_remedy(
    tmp_path: Path, mode: int, may: str
) -> None:
    database = SqliteDatabase(tmp_path)
    asyncio.run(database.load(recent(1)))
    assert Checked(database.config).found("rights")[0] == "OK"
    database.path.chmod(mode)
    level, text = Checked(database.config).found("rights")
    assert level == "WARN"
    assert text.startswith(f"every account of this machine can {may} {database.path}")
    remedy = text.partition("chmod ")[2]
    subprocess.run(["chmod", *shlex.split(remedy)], check=True)  # noqa: S603, S607 - as a user would
    assert Checked(database.config).found("rights")[0] == "OK"


def test_more_connections_than_the_database_takes_is_a_failure(on_mariadb: MariadbDatabase) -> None:
    checked = Checked(
        on_mariadb.config, ELECDATA_SERVER__WORKERS="2", ELECDATA_DATABASE__CONNECTIONS="1000"
    )
    assert checked.status == 1
    level, text = checked.found("connections")
    assert level == "FAIL"
    assert text.startswith("up to 2000 of this server, and the database allows ")


def test_clocks_apart_are_a_warning(
    on_mariadb: MariadbDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def clock() -> float | None:
        inspector = open_diagnostics(on_mariadb.settings)
        try:
            return await inspector.time()
        finally:
            await inspector.close()

    theirs = asyncio.run(clock())
    assert theirs is not None
    monkeypatch.setattr("server.observability.database_checks.time.time", lambda: theirs + 100)
    level, text = Checked(on_mariadb.config).found("clock")
    assert level == "WARN"
    assert " s apart" in text


# The cache


def test_redis_that_answers_is_fine_and_one_that_does_not_a_warning(
    loaded: DatabaseFixture, redis_server: Redis
) -> None:
    checked = Checked(loaded.config, ELECDATA_CACHE__URL=redis_server.url)
    assert checked.found("cache") == (
        "OK",
        f"Redis at {redis_server.host}:{redis_server.port} responds",
    )
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    checked = Checked(loaded.config, ELECDATA_CACHE__URL=f"redis://127.0.0.1:{port}/0")
    level, text = checked.found("cache")
    assert level == "WARN"
    assert text.startswith(f"Redis at 127.0.0.1:{port} does not respond: ")
    assert checked.status == 0


# The command line


def test_json_alone_is_refused() -> None:
    done = CliRunner().invoke(server.__main__.main, ["--json"])
    assert done.exit_code == 2
    assert "--json requires --check" in done.output


def test_debug_shows_where_an_error_came_up(tmp_path: Path) -> None:
    done = CliRunner().invoke(
        server.__main__.main, ["--debug", "--config", str(tmp_path / "none.yaml")]
    )
    assert done.exit_code == 1
    assert done.stderr.startswith("Traceback (most recent call last):\n")
    assert "SettingsError: " in done.stderr.splitlines()[-1]

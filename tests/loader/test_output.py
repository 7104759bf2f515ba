"""The loader's commands for scripts: --json, --quiet, --debug, --help and exit statuses."""

import asyncio
import json
import os
import pty
import signal
import subprocess
import sys
from typing import Any

import pytest
from click.testing import CliRunner

import loader.__main__
import loader.users
from tests.loader.test_loader_command import AUGUST, BAD, ENVIRON, REPORT, count, load, run, users
from tests.support.databases import DatabaseFixture, SqliteDatabase
from tests.support.legacy_database import make_older
from tests.support.paths import ROOT
from tests.support.report_factory import numbered, report

pytestmark = [pytest.mark.promise("Running it"), pytest.mark.one_database]

SECONDS = 30


def given(text: str) -> Any:
    """The one JSON object that was printed."""
    (line,) = text.splitlines()
    return json.loads(line)


def test_json_is_one_object_with_the_summary(database: DatabaseFixture) -> None:
    done = run(database, "--json", database.file(REPORT))
    assert (done.returncode, done.stderr) == (0, b"")
    summary = given(done.stdout.decode())
    assert summary["reports"][0].pop("seconds") > 0
    assert summary == {
        "ok": True,
        "written": True,
        "reports": [
            {
                "report": "report.csv",
                "format": "monitoring",
                "meter": "main",
                "interval": 900,
                "intervals": [900],
                "gaps": 0,
                "readings": 2000,
                "new": 2000,
                "changed": 0,
                "unchanged": 0,
                "kept": 0,
                "corrections": [],
                "flags": {},
                "missing": 14000,
                "rejected": 0,
                "repeated": 0,
                "rounded": 0,
                "unread_rows": 0,
                "ignored_rows": 0,
                "unread_columns": [],
                "register_events": [],
                "refused_days": [],
                "rejected_to": None,
                "first": "2019-08-01 00:00:00",
                "last": "2019-08-21 19:45:00",
                "error": None,
            }
        ],
        "faults": {"count": 0, "shown": []},
    }


def test_json_of_a_second_import_counts_what_was_there(database: DatabaseFixture) -> None:
    path = database.file(REPORT)
    asyncio.run(database.load(path))
    again = given(load(database, "--json", path).stdout)
    assert (again["reports"][0]["new"], again["reports"][0]["unchanged"]) == (0, 2000)


def test_json_names_the_rejected_rows(database: DatabaseFixture) -> None:
    path = database.file(report(*numbered(AUGUST[:4]), BAD))
    done = load(database, "--json", "--skip-bad-rows", path)
    summary = given(done.output)
    assert summary["reports"][0]["rejected"] == 1
    assert summary["reports"][0]["rejected_to"] == f"{database.folder}/report.rejected.csv"
    assert summary["faults"]["count"] == 1
    assert summary["faults"]["shown"][0].startswith(f"{path}:6: Energy (kWh): many: ")


def test_json_of_a_dry_run_says_that_nothing_was_written(database: DatabaseFixture) -> None:
    summary = given(load(database, "--json", "--dry-run", database.file(REPORT)).output)
    assert (summary["ok"], summary["written"]) == (True, False)
    assert summary["reports"][0]["new"] is None


def test_json_of_a_failure_holds_the_faults(database: DatabaseFixture) -> None:
    done = load(database, "--json", database.file(report(*[BAD] * 23)))
    assert done.exit_code == 1
    assert done.stderr == "ERROR - 23 errors; nothing was written\n"
    failure = given(done.stdout)
    assert (failure["ok"], failure["error"]) == (False, "23 errors; nothing was written")
    assert failure["faults"]["count"] == 23
    assert len(failure["faults"]["shown"]) == 20


def test_json_of_a_wrong_configuration_says_what_is_wrong(tmp_path: Any) -> None:
    database = SqliteDatabase(tmp_path)
    database.configure(database={"url": "nonsense"})
    for done in (load(database, "--json", "x.csv"), users(database, "list", "--json")):
        assert done.exit_code == 1
        failure = given(done.stdout)
        assert "database.url: expected" in failure["error"]
        assert done.stderr == f"ERROR - {failure['error']}\n"


def test_quiet_prints_nothing_but_errors(database: DatabaseFixture) -> None:
    done = load(database, "--quiet", database.file(REPORT))
    assert (done.exit_code, done.output) == (0, "")
    assert count(database) == 2000
    done = load(database, "--quiet", database.file(report(BAD)))
    assert done.exit_code == 1
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1] == "ERROR - 1 error; nothing was written"


def test_json_and_quiet_exclude_each_other(tmp_path: Any) -> None:
    database = SqliteDatabase(tmp_path)
    for done in (
        load(database, "--json", "--quiet", "x.csv"),
        users(database, "list", "--json", "--quiet"),
    ):
        assert done.exit_code == 2
        assert "--json and --quiet cannot be combined" in done.stderr


def test_debug_shows_the_traceback_and_nothing_else_does(tmp_path: Any) -> None:
    database = SqliteDatabase(tmp_path)
    path = database.file(report(BAD))
    assert b"Traceback" not in run(database, path).stderr
    done = run(database, "--debug", path)
    assert b"Traceback" in done.stderr
    assert b"FaultyReportsError" in done.stderr
    assert done.returncode == 1


def test_terminal_shows_a_bar_and_a_pipe_no_escape_codes(tmp_path: Any) -> None:
    database = SqliteDatabase(tmp_path)
    path = database.file(REPORT)
    assert b"\x1b" not in b"".join((run(database, path).stdout, run(database, path).stderr))
    assert b"\x1b[" in on_terminal(database, path)


MANY = {
    "sqlite": (
        "INSERT INTO consumpdata (date, utc) WITH RECURSIVE more (n) AS (VALUES (1) UNION ALL"
        " SELECT n + 1 FROM more WHERE n < 100000) SELECT datetime(1600000000 + n * 900,"
        " 'unixepoch', '+2 hours'), 1600000000 + n * 900 FROM more"
    ),
    "mariadb": (
        "INSERT INTO consumpdata (date, utc) SELECT '2020-11-01 01:00' + INTERVAL seq * 15 MINUTE,"
        " '2020-11-01' + INTERVAL seq * 15 MINUTE"
        " FROM (SELECT @elecdata_loading := 1) AS quiet, seq_1_to_100000"
    ),
}
"""Makes readings in the older layout, more than are moved in silence."""


def test_takeover_of_many_readings_shows_a_bar_on_a_terminal_and_lines_in_a_pipe(
    database: DatabaseFixture,
) -> None:
    path = database.file(REPORT)
    assert run(database, path).returncode == 0
    make_older(database)
    database.run(MANY[database.kind])
    shown = run(database, path).stdout.decode()
    assert shown.count("readings found, which are moved to a new layout") == 1
    moved = [line for line in shown.splitlines() if "Readings moved: " in line]
    assert moved == [f"Readings moved: {quarter} %" for quarter in (25, 50, 75)]
    assert "Readings moved" not in run(database, path).stdout.decode()
    if database.kind == "sqlite":
        make_older(database)
        shown = on_terminal(database, path).decode()
        assert "\x1b[" in shown
        assert "Readings moved" in shown


def on_terminal(database: DatabaseFixture, path: str) -> bytes:
    """What the loader writes on a terminal as its standard error."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "loader", "--config", str(database.config), path]
    with subprocess.Popen(  # noqa: S603 - this project's own program
        command, cwd=ROOT, env={**ENVIRON, "TERM": "xterm"}, stdout=subprocess.PIPE, stderr=theirs
    ) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                shown += os.read(ours, 65536)
            except OSError:  # how Linux says that the other end was closed
                break
        assert process.wait(SECONDS) == 0
    os.close(ours)
    return shown


# Users


def test_users_are_listed_as_json(database: DatabaseFixture) -> None:
    assert given(users(database, "add", "--json", "morgan", stdin="one two three").output) == {
        "ok": True,
        "user": "morgan",
    }
    assert users(database, "disable", "--quiet", "morgan").output == ""
    assert given(users(database, "list", "--json").output) == {
        "ok": True,
        "users": [{"name": "morgan", "role": "read", "enabled": False, "old_hash": False}],
    }
    done = users(database, "enable", "--json", "Nobody")
    assert done.exit_code == 1
    assert given(done.stdout) == {
        "ok": False,
        "error": "no such user: Nobody",
        "faults": {"count": 0, "shown": []},
    }


def test_interrupted_question_for_a_password_ends_with_130(tmp_path: Any) -> None:
    database = SqliteDatabase(tmp_path)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "loader.users", "--config", str(database.config)]
    with subprocess.Popen(  # noqa: S603 - this project's own program
        [*command, "add", "morgan"], cwd=ROOT, env=ENVIRON, stdin=theirs, stderr=theirs,
        stdout=subprocess.PIPE, start_new_session=True,
    ) as process:  # fmt: skip
        os.close(theirs)
        said = b""
        while b"Password: " not in said:
            said += os.read(ours, 1024)
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS) == 130
    os.close(ours)
    assert not database.exists()


# Help


@pytest.mark.parametrize(
    ("command", "args"),
    [
        (loader.__main__.main, ["--help"]),
        (loader.users.main, ["--help"]),
        (loader.users.main, ["list", "--help"]),
    ],
)
def test_help_shows_options_and_ends_well(command: Any, args: list[str]) -> None:
    done = CliRunner().invoke(command, args)
    assert done.exit_code == 0
    if "list" not in args:
        assert "Examples:" in done.output
        assert "Status: 0 success" in done.output
    else:
        assert "--json" in done.output

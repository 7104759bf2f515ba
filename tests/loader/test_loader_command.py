"""The commands `python -m loader` and `python -m loader.users`."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import loader.__main__
import loader.users
from storage.common.passwords import verify_password
from tests.support.databases import DatabaseFixture, MariadbDatabase, SqliteDatabase
from tests.support.paths import ROOT
from tests.support.report_factory import numbered, quarters, report, row

pytestmark = [pytest.mark.promise("Running it"), pytest.mark.one_database]

AUGUST = quarters("2019-08-01", 2000)
REPORT = report(*numbered(AUGUST))
BAD = row("1 Aug 2019 12:01:00", "many")
ENVIRON = {key: value for key, value in os.environ.items() if not key.startswith("ELECDATA_")}


def load(database: DatabaseFixture, *args: str) -> Result:
    """Runs the loader in this process."""
    return CliRunner().invoke(loader.__main__.main, ["--config", str(database.config), *args])


def users(database: DatabaseFixture, *args: str, stdin: str | bytes = "") -> Result:
    """Runs the command for users in this process."""
    return CliRunner().invoke(
        loader.users.main, ["--config", str(database.config), *args], input=stdin
    )


def run(
    database: DatabaseFixture,
    *args: str,
    module: str = "loader",
    stdin: bytes = b"",
    before: str = "",
) -> subprocess.CompletedProcess[bytes]:
    """Runs a command in a process of its own; `before` stands before its options."""
    command = [sys.executable, "-m", module, *before.split("|"), "--config", str(database.config)]
    return subprocess.run(  # noqa: S603 - this project's own program
        [*filter(None, command), *args],
        check=False,
        cwd=ROOT,
        env=ENVIRON,
        input=stdin,
        capture_output=True,
    )


def count(database: DatabaseFixture) -> int:
    """The readings that are there."""
    return len(asyncio.run(database.records()))


# What it prints


def test_steps_and_summary_are_printed(database: DatabaseFixture) -> None:
    database.configure(api_users={"rick": "morty"})
    path = database.file(REPORT)
    done = run(database, path)
    lines = done.stdout.decode().splitlines()
    name = database.name
    reader = (
        [f"OK - '{database.reader_user}' user"] if isinstance(database, MariadbDatabase) else []
    )
    assert lines[:-1] == [
        "OK - Database connection",
        f"OK - '{name}' database",
        f"OK - '{name}.consumpdata' table",
        f"OK - '{name}.users' table",
        "OK - Trigger",
        "OK - User",
        *reader,
        f"OK - CSV (2000 lines) successfully imported to {name}.consumpdata",
        "report.csv",
        "  readings       2000",
        "  new            2000",
        "  changed        0",
        "  unchanged      0",
        "  missing values 14000",
        "  flags          none",
        "  span           2019-08-01 00:00:00 to 2019-08-21 19:45:00",
        "  interval       900 s",
    ]
    assert lines[-1].startswith("  time           ")
    assert done.stderr == b""
    assert done.returncode == 0


def test_standard_input_is_loaded(database: DatabaseFixture) -> None:
    done = run(database, "-", stdin=REPORT.encode())
    assert done.returncode == 0
    assert b"standard input\n  readings       2000\n" in done.stdout
    assert count(database) == 2000


def test_faults_are_printed_the_first_twenty_and_a_count(database: DatabaseFixture) -> None:
    path = database.file(report(*numbered(AUGUST[:4]), *[BAD] * 23))
    done = load(database, path)
    assert done.exit_code == 1
    lines = done.stderr.splitlines()
    assert lines[0] == (
        f"{path}:6: Energy (kWh): many: expected a decimal like -8.382, "
        "at most 10 digits before the point and 5 after it, or nothing"
    )
    assert len(lines) == 22
    assert lines[20:] == ["... and 3 more", "ERROR - 23 errors; nothing was written"]
    assert "successfully" not in done.stdout
    assert count(database) == 0


def test_one_fault_is_one_fault(database: DatabaseFixture) -> None:
    done = load(database, database.file(report(BAD)))
    assert done.stderr.splitlines()[-1] == "ERROR - 1 error; nothing was written"


def test_skipped_rows_are_counted_and_their_file_is_named(database: DatabaseFixture) -> None:
    done = load(database, "--skip-bad-rows", database.file(report(*numbered(AUGUST), *[BAD] * 22)))
    assert done.exit_code == 0
    assert f"  rejected rows  22, see {database.folder}/report.rejected.csv\n" in done.stdout
    assert done.stderr.splitlines()[20:] == ["... and 2 more"]
    assert count(database) == 2000


# Dry run


@pytest.mark.parametrize("skipping", [[], ["--skip-bad-rows"]])
def test_dry_run_makes_no_database_and_no_file(
    database: DatabaseFixture, skipping: list[str]
) -> None:
    path = database.file(report(*numbered(AUGUST), *[BAD] * len(skipping)))
    files = sorted(database.folder.iterdir())
    done = load(database, "--dry-run", *skipping, path)
    assert done.exit_code == 0
    assert "readings       2000" in done.stdout
    assert "new" not in done.stdout
    assert done.stdout.endswith("Nothing was written (--dry-run)\n")
    assert ("rejected rows  1\n" in done.stdout) == bool(skipping)
    assert not database.exists()
    assert sorted(database.folder.iterdir()) == files


def test_dry_run_compares_and_changes_nothing(database: DatabaseFixture) -> None:
    asyncio.run(database.load(report(*numbered(AUGUST[:10]), *numbered(AUGUST[10:20], 5))))
    before = database.run("SELECT * FROM readings"), database.run("SELECT * FROM imports")
    done = load(database, "--dry-run", database.file(REPORT))
    for line in ("new            1980", "changed        10", "unchanged      10"):
        assert line in done.stdout
    after = database.run("SELECT * FROM readings"), database.run("SELECT * FROM imports")
    assert after == before


def test_dry_run_says_which_flags_there_would_be(database: DatabaseFixture) -> None:
    asyncio.run(database.load(report(row(AUGUST[0], "1", "1", "1", "1"))))
    gap = [row(AUGUST[1]), row(AUGUST[2], "2", "1", "1", "3"), row(AUGUST[3], "99", "1", "1", "3")]
    done = load(database, "--dry-run", database.file(report(*gap)))
    assert "  flags          1 missing, 1 catch_up, 1 implausible\n" in done.stdout
    assert not database.run("SELECT * FROM flags")


def test_dry_run_finds_faults(database: DatabaseFixture) -> None:
    done = load(database, "--dry-run", database.file(report(BAD)))
    assert done.exit_code == 1
    assert not database.exists()


# What goes wrong is one line


def test_database_that_cannot_be_reached_is_one_line(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path)
    nobody = {"user": "nobody", "password": "none"}
    for section, place in (
        ({"url": "mysql://127.0.0.1:1/elecprod", "admin": nobody}, "127.0.0.1:1 cannot be reached"),
        ({"url": f"sqlite:///{database.config}/x.db"}, "config.yaml/x.db cannot be written"),
        ({"url": f"sqlite:///{tmp_path}"}, f"{tmp_path} cannot be written"),
        ({"url": "mysql://127.0.0.1:1/elecprod"}, "database.admin: expected the loader's user"),
        ({"url": "nonsense"}, "config.yaml:1: database.url: expected"),
    ):
        database.configure(database=section)
        for command in (
            load(database, database.file(REPORT)),
            users(database, "list"),
        ):
            assert command.exit_code == 1
            (line,) = command.stderr.splitlines()
            assert line.startswith("ERROR - ")
            assert place in line


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ([], "Missing argument 'REPORT.csv...'"),
        (["--dry"], "No such option '--dry'"),
        (["--config", "none.yaml", "x.csv"], "none.yaml: cannot be read"),
    ],
)
def test_wrong_command_line_is_explained(args: list[str], expected: str) -> None:
    done = CliRunner().invoke(loader.__main__.main, args)
    assert done.exit_code in (1, 2)
    assert expected in done.stderr


def test_missing_report_is_one_fault(database: DatabaseFixture) -> None:
    done = load(database, str(database.folder / "none.csv"))
    assert done.exit_code == 1
    assert done.stderr.splitlines() == [
        f"{database.folder}/none.csv: cannot be read: No such file or directory",
        "ERROR - 1 error; nothing was written",
    ]


def test_rejected_rows_that_cannot_be_written_stop_the_import(database: DatabaseFixture) -> None:
    (database.folder / "report.rejected.csv").mkdir()
    done = load(database, "--skip-bad-rows", database.file(report(*numbered(AUGUST), BAD)))
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1] == (
        f"ERROR - {database.folder}/report.rejected.csv: cannot be written: Is a directory"
    )
    assert count(database) == 0
    assert not list(database.folder.glob(".*"))


# Stopped

MOMENTS = [
    "block 1",
    "block 3",
    "UPDATE readings",
    "UPDATE states",
    "INSERT INTO readings",
    "INSERT INTO flags",
    "INSERT INTO imports",
    "COMMIT",
]


@pytest.fixture
def loaded(database: DatabaseFixture) -> DatabaseFixture:
    """A database with ten readings, which the report corrects."""
    asyncio.run(database.load(report(*numbered(AUGUST[:10], 5))))
    return database


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_import_leaves_the_table_as_it_was(loaded: DatabaseFixture, moment: str) -> None:
    before = loaded.run("SELECT * FROM readings"), loaded.run("SELECT * FROM imports")
    path = loaded.file(REPORT)
    done = run(loaded, path, module="tests.support.interrupted_loader", before=f"SIGKILL|{moment}")
    assert done.returncode == -signal.SIGKILL
    after = loaded.run("SELECT * FROM readings"), loaded.run("SELECT * FROM imports")
    assert after == before
    (summary,) = asyncio.run(loaded.load(path))
    imported = summary.imported
    assert imported is not None
    assert (imported.new, imported.changed, imported.unchanged) == (1990, 10, 0)
    records = asyncio.run(loaded.records())
    assert [record["id"] for record in records] == [f"{number}" for number in range(1, 2001)]


@pytest.mark.parametrize("moment", ["block 3", "INSERT INTO readings"])
def test_interrupted_import_says_that_nothing_was_written(
    loaded: DatabaseFixture, moment: str
) -> None:
    path = loaded.file(REPORT)
    done = run(loaded, path, module="tests.support.interrupted_loader", before=f"SIGINT|{moment}")
    assert done.stderr == b"Stopped; nothing was written\n"
    assert done.returncode == 130
    assert count(loaded) == 10


def test_interruption_during_the_commit_comes_too_late(loaded: DatabaseFixture) -> None:
    path = loaded.file(REPORT)
    done = run(loaded, path, module="tests.support.interrupted_loader", before="SIGINT|COMMIT")
    assert b"successfully imported" in done.stdout
    assert done.returncode == 0
    assert count(loaded) == 2000


def test_loader_killed_while_it_reads_a_pipe_leaves_the_table_as_it_was(
    loaded: DatabaseFixture,
) -> None:
    command = [sys.executable, "-m", "loader", "--config", str(loaded.config), "-"]
    with subprocess.Popen(  # noqa: S603 - this project's own program
        command, cwd=ROOT, env=ENVIRON, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        # What is written is more than a slice and a pipe hold, so that the loader is at work.
        process.stdin.write(report(*numbered(quarters("2010-01-01", 60_000))).encode())
        process.stdin.flush()
        process.kill()
    assert count(loaded) == 10


# Users


def test_user_is_added_changed_disabled_and_listed(database: DatabaseFixture) -> None:
    def stored() -> str:
        ((password,),) = database.run("SELECT password FROM users WHERE user = 'morgan'")
        return str(password)

    assert users(database, "add", "morgan", stdin="öne two three\n").stdout == "morgan was added\n"
    assert verify_password("öne two three", stored())
    assert users(database, "list").stdout == "morgan: read, enabled\n"
    assert users(database, "disable", "morgan").stdout == "morgan is disabled\n"
    assert users(database, "list").stdout == "morgan: read, disabled\n"
    done = users(database, "password", "morgan", stdin="four five six")
    assert done.stdout == "morgan has a new password\n"
    assert verify_password("four five six", stored())
    assert users(database, "list").stdout == "morgan: read, disabled\n"
    assert users(database, "enable", "morgan").stdout == "morgan is enabled\n"
    assert users(database, "list").stdout == "morgan: read, enabled\n"

    done = users(database, "role", "morgan", "admin")
    assert done.stdout == "morgan has the role admin\n"
    assert users(database, "list").stdout == "morgan: admin, enabled\n"

    again = users(database, "add", "morgan", stdin="seven eight")
    assert (again.exit_code, again.stderr) == (1, "ERROR - user morgan already exists\n")
    assert verify_password("four five six", stored())


def test_change_of_a_user_is_a_line_that_says_who_made_it(database: DatabaseFixture) -> None:
    name = 'O"Neil = é'
    for command, event in (
        (["add", name], "user added"),
        (["password", name], "password changed"),
        (["disable", name], "user disabled"),
        (["enable", name], "user enabled"),
        (["role", name, "admin"], "role changed"),
        (["logout", name], "user logged out"),
        (["remove", name, "--yes"], "user removed"),
    ):
        done = run(database, *command, module="loader.users", stdin=b"hush hush hush!\n")
        (line,) = done.stderr.decode().splitlines()
        role = " role=admin" if event == "role changed" else ""
        assert line.endswith(rf' INFO {event} user="O\"Neil = \u00e9"{role} uid={os.getuid()}')
        assert "hush" not in line


@pytest.mark.parametrize(
    "command", ["password", "disable", "enable", "role", "logout", "sessions", "remove"]
)
def test_unknown_user_is_refused(database: DatabaseFixture, command: str) -> None:
    more = {"role": ["admin"], "remove": ["--yes"]}.get(command, [])
    done = users(database, command, "Nobody", *more, stdin="a secret of mine")
    assert (done.exit_code, done.stderr) == (1, "ERROR - no such user: Nobody\n")


@pytest.mark.parametrize(
    ("name", "stdin", "expected"),
    [
        ("morgan", b"", "the password must not be empty"),
        ("morgan", b"\n", "the password must not be empty"),
        ("morgan", b"caf\xe9\n", "the password must be UTF-8"),
        ("morgan", b"too short\n", "password: expected 10 to 256 characters"),
        ("morgan", b"Password2026!\n", "password: expected none of the commonest passwords"),
        ("a:b", b"secret", "expected 1 to 64 printable characters other than ':'"),
        ("", b"secret", "expected 1 to 64 printable characters other than ':'"),
        ("a\nb", b"secret", "expected 1 to 64 printable characters other than ':'"),
        ("x" * 65, b"secret", "expected 1 to 64 printable characters other than ':'"),
    ],
)
def test_user_that_could_not_log_in_is_refused(
    tmp_path: Path, name: str, stdin: bytes, expected: str
) -> None:
    database = SqliteDatabase(tmp_path)
    done = users(database, "add", name, stdin=stdin)
    assert done.exit_code == 2
    assert expected in done.output
    assert not database.exists()


def test_removed_user_is_gone_and_what_adds_it_again_is_named(database: DatabaseFixture) -> None:
    database.configure(api_users={"rick": "morty"})
    for name in ("rick", "morgan"):
        assert users(database, "add", name, stdin="a secret of mine").exit_code == 0
    asked = users(database, "remove", "morgan")
    assert asked.exit_code == 2
    assert "nobody can be asked without a terminal, use --yes" in asked.output
    done = users(database, "remove", "morgan", "--yes")
    assert done.stdout == "morgan was removed; readings, imports and log lines stay\n"
    assert users(database, "list").stdout == "rick: read, enabled\n"
    assert users(database, "remove", "rick", "--yes").stdout.splitlines()[1:] == [
        "api_users names rick: remove that, or the next load adds the user again"
    ]
    assert database.run("SELECT * FROM users") in ((), [])


def test_sessions_of_a_user_are_listed_until_they_are_ended(database: DatabaseFixture) -> None:
    assert users(database, "add", "morgan", stdin="a secret of mine").exit_code == 0
    ((generation,),) = database.run("SELECT generation FROM users")
    database.run(
        "INSERT INTO sessions VALUES ('0123456789abcdef', 'morgan', "
        f"{generation}, 1900000000, 4000000000, '192.0.2.7', 'curl/8')"
    )
    line = "89abcdef: 2030-03-17T17:46:40Z to 2096-10-02T07:06:40Z, 192.0.2.7, curl/8\n"
    assert users(database, "sessions", "morgan").stdout == line
    assert users(database, "logout", "morgan").stdout == "morgan is logged out\n"
    listed = users(database, "sessions", "morgan", "--json").stdout
    assert json.loads(listed) == {"ok": True, "sessions": []}


def test_names_differ_by_case_and_accent(database: DatabaseFixture) -> None:
    names = ["Ana", "Aná", "ana"]
    for name in names:
        assert users(database, "add", name, stdin="a secret of mine").exit_code == 0
    assert users(database, "disable", "ana").exit_code == 0
    listed = sorted(users(database, "list").stdout.splitlines())
    assert listed == ["Ana: read, enabled", "Aná: read, enabled", "ana: read, disabled"]


def test_hash_of_the_old_kind_is_pointed_out(database: DatabaseFixture) -> None:
    asyncio.run(database.load(report(*numbered(AUGUST[:2]))))
    digest = "0123456789abcdef" * 4
    database.run(f"INSERT INTO users (user, password) VALUES ('rick', '{digest}')")
    assert users(database, "list").output == (
        "rick: read, enabled, old password hash: set a new password\n"
    )


def test_password_never_shows(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path)
    done = run(database, "add", "morgan", module="loader.users", stdin=b"hush hush hush!\n")
    assert done.returncode == 0
    assert b"hush" not in done.stdout + done.stderr

"""The command `python -m loader.audit`, and what the other commands have the trail tell."""

import asyncio
import hashlib
import json
import os

import pytest
from click.testing import CliRunner, Result

import loader.__main__
import loader.audit
import loader.users
from tests.server.security.test_revocation import make_older
from tests.support.databases import DatabaseFixture
from tests.support.report_factory import numbered, quarters, report

REPORT = report(*numbered(quarters("2019-08-01", 4)))


def run(database: DatabaseFixture, *args: str, stdin: str | None = None) -> Result:
    """Run a command of the loader; the first argument names it."""
    commands = {
        "load": loader.__main__.main,
        "users": loader.users.main,
        "audit": loader.audit.main,
    }
    name, *rest = args
    options = ["--config", str(database.config), *rest]
    return CliRunner().invoke(commands[name], options, input=stdin)


def listed(database: DatabaseFixture, *args: str) -> list[dict[str, object]]:
    done = run(database, "audit", "list", "--json", *args)
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def loaded(database: DatabaseFixture) -> DatabaseFixture:
    """A database with an import."""
    asyncio.run(database.load(REPORT))
    return database


def test_changes_of_users_and_imports_are_told(database: DatabaseFixture) -> None:
    database.configure(api_users={"rick": "morty"})
    path = database.file(REPORT)
    bad = database.file("nonsense", "bad.csv")
    commands = [
        (["load", path], 0),
        (["load", "--dry-run", path], 0),
        (["load", bad], 1),
        (["users", "add", "morgan"], 0),
        (["users", "add", "morgan"], 1),
        (["users", "password", "morgan"], 0),
        (["users", "disable", "morgan"], 0),
        (["users", "enable", "morgan"], 0),
        (["users", "role", "morgan", "admin"], 0),
        (["users", "role", "nobody", "admin"], 1),
        (["users", "logout", "morgan"], 0),
        (["users", "remove", "morgan", "--yes"], 0),
        (["users", "remove", "morgan", "--yes"], 1),
        (["users", "list"], 0),
    ]
    for args, status in commands:
        done = run(database, *args, stdin="hush hush hush\n")
        assert done.exit_code == status, done.output
    found = listed(database)
    assert [(each["event"], each["result"], each["details"]) for each in found] == [
        ("user added", "ok", {"user": "rick"}),
        (
            "import",
            "ok",
            {
                "file": "report.csv",
                "meter": "main",
                "sha256": hashlib.sha256(REPORT.encode()).hexdigest(),
                "new": 4,
                "changed": 0,
                "unchanged": 0,
                "rejected": 0,
                "kept": 0,
            },
        ),
        ("import", "failed", {"reports": 1, "files": ["bad.csv"], "error": "1 error"}),
        ("user added", "ok", {"user": "morgan"}),
        ("password changed", "ok", {"user": "morgan"}),
        ("user disabled", "ok", {"user": "morgan"}),
        ("user enabled", "ok", {"user": "morgan"}),
        ("role changed", "ok", {"user": "morgan", "role": "admin"}),
        ("user logged out", "ok", {"user": "morgan"}),
        ("user removed", "ok", {"user": "morgan"}),
    ]
    assert all(str(each["actor"]).startswith(f"uid {os.getuid()}") for each in found)
    assert "hush" not in str(found)
    assert len(listed(database, "--user", "morgan")) == 7
    since = str(found[4]["time"])[:19]
    expected = [each for each in found if str(each["time"]) >= since]
    assert listed(database, "--since", since) == expected


def test_change_of_a_user_is_no_error_if_only_old_revocations_cannot_be_deleted(
    loaded: DatabaseFixture,
) -> None:
    loaded.run("DROP TABLE revocations")
    done = run(loaded, "users", "add", "morgan", stdin="hush hush hush\n")
    assert (done.exit_code, done.stdout) == (0, "morgan was added\n")


def test_import_of_thousands_of_files_that_fails_is_told(database: DatabaseFixture) -> None:
    run(database, "users", "add", "morgan", stdin="hush hush hush\n")
    path = database.file("nonsense", f"{'x' * 60}.csv")
    assert run(database, "load", *[path] * 1100).exit_code == 1
    details = listed(database)[-1]["details"]
    assert isinstance(details, dict)
    assert (details["reports"], len(details["files"])) == (1100, 20)


def test_change_of_a_user_is_undone_if_the_trail_cannot_tell_of_it(
    loaded: DatabaseFixture,
) -> None:
    loaded.run("DELETE FROM audit_head")
    done = run(loaded, "users", "add", "morgan", stdin="hush hush hush\n")
    assert done.exit_code == 1
    assert "audit_head has lost its row" in done.stderr
    assert loaded.run("SELECT user FROM users WHERE user = 'morgan'") in ([], ())


def test_head_that_was_kept_shows_what_was_cut_off(loaded: DatabaseFixture) -> None:
    run(loaded, "users", "add", "morgan", stdin="hush hush hush\n")
    done = run(loaded, "audit", "verify")
    assert done.exit_code == 0
    said, _, head = done.stdout.strip().partition("\nhead: ")
    assert (said, head[:2]) == ("OK - 2 entries", "2:")
    assert json.loads(run(loaded, "audit", "verify", "--json").stdout) == {
        "ok": True,
        "entries": 2,
        "first": 1,
        "head": head,
    }
    # A backup from before is restored: the chain is whole, and lacks an entry.
    loaded.run("UPDATE audit_head SET pruned = 2")
    loaded.run("DELETE FROM audit WHERE id = 2")
    before = loaded.run("SELECT hash FROM audit WHERE id = 1")[0][0]
    loaded.run("DROP TRIGGER IF EXISTS link_audit")
    loaded.run(f"UPDATE audit_head SET last = 1, hash = '{before}', pruned = 0")
    assert run(loaded, "audit", "verify").exit_code == 0
    done = run(loaded, "audit", "verify", "--head", head)
    assert done.exit_code == 1
    assert "entries 2 to 2 are missing, which were there when the head was kept" in done.stderr
    done = run(loaded, "audit", "verify", "--head", "2")
    assert done.exit_code == 2
    assert "expected what `elecdata audit verify` printed" in done.stderr


def test_changed_entry_is_an_error_in_text_and_json(loaded: DatabaseFixture) -> None:
    loaded.run("DROP TRIGGER refuse_changed_audit")
    loaded.run("UPDATE audit SET entry = '{}' WHERE id = 1")
    fault = (
        "the audit trail is broken: entry 1 was changed: its hash is not that of it and the"
        " entry before it"
    )
    done = run(loaded, "audit", "verify")
    assert (done.exit_code, done.stderr) == (1, f"ERROR - {fault}\n")
    document = json.loads(run(loaded, "audit", "verify", "--json").stdout)
    assert (document["ok"], document["error"]) == (False, fault)


def test_pruned_trail_says_so(loaded: DatabaseFixture) -> None:
    done = run(loaded, "audit", "prune", "--before", "2000-01-01")
    assert done.stdout == "OK - 0 entries deleted\n"
    done = run(loaded, "audit", "prune", "--before", "2999-01-01")
    assert done.stdout == "OK - 1 entries deleted\n"
    done = run(loaded, "audit", "verify")
    assert done.stdout.startswith("OK - 1 entries, those before 2 were pruned\nhead: 2:")


def test_names_cannot_forge_a_line_of_the_list(loaded: DatabaseFixture) -> None:
    run(loaded, "users", "add", 'é "x" = y', stdin="hush hush hush\n")
    (line,) = run(loaded, "audit", "list", "--user", 'é "x" = y').stdout.splitlines()
    assert line.startswith("2 20")
    assert line.endswith(r'user="\u00e9 \"x\" = y"')


def test_older_database_has_no_trail_yet(database: DatabaseFixture) -> None:
    make_older(database)
    done = run(database, "audit", "verify")
    text = f"ERROR - {database.name} has no audit trail yet: run `elecdata load`\n"
    assert (done.exit_code, done.stderr) == (1, text)
    done = run(database, "load", database.file(REPORT))
    assert done.exit_code == 0, done.output
    assert run(database, "audit", "verify").stdout.startswith("OK - 1 entries\n")

"""The commands `elecdata grants`, `groups` and `keys`."""

import asyncio
import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import loader.audit
from elecdata import main
from storage.access.api_keys import ApiKey, hash_api_key
from tests.support.databases import DatabaseFixture, SqliteDatabase

HASHED = "0" * 64


def run(database: DatabaseFixture, command: str, *args: str) -> Result:
    """Runs a command, its words separated by blanks, and further words."""
    name, *words = command.split()
    return CliRunner().invoke(main, [name, "--config", str(database.config), *words, *args])


def done(database: DatabaseFixture, command: str, *args: str) -> str:
    """What a command prints, which must succeed."""
    result = run(database, command, *args)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(database: DatabaseFixture, command: str, *args: str) -> str:
    """The last line of what a command says, which must fail."""
    result = run(database, command, *args)
    assert result.exit_code in (1, 2), result.output
    assert "Traceback" not in result.output
    return result.stderr.splitlines()[-1]


def table(text: str) -> list[list[str]]:
    return [re.split("  +", line) for line in text.splitlines()]


def objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def trail(database: DatabaseFixture) -> list[tuple[str, dict[str, Any]]]:
    args = ["--config", str(database.config), "list", "--json"]
    lines = CliRunner().invoke(loader.audit.main, args).stdout.splitlines()
    return [(entry["event"], entry["details"]) for entry in map(json.loads, lines)]


def found_key(database: DatabaseFixture, key: str) -> ApiKey | None:
    async def find() -> ApiKey | None:
        async with database.reader() as reader:
            await reader.state()
            return await reader.api_keys.key(hash_api_key(key))

    return asyncio.run(find())


@pytest.fixture
def prepared(database: DatabaseFixture) -> DatabaseFixture:
    """A database of the meters m1 and m2 and of morgan, who may see nothing."""
    for meter in ("m1", "m2"):
        done(database, f"meters add {meter} --timezone UTC")
    database.run(f"INSERT INTO users (user, password) VALUES ('morgan', '{HASHED}')")
    for table in ("grants", "grant_numbers"):
        database.run(f"DELETE FROM {table}")
    return database


# Grants


def test_grants_are_added_changed_listed_and_removed(
    prepared: DatabaseFixture, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    said = done(prepared, "grants add morgan --meter m1 --from 2026-01-01 --until 2026-12-31")
    assert said == "morgan may read the meter m1, from 2026-01-01 to 2026-12-31 (number 1)\n"
    assert re.search(r'grant added user="morgan" number=1 grant="read .*" uid=\d+', caplog.text)
    done(prepared, "grants add morgan --all --permission write --expires 2999-01-01T00:00:00+01:00")
    done(prepared, "grants change morgan 1 --permission manage --expires 2999-01-01 --from", "")
    heading, *rows = table(done(prepared, "grants list --user morgan"))
    assert heading[:6] == ["user", "number", "may", "what", "days", "expires (UTC)"]
    assert [row[:6] for row in rows] == [
        ["morgan", "1", "manage", "the meter m1", "to 2026-12-31", "2999-01-01T00:00:00Z"],
        ["morgan", "2", "write", "all meters", "all days", "2998-12-31T23:00:00Z"],
    ]
    assert [
        each["number"] for each in objects(done(prepared, "grants list --meter m2 --json"))
    ] == [2]
    said = done(prepared, "grants remove morgan 1")
    assert said.startswith("morgan may not manage the meter m1, to 2026-12-31, until 2999")
    assert done(prepared, "grants list --user rick") == "There are no such grants\n"
    events = [event for event, _ in trail(prepared) if event.startswith("grant")]
    assert events == ["grant added", "grant added", "grant changed", "grant removed"]


def test_grant_of_a_user_who_may_read_everything_says_that_it_adds_nothing(
    prepared: DatabaseFixture,
) -> None:
    done(prepared, "grants add morgan --all")
    said = done(prepared, "grants add morgan --meter m1").splitlines()[-1]
    assert said == ("morgan may still read all meters: `elecdata grants remove morgan 1` ends that")


GRANTS_REFUSED = [
    ("grants add rick --meter m1", "no such user: rick"),
    ("grants add morgan --meter m3", "no such meter: m3"),
    ("grants add morgan --group east", "no such group: east"),
    ("grants add morgan", "expected one of --meter METER, --group GROUP and --all"),
    ("grants add morgan --meter m1 --all", "expected one of --meter METER, --group"),
    ("grants add", "expected USER, or --from-file FILE"),
    ("grants add morgan --all --from 2026-1-1", "expected a day such as 2026-01-31"),
    ("grants add morgan --all --from 2026-W01-1", "expected a day such as 2026-01-31"),
    (
        "grants add morgan --all --from 2026-02-01 --until 2026-01-31",
        "expected a last day that is not before the first one, 2026-02-01",
    ),
    ("grants add morgan --all --expires 2020-01-01", "expected a time to come with its offset"),
    ("grants add morgan --all --expires 2999-01-01T00:00", "expected a time to come with its"),
    ("grants add morgan --all --permission own", "is not one of 'read', 'write', 'manage'"),
    ("grants change morgan 1", "nothing to change: give an option"),
    ("grants change morgan 1 --until 2026-01-01", "morgan has no grant of the number 1"),
    ("grants remove morgan 0", "0 is not in the range x>=1"),
    ("grants list --meter m1 --group east", "expected a meter or a group, not both"),
    ("grants export grants.txt", "expected a name that ends in .csv or .json, or -"),
    ("groups add no/slash", "expected a public id of 1 to 64 letters"),
    ("groups change east", "nothing to change: give an option"),
    ("groups remove east --yes", "no such group: east"),
    ("groups add-member east", "expected one of --meter METER and --group GROUP"),
    ("keys add morgan two,names", "expected a name of 1 to 64 letters, digits, dots, _ and -"),
    ("keys add morgan", "expected USER and NAME, or --from-file FILE"),
    ("keys add morgan k --quiet", "--quiet would hide the key, which is shown only once"),
    ("keys change morgan k", "nothing to change: give an option"),
    ("keys revoke morgan k", "morgan has no key k"),
]


def test_what_is_wrong_is_refused_with_what_was_expected(prepared: DatabaseFixture) -> None:
    for command, said in GRANTS_REFUSED:
        assert said in refused(prepared, command), command
    assert list(prepared.run("SELECT user FROM grants")) == []


# Groups


def test_groups_have_members_on_some_days(prepared: DatabaseFixture) -> None:
    done(prepared, "groups add east --name", "East wing")
    done(prepared, "groups add campus")
    done(prepared, "groups add-member east --meter m1 --until 2026-06-30")
    said = done(prepared, "groups add-member campus --group east --subtract --from 2026-01-01")
    assert said == (
        "the group east (subtracted, from 2026-01-01) is a member of campus (number 1)\n"
    )
    done(prepared, "groups change-member campus 1 --add --until 2026-12-31")
    assert table(done(prepared, "groups members campus")) == [
        ["number", "member", "sign", "days"],
        ["1", "the group east", "+", "from 2026-01-01 to 2026-12-31"],
    ]
    assert "campus > east" not in refused(prepared, "groups add-member east --meter m1")
    assert "campus > east" in refused(prepared, "groups add-member east --group campus")
    assert table(done(prepared, "groups list")) == [
        ["public id", "name", "members", "note"],
        ["campus", "-", "1", "-"],
        ["east", "East wing", "1", "-"],
    ]
    done(prepared, "groups change east --public-id east-wing --name", "")
    done(prepared, "grants add morgan --group east-wing")
    done(prepared, "groups remove east-wing --yes")
    (campus,) = objects(done(prepared, "groups list --json"))
    assert (campus["group"], campus["members"]) == ("campus", [])
    assert done(prepared, "grants list") == "There are no grants\n"


# Keys


def test_key_is_shown_once_and_never_again(
    prepared: DatabaseFixture, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    key = done(prepared, "keys add morgan grafana --meter m1 --expires 2999-01-01").strip()
    assert re.fullmatch("elecdata_[A-Za-z0-9_-]{43}", key)
    found = found_key(prepared, key)
    assert found is not None
    assert (found.user, found.name, found.scope is None) == ("morgan", "grafana", False)
    other = json.loads(done(prepared, "keys add morgan all --json"))["key"]
    done(prepared, "keys change morgan grafana --name dash --all --permission write --expires", "")
    found = found_key(prepared, key)
    assert found is not None
    assert (found.name, found.permission.word, found.scope) == ("dash", "write", None)
    done(prepared, "keys revoke morgan dash")
    assert found_key(prepared, key) is None
    listed = done(prepared, "keys list")
    assert [row[:4] for row in table(listed)[1:]] == [
        ["morgan", "all", "read", "all that the user may see"],
        ["morgan", "dash", "write", "all that the user may see"],
    ]
    done(prepared, "keys remove morgan all --yes")
    assert found_key(prepared, other) is None
    told = "".join(
        [caplog.text, listed, done(prepared, "keys list --json"), json.dumps(trail(prepared))]
    )
    for secret in (key, other):
        assert secret.removeprefix("elecdata_") not in told
        assert hash_api_key(secret) not in told


# Lists


@pytest.mark.parametrize("ending", ["csv", "json"])
def test_export_can_be_added_to_another_database(
    prepared: DatabaseFixture, tmp_path: Path, ending: str
) -> None:
    """Keys go on to be good; what is there already stays as it is."""
    done(prepared, "groups add east --note", 'quoted ", wing')
    done(prepared, "groups add campus")
    done(prepared, "groups add empty")
    done(prepared, "groups add-member east --meter m1 --subtract --from 2026-01-01")
    done(prepared, "groups add-member campus --group east")
    done(prepared, "grants add morgan --group campus --permission write --until 2026-12-31")
    done(prepared, "grants add morgan --all --expires 2999-01-01")
    key = done(prepared, "keys add morgan grafana --meter m1 --group east").strip()
    done(prepared, "keys add morgan ended")
    done(prepared, "keys revoke morgan ended")
    other = SqliteDatabase(tmp_path / "other")
    for meter in ("m1", "m2"):
        done(other, f"meters add {meter} --timezone UTC")
    other.run(f"INSERT INTO users (user, password) VALUES ('morgan', '{HASHED}')")
    other.run("DELETE FROM grants")
    other.run("DELETE FROM grant_numbers")
    for name in ("groups", "grants", "keys"):
        file = str(tmp_path / f"{name}.{ending}")
        done(prepared, f"{name} export {file}")
        for _ in range(2):
            done(other, f"{name} add --from-file {file}")
        if name != "keys":
            expected = done(prepared, f"{name} export - --json")
            given = done(other, f"{name} export - --json")
            made = r'"granted": "[^"]+"'
            assert re.sub(made, "", given) == re.sub(made, "", expected)
    assert len(objects(done(other, "keys list --json"))) == 1
    found = found_key(other, key)
    assert found is not None
    assert found.scope is not None


LISTS_REFUSED = [
    (
        "grants",
        "grants.csv",
        "user,meter,permission\nmorgan,m1,read\nmorgan,m3,read\nrick,m1,own\n",
        ["grants.csv:3: no such meter: m3", "grants.csv:4: permission: own: expected read or"],
    ),
    (
        "grants",
        "grants.json",
        '[{"user": "morgan", "permission": "read"},\n{"user": "morgan", "may": 1}]',
        [
            "grants.json:3: permission: nothing: expected read or write or manage",
            "grants.json:3: name: may: expected one of user, number,",
        ],
    ),
    ("groups", "groups.csv", "group,meter\neast,m3\n", ["groups.csv:2: no such meter: m3"]),
    ("groups", "groups.csv", "group,wing\n", ["heading: expected any of group, name,"]),
    ("keys", "keys.csv", "user,name,permission\nmorgan,k\n", ["keys.csv:2: row: 2 fields: exp"]),
    ("keys", "keys.json", "{}", ["expected a JSON array of objects"]),
    ("keys", "keys.txt", "", ["expected a name that ends in .csv or .json"]),
]


def test_list_with_errors_adds_nothing(prepared: DatabaseFixture) -> None:
    for command, name, text, errors in LISTS_REFUSED:
        result = run(prepared, f"{command} add --from-file", prepared.file(text, name))
        assert result.exit_code == 1
        for error in errors:
            assert error in result.stderr
    for name in ("grants", "meter_groups", "group_members", "api_keys"):
        assert list(prepared.run(f"SELECT * FROM {name}")) == []


def test_listed_key_without_hash_is_made_and_shown(prepared: DatabaseFixture) -> None:
    path = prepared.file("user,name,permission\nmorgan,a,read\nmorgan,b,write\n", "keys.csv")
    (given,) = objects(done(prepared, "keys add --json --from-file", path))
    assert [each["name"] for each in given["keys"]] == ["a", "b"]
    for each in given["keys"]:
        found = found_key(prepared, each["key"])
        assert found is not None
        assert found.name == each["name"]


# Users


def test_user_without_grants_sees_nothing(database: DatabaseFixture) -> None:
    runner = CliRunner()
    args = ["users", "--config", str(database.config), "add"]
    for name, more in (("morgan", ["--no-grants"]), ("rick", [])):
        result = runner.invoke(main, [*args, name, *more], input="correct horse battery\n")
        assert result.exit_code == 0, result.output
    listed = objects(done(database, "grants list --json"))
    assert [(each["user"], each["meter"], each["permission"]) for each in listed] == [
        ("rick", None, "read")
    ]

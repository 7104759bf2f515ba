"""Users, groups and grants made by SQL, as commands make them."""

import hashlib
from datetime import date

from tests.support.databases import DatabaseFixture

DAYS = (date.min, date.max)
"""All days, as the bounds of a grant or of a membership."""

KEY = f"elecdata_{'k' * 43}"
"""An API key of the form that servers take."""


def grant(
    database: DatabaseFixture,
    user: str,
    *,
    meter: str | None = None,
    group: str | None = None,
    days: tuple[date, date] = DAYS,
    permission: str = "read",
    expires: int | None = None,
) -> None:
    """Grant a meter, a group or all meters to a user."""
    database.run(
        "INSERT INTO grants (user, id, meter_id, group_id, permission, first_day, last_day,"
        " expires, granted_by, granted)"
        f" SELECT '{user}', COALESCE(MAX(id), 0) + 1, {_id('meters', meter)},"
        f" {_id('meter_groups', group)}, '{permission}', {_bounds(days)},"
        f" {'NULL' if expires is None else expires}, '', 0 FROM grants WHERE user = '{user}'"
    )
    _count(database)


def revoke_all(database: DatabaseFixture, user: str) -> None:
    """Let a user never have had any grant, not even the one that every new user gets."""
    for table in ("grants", "grant_numbers"):
        database.run(f"DELETE FROM {table} WHERE user = '{user}'")
    _count(database)


def add_group(database: DatabaseFixture, name: str) -> None:
    """Add a group without members."""
    database.run(
        "INSERT INTO meter_groups (id, public_id, created)"
        f" SELECT COALESCE(MAX(id), 0) + 1, '{name}', '2020-01-01 00:00:00' FROM meter_groups"
    )


def add_member(
    database: DatabaseFixture,
    group: str,
    *,
    meter: str | None = None,
    member: str | None = None,
    days: tuple[date, date] = DAYS,
    sign: int = 1,
) -> None:
    """Add a meter, or another group, to a group."""
    group_id = _id("meter_groups", group)
    database.run(
        "INSERT INTO group_members"
        " (group_id, id, meter_id, member_group_id, sign, first_day, last_day)"
        f" SELECT {group_id}, COALESCE(MAX(id), 0) + 1, {_id('meters', meter)},"
        f" {_id('meter_groups', member)}, {sign}, {_bounds(days)}"
        f" FROM group_members WHERE group_id = {group_id}"
    )
    _count(database)


def add_key(
    database: DatabaseFixture,
    user: str,
    *,
    meter: str | None = None,
    group: str | None = None,
    permission: str = "read",
) -> None:
    """Let KEY be an API key of a user, good for a meter, for a group, or for both."""
    hashed = hashlib.sha256(KEY.encode()).hexdigest()
    database.run(
        "INSERT INTO api_keys (hash, user, name, permissions, created)"
        f" VALUES ('{hashed}', '{user}', 'key', '{permission}', 0)"
    )
    for number, (column, table, name) in enumerate(
        (("meter_id", "meters", meter), ("group_id", "meter_groups", group))
    ):
        if name is not None:
            database.run(
                f"INSERT INTO api_key_scopes (hash, id, {column})"
                f" VALUES ('{hashed}', {number}, {_id(table, name)})"
            )
    _count(database)


def _count(database: DatabaseFixture) -> None:
    database.run("UPDATE access SET changes = changes + 1")


def _id(table: str, public_id: str | None) -> str:
    if public_id is None:
        return "NULL"
    return f"(SELECT id FROM {table} WHERE public_id = '{public_id}')"


def _bounds(days: tuple[date, date]) -> str:
    return ", ".join(
        "NULL" if day == end else f"'{day}'" for day, end in zip(days, DAYS, strict=True)
    )

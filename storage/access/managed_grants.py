"""Grants as those see and change them, over HTTP, who manage what they are for."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from domain.access import Permission
from storage.access.grant_admin import GrantProperties, GrantRecord
from storage.access.grants import GrantStore
from storage.access.targets import (
    Target,
    day_columns,
    next_grant_number,
    permission_of,
    window_of,
)
from storage.access.viewer import Viewer
from storage.backends.base import ReadEngine
from storage.backends.dialect import Condition
from storage.backends.schema import Feature, SchemaVersion

_COLUMNS = (
    *("user", "id", "meter_id", "group_id", "permission"),
    *("first_day", "last_day", "expires", "granted_by", "granted"),
)


@dataclass(frozen=True, slots=True)
class GrantPage:
    """Some grants by user and number."""

    grants: Sequence[GrantRecord]
    following: tuple[str, int] | None
    """The user and number after which the next page begins; None on the last page."""


class ManagedGrants:
    """Lists, adds and removes grants. Every call raises a StorageError if the database fails."""

    def __init__(self, engine: ReadEngine, schema: SchemaVersion, grants: GrantStore) -> None:
        self._engine = engine
        self._grants = grants
        self._schema = schema
        self._mark = engine.dialect.placeholder

    async def page(
        self,
        viewer: Viewer,
        limit: int,
        after: tuple[str, int] = ("", 0),
        *,
        manages_all: bool,
        user: str | None = None,
    ) -> GrantPage:
        """Return at most so many grants of a viewer, and of what it manages, or of all.

        If a user is named, only those of this user.
        """
        self._require()
        mark = self._mark
        condition = Condition(
            f"(g.user > {mark} OR (g.user = {mark} AND g.id > {mark}))",
            (after[0], after[0], after[1]),
        )
        if user is not None:
            condition &= Condition(f"g.user = {mark}", (user,))
        if not manages_all:
            condition &= await self._seen_by(viewer)
        rows = await self._select(condition, f"ORDER BY g.user, g.id LIMIT {limit + 1}")
        grants = [_record(row) for row in rows[:limit]]
        last = grants[-1] if len(rows) > limit else None
        return GrantPage(grants, None if last is None else (last.user, last.number))

    async def grant(
        self, viewer: Viewer, user: str, number: int, *, manages_all: bool
    ) -> GrantRecord | None:
        """Return the grant of a number that a user has, None if `page` would not show it.

        One that is not there takes the same statements.
        """
        self._require()
        mark = self._mark
        condition = Condition(f"g.user = {mark} AND g.id = {mark}", (user, number))
        if not manages_all:
            condition &= await self._seen_by(viewer)
        rows = await self._select(condition, "")
        return _record(rows[0]) if rows else None

    async def add(self, user: str, grant: GrantProperties, granted_by: str) -> GrantRecord | None:
        """Add a grant, unless the user has an equal one, and return it.

        Return None if there is no such user, or the meter or group is not there any more.
        """
        self._require()
        ids = await self._ids(grant.target)
        if ids is None:
            return None
        known = await self._equal(user, grant, *ids)
        if known is not None:
            return known
        values = (
            *(user, *ids, grant.permission.word, *day_columns(grant.window), grant.expires),
            *(granted_by, int(time.time())),
        )
        dialect = self._engine.dialect
        call = dialect.call("add_grant", len(values))
        await self._engine.execute(call or self._insert(), values if call else _doubled(values))
        return await self._equal(user, grant, *ids)

    async def remove(self, user: str, number: int) -> None:
        """Remove a grant."""
        self._require()
        mark, call = self._mark, self._engine.dialect.call("remove_grant", 2)
        delete = f"DELETE FROM grants WHERE user = {mark} AND id = {mark}"
        await self._engine.execute(call or delete, (user, number))

    def _require(self) -> None:
        self._schema.require(Feature.GRANT_NUMBERS, "grants that servers may change")

    async def _seen_by(self, viewer: Viewer) -> Condition:
        """Select the grants, named `g`, of a viewer, and those of what it manages.

        An API key shows none of what it is not good for.
        """
        own = Condition(f"g.user = {self._mark}", (viewer.user,))
        if viewer.scope is not None:
            about = await self._about(viewer, Permission.READ)
            everywhere = "g.meter_id IS NULL AND g.group_id IS NULL"
            own &= Condition(f"({everywhere} OR {about.text})", about.args)
        if viewer.permission < Permission.MANAGE:
            return own
        managed = await self._about(viewer, Permission.MANAGE)
        return Condition(f"({own.text} OR {managed.text})", own.args + managed.args)

    async def _about(self, viewer: Viewer, least: Permission) -> Condition:
        """Select the grants on meters and groups with which a viewer may do something."""
        # None where a grant on all meters has come meanwhile.
        every = Condition("TRUE")
        meters = await self._grants.visible(viewer, least) or every
        groups = await self._grants.visible_groups(viewer, least) or every
        return Condition(
            f"(g.meter_id IN (SELECT m.id FROM meters AS m WHERE {meters.text})"
            f" OR g.group_id IN (SELECT g.id FROM meter_groups AS g WHERE {groups.text}))",
            meters.args + groups.args,
        )

    async def _equal(
        self, user: str, grant: GrantProperties, meter_id: int | None, group_id: int | None
    ) -> GrantRecord | None:
        """Return the equal grant of a user, who may have very many others."""
        meter, group = ("IS NULL" if each is None else f"= {each}" for each in (meter_id, group_id))
        condition = f"g.user = {self._mark} AND g.meter_id {meter} AND g.group_id {group}"
        rows = await self._select(Condition(condition, (user,)), "ORDER BY g.id")
        return next((each for row in rows if (each := _record(row)).properties == grant), None)

    async def _ids(self, target: Target) -> tuple[int | None, int | None] | None:
        """Return the ids of a meter and a group, None if it is not there."""
        if target.meter is None and target.group is None:
            return None, None
        table, name = ("meters", target.meter)
        if target.group is not None:
            table, name = ("meter_groups", target.group)
        rows = await self._engine.fetch(
            f"SELECT id FROM {table} WHERE public_id = {self._mark}", (name,), small=True
        )
        if not rows:
            return None
        return (rows[0][0], None) if target.group is None else (None, rows[0][0])

    def _insert(self) -> str:
        """Return the statement that adds a grant, unless what it is for was removed meanwhile."""
        mark = self._mark
        others = ", ".join([mark] * (len(_COLUMNS) - 2))
        return (
            f"INSERT INTO grants ({', '.join(_COLUMNS)})"
            f" SELECT {mark}, {next_grant_number(mark)}, {others} FROM users"
            f" WHERE user = {mark}"
            f" AND ({mark} IS NULL OR EXISTS (SELECT 1 FROM meters"
            f" WHERE id = {mark} AND removed IS NULL))"
            f" AND ({mark} IS NULL OR EXISTS (SELECT 1 FROM meter_groups WHERE id = {mark}))"
        )

    async def _select(self, condition: Condition, rest: str) -> Sequence[Sequence[Any]]:
        return await self._engine.fetch(
            "SELECT g.user, g.id, m.public_id, a.public_id, g.permission, g.first_day, g.last_day,"
            " g.expires, g.granted_by, g.granted FROM grants AS g"
            " LEFT JOIN meters AS m ON m.id = g.meter_id"
            f" LEFT JOIN meter_groups AS a ON a.id = g.group_id WHERE {condition.text} {rest}",
            condition.args,
        )


def _doubled(values: Sequence[object]) -> tuple[object, ...]:
    """Return the values of a grant for the placeholders of the statement that adds one."""
    user, meter_id, group_id = values[:3]
    return (*[user] * 3, *values[1:], user, meter_id, meter_id, group_id, group_id)


def _record(row: Sequence[Any]) -> GrantRecord:
    values: list[Any] = [each.decode() if isinstance(each, bytes) else each for each in row]
    user, number, meter, group, permission, *days, expires, granted_by, granted = values
    properties = GrantProperties(
        Target(meter, group), permission_of(permission), window_of(*days), expires
    )
    return GrantRecord(user, number, properties, granted_by, granted)

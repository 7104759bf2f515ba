"""What the grants of a user allow, looked up for one meter, for some, or for a list of meters."""

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

from domain.access import PERMISSIONS, Access, Permission, Window, joined
from storage.backends.base import ReadEngine
from storage.backends.dialect import Condition
from storage.backends.schema import Feature, SchemaVersion

EVERYTHING = Access(Permission.READ)
"""What every user has in a database that is older than grants."""

_FIRST_DAY, _LAST_DAY = "'0001-01-01'", "'9999-12-31'"
_LATER = "CASE WHEN {0} > {1} THEN {0} ELSE {1} END"
_EARLIER = "CASE WHEN {0} < {1} THEN {0} ELSE {1} END"
_OF_ALL = "meter_id IS NULL AND group_id IS NULL"


def _days(table: str) -> tuple[str, str]:
    """Return the first and the last day in a row as texts, also where it has none."""
    return f"COALESCE({table}.first_day, {_FIRST_DAY})", f"COALESCE({table}.last_day, {_LAST_DAY})"


def _groups_above(start: str) -> str:
    """Return the table `above`: the groups that have something, with the days of membership.

    `start` selects the groups that it is a member of.
    """
    first, last = _days("g")
    return (
        f"WITH RECURSIVE above (meter_id, group_id, first_day, last_day) AS ({start}"
        f" UNION SELECT above.meter_id, g.group_id, {_LATER.format(first, 'above.first_day')},"
        f" {_EARLIER.format(last, 'above.last_day')}"
        " FROM above JOIN group_members AS g ON g.member_group_id = above.group_id)"
    )


class GrantStore:
    """Reads grants. Every call raises a StorageError if the database fails."""

    def __init__(self, engine: ReadEngine, schema: SchemaVersion) -> None:
        self._engine = engine
        self._schema = schema
        self._placeholder = engine.dialect.placeholder

    async def access(self, user: str, meter: str) -> Access | None:
        """Return what a user may do with the meter of a public id; None if nothing.

        A meter that is not there takes the same statement.
        """
        if not self._schema.supports(Feature.GRANTS):
            return EVERYTHING
        meter_id = f"(SELECT id FROM meters WHERE public_id = {self._placeholder})"
        found = await self._accesses(user, f"SELECT {meter_id} AS id", (meter,))
        return next(iter(found.values()), None)

    async def accesses(self, user: str, meter_ids: Sequence[int]) -> dict[int, Access]:
        """Return what a user may do with some meters, by their ids."""
        if not self._schema.supports(Feature.GRANTS):
            return dict.fromkeys(meter_ids, EVERYTHING)
        if not meter_ids:
            return {}
        ids = ", ".join(map(str, meter_ids))
        return await self._accesses(user, f"SELECT id FROM meters WHERE id IN ({ids})", ())

    async def everything(self, user: str) -> Access | None:
        """Return what a user may do with all meters, also those to come; None if nothing."""
        if not self._schema.supports(Feature.GRANTS):
            return EVERYTHING
        first, last = _days("grants")
        rows = await self._engine.fetch(
            f"SELECT 0, permission, expires, {first}, {last} FROM grants"
            f" WHERE user = {self._placeholder} AND {_OF_ALL} AND {_live()}",
            (user,),
            small=True,
        )
        return _joined(rows).get(0)

    async def group_access(self, user: str, group: str) -> Access | None:
        """Return what a user may do with the sums of the group of a public id; None if nothing.

        A group that is not there takes the same statement.
        """
        mark = self._placeholder
        itself = (
            f"SELECT 0, id, {_FIRST_DAY}, {_LAST_DAY} FROM meter_groups WHERE public_id = {mark}"
        )
        rows = await self._engine.fetch(
            f"{_groups_above(itself)} {_granted(mark)}"
            f" UNION ALL SELECT 0, t.permission, t.expires, {', '.join(_days('t'))}"
            " FROM meter_groups AS m JOIN grants AS t"
            f" ON t.user = {mark} AND t.meter_id IS NULL AND t.group_id IS NULL AND {_live('t.')}"
            f" WHERE m.public_id = {mark}",
            (group, user, user, group),
            small=True,
        )
        return _joined(rows).get(0)

    async def visible(self, user: str) -> Condition | None:
        """Select the meters, named `m`, that a user may see; None if these are all."""
        if await self.everything(user) is not None:
            return None
        groups = await self._groups(user)
        mark = self._placeholder
        condition = Condition(
            f"m.id IN (SELECT meter_id FROM grants WHERE user = {mark}"
            f" AND meter_id IS NOT NULL AND {_live()})",
            (user,),
        )
        if not groups:
            return condition
        ids = ", ".join(map(str, groups))
        return Condition(
            f"({condition.text}"
            f" OR m.id IN (SELECT meter_id FROM group_members WHERE group_id IN ({ids})))",
            condition.args,
        )

    async def _groups(self, user: str) -> list[int]:
        """Return the ids of the groups that a user may see, also those below others."""
        rows = await self._engine.fetch(
            "WITH RECURSIVE below (id) AS (SELECT group_id FROM grants"
            f" WHERE user = {self._placeholder} AND group_id IS NOT NULL AND {_live()}"
            " UNION SELECT g.member_group_id FROM below JOIN group_members AS g"
            " ON g.group_id = below.id WHERE g.member_group_id IS NOT NULL)"
            " SELECT id FROM below",
            (user,),
            small=True,
        )
        return [row[0] for row in rows]

    async def _accesses(self, user: str, meters: str, args: Sequence[object]) -> dict[int, Access]:
        """Return what a user may do with the meters whose ids a statement selects."""
        mark = self._placeholder
        first, last = _days("g")
        start = (
            f"SELECT g.meter_id, g.group_id, {first}, {last}"
            f" FROM group_members AS g JOIN ({meters}) AS some ON some.id = g.meter_id"
        )
        days = ", ".join(_days("t"))
        rows = await self._engine.fetch(
            f"{_groups_above(start)} {_granted(mark)}"
            f" UNION ALL SELECT some.id, t.permission, t.expires, {days}"
            f" FROM ({meters}) AS some JOIN grants AS t ON t.user = {mark}"
            f" AND t.meter_id = some.id AND {_live('t.')}"
            f" UNION ALL SELECT some.id, t.permission, t.expires, {days}"
            f" FROM ({meters}) AS some JOIN grants AS t ON t.user = {mark}"
            f" AND t.meter_id IS NULL AND t.group_id IS NULL AND {_live('t.')}"
            " WHERE some.id IS NOT NULL",
            (*args, user, *args, user, *args, user),
            small=True,
        )
        return _joined(rows)


def _granted(mark: str) -> str:
    """Return what selects the grants of a user on the groups `above`."""
    first, last = _days("t")
    return (
        f"SELECT above.meter_id, t.permission, t.expires,"
        f" {_LATER.format(first, 'above.first_day')}, {_EARLIER.format(last, 'above.last_day')}"
        f" FROM above JOIN grants AS t ON t.user = {mark} AND t.meter_id IS NULL"
        f" AND t.group_id = above.group_id AND {_live('t.')}"
    )


def _live(table: str = "") -> str:
    """Select the grants that have not expired."""
    return f"({table}expires IS NULL OR {table}expires > {int(time.time())})"


def _joined(rows: Iterable[Sequence[Any]]) -> dict[int, Access]:
    """Return accesses by what they are to, made of grants."""
    windows: dict[int, list[Window]] = defaultdict(list)
    permissions: dict[int, list[Permission]] = defaultdict(list)
    ends: dict[int, list[float]] = defaultdict(list)
    for to, permission, expires, first_day, last_day in rows:
        first, last = _day(first_day), _day(last_day)
        known = PERMISSIONS.get(_text(permission))
        if known is None or last < first:
            continue
        windows[to].append(Window(first, last))
        permissions[to].append(known)
        ends[to].append(float("inf") if expires is None else expires)
    return {
        to: Access(max(permissions[to]), tuple(joined(some)), min(ends[to]))
        for to, some in windows.items()
    }


def _day(value: bytes | str) -> date:
    return date.fromisoformat(_text(value)[:10])


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value

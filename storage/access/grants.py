"""What the grants of a user allow, looked up for one meter, for some, or for a list of meters."""

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date
from functools import reduce
from operator import and_
from typing import Any

from domain.access import PERMISSIONS, Access, Permission, Window, joined
from storage.access.viewer import KeyScope, Viewer
from storage.backends.base import ReadEngine
from storage.backends.dialect import Condition
from storage.backends.schema import Feature, SchemaVersion

EVERYTHING = Access(Permission.READ)
"""What every user has in a database that is older than grants."""

_ALL = Access(Permission.MANAGE)
"""What an admin may do with every meter."""

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

    async def access(self, viewer: Viewer, meter: str) -> Access | None:
        """Return what a viewer may do with the meter of a public id; None if nothing.

        A meter that is not there takes the same statements.
        """
        if viewer.is_unlimited:
            return _ALL
        meter_id = f"(SELECT id FROM meters WHERE public_id = {self._placeholder})"
        found = await self._accesses(viewer, f"SELECT {meter_id} AS id", (meter,))
        return next(iter(found.values()), None)

    async def accesses(self, viewer: Viewer, meter_ids: Sequence[int]) -> dict[int, Access]:
        """Return what a viewer may do with some meters, by their ids."""
        if not meter_ids:
            return {}
        ids = ", ".join(map(str, meter_ids))
        return await self._accesses(viewer, f"SELECT id FROM meters WHERE id IN ({ids})", ())

    async def everything(self, viewer: Viewer) -> Access | None:
        """Return what a viewer may do with all meters, also those to come; None if nothing."""
        if viewer.scope is not None:
            return None
        granted = _ALL if viewer.is_admin else await self._of_all(viewer.user)
        return granted and _limited(granted, viewer.permission)

    async def group_access(self, viewer: Viewer, group: str) -> Access | None:
        """Return what a viewer may do with the sums of the group of a public id; None if nothing.

        A group that is not there takes the same statements.
        """
        granted = _ALL if viewer.is_admin else await self._group_granted(viewer.user, group)
        granted = granted and _limited(granted, viewer.permission)
        if viewer.scope is None:
            return granted
        itself, args = self._itself(group)
        rows = await self._engine.fetch(
            f"{_groups_above(itself)} SELECT 0, above.first_day, above.last_day FROM above"
            f" WHERE above.group_id IN ({_listed(viewer.scope.groups)})",
            args,
            small=True,
        )
        return granted and _within(granted, _windows(rows).get(0, ()))

    async def visible(self, viewer: Viewer) -> Condition | None:
        """Select the meters, named `m`, that a viewer may see; None if these are all."""
        conditions = [await self._granted_meters(viewer), await self._meters_in(viewer.scope)]
        found = [each for each in conditions if each is not None]
        return reduce(and_, found) if found else None

    async def visible_groups(self, viewer: Viewer) -> Condition | None:
        """Select the groups, named `g`, that a viewer may see; None if these are all.

        Of one that belongs to another on some days only, a viewer may be granted none of these.
        """
        mark, conditions = self._placeholder, []
        if not viewer.is_admin and await self._of_all(viewer.user) is None:
            granted = (
                f"SELECT group_id FROM grants WHERE user = {mark} AND group_id IS NOT NULL"
                f" AND {_live()}"
            )
            groups = await self._groups_below(granted, (viewer.user,))
            conditions.append(Condition(f"g.id IN ({_listed(groups)})"))
        if viewer.scope is not None:
            in_scope = f"SELECT id FROM meter_groups WHERE id IN ({_listed(viewer.scope.groups)})"
            groups = await self._groups_below(in_scope, ())
            conditions.append(Condition(f"g.id IN ({_listed(groups)})"))
        return reduce(and_, conditions) if conditions else None

    async def _granted_meters(self, viewer: Viewer) -> Condition | None:
        """Select the meters that a user was granted; None if these are all."""
        if viewer.is_admin or await self._of_all(viewer.user) is not None:
            return None
        mark = self._placeholder
        condition = Condition(
            f"m.id IN (SELECT meter_id FROM grants WHERE user = {mark}"
            f" AND meter_id IS NOT NULL AND {_live()})",
            (viewer.user,),
        )
        granted = (
            f"SELECT group_id FROM grants WHERE user = {mark} AND group_id IS NOT NULL"
            f" AND {_live()}"
        )
        groups = await self._groups_below(granted, (viewer.user,))
        return _either(condition, _members_of(groups))

    async def _meters_in(self, scope: KeyScope | None) -> Condition | None:
        """Select the meters that an API key is good for; None if these are all."""
        if scope is None:
            return None
        groups = f"SELECT id FROM meter_groups WHERE id IN ({_listed(scope.groups)})"
        condition = Condition(f"m.id IN ({_listed(scope.meters)})")
        return _either(condition, _members_of(await self._groups_below(groups, ())))

    async def _groups_below(self, start: str, args: Sequence[object]) -> Sequence[int]:
        """Return the ids of the groups that a statement selects, and of those below them."""
        rows = await self._engine.fetch(
            f"WITH RECURSIVE below (id) AS ({start}"
            " UNION SELECT g.member_group_id FROM below JOIN group_members AS g"
            " ON g.group_id = below.id WHERE g.member_group_id IS NOT NULL)"
            " SELECT id FROM below",
            args,
            small=True,
        )
        return [row[0] for row in rows]

    async def _of_all(self, user: str) -> Access | None:
        """Return what a user was granted on all meters; None if nothing."""
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

    def _itself(self, group: str) -> tuple[str, tuple[object, ...]]:
        """Return what selects a group by its public id, as the first of the groups above."""
        with_all_days = f"SELECT 0, id, {_FIRST_DAY}, {_LAST_DAY} FROM meter_groups"
        return f"{with_all_days} WHERE public_id = {self._placeholder}", (group,)

    async def _group_granted(self, user: str, group: str) -> Access | None:
        mark = self._placeholder
        itself, args = self._itself(group)
        rows = await self._engine.fetch(
            f"{_groups_above(itself)} {_granted(mark)}"
            f" UNION ALL SELECT 0, t.permission, t.expires, {', '.join(_days('t'))}"
            " FROM meter_groups AS m JOIN grants AS t"
            f" ON t.user = {mark} AND t.meter_id IS NULL AND t.group_id IS NULL AND {_live('t.')}"
            f" WHERE m.public_id = {mark}",
            (*args, user, user, group),
            small=True,
        )
        return _joined(rows).get(0)

    async def _accesses(
        self, viewer: Viewer, meters: str, args: Sequence[object]
    ) -> dict[int, Access]:
        """Return what a viewer may do with the meters whose ids a statement selects."""
        granted = {
            each: _limited(found, viewer.permission)
            for each, found in (await self._meters_granted(viewer, meters, args)).items()
        }
        if viewer.scope is None:
            return granted
        windows = await self._in_scope(viewer.scope, meters, args)
        return {
            each: within
            for each, found in granted.items()
            if (within := _within(found, windows.get(each, ()))) is not None
        }

    async def _meters_granted(
        self, viewer: Viewer, meters: str, args: Sequence[object]
    ) -> dict[int, Access]:
        """Return what the user was granted, whatever the API key is good for."""
        whole = _ALL if viewer.is_admin else EVERYTHING
        if viewer.is_admin or not self._schema.supports(Feature.GRANTS):
            rows = await self._engine.fetch(
                f"SELECT some.id FROM ({meters}) AS some WHERE some.id IS NOT NULL",
                args,
                small=True,
            )
            return dict.fromkeys([row[0] for row in rows], whole)
        mark, user = self._placeholder, viewer.user
        days = ", ".join(_days("t"))
        rows = await self._engine.fetch(
            f"{_groups_above(_groups_of(meters))} {_granted(mark)}"
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

    async def _in_scope(
        self, scope: KeyScope, meters: str, args: Sequence[object]
    ) -> dict[int, Sequence[Window]]:
        """Return the days of meters for which an API key is good."""
        rows = await self._engine.fetch(
            f"{_groups_above(_groups_of(meters))}"
            " SELECT above.meter_id, above.first_day, above.last_day FROM above"
            f" WHERE above.group_id IN ({_listed(scope.groups)})"
            f" UNION ALL SELECT some.id, {_FIRST_DAY}, {_LAST_DAY} FROM ({meters}) AS some"
            f" WHERE some.id IN ({_listed(scope.meters)})",
            (*args, *args),
            small=True,
        )
        return _windows(rows)


def _listed(ids: Iterable[int]) -> str:
    """Return ids for IN; none of them is that of any row."""
    return ", ".join(map(str, sorted(ids))) or "NULL"


def _members_of(groups: Sequence[int]) -> Condition | None:
    """Select the meters, named `m`, that are members of groups; None without groups."""
    if not groups:
        return None
    return Condition(
        f"m.id IN (SELECT meter_id FROM group_members WHERE group_id IN ({_listed(groups)}))"
    )


def _groups_of(meters: str) -> str:
    """Return what selects the groups that the meters of a statement are members of."""
    first, last = _days("g")
    return (
        f"SELECT g.meter_id, g.group_id, {first}, {last}"
        f" FROM group_members AS g JOIN ({meters}) AS some ON some.id = g.meter_id"
    )


def _either(condition: Condition, other: Condition | None) -> Condition:
    """Select what meets one of two conditions, the other of which may be missing."""
    if other is None:
        return condition
    return Condition(f"({condition.text} OR {other.text})", condition.args + other.args)


def _limited(access: Access, most: Permission) -> Access:
    """Return an access with at most a permission."""
    return access if access.permission <= most else replace(access, permission=most)


def _within(access: Access, windows: Sequence[Window]) -> Access | None:
    """Return an access on the days of some windows only; None if that is none."""
    common = [both for one in access.windows for other in windows if (both := one & other)]
    return replace(access, windows=tuple(joined(common))) if common else None


def _windows(rows: Iterable[Sequence[Any]]) -> dict[int, Sequence[Window]]:
    """Return the days for which an API key is good, by what they are of."""
    windows: dict[int, list[Window]] = defaultdict(list)
    for of, first_day, last_day in rows:
        first, last = _day(first_day), _day(last_day)
        if first <= last:
            windows[of].append(Window(first, last))
    return {of: joined(some) for of, some in windows.items()}


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

"""What the grants of a user allow, looked up for one meter, for some, or for a list of meters."""

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from domain.access import PERMISSIONS, Access, Permission, Window, joined
from storage.access.viewer import KeyScope, Viewer
from storage.backends.base import ReadEngine
from storage.backends.dialect import Condition
from storage.backends.schema import Feature, SchemaVersion
from storage.common.turns import in_pieces

EVERYTHING = Access(Permission.READ)
"""What every user has in a database that is older than grants."""

_ALL = Access(Permission.MANAGE)
"""What an admin may do with every meter."""

_FIRST_DAY, _LAST_DAY = "'0001-01-01'", "'9999-12-31'"
_LATER = "CASE WHEN {0} > {1} THEN {0} ELSE {1} END"
_EARLIER = "CASE WHEN {0} < {1} THEN {0} ELSE {1} END"
_METERS_AT_ONCE = 1000
"""Meters whose grants one statement looks up."""

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

    async def access(
        self, viewer: Viewer, meter: str, least: Permission = Permission.READ
    ) -> Access | None:
        """Return what a viewer may do with the meter of a public id; None if nothing.

        A meter that is not there takes the same statements. Grants of less than a permission do
        not count. Raises Outdated if the schema has no meters.
        """
        if viewer.is_unlimited:
            return _ALL
        self._schema.require(Feature.METERS, "names of meters")
        meter_id = f"(SELECT id FROM meters WHERE public_id = {self._placeholder})"
        found = await self._accesses(viewer, f"SELECT {meter_id} AS id", (meter,), least)
        return next(iter(found.values()), None)

    async def accesses(self, viewer: Viewer, meter_ids: Sequence[int]) -> dict[int, Access]:
        """Return what a viewer may do with some meters, by their ids."""
        if not meter_ids:
            return {}
        ids = ", ".join(map(str, meter_ids))
        return await self._accesses(viewer, f"SELECT id FROM meters WHERE id IN ({ids})", ())

    async def everything(
        self, viewer: Viewer, least: Permission = Permission.READ
    ) -> Access | None:
        """Return what a viewer may do with all meters, also those to come; None if nothing.

        Grants of less than a permission do not count.
        """
        if viewer.scope is not None:
            return None
        granted = _ALL if viewer.is_admin else await self._of_all(viewer.user, least)
        return granted and _limited(granted, viewer.permission)

    async def group_access(
        self, viewer: Viewer, group: str, least: Permission = Permission.READ
    ) -> Access | None:
        """Return what a viewer may do with the sums of the group of a public id; None if nothing.

        A group that is not there takes the same statements. Grants of less than a permission do
        not count.
        """
        granted = _ALL if viewer.is_admin else await self._group_granted(viewer.user, group, least)
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

    async def visible(
        self, viewer: Viewer, least: Permission = Permission.READ
    ) -> Condition | None:
        """Select the meters, named `m`, of which a viewer may see some day; None if these are all.

        Grants of less than a permission do not count.
        """
        granted = None
        if not viewer.is_admin and await self._of_all(viewer.user, least) is None:
            granted = await self._granted_meters(viewer.user, least)
        if viewer.scope is None:
            return granted
        in_scope = await self._meters_in(viewer.scope)
        both = in_scope if granted is None else granted & in_scope
        # The key may be good for other days than those that were granted.
        rows = await self._engine.fetch(
            f"SELECT m.id FROM meters AS m WHERE {both.text}", both.args
        )
        ids: list[int] = []
        async for some in in_pieces([row[0] for row in rows], _METERS_AT_ONCE):
            ids += await self.accesses(viewer, some)
        return Condition(f"m.id IN ({_listed(ids)})")

    async def visible_groups(
        self, viewer: Viewer, least: Permission = Permission.READ
    ) -> Condition | None:
        """Select the groups, named `g`, of whose sums a viewer may see some day; None if all.

        Grants of less than a permission do not count.
        """
        of_all = _ALL if viewer.is_admin else await self._of_all(viewer.user, least)
        if of_all is not None and viewer.scope is None:
            return None
        everywhere = () if of_all is None else of_all.windows
        found = {} if viewer.is_admin else await self._groups_granted(viewer.user, least)
        if viewer.scope is not None:
            in_scope = await self._groups_in(viewer.scope)
            found = {
                group: windows
                for group, windows in in_scope.items()
                if any(
                    one & other for one in windows for other in (*everywhere, *found.get(group, ()))
                )
            }
        return Condition(f"g.id IN ({_listed(found)})")

    async def _granted_meters(self, user: str, least: Permission) -> Condition:
        """Select the meters that a user was granted, themselves or by groups."""
        first, last = _days("grants")
        condition = Condition(
            f"m.id IN (SELECT meter_id FROM grants WHERE user = {self._placeholder}"
            f" AND meter_id IS NOT NULL AND {first} <= {last} AND {_at_least(least)})",
            (user,),
        )
        return _either(condition, _members_of(await self._groups_granted(user, least)))

    async def _groups_granted(self, user: str, least: Permission) -> dict[int, Sequence[Window]]:
        """Return the groups that a user was granted, and those below them, with the days."""
        granted = (
            f"SELECT group_id, {', '.join(_days('grants'))} FROM grants"
            f" WHERE user = {self._placeholder} AND group_id IS NOT NULL AND {_at_least(least)}"
        )
        return await self._groups_below(granted, (user,))

    async def _meters_in(self, scope: KeyScope) -> Condition:
        """Select the meters that an API key is good for."""
        condition = Condition(f"m.id IN ({_listed(scope.meters)})")
        return _either(condition, _members_of(await self._groups_in(scope)))

    async def _groups_in(self, scope: KeyScope) -> dict[int, Sequence[Window]]:
        """Return the groups that an API key is good for, and those below them, with the days."""
        days = f"{_FIRST_DAY}, {_LAST_DAY}"
        groups = f"SELECT id, {days} FROM meter_groups WHERE id IN ({_listed(scope.groups)})"
        return await self._groups_below(groups, ())

    async def _groups_below(
        self, start: str, args: Sequence[object]
    ) -> dict[int, Sequence[Window]]:
        """Return the groups that a statement selects with days, and those below them.

        The days are those on which they belong to them; groups that do so on no day are left out.
        """
        first, last = _days("g")
        rows = await self._engine.fetch(
            f"WITH RECURSIVE below (id, first_day, last_day) AS ({start}"
            f" UNION SELECT g.member_group_id, {_LATER.format(first, 'below.first_day')},"
            f" {_EARLIER.format(last, 'below.last_day')}"
            " FROM below JOIN group_members AS g ON g.group_id = below.id"
            " WHERE g.member_group_id IS NOT NULL)"
            " SELECT id, first_day, last_day FROM below",
            args,
            small=True,
        )
        return _windows(rows)

    async def _of_all(self, user: str, least: Permission = Permission.READ) -> Access | None:
        """Return what a user was granted on all meters; None if nothing."""
        if not self._schema.supports(Feature.GRANTS):
            return EVERYTHING if least is Permission.READ else None
        first, last = _days("grants")
        rows = await self._engine.fetch(
            f"SELECT 0, permission, expires, {first}, {last} FROM grants"
            f" WHERE user = {self._placeholder} AND {_OF_ALL} AND {_live()}",
            (user,),
            small=True,
        )
        return _joined(rows, least).get(0)

    def _itself(self, group: str) -> tuple[str, tuple[object, ...]]:
        """Return what selects a group by its public id, as the first of the groups above."""
        with_all_days = f"SELECT 0, id, {_FIRST_DAY}, {_LAST_DAY} FROM meter_groups"
        return f"{with_all_days} WHERE public_id = {self._placeholder}", (group,)

    async def _group_granted(self, user: str, group: str, least: Permission) -> Access | None:
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
        return _joined(rows, least).get(0)

    async def _accesses(
        self,
        viewer: Viewer,
        meters: str,
        args: Sequence[object],
        least: Permission = Permission.READ,
    ) -> dict[int, Access]:
        """Return what a viewer may do with the meters whose ids a statement selects."""
        granted = {
            each: _limited(found, viewer.permission)
            for each, found in (await self._meters_granted(viewer, meters, args, least)).items()
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
        self, viewer: Viewer, meters: str, args: Sequence[object], least: Permission
    ) -> dict[int, Access]:
        """Return what the user was granted, whatever the API key is good for."""
        whole = _ALL if viewer.is_admin else EVERYTHING
        if viewer.is_admin or not self._schema.supports(Feature.GRANTS):
            if whole.permission < least:
                return {}
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
        return _joined(rows, least)

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


def _members_of(groups: Mapping[int, Sequence[Window]]) -> Condition | None:
    """Select the meters, named `m`, that groups have on any of some days; None without groups."""
    by_window: dict[Window, list[int]] = defaultdict(list)
    for group, windows in groups.items():
        for window in windows:
            by_window[window].append(group)
    if not by_window:
        return None
    first, last = _days("g")
    members = " OR ".join(
        f"(g.group_id IN ({_listed(ids)}) AND {first} <= '{window.last}'"
        f" AND {last} >= '{window.first}' AND {first} <= {last})"
        for window, ids in by_window.items()
    )
    return Condition(f"m.id IN (SELECT g.meter_id FROM group_members AS g WHERE {members})")


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
    """Return the days of meters or groups by their ids, without those that have none."""
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


def _at_least(permission: Permission) -> str:
    """Select the grants of a permission, or of more, that have not expired."""
    words = ", ".join(f"'{each.word}'" for each in Permission if each >= permission)
    return f"permission IN ({words}) AND {_live()}"


def _joined(rows: Iterable[Sequence[Any]], least: Permission) -> dict[int, Access]:
    """Return accesses by what they are to, made of grants of at least a permission."""
    windows: dict[int, list[Window]] = defaultdict(list)
    permissions: dict[int, list[Permission]] = defaultdict(list)
    ends: dict[int, list[float]] = defaultdict(list)
    for to, permission, expires, first_day, last_day in rows:
        first, last = _day(first_day), _day(last_day)
        known = PERMISSIONS.get(_text(permission))
        if known is None or known < least or last < first:
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

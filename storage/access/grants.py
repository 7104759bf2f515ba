"""What the grants of a user allow, looked up for one meter, for some, or for a list of meters."""

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from math import isqrt
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
_MOST_SELECTS = 400
"""SQLite refuses more than 500 in one UNION ALL."""

_PAGE = 1000
"""Meters that are listed at once, at most."""

_BY_GRANT = "GROUP BY 2, 3, 4, 5"
"""Makes one row of those that a grant gives alike, after the ids of what it is for."""

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
        named = f"= (SELECT id FROM meters WHERE public_id = {self._placeholder})"
        found = await self._accesses(viewer, _Meters(named, (meter,)), least)
        return next(iter(found.values()), None)

    async def accesses(self, viewer: Viewer, meter_ids: Sequence[int]) -> dict[int, Access]:
        """Return what a viewer may do with some meters, by their ids."""
        if not meter_ids:
            return {}
        return await self._accesses(viewer, _Meters(f"IN ({', '.join(map(str, meter_ids))})"))

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
        self, viewer: Viewer, least: Permission = Permission.READ, *, are_paged: bool = False
    ) -> Condition | None:
        """Select the meters, named `m`, of which a viewer may see some day; None if these are all.

        Grants of less than a permission do not count. The condition is for all such meters or,
        where `are_paged`, for the next page of them.
        """
        of_all = _ALL if viewer.is_admin else await self._of_all(viewer.user, least)
        if of_all is not None and (of_all.is_whole or viewer.scope is None):
            if viewer.scope is None:
                return None
            return _any_of(await self._spans_in(viewer.scope), are_many=False)
        groups = await self._groups_granted(viewer.user, least)
        granted = [self._spans_own(viewer.user, least), *_spans_of(groups)]
        if viewer.scope is None:
            are_many = are_paged and await self._are_many(viewer.user, groups)
            return _any_of(granted, are_many=are_many)
        for window in () if of_all is None else of_all.windows:
            granted += [_Spans("id", f"'{window.first}'", f"'{window.last}'", "meters WHERE TRUE")]
        # The key may be good for other days than those that were granted.
        return _both_of(granted, await self._spans_in(viewer.scope))

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

    def _spans_own(self, user: str, least: Permission) -> "_Spans":
        """Select the days of meters that a user was granted themselves, not by groups."""
        own = f"grants AS t WHERE t.user = {self._placeholder} AND {_at_least(least, 't.')}"
        return _Spans("t.meter_id", *_days("t"), f"{own} AND t.meter_id IS NOT NULL", (user,))

    async def _are_many(self, user: str, groups: Iterable[int]) -> bool:
        """Return whether a user was granted so many meters that a page is quicker from meters on.

        To look whether a meter was granted costs a quarter of listing one that was, and of a page
        of those that were, as many more have to be looked at as there are more meters than these.
        """
        rows = await self._engine.fetch("SELECT MAX(id) FROM meters", small=True)
        most = isqrt(_PAGE * (rows[0][0] or 0) // 4) + 1
        members = f"SELECT 1 FROM group_members WHERE group_id IN ({_listed(groups)})"
        rows = await self._engine.fetch(
            "SELECT COUNT(*) FROM (SELECT 1 FROM grants"
            f" WHERE user = {self._placeholder} AND meter_id IS NOT NULL"
            f" UNION ALL {members} AND meter_id IS NOT NULL LIMIT {most}) AS some",
            (user,),
            small=True,
            quick=False,
        )
        return bool(rows[0][0] >= most)

    async def _groups_granted(self, user: str, least: Permission) -> dict[int, Sequence[Window]]:
        """Return the groups that a user was granted, and those below them, with the days."""
        granted = (
            f"SELECT group_id, {', '.join(_days('grants'))} FROM grants"
            f" WHERE user = {self._placeholder} AND group_id IS NOT NULL AND {_at_least(least)}"
        )
        return await self._groups_below(granted, (user,))

    async def _spans_in(self, scope: KeyScope) -> "list[_Spans]":
        """Select the days of meters for which an API key is good."""
        own = f"meters WHERE id IN ({_listed(scope.meters)})"
        spans = _Spans("id", _FIRST_DAY, _LAST_DAY, own)
        return [spans, *_spans_of(await self._groups_in(scope))]

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
            quick=False,
        )
        return _windows(rows)

    async def _of_all(self, user: str, least: Permission = Permission.READ) -> Access | None:
        """Return what a user was granted on all meters; None if nothing."""
        if not self._schema.supports(Feature.GRANTS):
            return EVERYTHING if least is Permission.READ else None
        first, last = _days("grants")
        rows = await self._engine.fetch(
            f"SELECT '0', permission, expires, {first}, {last} FROM grants"
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
            f" UNION ALL SELECT '0', t.permission, t.expires, {', '.join(_days('t'))}"
            " FROM meter_groups AS m JOIN grants AS t"
            f" ON t.user = {mark} AND t.meter_id IS NULL AND t.group_id IS NULL AND {_live('t.')}"
            f" WHERE m.public_id = {mark}",
            (*args, user, user, group),
            small=True,
        )
        return _joined(rows, least).get(0)

    async def _accesses(
        self, viewer: Viewer, meters: "_Meters", least: Permission = Permission.READ
    ) -> dict[int, Access]:
        """Return what a viewer may do with some meters."""
        granted = {
            each: _limited(found, viewer.permission)
            for each, found in (await self._meters_granted(viewer, meters, least)).items()
        }
        if viewer.scope is None:
            return granted
        windows = await self._in_scope(viewer.scope, meters)
        return {
            each: within
            for each, found in granted.items()
            if (within := _within(found, windows.get(each, ()))) is not None
        }

    async def _meters_granted(
        self, viewer: Viewer, meters: "_Meters", least: Permission
    ) -> dict[int, Access]:
        """Return what the user was granted, whatever the API key is good for."""
        whole = _ALL if viewer.is_admin else EVERYTHING
        if viewer.is_admin or not self._schema.supports(Feature.GRANTS):
            if whole.permission < least:
                return {}
            rows = await self._engine.fetch(
                f"SELECT id FROM meters WHERE id {meters.selected}",
                meters.args,
                small=True,
                quick=meters.is_one,
            )
            return dict.fromkeys([row[0] for row in rows], whole)
        mark, user = self._placeholder, viewer.user
        values = f"t.permission, t.expires, {', '.join(_days('t'))}"
        rows = await self._engine.fetch(
            f"{_groups_above(_groups_of(meters))} {_granted(mark)}"
            f" UNION ALL SELECT GROUP_CONCAT(t.meter_id), {values} FROM grants AS t"
            f" WHERE t.user = {mark} AND t.meter_id {meters.selected} AND {_live('t.')} {_BY_GRANT}"
            f" UNION ALL SELECT GROUP_CONCAT(m.id), {values}"
            f" FROM meters AS m JOIN grants AS t ON t.user = {mark}"
            f" AND t.meter_id IS NULL AND t.group_id IS NULL AND {_live('t.')}"
            f" WHERE m.id {meters.selected} {_BY_GRANT}",
            (*meters.args, user, user, *meters.args, user, *meters.args),
            small=True,
            quick=meters.is_one,
        )
        return _joined(rows, least)

    async def _in_scope(self, scope: KeyScope, meters: "_Meters") -> dict[int, Sequence[Window]]:
        """Return the days of meters for which an API key is good."""
        rows = await self._engine.fetch(
            f"{_groups_above(_groups_of(meters))}"
            " SELECT above.meter_id, above.first_day, above.last_day FROM above"
            f" WHERE above.group_id IN ({_listed(scope.groups)})"
            f" UNION ALL SELECT id, {_FIRST_DAY}, {_LAST_DAY} FROM meters"
            f" WHERE id {meters.selected} AND id IN ({_listed(scope.meters)})",
            (*meters.args, *meters.args),
            small=True,
            quick=meters.is_one,
        )
        return _windows(rows)


@dataclass(frozen=True, slots=True)
class _Meters:
    """Meters that are looked up."""

    selected: str
    """What follows the column of their ids in a condition."""
    args: tuple[object, ...] = ()

    @property
    def is_one(self) -> bool:
        """Whether it is one that is named; the ids of a list are no arguments."""
        return bool(self.args)


def _listed(ids: Iterable[int]) -> str:
    """Return ids for IN; none of them is that of any row."""
    return ", ".join(map(str, sorted(ids))) or "NULL"


@dataclass(frozen=True, slots=True)
class _Spans:
    """What selects ids of meters, each with a first and a last day."""

    id: str
    first: str
    last: str
    rest: str
    """What follows FROM, with a condition at its end."""
    args: tuple[object, ...] = ()


def _spans_of(groups: Mapping[int, Sequence[Window]]) -> list[_Spans]:
    """Select the meters of groups, with the days on which they are members."""
    by_window: dict[Window, list[int]] = defaultdict(list)
    for group, windows in groups.items():
        for window in windows:
            by_window[window].append(group)
    first, last = _days("g")
    return [
        _Spans(
            "g.meter_id",
            _LATER.format(first, f"'{window.first}'"),
            _EARLIER.format(last, f"'{window.last}'"),
            f"group_members AS g WHERE g.group_id IN ({_listed(ids)}) AND g.meter_id IS NOT NULL",
        )
        for window, ids in by_window.items()
    ]


def _any_of(spans: Sequence[_Spans], *, are_many: bool) -> Condition:
    """Select the meters, named `m`, that have any day in some spans.

    Where these are many, each meter is looked up in them, rather than all of them found first.
    """
    # MySQL would turn EXISTS into IN.
    select = (
        "(SELECT 1 FROM {0.rest} AND {0.id} = m.id AND {0.first} <= {0.last} LIMIT 1) IS NOT NULL"
        if are_many
        else "m.id IN (SELECT {0.id} FROM {0.rest} AND {0.first} <= {0.last})"
    )
    texts = [select.format(each) for each in spans]
    # A tree, since SQLite refuses a condition that is nested as deep as a chain of many.
    while len(texts) > 1:
        texts = [f"({' OR '.join(texts[at : at + 2])})" for at in range(0, len(texts), 2)]
    return Condition(texts[0], tuple(arg for each in spans for arg in each.args))


def _both_of(spans: Sequence[_Spans], others: Sequence[_Spans]) -> Condition:
    """Select the meters, named `m`, that have a day in some spans and in others."""
    tables = []
    for some in (spans, others):
        texts = [
            f"SELECT {each.id} AS id, {each.first} AS first_day, {each.last} AS last_day"
            f" FROM {each.rest} AND {each.first} <= {each.last}"
            for each in some
        ]
        while len(texts) > _MOST_SELECTS:
            texts = [
                f"SELECT * FROM ({' UNION ALL '.join(texts[at : at + _MOST_SELECTS])}) AS part"
                for at in range(0, len(texts), _MOST_SELECTS)
            ]
        tables.append(f"({' UNION ALL '.join(texts)})")
    return Condition(
        f"m.id IN (SELECT a.id FROM {tables[0]} AS a JOIN {tables[1]} AS b ON b.id = a.id"
        " AND a.first_day <= b.last_day AND b.first_day <= a.last_day)",
        tuple(arg for each in (*spans, *others) for arg in each.args),
    )


def _groups_of(meters: _Meters) -> str:
    """Return what selects the groups that meters are members of."""
    first, last = _days("g")
    return (
        f"SELECT g.meter_id, g.group_id, {first}, {last}"
        f" FROM group_members AS g WHERE g.meter_id {meters.selected}"
    )


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
        f"SELECT GROUP_CONCAT(above.meter_id), t.permission, t.expires,"
        f" {_LATER.format(first, 'above.first_day')}, {_EARLIER.format(last, 'above.last_day')}"
        f" FROM above JOIN grants AS t ON t.user = {mark} AND t.meter_id IS NULL"
        f" AND t.group_id = above.group_id AND {_live('t.')} {_BY_GRANT}"
    )


def _live(table: str = "") -> str:
    """Select the grants that have not expired."""
    return f"({table}expires IS NULL OR {table}expires > {int(time.time())})"


def _at_least(permission: Permission, table: str = "") -> str:
    """Select the grants of a permission, or of more, that have not expired."""
    words = ", ".join(f"'{each.word}'" for each in Permission if each >= permission)
    return f"{table}permission IN ({words}) AND {_live(table)}"


def _joined(rows: Iterable[Sequence[Any]], least: Permission) -> dict[int, Access]:
    """Return accesses by what they are to, made of grants of at least a permission.

    A row begins with the ids of what it grants, separated by commas.
    """
    grants: dict[int, list[tuple[Any, ...]]] = defaultdict(list)
    for ids, *values in rows:
        grant = tuple(values)
        for to in map(int, ids.split(b",")):
            grants[to].append(grant)
    granted = {to: tuple(some) for to, some in grants.items()}
    # Of a thousand meters, nearly all have equal grants.
    known = {some: _access(some, least) for some in {*granted.values()}}
    return {to: access for to, some in granted.items() if (access := known[some]) is not None}


def _access(grants: Iterable[Sequence[Any]], least: Permission) -> Access | None:
    """Return the access that grants of at least a permission make; None if there are none."""
    windows: list[Window] = []
    permissions: list[Permission] = []
    ends: list[float] = []
    for permission, expires, first_day, last_day in grants:
        first, last = _day(first_day), _day(last_day)
        known = PERMISSIONS.get(_text(permission))
        if known is None or known < least or last < first:
            continue
        windows.append(Window(first, last))
        permissions.append(known)
        ends.append(float("inf") if expires is None else expires)
    return Access(max(permissions), tuple(joined(windows)), min(ends)) if windows else None


def _day(value: bytes | str) -> date:
    return date.fromisoformat(_text(value)[:10])


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value

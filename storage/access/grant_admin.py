"""Listing, adding, changing and removing grants."""

import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, replace

from domain.access import Permission, Window
from storage.access.targets import (
    ALL_DAYS,
    PAGE_ROWS,
    Target,
    TargetDirectory,
    TargetIds,
    assignments,
    begin_access_change,
    count_access_change,
    day_columns,
    next_grant_number,
    permission_of,
    require_user,
    window_of,
)
from storage.backends.base import WriteEngine
from storage.common.errors import Conflict

_MAX_GRANTER_LENGTH = 64


@dataclass(frozen=True, slots=True)
class GrantProperties:
    """What a grant allows: with which meters, on which of their local days, until when."""

    target: Target
    permission: Permission
    window: Window = ALL_DAYS
    expires: int | None = None
    """Seconds since 1970, None for never."""


@dataclass(frozen=True, slots=True)
class GrantRecord:
    """A grant as it is stored."""

    user: str
    number: int
    """Among the grants of its user."""
    properties: GrantProperties
    granted_by: str
    """Empty for the one that every user begins with."""
    granted: int
    """Seconds since 1970."""


class GrantAdmin:
    """Lists and changes grants, in the transaction that is open.

    Every call raises a StorageError if the database fails.
    """

    def __init__(self, engine: WriteEngine) -> None:
        self._engine = engine
        self._targets = TargetDirectory(engine)

    async def grants(
        self, user: str | None = None, about: Target | None = None
    ) -> AsyncGenerator[GrantRecord]:
        """Yield the grants by user and number, in bounded memory.

        Those about a meter or a group are for it, for a group that it is in, or for all meters.
        Raises Conflict if there is no such meter or group.
        """
        mark = self._engine.dialect.placeholder
        condition = f"(g.user > {mark} OR (g.user = {mark} AND g.id > {mark}))"
        args: tuple[object, ...] = ()
        if user is not None:
            condition += f" AND g.user = {mark}"
            args = (user,)
        if about is not None:
            condition += f" AND {await self._covering(await self._targets.find(about))}"
        last: tuple[str, int] | None = ("", 0)
        while last is not None:
            page = await self._select(
                f"{condition} ORDER BY g.user, g.id LIMIT {PAGE_ROWS}",
                (last[0], *last, *args),
            )
            for grant in page:
                yield grant
            last = (page[-1].user, page[-1].number) if len(page) == PAGE_ROWS else None

    async def add(self, user: str, grant: GrantProperties, granted_by: str) -> GrantRecord:
        """Add a grant; raise Conflict if the user, meter or group is unknown, or has it already."""
        await begin_access_change(self._engine)
        await require_user(self._engine, user)
        ids = await self._targets.find(grant.target)
        grant = replace(grant, target=ids.target)
        known = await self._same(user, grant, ids)
        if known is not None:
            raise Conflict(f"{user} has this grant already, as number {known}")
        number = next_grant_number(self._engine.dialect.placeholder)
        rows = await self._engine.fetch(f"SELECT {number}", (user, user))
        added = GrantRecord(
            user, int(rows[0][0]), grant, granted_by[:_MAX_GRANTER_LENGTH], int(time.time())
        )
        values = {
            "user": user,
            "id": added.number,
            "meter_id": ids.meter_id,
            "group_id": ids.group_id,
            **_columns(grant),
            "granted_by": added.granted_by,
            "granted": added.granted,
        }
        await self._engine.execute(
            self._engine.dialect.insert("grants", tuple(values)), tuple(values.values())
        )
        await count_access_change(self._engine)
        return added

    async def same(self, user: str, grant: GrantProperties) -> int | None:
        """Return the number of an equal grant of a user; raise Conflict for an unknown target."""
        ids = await self._targets.find(grant.target)
        return await self._same(user, replace(grant, target=ids.target), ids)

    async def _same(self, user: str, grant: GrantProperties, ids: TargetIds) -> int | None:
        mark = self._engine.dialect.placeholder
        found = await self._select(
            f"g.user = {mark} AND g.meter_id {_equals(ids.meter_id)}"
            f" AND g.group_id {_equals(ids.group_id)} ORDER BY g.id",
            (user,),
        )
        return next((each.number for each in found if each.properties == grant), None)

    async def begin(self) -> None:
        """Keep others from changing grants until the transaction ends."""
        await begin_access_change(self._engine)

    async def change(
        self, user: str, number: int, changed: Callable[[GrantProperties], GrantProperties]
    ) -> GrantRecord:
        """Change a grant, but not its target, to what a function makes of it; raise Conflict."""
        await begin_access_change(self._engine)
        known = await self.grant(user, number)
        grant = changed(known.properties)
        equal = await self.same(user, grant)
        if equal not in (None, number):
            raise Conflict(f"{user} has this grant already, as number {equal}")
        columns = _columns(grant)
        mark = self._engine.dialect.placeholder
        await self._engine.execute(
            f"UPDATE grants SET {assignments(self._engine, columns)}"
            f" WHERE user = {mark} AND id = {mark}",
            (*columns.values(), user, number),
        )
        await count_access_change(self._engine)
        return replace(known, properties=grant)

    async def remove(self, user: str, number: int) -> GrantRecord:
        """Remove a grant and return it; raise Conflict if there is none of this number."""
        await begin_access_change(self._engine)
        known = await self.grant(user, number)
        mark = self._engine.dialect.placeholder
        await self._engine.execute(
            f"DELETE FROM grants WHERE user = {mark} AND id = {mark}", (user, number)
        )
        await count_access_change(self._engine)
        return known

    async def grant(self, user: str, number: int) -> GrantRecord:
        """Return the grant of a number that a user has; raise Conflict if there is none."""
        mark = self._engine.dialect.placeholder
        found = await self._select(f"g.user = {mark} AND g.id = {mark}", (user, number))
        if not found:
            raise Conflict(f"{user} has no grant of the number {number}")
        return found[0]

    async def _covering(self, target: TargetIds) -> str:
        """Return the condition of the grants that are about a target."""
        conditions = ["(g.meter_id IS NULL AND g.group_id IS NULL)"]
        groups = await self._targets.groups_above(target)
        if target.meter_id is not None:
            conditions.append(f"g.meter_id = {target.meter_id}")
        if target.group_id is not None:
            groups.add(target.group_id)
        if groups:
            conditions.append(f"g.group_id IN ({', '.join(map(str, sorted(groups)))})")
        return f"({' OR '.join(conditions)})"

    async def _select(self, rest: str, args: tuple[object, ...]) -> list[GrantRecord]:
        rows = await self._engine.fetch(
            "SELECT g.user, g.id, m.public_id, a.public_id, g.permission, g.first_day, g.last_day,"
            " g.expires, g.granted_by, g.granted FROM grants AS g"
            " LEFT JOIN meters AS m ON m.id = g.meter_id"
            f" LEFT JOIN meter_groups AS a ON a.id = g.group_id WHERE {rest}",
            args,
        )
        return [
            GrantRecord(
                user,
                number,
                GrantProperties(
                    Target(meter, group), permission_of(permission), window_of(*days), expires
                ),
                granted_by,
                granted,
            )
            for user, number, meter, group, permission, *days, expires, granted_by, granted in rows
        ]


def _equals(number: int | None) -> str:
    return "IS NULL" if number is None else f"= {number}"


def _columns(grant: GrantProperties) -> dict[str, object]:
    first_day, last_day = day_columns(grant.window)
    return {
        "permission": grant.permission.word,
        "first_day": first_day,
        "last_day": last_day,
        "expires": grant.expires,
    }

"""Listing, adding, changing and removing groups of meters, and their members."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from domain.access import Window
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
    window_of,
)
from storage.backends.base import WriteEngine
from storage.common.errors import Conflict


@dataclass(frozen=True, slots=True)
class GroupProperties:
    """What is on record of a group, apart from its members."""

    public_id: str
    """Its name in requests and commands."""
    name: str | None = None
    """Its name for people."""
    note: str | None = None


@dataclass(frozen=True, slots=True)
class MemberProperties:
    """What belongs to a group: a meter or a group, on which days, and whether it is subtracted."""

    target: Target
    sign: int = 1
    """1: its energy is added, -1: subtracted."""
    window: Window = ALL_DAYS


@dataclass(frozen=True, slots=True)
class MemberRecord:
    """A member as it is stored."""

    number: int
    """Among the members of its group."""
    properties: MemberProperties


@dataclass(frozen=True, slots=True)
class GroupRecord:
    """A group as it is stored."""

    id: int
    properties: GroupProperties
    created: str
    """UTC."""
    members: Sequence[MemberRecord] = ()


class GroupAdmin:
    """Lists and changes groups, in the transaction that is open.

    Every call raises a StorageError if the database fails.
    """

    def __init__(self, engine: WriteEngine) -> None:
        self._engine = engine
        self._targets = TargetDirectory(engine)
        self._mark = engine.dialect.placeholder

    async def groups(self) -> AsyncGenerator[GroupRecord]:
        """Yield the groups with their members by their public ids, in bounded memory."""
        after: str | None = ""
        while after is not None:
            page = await self._select(
                f"WHERE public_id > {self._mark} ORDER BY public_id LIMIT {PAGE_ROWS}", after
            )
            for group in page:
                yield group
            after = page[-1].properties.public_id if len(page) == PAGE_ROWS else None

    async def group(self, public_id: str) -> GroupRecord:
        """Return a group with its members; raise Conflict if there is none."""
        found = await self._select(f"WHERE public_id = {self._mark}", public_id)
        if not found:
            raise Conflict(f"no such group: {public_id}")
        return found[0]

    async def exists(self, public_id: str) -> bool:
        """Return whether there is a group of a public id."""
        return bool(await self._select(f"WHERE public_id = {self._mark}", public_id))

    async def begin(self) -> None:
        """Keep others from changing groups until the transaction ends."""
        await begin_access_change(self._engine)

    async def add(self, group: GroupProperties) -> None:
        """Add a group without members; raise Conflict if the public id is taken."""
        await begin_access_change(self._engine)
        await self._require_free(group.public_id)
        rows = await self._engine.fetch("SELECT COALESCE(MAX(id), 0) + 1 FROM meter_groups")
        values = {
            "id": int(rows[0][0]),
            "public_id": group.public_id,
            "name": group.name,
            "note": group.note,
            "created": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S"),
        }
        await self._insert("meter_groups", values)
        await count_access_change(self._engine)

    async def change(self, public_id: str, changes: Mapping[str, Any]) -> GroupProperties:
        """Change properties of a group, by their names; raise Conflict."""
        await begin_access_change(self._engine)
        known = await self.group(public_id)
        group = replace(known.properties, **changes)
        if group.public_id != public_id:
            await self._require_free(group.public_id)
        await self._engine.execute(
            f"UPDATE meter_groups SET {assignments(self._engine, changes)} WHERE id = {known.id}",
            tuple(changes.values()),
        )
        await count_access_change(self._engine)
        return group

    async def remove(self, public_id: str) -> GroupRecord:
        """Remove a group with its grants and memberships, and return it; raise Conflict.

        API keys that are good for this group only are good for nothing afterwards.
        """
        await begin_access_change(self._engine)
        known = await self.group(public_id)
        for statement in (
            f"DELETE FROM group_members WHERE group_id = {known.id}",
            f"DELETE FROM group_members WHERE member_group_id = {known.id}",
            f"DELETE FROM grants WHERE group_id = {known.id}",
            f"UPDATE api_key_scopes SET group_id = NULL WHERE group_id = {known.id}",
            f"DELETE FROM meter_groups WHERE id = {known.id}",
        ):
            await self._engine.execute(statement)
        await count_access_change(self._engine)
        return known

    async def add_member(self, public_id: str, member: MemberProperties) -> MemberRecord:
        """Add a member to a group.

        Raises Conflict if either is unknown, if the group would become a member of itself, or if it
        has the member on some of these days already, which would count twice.
        """
        await begin_access_change(self._engine)
        group = await self.group(public_id)
        ids = await self._targets.find(member.target)
        member = replace(member, target=ids.target)
        await self._require_no_circle(group, ids)
        _require_no_overlap(group, member)
        number = max([each.number for each in group.members], default=0) + 1
        values = {
            "group_id": group.id,
            "id": number,
            "meter_id": ids.meter_id,
            "member_group_id": ids.group_id,
            **_columns(member),
        }
        await self._insert("group_members", values)
        await count_access_change(self._engine)
        return MemberRecord(number, member)

    async def change_member(
        self,
        public_id: str,
        number: int,
        changed: Callable[[MemberProperties], MemberProperties],
    ) -> MemberRecord:
        """Change sign or days of a member to what a function makes of it; raise Conflict."""
        await begin_access_change(self._engine)
        group = await self.group(public_id)
        known = _member(group, number)
        member = changed(known.properties)
        _require_no_overlap(group, member, number)
        columns = _columns(member)
        await self._engine.execute(
            f"UPDATE group_members SET {assignments(self._engine, columns)}"
            f" WHERE group_id = {group.id} AND id = {number}",
            tuple(columns.values()),
        )
        await count_access_change(self._engine)
        return MemberRecord(number, member)

    async def remove_member(self, public_id: str, number: int) -> MemberRecord:
        """Remove a member from a group and return it; raise Conflict if there is none."""
        await begin_access_change(self._engine)
        group = await self.group(public_id)
        known = _member(group, number)
        await self._engine.execute(
            f"DELETE FROM group_members WHERE group_id = {group.id} AND id = {number}"
        )
        await count_access_change(self._engine)
        return known

    async def _require_free(self, public_id: str) -> None:
        if await self.exists(public_id):
            raise Conflict(f"there is a group {public_id} already")

    async def _require_no_circle(self, group: GroupRecord, member: TargetIds) -> None:
        """Raise Conflict if a member is the group, or has it as a member, directly or not."""
        if member.group_id is None:
            return
        paths: dict[int, list[str]] = {member.group_id: [str(member.target.group)]}
        ids = [member.group_id]
        while ids and group.id not in paths:
            rows = await self._engine.fetch(
                "SELECT g.group_id, g.member_group_id, m.public_id FROM group_members AS g"
                " JOIN meter_groups AS m ON m.id = g.member_group_id"
                f" WHERE g.group_id IN ({', '.join(map(str, ids))}) ORDER BY g.group_id, g.id"
            )
            ids = []
            for above, below, name in rows:
                if below not in paths:
                    paths[below] = [*paths[above], name]
                    ids.append(below)
        if group.id not in paths:
            return
        own, other = group.properties.public_id, member.target.group
        if own == other:
            raise Conflict(f"the group {own} cannot be a member of itself")
        raise Conflict(
            f"the group {other} cannot be a member of {own}, which is in {other} itself:"
            f" {' > '.join(paths[group.id])}; remove one of these members first"
        )

    async def _select(self, rest: str, name: str) -> list[GroupRecord]:
        rows = await self._engine.fetch(
            f"SELECT id, public_id, name, note, created FROM meter_groups {rest}", (name,)
        )
        if not rows:
            return []
        members: dict[int, list[MemberRecord]] = {row[0]: [] for row in rows}
        found = await self._engine.fetch(
            "SELECT g.group_id, g.id, m.public_id, a.public_id, g.sign, g.first_day, g.last_day"
            " FROM group_members AS g LEFT JOIN meters AS m ON m.id = g.meter_id"
            " LEFT JOIN meter_groups AS a ON a.id = g.member_group_id"
            f" WHERE g.group_id IN ({', '.join(map(str, members))}) ORDER BY g.group_id, g.id"
        )
        for group_id, number, meter, group, sign, *days in found:
            properties = MemberProperties(Target(meter, group), sign, window_of(*days))
            members[group_id].append(MemberRecord(number, properties))
        return [
            GroupRecord(id_, GroupProperties(*own), str(created), members[id_])
            for id_, *own, created in rows
        ]

    async def _insert(self, table: str, values: Mapping[str, object]) -> None:
        await self._engine.execute(
            self._engine.dialect.insert(table, tuple(values)), tuple(values.values())
        )


def _member(group: GroupRecord, number: int) -> MemberRecord:
    for member in group.members:
        if member.number == number:
            return member
    raise Conflict(f"the group {group.properties.public_id} has no member of the number {number}")


def _require_no_overlap(
    group: GroupRecord, member: MemberProperties, number: int | None = None
) -> None:
    """Raise Conflict if a group has a member already, on some of the same days."""
    for other in group.members:
        if (
            other.number != number
            and other.properties.target == member.target
            and other.properties.window & member.window
        ):
            raise Conflict(
                f"{member.target} is a member of {group.properties.public_id} already,"
                f" as number {other.number} ({other.properties.window}): it would count twice"
            )


def _columns(member: MemberProperties) -> dict[str, object]:
    first_day, last_day = day_columns(member.window)
    return {"sign": member.sign, "first_day": first_day, "last_day": last_day}

"""The meters of a group whose readings a client may see, and on which days."""

from collections.abc import Sequence
from dataclasses import dataclass

from domain.access import Window, joined
from storage.backends.base import ReadEngine
from storage.common.turns import in_pieces
from storage.groups.members import METERS_AT_ONCE, memberships_of
from storage.groups.selection import NamedGroup


@dataclass(frozen=True, slots=True)
class MemberDays:
    """The days of a meter that a client may see as it is in a group."""

    meter_id: int
    public_id: str
    windows: Sequence[Window]
    """Local days of the meter, at least one."""


async def member_days(engine: ReadEngine, group: NamedGroup) -> list[MemberDays]:
    """Return the meters of a group, also of groups in it, in the order of their public ids.

    Each is there once, with the days of all ways to it; without the days, and the meters, that
    the client may not see.
    """
    visible = group.windows or (Window(),)
    days: dict[int, Sequence[Window]] = {}
    async for ways in in_pieces([*(await memberships_of(engine, group.id)).items()]):
        for meter_id, memberships in ways:
            common = [
                both for one in memberships for other in visible if (both := one.days & other)
            ]
            if common:
                days[meter_id] = joined(common)
    members: list[MemberDays] = []
    async for piece in in_pieces(days, METERS_AT_ONCE):
        rows = await engine.fetch(
            f"SELECT id, public_id FROM meters WHERE id IN ({', '.join(map(str, piece))})"
        )
        members += [MemberDays(row[0], row[1].decode(), days[row[0]]) for row in rows]
    return sorted(members, key=lambda member: member.public_id)

"""The meters that a group counts, with what sums of them need."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction

from domain.access import Window
from domain.sampling_interval import ReadingGrid, SamplingIntervals
from storage.backends.base import ReadEngine
from storage.backends.dialect import DESCENDING
from storage.common.errors import StorageError
from storage.common.turns import in_pieces
from storage.groups.memberships import GroupCircleError, GroupMember, Membership, counted_meters
from storage.meters import MeterStore

METERS_AT_ONCE = 500
"""Meters of which one statement reads the properties, or the sums."""

BELOW = (
    "WITH RECURSIVE below (id) AS (SELECT id FROM meter_groups WHERE {} UNION"
    " SELECT g.member_group_id FROM below JOIN group_members AS g ON g.group_id = below.id"
    " WHERE g.member_group_id IS NOT NULL)"
)
"""The table `below`: the ids of a group that a condition selects, and of all groups in it."""


@dataclass(frozen=True, slots=True)
class CountedMeter:
    """A meter that a group counts."""

    id: int
    public_id: str
    name: str | None
    timezone: str
    """The name of its zone."""
    intervals: SamplingIntervals
    area: Fraction | None
    """In m2."""
    first_reading: int | None
    """The start of the first reading that the client may see; None without any."""
    last_reading: int | None
    has_days: bool
    """Whether the sums of its days are those of its readings."""
    memberships: Sequence[Membership]

    @property
    def grid(self) -> ReadingGrid:
        """When its readings are expected."""
        return ReadingGrid(self.intervals, self.first_reading or 0)

    def lengths(self, start: int, end: int) -> set[int | None]:
        """Return the intervals that are expected between two instants."""
        # The first one holds before the first reading as well.
        first = start if self.first_reading is None else max(start, self.first_reading)
        return self.intervals.lengths(first, max(end, first + 1))


async def memberships_of(engine: ReadEngine, group_id: int) -> dict[int, Sequence[Membership]]:
    """Return the memberships of the meters of a group; raise StorageError if it has itself."""
    rows = await engine.fetch(
        f"{BELOW.format(f'id = {group_id}')}"
        " SELECT g.group_id, g.meter_id, g.member_group_id, g.sign, g.first_day, g.last_day"
        " FROM below JOIN group_members AS g ON g.group_id = below.id"
    )
    members: dict[int, list[GroupMember]] = defaultdict(list)
    async for piece in in_pieces(rows):
        for of_group, meter_id, member_group_id, sign, first, last in piece:
            days = Window(
                Window().first if first is None else _day(first),
                Window().last if last is None else _day(last),
            )
            members[of_group].append(GroupMember(meter_id, member_group_id, sign, days))
    try:
        return counted_meters(group_id, members)
    except GroupCircleError:
        raise StorageError(
            "the group has itself among its members, also in turn: take one of them out"
        ) from None


async def counted(
    engine: ReadEngine,
    memberships: Mapping[int, Sequence[Membership]],
    start: int | None = None,
    end: int | None = None,
) -> list[CountedMeter]:
    """Return the meters of memberships in the order of their public ids.

    Their first and last readings are those between two instants, or of all.
    """
    dialect = engine.dialect
    within = "FROM readings AS r WHERE r.meter_id = m.id"
    if start is not None:
        within += f" AND r.utc >= {dialect.instant(start)}"
    if end is not None:
        within += f" AND r.utc < {dialect.instant(end)}"
    first, last = (
        f"(SELECT r.utc {within} ORDER BY r.utc{order} LIMIT 1)" for order in ("", DESCENDING)
    )
    newest = (
        f"(SELECT r.id FROM readings AS r {dialect.by_id}"
        " WHERE r.meter_id = m.id ORDER BY r.id DESC LIMIT 1)"
    )
    # An import keeps them; other programs do not, and TRUNCATE is not even counted.
    is_kept = f"s.changes = 0 AND s.last_id = COALESCE({newest}, 0)"
    columns = ", ".join(
        (
            *("m.id", "m.public_id", "m.name", "m.timezone", "m.interval_seconds", "m.area"),
            *(dialect.unix_seconds(first), dialect.unix_seconds(last), is_kept),
        )
    )
    store = MeterStore(engine)
    meters: list[CountedMeter] = []
    async for piece in in_pieces(memberships, METERS_AT_ONCE):
        rows = await engine.fetch(
            f"SELECT JSON_ARRAY({columns}) FROM meters AS m JOIN states AS s ON s.meter_id = m.id"
            f" WHERE m.id IN ({', '.join(map(str, piece))})",
        )
        found = [json.loads(row[0], parse_float=Fraction) for row in rows]
        intervals = await store.intervals_of({row[0]: row[4] for row in found})
        async for some in in_pieces(found):
            for meter_id, public_id, name, timezone, _, area, *ends, has_days in some:
                exact = None if area is None else Fraction(area)
                first_reading, last_reading = ends
                meters.append(
                    CountedMeter(
                        *(meter_id, public_id, name, timezone, intervals[meter_id]),
                        *(exact, first_reading, last_reading, bool(has_days)),
                        memberships=memberships[meter_id],
                    )
                )
    return sorted(meters, key=lambda meter: meter.public_id)


def _day(value: bytes) -> date:
    return date.fromisoformat(value.decode())

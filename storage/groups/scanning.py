"""Sums of members from their readings, where kept days will not do."""

from collections import defaultdict
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import mul

from domain.flags import IMPLAUSIBLE
from domain.report_source import ESTIMATED_FIELD
from domain.time.time_buckets import Buckets, BucketSize
from storage.backends.base import ReadEngine
from storage.backends.derived import DERIVED_ENERGY, derived_operand
from storage.backends.dialect import (
    ANY_VALUE,
    YEAR_0_TO_1970_SECONDS,
    Condition,
    Dialect,
    ReadingsTable,
)
from storage.common.turns import in_pieces, in_turns
from storage.figures.aggregation_rules import READINGS
from storage.groups.members import METERS_AT_ONCE, CountedMeter
from storage.groups.selection import GroupSelection, Segment
from storage.groups.sums import MEMBER_SUMS, GroupSums, SumsOfReadings, mean_power

_GROUPS_AT_ONCE = 20_000
"""Groups of readings of one statement, and sums of members that are held."""

SECONDS_AT_ONCE = 500_000 * 900
"""Seconds of all members whose readings one statement reads."""

_ESTIMATED = MEMBER_SUMS.index("estimated")

_NUMBERS = 10**9
"""More than the numbers of groups of a meter."""

Range = tuple[int, int]
Counted = tuple[int | None, int, int]
"""The interval of some readings, and the weight and the times of their meter."""

Part = tuple[int | None, int, int, SumsOfReadings]
"""The same, and the sums of the readings."""


@dataclass(frozen=True, slots=True)
class MemberSums:
    """The readings of a member in a bucket."""

    index: int
    """The place of the bucket."""
    segments: Sequence[Segment]
    """When it is counted."""
    readings: int | None
    """How many are expected, each once; None if unknown."""
    expected: int | None
    """How many are expected, as often as the meter is counted."""
    parts: Sequence[Part]


class Scan:
    """Sums up the readings of members, by buckets."""

    def __init__(
        self,
        engine: ReadEngine,
        selection: GroupSelection,
        size: BucketSize,
        buckets: Buckets,
        exported: Sequence[str] = (),
    ) -> None:
        """Sum up readings, with the exported energies that are named."""
        self._engine = engine
        self._exported = exported
        self._dialect = engine.dialect
        self._selection = selection
        self._size = size
        self._buckets = buckets

    async def add(
        self,
        sums: Sequence[GroupSums],
        members: Sequence[CountedMeter],
        indexes: Sequence[int],
        *,
        has_power: bool,
    ) -> None:
        """Take in the readings of members in the buckets of some places, which are in order."""
        async for member, found in self.members(members, indexes):
            for each in found:
                self._take(sums[each.index], member, each, has_power=has_power)

    async def members(
        self, members: Sequence[CountedMeter], indexes: Sequence[int]
    ) -> AsyncGenerator[tuple[CountedMeter, list[MemberSums]]]:
        """Yield each member with the buckets in which it is counted."""
        most = min(METERS_AT_ONCE, max(1, _GROUPS_AT_ONCE // max(1, len(indexes))))
        ranges = [*self._ranges(indexes)]
        for at in range(0, len(members), most):
            some = members[at : at + most]
            parts: dict[tuple[int, int], list[Part]] = defaultdict(list)
            for bounds, counted in self._jobs(some, ranges).items():
                await self._read(bounds, counted, parts)
            # Each has as many buckets.
            async for piece in in_pieces(some, max(1, 300 // max(1, len(indexes)))):
                for member in piece:
                    yield member, [*self._sums(member, indexes, parts)]

    def _ranges(self, indexes: Sequence[int]) -> Iterator[Range]:
        """Yield the times of buckets, those of neighbours as one."""
        begun: Range | None = None
        for index in indexes:
            start, end = self._buckets[index]
            if begun is not None and begun[1] == start:
                begun = begun[0], end
                continue
            if begun is not None:
                yield begun
            begun = start, end
        if begun is not None:
            yield begun

    def _jobs(
        self, members: Sequence[CountedMeter], ranges: Sequence[Range]
    ) -> dict[Range, dict[int, Counted]]:
        """Return what is to be read: by time, how each meter is counted."""
        jobs: dict[Range, dict[int, Counted]] = defaultdict(dict)
        for member in members:
            first, last = member.first_reading, member.last_reading
            if first is None or last is None:
                continue
            for bounds in ranges:
                for segment in self._selection.segments(member, *bounds):
                    spans = member.intervals.within(segment.start, segment.end)
                    ends = [*(span.first for span in spans[1:]), segment.end]
                    for span, end in zip(spans, ends, strict=True):
                        if span.first <= last and end > first:
                            jobs[span.first, end][member.id] = (
                                *(span.seconds, segment.weight, segment.times),
                            )
        return jobs

    async def _read(
        self,
        bounds: Range,
        meters: dict[int, Counted],
        parts: dict[tuple[int, int], list[Part]],
    ) -> None:
        """Add the sums of meters between two instants, by meter and bucket."""
        ids = [*meters]
        for period in self._selection.zone.offset_periods(*bounds):
            seconds = period.end - period.start
            groups = seconds // self._size.size + 2
            most = max(1, min(_GROUPS_AT_ONCE // groups, SECONDS_AT_ONCE // seconds, len(ids)))
            first = YEAR_0_TO_1970_SECONDS + period.offset
            for at in range(0, len(ids), most):
                some = ids[at : at + most]
                rows = await self._engine.fetch(
                    *self._statement(some, period.start, period.end, period.offset)
                )
                async for key, *values in in_turns(self._dialect.parse_groups(rows)):
                    meter_id, number = divmod(key, _NUMBERS)
                    # A group may have begun in the period before.
                    start = max(number * self._size.size - first, period.start)
                    place = meter_id, self._buckets.index(start)
                    parts[place].append((*meters[meter_id], values))

    def _statement(
        self, ids: Sequence[int], start: int, end: int, offset: int
    ) -> tuple[str, Sequence[object]]:
        dialect = self._dialect
        where = readings_between(dialect, ids, start, end, is_clean=self._selection.is_clean)
        number = dialect.int_div(f"{dialect.year_0_seconds('utc')} + {offset}", self._size.size)
        return dialect.group_sums(
            f"meter_id * {_NUMBERS} + {number}",
            [*(_SUMS[name] for name in MEMBER_SUMS), *(f"SUM({name})" for name in self._exported)],
            f"{READINGS} WHERE {where.text}",
        ), where.args

    def _sums(
        self,
        member: CountedMeter,
        indexes: Sequence[int],
        parts: dict[tuple[int, int], list[Part]],
    ) -> Iterator[MemberSums]:
        grid = member.grid
        for index in indexes:
            segments = self._selection.segments(member, *self._buckets[index])
            if segments:
                readings = [grid.expected(each.start, each.end) for each in segments]
                known = [number for number in readings if number is not None]
                expected = None
                if len(known) == len(readings):
                    times = (segment.times for segment in segments)
                    expected = sum(map(mul, known, times))
                yield MemberSums(
                    *(index, segments, None if expected is None else sum(known), expected),
                    parts.pop((member.id, index), ()),
                )

    def _take(
        self, total: GroupSums, member: CountedMeter, each: MemberSums, *, has_power: bool
    ) -> None:
        """Take in the readings of a member in a bucket."""
        total.members += 1
        total.add_expected(each.expected)
        with_energy = 0
        has_reactive = False
        for _, weight, times, values in each.parts:
            energy, count, reactive, present, *_ = values
            total.present += times * (present or 0)
            total.estimated += times * (values[_ESTIMATED] or 0)
            with_energy += count or 0
            has_reactive |= reactive is not None
            total.add_energy(energy, weight)
            total.add_reactive_energy(reactive, weight)
        total.reactive_members += has_reactive
        for place, name in enumerate(self._exported, len(MEMBER_SUMS)):
            energies = [weight * (values[place] or 0) for _, weight, _, values in each.parts]
            has_any = any(values[place] is not None for *_, values in each.parts)
            total.add_exported(name, sum(energies) if has_any else None, 1, has_any)
        is_lacking = not with_energy if each.readings is None else with_energy < each.readings
        if is_lacking:
            total.lacking += 1
            total.name([member.public_id])
        if has_power:
            (segment, *others) = each.segments
            is_whole = (segment.start, segment.end) == self._buckets[each.index]
            mean = mean_power(merged(each.parts)) if is_whole and not others else None
            total.add_power(None if mean is None else segment.weight * mean)


def readings_between(
    dialect: Dialect, ids: Iterable[int], start: int, end: int, *, is_clean: bool
) -> Condition:
    """Select the readings of meters from an instant up to, and without, another."""
    mark = dialect.placeholder
    where = Condition(
        f"meter_id IN ({', '.join(map(str, ids))}) AND utc >= {mark} AND utc < {mark}",
        (dialect.utc(start), dialect.utc(end)),
    )
    if is_clean:
        where &= ReadingsTable(READINGS).without_flags(IMPLAUSIBLE.bit)
    return where


def merged(parts: Sequence[Part]) -> dict[int | None, SumsOfReadings]:
    """Return the sums of parts by interval."""
    by_length: dict[int | None, SumsOfReadings] = {}
    for seconds, _, _, values in parts:
        before = by_length.get(seconds)
        by_length[seconds] = (
            values
            if before is None
            else [
                one if other is None else (one or 0) + other
                for one, other in zip(before, values, strict=True)
            ]
        )
    return by_length


_SUMS = {
    "energy": "SUM(energy)",
    "energy_count": "COUNT(energy)",
    "reactive_energy": "SUM(reactive_energy)",
    "present": f"COUNT({ANY_VALUE})",
    "power": "SUM(power)",
    "power_count": "COUNT(power)",
    "derived_energy": f"SUM({derived_operand(DERIVED_ENERGY, READINGS)})",
    "derived_energy_count": f"COUNT({derived_operand(DERIVED_ENERGY, READINGS)})",
    "estimated": f"COUNT({ESTIMATED_FIELD})",
}
"""The sums of readings, as those of a day."""

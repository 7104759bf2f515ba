"""Sums of members from their readings, where kept days will not do."""

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing

from domain.columns import Columns, Integers
from domain.flags import CATCH_UP
from storage.backends.base import ReadEngine
from storage.backends.dialect import ANY_VALUE
from storage.columns.reader import Batch, read_meter_columns
from storage.columns.row_source import MeterPeriod
from storage.common.turns import in_pieces, in_thread, in_turns
from storage.groups.members import CountedMeter
from storage.groups.scanning.group_arrays import GroupArrays
from storage.groups.scanning.member_readings import Counted, MemberReadings
from storage.groups.selection import GroupSelection

_Step = tuple[int, Columns | None]
"""The place of a member, and some of its readings if there are any."""

STEPS_AT_ONCE = 50
"""Members that one piece of work takes in."""


class Scan:
    """Sums up the readings of members, by buckets."""

    def __init__(
        self,
        engine: ReadEngine,
        selection: GroupSelection,
        quantities: Sequence[str],
        *,
        tells_demand: bool = False,
        has_power: bool = False,
        has_coverage: bool = True,
    ) -> None:
        """Sum up some quantities, energy among them, and tell which readings are missing.

        These are of the readings that a group counts or, of them, only of those that tell when
        energy was used: catch-ups do not, nor do those of an unknown interval.

        There are mean powers, and the numbers of readings that are present and estimated, if asked
        for.
        """
        self._engine = engine
        self._selection = selection
        self._quantities = quantities
        self._tells_demand = tells_demand
        self._has_power = has_power
        self._has_coverage = has_coverage
        self._left_out = selection.left_out | (CATCH_UP.bit if tells_demand else 0)

    async def arrays(self, members: Sequence[CountedMeter], edges: Integers) -> GroupArrays:
        """Return the sums in the buckets between edges of members, by order of their public ids."""
        total = GroupArrays.zeros(edges, [each.public_id for each in members], self._quantities)
        counted = [each async for each in self._counted(members, edges)]
        summing = _Summing(self, total, counted)
        readings = read_meter_columns(self._engine, [*_periods(counted)], self._names)
        async with aclosing(readings):
            async for batch in readings:
                async for steps in in_pieces(summing.up_to(batch), STEPS_AT_ONCE):
                    await in_thread(summing.take, steps)
        async for steps in in_pieces(summing.rest(), STEPS_AT_ONCE):
            await in_thread(summing.take, steps)
        return total

    @property
    def _names(self) -> Sequence[str]:
        names = [*self._quantities]
        names += ["power"] if self._has_power else []
        return [*names, *([ANY_VALUE] if self._has_coverage else [])]

    async def _counted(
        self, members: Sequence[CountedMeter], edges: Integers
    ) -> AsyncGenerator[Counted]:
        """Yield members that are counted at any time between edges."""
        start, end = int(edges[0]), int(edges[-1])
        place = 0
        async for member in in_turns(members):
            segments = self._selection.segments(member, start, end)
            if segments:
                yield Counted(place, member, segments)
            place += 1

    def begun(self, total: GroupArrays, counted: Counted) -> MemberReadings:
        """Return what takes in the readings of a member."""
        return MemberReadings(
            *(total, counted, self._left_out),
            tells_demand=self._tells_demand,
            has_power=self._has_power,
            has_coverage=self._has_coverage,
        )


def _periods(counted: Sequence[Counted]) -> Iterator[MeterPeriod]:
    """Yield the times whose readings are read."""
    for each in counted:
        member = each.member
        start, end = each.segments[0].start, each.segments[-1].end
        if member.first_reading is None or member.last_reading is None:
            continue
        if start <= member.last_reading and end > member.first_reading:
            yield MeterPeriod(member.id, start, end)


class _Summing:
    """Takes in members in their order, those without readings as well."""

    def __init__(self, scan: Scan, total: GroupArrays, counted: Sequence[Counted]) -> None:
        self._scan = scan
        self._total = total
        self._counted = counted
        self._places = {each.member.id: place for place, each in enumerate(counted)}
        self._next = 0
        """The place of the first member that no step was about."""
        self._place = -1
        self._current: MemberReadings | None = None

    def up_to(self, batch: Batch) -> Iterator[_Step]:
        """Yield the members of a batch with their readings, and those before them."""
        for meter_id, columns in batch:
            place = self._places[meter_id]
            for before in range(self._next, place):
                yield before, None
            yield place, columns
            self._next = place + 1

    def rest(self) -> Iterator[_Step]:
        """Yield the members that have no readings after all others, and the end."""
        for place in range(self._next, len(self._counted) + 1):
            yield place, None

    def take(self, steps: Sequence[_Step]) -> None:
        """Take in members."""
        for place, columns in steps:
            if place != self._place:
                if self._current is not None:
                    self._current.finish()
                self._place = place
                self._current = None
                if place < len(self._counted):
                    self._current = self._scan.begun(self._total, self._counted[place])
            if columns is not None and self._current is not None:
                self._current.add(columns)

"""The readings of a member of a group, taken in by bucket."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from domain.columns import Columns, Integers, Truths
from domain.flags import ESTIMATED
from domain.time.time_zone import HOUR_SECONDS
from storage.backends.derived import DERIVED_ENERGY
from storage.backends.dialect import ANY_VALUE
from storage.columns.aggregates import counts, sums
from storage.columns.arithmetic import product
from storage.columns.derived import derived_column
from storage.groups.members import CountedMeter
from storage.groups.scanning.group_arrays import ExactSums, GroupArrays
from storage.groups.selection import Segment


@dataclass(frozen=True, slots=True)
class Counted:
    """A member, its place among all, and when it is counted in a time."""

    place: int
    member: CountedMeter
    segments: Sequence[Segment]

    def spans(self) -> Iterator[tuple[int, int, int | None, Segment]]:
        """Yield times of one segment and one interval: their bounds, the interval, the segment."""
        for segment in self.segments:
            spans = self.member.intervals.within(segment.start, segment.end)
            ends = [*(span.first for span in spans[1:]), segment.end]
            for span, end in zip(spans, ends, strict=True):
                yield span.first, end, span.seconds, segment


class MemberReadings:
    """Takes in the readings of a member, for the sums of its group."""

    def __init__(
        self,
        total: GroupArrays,
        counted: Counted,
        left_out: int,
        *,
        tells_demand: bool,
        has_power: bool,
        has_coverage: bool,
    ) -> None:
        """Leave those with some flags out, see `Scan` for the rest."""
        self._total = total
        self._counted = counted
        self._left_out = left_out
        self._tells_demand = tells_demand
        self._has_coverage = has_coverage
        self._edges = np.append(total.starts, total.ends[-1])
        self._with_energy = np.zeros(len(total), np.int64)
        self._has_any = {name: np.zeros(len(total), bool) for name in total.quantities}
        self._power = _MeanPower(len(total)) if has_power else None

    def add(self, columns: Columns) -> None:
        """Take in some readings, which are in the order of time."""
        columns = columns.without_flags(self._left_out)
        for start, end, seconds, segment in self._counted.spans():
            if seconds is None and self._tells_demand:
                continue
            first, last = columns.utc.searchsorted([start, end])
            if first < last:
                self._add(columns[first:last], seconds, segment)

    def _add(self, columns: Columns, seconds: int | None, segment: Segment) -> None:
        total, weight, times = self._total, segment.weight, segment.times
        starts, places = self._groups(columns.utc)
        for name, quantity in total.quantities.items():
            column = sums(columns.quantities[name], starts)
            quantity.sums.add(product(column.values, weight), places)
            known = places if column.known is None else places[column.known]
            self._has_any[name][known] = True
        self._with_energy[places] += counts(columns.quantities["energy"], starts).values
        if self._has_coverage:
            total.present[places] += times * counts(columns.quantities[ANY_VALUE], starts).values
            estimated = (columns.flags & ESTIMATED.bit) != 0
            if estimated.any():
                total.estimated[places] += times * np.add.reduceat(
                    estimated, starts, dtype=np.int64
                )
        if self._power is not None:
            self._power.add(columns, seconds, starts, places)

    def _groups(self, utc: Integers) -> tuple[Integers, Integers]:
        """Return where the readings of each bucket begin, and the places of these buckets."""
        first = int(self._edges.searchsorted(utc[0], "right")) - 1
        after = int(self._edges.searchsorted(utc[-1], "right"))
        bounds = utc.searchsorted(self._edges[first : after + 1])
        filled = bounds[:-1] < bounds[1:]
        return bounds[:-1][filled], first + np.flatnonzero(filled)

    def finish(self) -> None:
        """Take in what is known after all readings."""
        total, count = self._total, len(self._total)
        segments_of, readings = np.zeros(count, np.int64), np.zeros(count, np.int64)
        unknown, has_power = np.zeros(count, bool), np.zeros(count, bool)
        grid = self._counted.member.grid
        wholes: list[tuple[Segment, Integers]] = []
        for segment in self._counted.segments:
            first = int(self._edges.searchsorted(segment.start, "right")) - 1
            after = int(self._edges.searchsorted(segment.end))
            edges = self._edges[first : after + 1]
            clipped = edges.clip(segment.start, segment.end)
            expected = grid.expected_between(clipped)
            segments_of[first:after] += 1
            readings[first:after] += expected.values
            total.expected[first:after] += segment.times * expected.values
            unknown[first:after] |= ~expected.present
            whole = (clipped[:-1] == edges[:-1]) & (clipped[1:] == edges[1:])
            wholes.append((segment, first + np.flatnonzero(whole)))
        is_counted = segments_of > 0
        total.members += is_counted
        total.is_expected_unknown |= unknown
        for name, quantity in total.quantities.items():
            quantity.has_any |= self._has_any[name]
            quantity.members += self._has_any[name]
        enough = np.where(unknown, 1, readings)
        lacking = is_counted & (self._with_energy < enough)
        total.add_lacking(self._counted.place, np.flatnonzero(lacking))
        if self._power is not None:
            for segment, whole in wholes:
                some = whole[(segments_of[whole] == 1) & self._power.known[whole]]
                numerators = product(self._power.numerators[some], segment.weight)
                total.add_power(numerators, self._power.denominators[some], some)
                has_power[some] = True
            total.is_power_unknown |= is_counted & ~has_power


class _MeanPower:
    """The mean power over time of a member by bucket.

    Readings without power that have energy have that over their interval.
    """

    def __init__(self, count: int) -> None:
        self._weighed = ExactSums.zeros(count)
        self._seconds = np.zeros(count, np.int64)
        self._unweighed = ExactSums.zeros(count)
        """Sums of the measured powers of an unknown interval."""
        self._measured = np.zeros(count, np.int64)
        self._is_unknown = np.zeros(count, bool)

    def add(
        self, columns: Columns, seconds: int | None, starts: Integers, places: Integers
    ) -> None:
        """Take in readings of an interval, by where those of some buckets begin."""
        power, energy = columns.quantities["power"], derived_column(columns, DERIVED_ENERGY)
        measured, derived = counts(power, starts).values, counts(energy, starts).values
        powers, energies = sums(power, starts).values, sums(energy, starts).values
        if seconds is None:
            self._unweighed.add(powers, places)
            self._measured[places] += measured
            self._is_unknown[places] |= measured + derived > 0
        else:
            self._weighed.add(product(powers, seconds), places)
            self._weighed.add(product(energies, HOUR_SECONDS), places)
            self._seconds[places] += (measured + derived) * seconds

    @property
    def known(self) -> Truths:
        """Where it is known: not for known and unknown intervals together."""
        return (self.denominators > 0) & ~(self._is_unknown & (self._seconds > 0))

    @property
    def numerators(self) -> Integers:
        """The mean power times `denominators`."""
        return np.where(self._is_unknown, self._unweighed.values, self._weighed.values)

    @property
    def denominators(self) -> Integers:
        """What the numerators are over."""
        return np.where(self._is_unknown, self._measured, self._seconds)

"""The members of a group, ranked by energy, energy per m2 or highest demand."""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar, Self

import numpy as np

from domain.fixed_point import SCALE, divide_rounded, ratio
from domain.parameters import Integer, Parameter, Params, either
from storage.backends.base import ReadEngine
from storage.backends.dialect import ANY_VALUE
from storage.columns.aggregates import group_counts
from storage.columns.reader import Batch, read_meter_columns
from storage.columns.row_source import MeterPeriod
from storage.common.turns import in_pieces, in_thread, in_turns
from storage.figures.aggregation_rules import (
    GREATEST,
    SUM,
    AggregatePart,
    day_expression,
    split_max,
)
from storage.figures.result import Field, FieldType, ResultTable, Row, as_chunks
from storage.figures.selection import PERIOD_PARAMETERS, QUALITY, Period
from storage.figures.sums.column_parts import part_names, part_values, parts_of
from storage.groups.kept_days import days_between, kept_days
from storage.groups.left_out import group_left_out
from storage.groups.members import METERS_AT_ONCE, CountedMeter
from storage.groups.selection import GroupSelection

RANKED_MEMBER_FIELDS = (
    Field("meter", FieldType.TEXT, "Name of the member in requests"),
    Field("name", FieldType.TEXT, "Name of the member for people"),
    Field("energy", FieldType.QUANTITY, "Energy (kWh), as the group counts it", "kWh"),
    Field("share", FieldType.QUANTITY, "Energy over that of all members", "1"),
    Field("area", FieldType.QUANTITY, "Area that the member supplies (m2)", "m2"),
    Field("energy_per_m2", FieldType.QUANTITY, "Energy over area (kWh/m2)", "kWh/m2"),
    Field("maximeter", FieldType.QUANTITY, "Maximeter (kW), maximum", "kW"),
    Field("maximeter_date", FieldType.INSTANT, "Maximeter: the first reading with it"),
    Field("expected", FieldType.COUNT, "Readings that the member should have written"),
    Field("present", FieldType.COUNT, "Readings with any value"),
    Field("coverage", FieldType.QUANTITY, "Present over expected", "1"),
)
RANKED_BY = ("energy", "energy_per_m2", "maximeter")

_BY = either("by", "What members are ranked by, the highest first.", RANKED_BY)
_NUMBER = Integer("number", "Number of members.", 10, minimum=1, maximum=10_000, default=10_000)

_MAXIMETER: AggregatePart = (GREATEST, "maximeter")
_PARTS: Sequence[AggregatePart] = ((SUM, "energy"), _MAXIMETER)
_SUMMED = part_names(_PARTS)
_ONE_GROUP = np.zeros(1, np.int64)
_PLACES = {field.name: place for place, field in enumerate(RANKED_MEMBER_FIELDS)}

Bounds = tuple[int, int]


@dataclass(slots=True)
class _MemberTotal:
    """What a member adds to a group over a period."""

    energy: int | None = None
    present: int = 0
    expected: int | None = 0
    greatest: int | None = None
    """The highest demand with its time, as a number."""


@dataclass(frozen=True, slots=True)
class GroupRanking:
    """A query for the members of a group, each with its sums of a period."""

    period: Period
    by: str = RANKED_BY[0]
    number: int = 10_000

    parameters: ClassVar[Sequence[Parameter]] = (_BY, _NUMBER, *PERIOD_PARAMETERS, QUALITY)

    @property
    def key(self) -> str:
        """A text that is equal for queries with the same result."""
        return f"group ranking {self.by} {self.number} {self.period.key}"

    @property
    def fields(self) -> Sequence[Field]:
        """The fields of a row."""
        return RANKED_MEMBER_FIELDS

    @classmethod
    def of(cls, params: Params) -> Self:
        """Parse the parameters of a request; raise QueryError."""
        return cls(Period.of(params), _BY.parse(params), _NUMBER.parse(params))

    async def scanned(self, selection: GroupSelection) -> int:
        """Return how many readings are read, about: not those of days that are kept."""
        readings = 0
        async for each in in_turns(selection.members):
            readings += 0 if selection.keeps(each) else selection.readings_of(each)
        return readings

    async def table(self, engine: ReadEngine, selection: GroupSelection) -> ResultTable:
        """Return a row for each member that is counted in the period."""
        totals = await _Totals(engine, selection).of_members()
        everything = sum(each.energy or 0 for each in totals.values())
        members = [each for each in selection.members if each.id in totals]
        rows = [_row(member, totals[member.id], everything) async for member in in_turns(members)]
        place = _PLACES[self.by]

        def rank(row: Row) -> tuple[bool, int, str]:
            value = row[place]
            return value is None, -int(value or 0), str(row[0])

        # Ten thousand short rows are sorted within milliseconds.
        ranked = sorted(rows, key=rank)[: self.number]
        metadata = {**await selection.metadata(), **await group_left_out(engine, selection)}
        return ResultTable(
            RANKED_MEMBER_FIELDS, selection.zone, len(ranked), as_chunks(ranked), metadata
        )


def _row(member: CountedMeter, total: _MemberTotal, everything: int) -> Row:
    demand, at = split_max(total.greatest)
    area, energy = member.area, total.energy
    scaled_area = None if area is None else int(area * SCALE)
    per_area = None
    if area and energy is not None:
        exact = Fraction(energy) / area
        per_area = divide_rounded(exact.numerator, exact.denominator)
    expected = total.expected
    return (
        *(member.public_id, member.name, energy, ratio(energy, everything)),
        *(scaled_area, per_area, demand, at, expected, total.present),
        divide_rounded(total.present * SCALE, expected) if expected else None,
    )


class _Totals:
    """Sums up each member of a selection."""

    def __init__(self, engine: ReadEngine, selection: GroupSelection) -> None:
        self._engine = engine
        self._selection = selection

    async def of_members(self) -> dict[int, _MemberTotal]:
        """Return the totals of the members that are counted, by their ids."""
        selection = self._selection
        totals: dict[int, _MemberTotal] = {}
        kept: dict[Bounds, dict[int, int]] = defaultdict(dict)
        scanned: dict[Bounds, dict[int, int]] = defaultdict(dict)
        async for piece in in_pieces(selection.members):
            for member in piece:
                segments = selection.segments(member, selection.start, selection.until)
                for segment in segments:
                    some = kept if selection.keeps(member) else scanned
                    some[segment.start, segment.end][member.id] = segment.weight
                    readings = member.grid.expected(segment.start, segment.end)
                    total = totals.setdefault(member.id, _MemberTotal())
                    if total.expected is not None:
                        total.expected = None if readings is None else total.expected + readings
        for bounds, weights in kept.items():
            for meter_id in await self._add_kept(totals, bounds, weights):
                scanned[bounds][meter_id] = weights[meter_id]
        for bounds, weights in scanned.items():
            await self._add_scanned(totals, bounds, weights)
        return totals

    async def _add_kept(
        self, totals: dict[int, _MemberTotal], bounds: Bounds, weights: dict[int, int]
    ) -> list[int]:
        """Take in the kept days of meters between two instants; return which have to be scanned.

        These are those with a day that lies over one of the instants.
        """
        dialect = self._engine.dialect
        greatest = f"MAX({day_expression(_MAXIMETER, dialect)})"
        ends = dialect.unix_seconds("MIN(first_utc)"), dialect.unix_seconds("MAX(last_utc)")
        days = days_between(self._selection.zone, *bounds)
        left: list[int] = []
        async for ids in in_pieces(weights, METERS_AT_ONCE):
            where = kept_days(dialect, ids, days, bounds, is_clean=self._selection.is_clean)
            statement = dialect.group_sums(
                "meter_id", [*ends, "SUM(energy)", "SUM(present)", greatest], where.text
            )
            rows = await self._engine.fetch(statement, where.args)
            async for meter_id, first, last, *sums, highest in in_turns(dialect.parse_groups(rows)):
                if bounds[0] <= first and last < bounds[1]:
                    number = None if highest is None else int(highest) - dialect.max_with_time_zero
                    _take(totals[meter_id], [*sums, number], weights[meter_id])
                else:
                    left.append(meter_id)
        return left

    async def _add_scanned(
        self, totals: dict[int, _MemberTotal], bounds: Bounds, weights: dict[int, int]
    ) -> None:
        """Take in the readings of meters between two instants."""
        periods = [MeterPeriod(meter_id, *bounds) async for meter_id in in_turns(weights)]
        names = (*_SUMMED, ANY_VALUE)
        async with aclosing(read_meter_columns(self._engine, periods, names)) as readings:
            async for batch in readings:
                for meter_id, *sums in await in_thread(self._sums, batch):
                    _take(totals[meter_id], sums, weights[meter_id])

    def _sums(self, batch: Batch) -> list[Sequence[Any]]:
        """Return, of the readings of meters, what is taken in."""
        found: list[Sequence[Any]] = []
        for meter_id, columns in batch:
            counted = columns.without_flags(self._selection.left_out)
            if len(counted):
                ((*sums, greatest),) = part_values(parts_of(counted, _ONE_GROUP, _PARTS), _PARTS)
                (present,) = group_counts(counted.quantities[ANY_VALUE], _ONE_GROUP)
                found.append((meter_id, *sums, present, greatest))
        return found


def _take(total: _MemberTotal, sums: Sequence[int | None], weight: int) -> None:
    """Take in the sums of some readings."""
    energy, present, greatest = sums
    if energy is not None:
        total.energy = (total.energy or 0) + weight * energy
    total.present += present or 0
    if greatest is not None:
        total.greatest = greatest if total.greatest is None else max(total.greatest, greatest)

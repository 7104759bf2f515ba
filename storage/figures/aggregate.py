"""Readings put together for longer intervals: the database sums up, little by little."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from domain.fixed_point import SCALE, divide_rounded
from domain.flags import CATCH_UP, IMPLAUSIBLE, ZERO_VOLTAGE
from domain.parameters import Choice, Parameter, Params, csv_pattern
from domain.quantities import QUANTITY_NAMES
from domain.readings_query import QueryError
from domain.time_buckets import BUCKET_SIZES, MAX_BUCKETS, Buckets, BucketSize
from domain.time_zone import TimeZone, UnknownZoneError, load_time_zone
from storage.backends.base import ReadEngine
from storage.backends.dialect import YEAR_0_TO_1970_SECONDS
from storage.common.prefetch import prefetch
from storage.figures.aggregation_rules import (
    GREATEST,
    AggregatePart,
    Measures,
    PartValues,
    merge_parts,
    parse_measures,
    sql_expression,
)
from storage.figures.result import Field, FieldType, ResultTable, Row, chunks, empty_table
from storage.figures.scan import TimeChunk, plan_scan, time_chunks
from storage.figures.selection import (
    ANY_VALUE,
    PERIOD_PARAMETERS,
    QUALITY,
    Period,
    Selection,
    select,
)
from storage.readings.pager import PAGES_IN_FLIGHT

DOUBTFUL_BITS = CATCH_UP.bit | IMPLAUSIBLE.bit | ZERO_VOLTAGE.bit
"""The flags that count as such; a missing reading is not present to begin with."""

BOUNDS = (
    Field("date", FieldType.INSTANT, "Start"),
    Field("end", FieldType.INSTANT, "End, which doesn't belong to it"),
)
COVERAGE = (
    Field("expected", FieldType.COUNT, "Readings that the meter should have written"),
    Field("present", FieldType.COUNT, "Readings with any value"),
    Field("flagged", FieldType.COUNT, "Readings flagged catch_up, implausible or zero_voltage"),
    Field("coverage", FieldType.QUANTITY, "Present over expected"),
)

_INTERVAL = Choice(
    "interval",
    "How long the time is that a record stands for.",
    "day",
    is_required=True,
    choices=BUCKET_SIZES,
    expected=f"one of {', '.join(BUCKET_SIZES)}",
)
_COLUMNS = Parameter(
    "columns",
    f"What to put together: any of {', '.join(QUANTITY_NAMES)}; by default all.",
    ",".join(QUANTITY_NAMES),
    csv_pattern("|".join(QUANTITY_NAMES)),
)
_TIMEZONE = Parameter(
    "timezone",
    "The zone, by its IANA name, whose days and months they are and that date and end_date are "
    "in; by default the meter's.",
    "Europe/Madrid",
)

Group = tuple[int, PartValues]
"""Some readings of one bucket: an instant of it, and their parts."""


@dataclass(frozen=True, slots=True)
class Aggregate:
    """Buckets of a length, and the columns that are put together in them."""

    period: Period
    interval: BucketSize
    measures: Measures
    timezone: str | None

    parameters: ClassVar[Sequence[Parameter]] = (
        *(_INTERVAL, *PERIOD_PARAMETERS),
        *(_COLUMNS, _TIMEZONE, QUALITY),
    )

    @property
    def key(self) -> str:
        """A text that is the same for questions that have the same answer."""
        return (
            f"aggregate {self.interval.name} {self.measures.key} {self.timezone} {self.period.key}"
        )

    @property
    def fields(self) -> Sequence[Field]:
        """The fields of a row."""
        return (*BOUNDS, *self.measures.fields, *COVERAGE)

    @classmethod
    def of(cls, params: Params) -> Self:
        """Parse the parameters of a request; raise QueryError."""
        interval = _INTERVAL.parse(params)
        measures = parse_measures(params.get("columns"))
        timezone = params.get("timezone")
        if timezone is not None and not timezone.isascii():
            raise _unknown(timezone)
        return cls(Period.of(params), interval, measures, timezone)

    async def table(self, engine: ReadEngine) -> ResultTable:
        """A row for each bucket; raises QueryError where there can be none of that length."""
        own = None if self.timezone is None else await self._zone(self.timezone)
        asked = await select(engine, self.period, own)
        if asked is None:
            return empty_table(self.fields)
        if self.interval.shortest < asked.meter.interval:
            raise QueryError(
                "interval",
                f"expected no less than the {asked.meter.interval} seconds between readings, "
                f"got {self.interval.name}",
            )
        buckets = await self._buckets(asked)
        rows = _Sums(engine, asked, self.measures, self.interval).rows(buckets)
        return ResultTable(
            self.fields, asked.zone, len(buckets), rows, await asked.left_out(engine)
        )

    async def _zone(self, name: str) -> TimeZone:
        try:
            return await load_time_zone(name)
        except UnknownZoneError:
            raise _unknown(name) from None

    async def _buckets(self, asked: Selection) -> Buckets:
        if (asked.end - asked.start) // self.interval.shortest <= MAX_BUCKETS:
            buckets = await asyncio.to_thread(
                Buckets, self.interval, asked.zone, asked.start, asked.end
            )
            if len(buckets) <= MAX_BUCKETS:
                return buckets
        raise QueryError(
            "interval",
            f"expected at most {MAX_BUCKETS:,} records, and this would be more: "
            "choose a longer interval, or a shorter time with date and end_date",
        )


def coverage(
    asked: Selection, start: int, end: int, present: int | None, flagged: int | None
) -> Sequence[int | None]:
    """The values of COVERAGE for so many readings between two instants; None means 0."""
    expected = asked.expected(start, end)
    coverage = divide_rounded((present or 0) * SCALE, expected) if expected else None
    return expected, present or 0, flagged or 0, coverage


def _unknown(timezone: str) -> QueryError:
    return QueryError("timezone", f"expected a name like Europe/Madrid, got {timezone[:40]!a}")


class _Sums:
    """The sums of a scope, for buckets of a length."""

    def __init__(
        self, engine: ReadEngine, asked: Selection, wanted: Measures, interval: BucketSize
    ) -> None:
        self._engine = engine
        self._dialect = engine.dialect
        self._asked = asked
        self._measures = wanted
        self._size = interval.size
        # How many are flagged is counted by another statement, and stands behind the others.
        self._summed: list[AggregatePart] = [*wanted.parts, ("COUNT", ANY_VALUE)]
        self._parts: list[AggregatePart] = [*self._summed, ("COUNT", "flags")]
        self._greatest = [
            place for place, (function, _) in enumerate(self._summed) if function == GREATEST
        ]
        self._nothing: PartValues = [None] * len(self._parts)

    async def rows(self, buckets: Buckets) -> AsyncGenerator[Sequence[Row]]:
        """The rows of all buckets, in order."""
        filling = _Filling(0, self._nothing)
        async with aclosing(prefetch(self._jobs(), PAGES_IN_FLIGHT)) as results:
            async for groups in results:
                for rows in chunks(self._filled(buckets, filling, groups)):
                    yield rows
        for rows in chunks(self._rest(buckets, filling)):
            yield rows

    def _filled(
        self, buckets: Buckets, filling: "_Filling", groups: Sequence[Group]
    ) -> Iterator[Row]:
        """The rows of the buckets that further groups lie behind."""
        for instant, parts in groups:
            place = buckets.place(instant)
            while filling.place < place:
                yield self._row(*buckets[filling.place], filling.parts)
                filling.place, filling.parts = filling.place + 1, self._nothing
            if filling.parts is self._nothing:
                filling.parts = parts
            else:
                filling.parts = merge_parts(self._parts, filling.parts, parts)

    def _rest(self, buckets: Buckets, filling: "_Filling") -> Iterator[Row]:
        for place in range(filling.place, len(buckets)):
            yield self._row(*buckets[place], filling.parts)
            filling.parts = self._nothing

    async def _jobs(self) -> AsyncGenerator[Coroutine[Any, Any, list[Group]]]:
        for window in time_chunks(self._asked, self._size):
            yield self._groups(window)

    async def _groups(self, window: TimeChunk) -> list[Group]:
        """The parts of a window's readings, in the order of time; several may be of one bucket."""
        place = await plan_scan(self._engine, self._asked, window=window)
        if place.is_empty:
            return []
        local = f"{self._dialect.seconds.format('utc')} + {window.offset}"
        number = self._dialect.quotient.format(local, self._size)
        sums = [sql_expression(part, self._dialect) for part in self._summed]
        rows = await self._engine.fetch(
            self._dialect.grouped(number, sums, f"{place.table} WHERE {place.where.text}"),
            place.where.args,
        )
        groups = self._dialect.groups(rows)
        flagged = await self._engine.fetch(
            f"SELECT {number} AS number, COUNT(*) FROM {place.flagged.text}"
            f" AND flags & {DOUBTFUL_BITS} <> 0 GROUP BY number",
            place.flagged.args,
        )
        counts = {row[0]: row[1] for row in flagged}
        first = YEAR_0_TO_1970_SECONDS + window.offset
        made: list[Group] = []
        for number, *parts in groups:
            for at in self._greatest:
                if parts[at] is not None:
                    parts[at] = int(parts[at]) - self._dialect.greatest_base
            parts.append(counts.get(number))
            # A group may have begun in the window before.
            made.append((max(number * self._size - first, window.start), parts))
        return made

    def _row(self, start: int, end: int, parts: PartValues) -> Row:
        *_, present, flagged = parts
        values = self._measures.values(parts)
        return (start, end, *values, *coverage(self._asked, start, end, present, flagged))


@dataclass(slots=True)
class _Filling:
    """The bucket that is being filled."""

    place: int
    parts: PartValues

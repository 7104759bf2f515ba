"""Aggregates of readings by time bucket: the database sums up, chunk by chunk."""

from collections.abc import AsyncGenerator, Coroutine, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, ClassVar, Self

from domain.fixed_point import SCALE, divide_rounded
from domain.flags import CATCH_UP, FLAGGED_BITS, FLAGS
from domain.parameters import Choice, Parameter, Params, csv_pattern
from domain.quantities import QUANTITY_NAMES
from domain.readings_query import QueryError
from domain.record_layout import FLAGS_COLUMN
from domain.time.time_buckets import (
    BUCKET_SIZES,
    MAX_BUCKETS,
    Buckets,
    BucketSize,
    bucket_edges,
    edges_around,
)
from domain.time.time_zone import DAY_SECONDS, TimeZone, UnknownZoneError, load_time_zone
from storage.backends.base import ReadEngine
from storage.backends.dialect import YEAR_0_TO_1970_SECONDS
from storage.common.prefetch import prefetch
from storage.common.turns import in_pieces, in_turns
from storage.figures.aggregation_rules import (
    FLAGGED,
    GREATEST,
    PRESENT,
    AggregatePart,
    Measures,
    PartsByLength,
    PartValues,
    flag_part,
    merge_parts,
    parse_measures,
    sql_expression,
)
from storage.figures.days.catch_ups import ENERGY_SINCE, energy_since
from storage.figures.days.quality import quality_of
from storage.figures.days.stretches import Stretch, day_stretches, may_derive
from storage.figures.result import Field, FieldType, ResultTable, Row, as_chunks
from storage.figures.scan import TimeChunk, plan_scan, time_chunks
from storage.figures.selection import (
    PERIOD_PARAMETERS,
    QUALITY,
    Period,
    Selection,
    interval_note,
    select,
)
from storage.meters import Meter

BOUNDS = (
    Field("date", FieldType.INSTANT, "Start"),
    Field("end", FieldType.INSTANT, "End, exclusive"),
)
COVERAGE = (
    Field("expected", FieldType.COUNT, "Readings that the meter should have written"),
    Field("present", FieldType.COUNT, "Readings with any value"),
    Field("flagged", FieldType.COUNT, "Readings flagged catch_up, implausible or zero_voltage"),
    Field("coverage", FieldType.QUANTITY, "Present over expected", "1"),
)
FLAG_FIELDS = tuple(
    Field(f"flag_{flag.name}", FieldType.COUNT, f"Readings: {flag.means}") for flag in FLAGS
)


PARTIAL = Field(
    "partial",
    FieldType.COUNT,
    "1 if the period, or the first or last reading, cuts the interval of the record, otherwise 0;"
    " null if the readings' own interval is unknown there",
)

_INTERVAL = Choice(
    "interval",
    "Length of the interval of a record.",
    "day",
    is_required=True,
    choices=BUCKET_SIZES,
    expected=f"one of {', '.join(BUCKET_SIZES)}",
)
_COLUMNS = Parameter(
    "columns",
    f"Quantities to aggregate: any of {', '.join(QUANTITY_NAMES)}; by default all of these. And"
    f" {FLAGS_COLUMN}: the number of readings with each flag.",
    ",".join(QUANTITY_NAMES),
    csv_pattern("|".join((*QUANTITY_NAMES, FLAGS_COLUMN))),
)
_TIMEZONE = Parameter(
    "timezone",
    "IANA time zone of the days and months, and of date and end_date; by default the meter's.",
    "Europe/Madrid",
)

FOLLOWING = "following"
"""Names, in the metadata, the start of the first record that the limit left out."""

_PIECE_PARTS = 2000
"""Days, hours or quarters that are looked at in one go."""

SEARCHED_SECONDS = 4000 * DAY_SECONDS
"""Time in which one statement looks for catch-ups, from the first one on."""

Group = tuple[int, PartValues]
"""Some readings of one bucket and interval: the instant of one, and their aggregates."""

_Missing = tuple[int | None, int | None]
"""An end of the period, and how many readings its bucket lacks, None if that is unknown."""


@dataclass(frozen=True, slots=True)
class Aggregate:
    """A query for columns aggregated by buckets of one size."""

    period: Period
    interval: BucketSize
    measures: Measures
    timezone: str | None
    limit: int | None = None
    """The most records; where there are more, the metadata has the `next` one's start."""

    parameters: ClassVar[Sequence[Parameter]] = (
        *(_INTERVAL, *PERIOD_PARAMETERS),
        *(_COLUMNS, _TIMEZONE, QUALITY),
    )

    @property
    def key(self) -> str:
        """A text that is equal for queries with the same result."""
        return (
            f"aggregate {self.interval.name} {self.measures.key} {self.timezone} {self.period.key}"
            f"{'' if self.limit is None else f' {self.limit}'}"
        )

    @property
    def fields(self) -> Sequence[Field]:
        """The fields of a row."""
        flags = FLAG_FIELDS if self.measures.has_flags else ()
        return (*BOUNDS, *self.measures.fields, *COVERAGE, PARTIAL, *self._since, *flags)

    @property
    def _since(self) -> Sequence[Field]:
        return (ENERGY_SINCE,) if self.measures.has_energy else ()

    @classmethod
    def of(cls, params: Params) -> Self:
        """Parse the parameters of a request; raise QueryError."""
        interval = _INTERVAL.parse(params)
        measures = parse_measures(params.get("columns"))
        timezone = params.get("timezone")
        if timezone is not None and not timezone.isascii():
            raise _unknown(timezone)
        return cls(Period.of(params), interval, measures, timezone)

    async def select(self, engine: ReadEngine, meter: Meter) -> Selection | None:
        """Return the readings of the period in the zone; raise QueryError if there is none."""
        zone = None if self.timezone is None else await self._zone(self.timezone)
        return await select(engine, meter, self.period, zone)

    def scanned(self, selection: Selection) -> int:
        """Return how many readings of a selection are read: not those of days that are kept."""
        is_of_days = self.interval.number is not None and selection.has_days
        return selection.readings_of_cut_days if is_of_days else selection.readings

    async def table(self, engine: ReadEngine, selection: Selection) -> ResultTable:
        """Return a row for each bucket; raise QueryError if the size does not fit."""
        longest = max((seconds for seconds in selection.lengths if seconds), default=0)
        if self.interval.min_seconds < longest:
            raise QueryError(
                "interval",
                f"expected no less than the {longest} seconds between readings, "
                f"got {self.interval.name}",
            )
        if self.interval.is_exact:
            self._require_multiple(selection)
        buckets = await self._buckets(selection)
        metadata: dict[str, str | Mapping[str, str]] = {}
        if self.limit is not None and len(buckets) > self.limit:
            following, _ = buckets[self.limit]
            buckets = buckets.first(self.limit)
            selection = replace(selection, until=following)
            metadata[FOLLOWING] = str(following)
        measures = self.measures
        if measures.may_derive and not await may_derive(engine, selection):
            measures = measures.without_derived()
        rows = _BucketSums(engine, selection, measures, self.interval).rows(buckets)
        metadata |= {**await quality_of(engine, selection), **interval_note(selection)}
        return ResultTable(self.fields, selection.zone, len(buckets), rows, metadata)

    def _require_multiple(self, selection: Selection) -> None:
        """Raise QueryError where readings would belong to two buckets."""
        for seconds in sorted(each for each in selection.lengths if each):
            if self.interval.size % seconds:
                raise QueryError(
                    "interval",
                    f"expected a multiple of the {seconds} seconds between readings,"
                    f" got {self.interval.size} seconds",
                )

    async def _zone(self, name: str) -> TimeZone:
        try:
            return await load_time_zone(name)
        except UnknownZoneError:
            raise _unknown(name) from None

    async def _buckets(self, selection: Selection) -> Buckets:
        _, edge = edges_around(self.interval, selection.zone, selection.until)
        # Beside the grid of the readings, the end of the last interval may be that of no bucket.
        end = selection.until if edge == selection.until else selection.end
        if (end - selection.start) // self.interval.min_seconds <= MAX_BUCKETS:
            buckets = Buckets()
            edges = bucket_edges(self.interval, selection.zone, selection.start, end)
            # To find an edge, all parts of its bucket are looked at.
            parts = self.interval.min_seconds // self.interval.size
            async for piece in in_pieces(edges, max(1, _PIECE_PARTS // parts)):
                buckets.extend(piece)
            if len(buckets) <= MAX_BUCKETS:
                return buckets
        raise QueryError(
            "interval",
            f"expected at most {MAX_BUCKETS:,} records, and this would be more: "
            f"choose a longer interval, or a shorter time with {' and '.join(self.period.names)}",
        )


def coverage(
    selection: Selection, start: int, end: int, present: int | None, flagged: int | None
) -> Sequence[int | None]:
    """Return the values of COVERAGE between two instants; None means 0.

    What is expected is None where the interval is unknown.
    """
    expected = selection.grid.expected(start, end)
    coverage = divide_rounded((present or 0) * SCALE, expected) if expected else None
    return expected, present or 0, flagged or 0, coverage


def _unknown(timezone: str) -> QueryError:
    return QueryError("timezone", f"expected a name like Europe/Madrid, got {timezone[:40]!a}")


class _BucketSums:
    """Sums of a selection by bucket."""

    def __init__(
        self,
        engine: ReadEngine,
        selection: Selection,
        measures: Measures,
        interval: BucketSize,
    ) -> None:
        self._engine = engine
        self._dialect = engine.dialect
        self._selection = selection
        self._measures = measures
        self._interval = interval
        self._since: dict[int, int] = {}
        """See `energy_since`."""
        self._is_searched = False
        """Whether all catch-ups are looked for at once, rather than those of each chunk."""
        # How many are flagged is counted by another statement, and comes after the others.
        self._summed: list[AggregatePart] = [*measures.parts, PRESENT]
        flags = FLAGS if measures.has_flags else (CATCH_UP,) if measures.has_energy else ()
        counts = [FLAGGED, *map(flag_part, flags)]
        self._parts = [*self._summed, *counts]
        self._catch_ups = self._parts.index(flag_part(CATCH_UP)) if measures.has_energy else None
        """Where their number is among the parts; None where the energy is not asked for."""
        bits = [FLAGGED_BITS, *(flag.bit for flag in flags)]
        self._flag_counts = ", ".join(
            f"COUNT(CASE WHEN flags & {bit} <> 0 THEN 1 END)" for bit in bits
        )
        self._nothing_flagged: PartValues = [None] * len(bits)
        self._max_parts = [
            index for index, (function, _) in enumerate(self._summed) if function == GREATEST
        ]
        self._nothing: PartValues = [None] * len(self._parts)
        self._missing: tuple[_Missing, _Missing] = ((None, 0), (None, 0))
        self._intervals = selection.meter.intervals
        self._has_lengths = len(selection.lengths) > 1
        """Whether its readings have several intervals."""
        self._length = self._intervals.at(max(selection.start, selection.first_reading))

    async def rows(self, buckets: Buckets) -> AsyncGenerator[Sequence[Row]]:
        """Yield the rows of all buckets, in order."""
        self._missing = self._missing_at(buckets)
        bucket = _OpenBucket(0, {})
        jobs = self._jobs(buckets) if self._interval.number is None else self._jobs_by_day(buckets)
        async with aclosing(prefetch(jobs)) as results:
            async for groups in results:
                async for rows in as_chunks(self._filled(buckets, bucket, groups)):
                    yield rows
        async for rows in as_chunks(self._rest(buckets, bucket)):
            yield rows

    def _filled(
        self, buckets: Buckets, bucket: "_OpenBucket", groups: Sequence[Group]
    ) -> Iterator[Row]:
        """Yield the rows of the buckets before those of further groups."""
        for instant, parts in groups:
            index = buckets.index(instant)
            while bucket.index < index:
                yield self._row(*buckets[bucket.index], bucket.parts)
                bucket.index, bucket.parts = bucket.index + 1, {}
            length = self._intervals.at(instant) if self._has_lengths else self._length
            before = bucket.parts.get(length)
            bucket.parts[length] = (
                parts if before is None else merge_parts(self._parts, [before, parts])
            )

    def _rest(self, buckets: Buckets, bucket: "_OpenBucket") -> Iterator[Row]:
        for index in range(bucket.index, len(buckets)):
            yield self._row(*buckets[index], bucket.parts)
            bucket.parts = {}

    def _length_at(self, instant: int) -> int | None:
        """Return the interval of a reading, None if it is unknown."""
        return self._intervals.at(instant) if self._has_lengths else self._length

    async def _jobs(self, buckets: Buckets) -> AsyncGenerator[Coroutine[Any, Any, list[Group]]]:
        chunks = [
            chunk
            for part, _ in self._selection.by_span()
            for chunk in time_chunks(part, self._interval.size)
        ]
        if self._catch_ups is not None and len(chunks) > 1:
            self._is_searched = True
            yield self._search(buckets, self._selection.start, self._selection.until)
        for chunk in chunks:
            yield self._groups(chunk, buckets)

    async def _jobs_by_day(
        self, buckets: Buckets
    ) -> AsyncGenerator[Coroutine[Any, Any, list[Group]]]:
        """Yield what returns the groups of days whose sums are kept, and what scans the others."""

        def is_alike(first: int, last: int) -> bool:
            is_one_span = len(self._intervals.within(first, last + 1)) == 1
            return is_one_span and buckets.has_both(first, last)

        is_one = is_alike if self._has_lengths else buckets.has_both
        searched = self._selection.start
        stretches = day_stretches(self._engine, self._selection, self._parts, is_one)
        async with aclosing(stretches):
            async for some in stretches:
                for is_known, run in groupby(some, lambda stretch: stretch.parts is not None):
                    if is_known:
                        known = [*run]
                        caught_up = self._caught_up(known)
                        if caught_up is not None and caught_up >= searched:
                            searched = caught_up + SEARCHED_SECONDS
                            yield self._search(buckets, caught_up, searched)
                        yield self._known(buckets, known)
                        continue
                    for stretch in run:
                        scanned = replace(self._selection, start=stretch.start, until=stretch.end)
                        for part, _ in scanned.by_span():
                            for chunk in time_chunks(part, self._interval.size):
                                yield self._groups(chunk, buckets)

    def _caught_up(self, stretches: Sequence[Stretch]) -> int | None:
        """Return the start of the first stretch that has catch-ups, None if none matters."""
        at = self._catch_ups
        if at is None:
            return None
        return next((each.start for each in stretches if each.parts and each.parts[at]), None)

    async def _search(self, buckets: Buckets, start: int, end: int) -> list[Group]:
        """Find out from when the energy of catch-ups is; return no groups."""
        part = replace(self._selection, start=start, until=min(end, self._selection.until))
        self._since |= await energy_since(self._engine, part, buckets)
        return []

    async def _known(self, buckets: Buckets, stretches: Sequence[Stretch]) -> list[Group]:
        """Return the groups of stretches that need no scan, one for each bucket and interval."""

        def key(stretch: Stretch) -> tuple[int, int | None]:
            return buckets.index(stretch.start), self._length_at(stretch.start)

        groups: list[Group] = []
        for _, run in groupby(stretches, key):
            days = [*run]
            parts = [day.parts for day in days if day.parts is not None]
            groups.append((days[0].start, merge_parts(self._parts, parts)))
        return groups

    async def _groups(self, chunk: TimeChunk, buckets: Buckets) -> list[Group]:
        """Return the groups of a chunk, in order of time; several may be of one bucket."""
        plan = await plan_scan(self._engine, self._selection, chunk=chunk)
        if plan.is_empty:
            return []
        local = f"{self._dialect.year_0_seconds('utc')} + {chunk.offset}"
        number = self._dialect.int_div(local, self._interval.size)
        sums = [sql_expression(part, self._dialect) for part in self._summed]
        rows = await self._engine.fetch(
            self._dialect.group_sums(number, sums, f"{plan.table} WHERE {plan.where.text}"),
            plan.where.args,
        )
        flagged = await self._engine.fetch(
            f"SELECT {number} AS number, {self._flag_counts} FROM {plan.flagged.text}"
            " GROUP BY number",
            plan.flagged.args,
        )
        counts = {row[0]: row[1:] for row in flagged}
        at = self._catch_ups
        if (
            at is not None
            and not self._is_searched
            and any(row[at - len(self._summed)] for row in counts.values())
        ):
            await self._search(buckets, chunk.start, chunk.end)
        first = YEAR_0_TO_1970_SECONDS + chunk.offset
        made: list[Group] = []
        async for number, *parts in in_turns(self._dialect.parse_groups(rows)):
            for at in self._max_parts:
                if parts[at] is not None:
                    parts[at] = int(parts[at]) - self._dialect.max_with_time_zero
            parts.extend(counts.get(number, self._nothing_flagged))
            # A group may have begun in the chunk before.
            start = max(number * self._interval.size - first, chunk.start)
            made.append((start, parts))
        return made

    def _row(self, start: int, end: int, by_length: PartsByLength) -> Row:
        by_length = by_length or {None: self._nothing}
        parts = merge_parts(self._parts, [*by_length.values()])
        at = len(self._summed)
        since = () if self._catch_ups is None else (self._since.get(start),)
        flags = [count or 0 for count in parts[at + 1 :]] if self._measures.has_flags else ()
        return (
            *(start, end, *self._measures.values(parts, by_length)),
            *coverage(self._selection, start, end, parts[at - 1], parts[at]),
            *(self._partial(start, end), *since, *flags),
        )

    def _partial(self, start: int, end: int) -> int | None:
        (first, before), (last, after) = self._missing
        if start != first and end != last:
            return 0
        missing = [before] if start == first else []
        if end == last:
            missing.append(after)
        if any(missing):
            return 1
        return None if None in missing else 0

    def _missing_at(self, buckets: Buckets) -> tuple[_Missing, _Missing]:
        """Return the start and the end of the period, each with how many readings are expected in
        what is missing of its bucket, None if that is unknown."""
        selection, grid = self._selection, self._selection.grid
        (start, _), (_, end) = buckets[0], buckets[len(buckets) - 1]
        begin, _ = edges_around(self._interval, selection.zone, start)
        _, finish = edges_around(self._interval, selection.zone, end)
        return (
            (start, grid.expected(begin, start) if begin < start else 0),
            (end, grid.expected(end, finish) if end < finish else 0),
        )


@dataclass(slots=True)
class _OpenBucket:
    """The bucket that groups are being merged into."""

    index: int
    parts: dict[int | None, PartValues]

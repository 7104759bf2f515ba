"""Aggregates of readings by time bucket."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from domain.fixed_point import SCALE, divide_rounded
from domain.flags import FLAGS
from domain.parameters import Choice, Parameter, Params, csv_pattern
from domain.quantities import QUANTITY_NAMES
from domain.readings_query import QueryError
from domain.record_layout import FLAGS_COLUMN
from domain.time.time_buckets import (
    BUCKET_SIZES,
    MAX_BUCKETS,
    Buckets,
    BucketSize,
    edge_arrays,
    edges_around,
)
from domain.time.time_zone import TimeZone, UnknownZoneError, load_time_zone
from storage.backends.base import ReadEngine
from storage.common.turns import in_thread
from storage.figures.days.catch_ups import ENERGY_SINCE
from storage.figures.days.quality import quality_of
from storage.figures.days.stretches import may_derive
from storage.figures.result import Field, FieldType, ResultTable
from storage.figures.selection import (
    PERIOD_PARAMETERS,
    QUALITY,
    Period,
    Selection,
    interval_note,
    select,
)
from storage.figures.sums.bucket_sums import BucketSums
from storage.figures.sums.measures import Measures, parse_measures
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
        sums = await in_thread(BucketSums, engine, selection, measures, self.interval, buckets)
        metadata |= {**await quality_of(engine, selection), **interval_note(selection)}
        return ResultTable(self.fields, selection.zone, len(buckets), sums.rows(), metadata)

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
            edges = edge_arrays(self.interval, selection.zone, selection.start, end)
            buckets = await in_thread(Buckets.of, edges)
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

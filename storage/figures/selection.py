"""Selections: the readings that figures are computed from, and their SQL."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, time, timedelta
from typing import Self

from domain.flags import IMPLAUSIBLE, Flag
from domain.parameters import DATE_PATTERN, Parameter, Params, either
from domain.readings_query import LAST_INSTANT, QueryError, parse_bound
from domain.time.sampling_interval import IntervalSpan, ReadingGrid
from domain.time.time_zone import DAY_SECONDS, TimeZone
from storage.backends.base import ReadEngine
from storage.backends.dialect import (
    Condition,
    Dialect,
    ReadingsTable,
    readings_of,
    to_unix_seconds,
)
from storage.meters import Meter

YEAR_SECONDS = 366 * DAY_SECONDS
MAX_PERIOD = 400 * YEAR_SECONDS
"""The most seconds of a period: its clock changes are searched day by day."""

QUALITY = either(
    "quality",
    "With clean, implausible readings are excluded; left_out contains their number and kWh.",
    ("raw", "clean"),
)
_END = either("end", "Whether a reading at the end is included.", ("inclusive", "exclusive"))
PERIOD_PARAMETERS = (
    Parameter(
        "date",
        "Start, inclusive: a local time or its beginning, such as 2019-09, or an instant such as "
        "2019-09-01T00:00:00+02:00. By default the first reading.",
        pattern=DATE_PATTERN,
    ),
    Parameter(
        "end_date",
        "End: a date, month or year is included as a whole, or not at all with end=exclusive. By "
        "default the last reading.",
        pattern=DATE_PATTERN,
    ),
    _END,
)

_DAY = timedelta(days=1)
_LAST_LOCAL = LAST_INSTANT.replace(tzinfo=None) - timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Period:
    """Bounds in local time or as instants in UTC, None for those of the readings.

    Both belong to the period, unless the end `is_exclusive`. `is_clean` leaves out what is flagged
    as implausible.
    """

    first: datetime | None = None
    last: datetime | None = None
    is_exclusive: bool = False
    is_clean: bool = False
    names: tuple[str, str] = field(default=("date", "end_date"), compare=False)
    """The parameters that the bounds are from."""

    @property
    def key(self) -> str:
        """A text that is equal for equal periods."""
        return f"{self.first}/{self.last}/{self.is_exclusive:d}/{self.is_clean:d}"

    @classmethod
    def of(cls, params: Params) -> Self:
        """Parse the parameters `date`, `end_date`, `end` and `quality`; raise QueryError."""
        is_exclusive = _END.parse(params) == "exclusive"
        is_clean = QUALITY.parse(params) == "clean"
        first = last = None
        if "date" in params:
            first = parse_bound("date", params["date"]).first
            if first.tzinfo is None and first > _LAST_LOCAL:
                raise _too_late("date", first)
        if "end_date" in params:
            bound = parse_bound("end_date", params["end_date"])
            last = bound.first if is_exclusive else bound.last
            if not bound.is_instant:
                # The year 9999 is as good as no bound.
                last = min(last, max(bound.first, _LAST_LOCAL))
                if last > _LAST_LOCAL:
                    raise _too_late("end_date", last)
            if first and first.tzinfo is last.tzinfo and max(last, bound.first) < first:
                raise cls(first, last).reversed()
        return cls(first, last, is_exclusive, is_clean)

    @classmethod
    def half_open(cls, params: Params, names: tuple[str, str], *, is_clean: bool) -> Self:
        """Parse the parameters with these names as bounds, without the second; raise QueryError."""
        first, last = (
            parse_bound(name, params[name]).first if name in params else None for name in names
        )
        for name, bound in zip(names, (first, last), strict=True):
            if bound is not None and bound.tzinfo is None and bound > _LAST_LOCAL:
                raise _too_late(name, bound)
        period = cls(first, last, is_exclusive=True, is_clean=is_clean, names=names)
        if first and last and first.tzinfo is last.tzinfo and last < first:
            raise period.reversed()
        return period

    def bounds(self, zone: TimeZone) -> tuple[int | None, int | None]:
        """Return the first instant, and the first one after the last, None for no bound."""
        start = end = None
        if self.first is not None:
            start = zone.first(self.first)
        if self.last is not None:
            end = zone.first(self.last) if self.is_exclusive else zone.after(self.last)
        if start is not None and end is not None and end < start:
            raise self.reversed()
        return start, end

    def reversed(self) -> QueryError:
        """Return the error that the end comes before the start."""
        start, end = self.names
        return QueryError(end, f"expected {self.first} ({start}) or later, got {self.last}")


@dataclass(frozen=True, slots=True)
class Selection:
    """The readings of a meter from `start` up to, and without, `until`.

    Readings are expected when the grid says; `end` is the first such moment that isn't before
    `until`. All are seconds since 1970-01-01 00:00:00 UTC.
    """

    meter: Meter
    grid: ReadingGrid
    """When readings of the meter are expected."""
    zone: TimeZone
    """The zone of the bounds, and of local times in the result."""
    first_reading: int
    """The start of the first reading that the client may see; the next is that of the last one."""
    last_reading: int
    start: int
    until: int
    is_clean: bool
    has_days: bool
    """Whether the sums of days in the meter's zone are those of its readings, and can be used."""
    stored: int
    """About how many readings the meter has, whatever their times."""

    @property
    def table(self) -> ReadingsTable:
        """The table of the meter's readings."""
        return readings_of(self.meter.id)

    @property
    def end(self) -> int:
        """The end of the last interval."""
        return self.grid.next_expected(self.until)

    @property
    def is_whole(self) -> bool:
        """Whether all readings belong to it, except those that a clean result leaves out."""
        is_all = self.start <= self.first_reading and self.until > self.last_reading
        return is_all and not self.meter.windows

    @property
    def readings(self) -> int:
        """The number of readings, if none is missing; at most all where that is unknown."""
        start, end = max(self.start, self.first_reading), min(self.until, self.last_reading + 1)
        expected = self.grid.expected(start, end) if start < end else 0
        return self.stored if expected is None else max(0, expected)

    @property
    def readings_of_cut_days(self) -> int:
        """The number of its readings in local days that it has a part of, if none is missing.

        At most all where that is unknown.
        """
        start, end = max(self.start, self.first_reading), min(self.until, self.last_reading + 1)
        first, last = start, end
        if start > self.first_reading:
            first = self._day(start)
            if first < start:
                first = self._day(start, 1)
        if end <= self.last_reading:
            last = self._day(end)
        if first >= last:
            return self.readings
        cut = [(start, first), (last, end)]
        numbers = [self.grid.expected(*bounds) for bounds in cut if bounds[0] < bounds[1]]
        known = [number for number in numbers if number is not None]
        return sum(known) if len(known) == len(numbers) else self.readings

    @property
    def spans(self) -> Sequence[IntervalSpan]:
        """The spans of intervals that its readings are of."""
        start = max(self.start, self.first_reading)
        return self.meter.intervals.within(start, min(self.until, self.last_reading + 1))

    @property
    def lengths(self) -> set[int | None]:
        """The intervals of its readings; None stands for an unknown one."""
        return {span.seconds for span in self.spans}

    def by_span(self) -> "Iterator[tuple[Selection, int | None]]":
        """Yield its parts that have one interval each, and that."""
        spans = self.spans
        ends = [*(span.first for span in spans[1:]), self.until]
        starts = [self.start, *(span.first for span in spans[1:])]
        for span, start, end in zip(spans, starts, ends, strict=True):
            yield replace(self, start=start, until=end), span.seconds

    def raw(self) -> "Selection":
        """Return the same selection, not clean."""
        return replace(self, is_clean=False)

    def where(
        self, dialect: Dialect, *flags: Flag, start: int | None = None, end: int | None = None
    ) -> Condition:
        """Select its readings, or a part of them, that have none of some flags."""
        start = self.start if start is None else max(start, self.start)
        end = self.until if end is None else min(end, self.until)
        within = self.table.where(
            Condition(
                f"utc >= {dialect.placeholder} AND utc < {dialect.placeholder}",
                (dialect.utc(start), dialect.utc(end)),
            )
        )
        bits = self.bits(*flags)
        return within & self.table.without_flags(bits) if bits else within

    def bits(self, *flags: Flag) -> int:
        """Return the bits of some flags, and of the one that a clean result leaves out."""
        all_flags = {*flags, IMPLAUSIBLE} if self.is_clean else {*flags}
        return sum(flag.bit for flag in all_flags)

    def _day(self, instant: int, later: int = 0) -> int:
        """Return the start of the local day of an instant, or of a later day."""
        day = self.zone.at(instant).date() + timedelta(days=later)
        return self.zone.first(datetime.combine(day, time.min))


def interval_note(selection: Selection) -> dict[str, str]:
    """Return why figures that need the interval are empty, if any are."""
    unknown = (span.first for span in selection.spans if span.seconds is None)
    first = next(unknown, None)
    if first is None:
        return {}
    since = selection.zone.at(first).isoformat()
    return {
        "interval_unknown": f"the interval of the readings from {since} on is not known, so that"
        " what depends on it is null: load them again with --interval SECONDS, or with the key"
        " interval of their format"
    }


async def select(
    engine: ReadEngine, meter: Meter, period: Period, zone: TimeZone | None = None
) -> Selection | None:
    """Select a meter's readings of a period; None if empty. Bounds are in a zone, or the meter's.

    Raise QueryError if the period is too long.
    """
    zone = zone or meter.zone
    clip = _clip(meter, period, zone) if meter.windows else (None, None)
    if clip is None:
        return None
    rows = await engine.fetch(_ends(engine.dialect, meter, *clip))
    if rows[0][0] is None:
        return None
    first, last = (to_unix_seconds(value) for value in rows[0][:2])
    grid = ReadingGrid(meter.intervals, first)
    begin, end = period.bounds(zone)
    start = first if begin is None else begin
    until = grid.due(last) + (meter.intervals.at(last) or 1) if end is None else end
    if until - start > MAX_PERIOD:
        raise QueryError(
            period.names[period.first is None],
            f"expected a period of at most {MAX_PERIOD // YEAR_SECONDS} years",
        )
    start = start if clip[0] is None else max(start, clip[0])
    until = until if clip[1] is None else min(until, clip[1])
    if start >= until:
        return None
    has_days = bool(rows[0][2]) and zone.name == meter.zone.name
    return Selection(
        *(meter, grid, zone, first, last, start, until, period.is_clean),
        has_days=has_days,
        stored=rows[0][3],
    )


def _ends(dialect: Dialect, meter: Meter, start: int | None, until: int | None) -> str:
    """Return what selects the first and the last reading between two instants, and their state."""
    seconds = dialect.year_0_seconds
    readings = f"{readings_of(meter.id).name} WHERE meter_id = {meter.id}"
    within = readings
    if start is not None:
        within += f" AND utc >= {dialect.instant(start)}"
    if until is not None:
        within += f" AND utc < {dialect.instant(until)}"
    # Each in a query of its own, for which SQLite looks at one end of the index.
    return (
        f"SELECT (SELECT {seconds('MIN(utc)')} FROM {within}),"
        f" (SELECT {seconds('MAX(utc)')} FROM {within}),"
        # An import keeps them; other programs do not, and TRUNCATE is not even counted.
        f" (SELECT changes = 0 AND last_id = (SELECT MAX(id) FROM {readings}) FROM states"
        f" WHERE meter_id = {meter.id}), (SELECT MAX(id) FROM {readings})"
    )


def _clip(meter: Meter, period: Period, zone: TimeZone) -> tuple[int | None, int | None] | None:
    """Return the bounds of the days that a client may see of a period, None if there are none.

    A bound is None where the days have none. Raise QueryError if they are of several windows.
    """
    met = []
    begin, end = period.bounds(zone)
    for window in meter.windows:
        start, until = window.bounds(meter.zone)
        is_later = start is not None and end is not None and start >= end
        is_earlier = until is not None and begin is not None and until <= begin
        if not (is_later or is_earlier):
            met.append((start, until))
    if len(met) > 1:
        windows = ", ".join(map(str, meter.windows))
        raise QueryError(
            period.names[0],
            "expected a period within one of those that you may see, with"
            f" {' and '.join(period.names)}: {windows}",
        )
    return met[0] if met else None


def _too_late(parameter: str, bound: datetime) -> QueryError:
    return QueryError(parameter, f"expected a time before {LAST_INSTANT:%Y-%m-%d}, got {bound}")

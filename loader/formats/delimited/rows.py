"""Reading the rows of a report in a configured format."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import repeat

import numpy as np

from domain.columns import Bits, Column
from domain.time.local_time import DUPLICATE_TIME, OTHER_ZONE_TIME
from domain.time.sampling_interval import Differences
from loader.formats.delimited.day_marks import Marks
from loader.formats.delimited.early_times import UNTOLD_EARLY_TIME, offsets_of_early
from loader.formats.delimited.layout import DelimitedLayout
from loader.formats.delimited.marks import mark_of, marks_of
from loader.formats.delimited.plain_rows import PlainRowReader
from loader.formats.timestamps.parser import InvalidTimestamp, PartOfDay
from loader.rows.errors import RowError
from loader.rows.file_reader import check_row_length
from loader.rows.hour_days import DOUBTFUL_HOURS, HourKind, kind_of_hours
from loader.rows.identifier_column import MAX_IDENTIFIER_LENGTH, is_identifier, plain_identifier
from loader.rows.reader import ParseContext, midnight
from settings import BY_ORDER, HOURLY_INTERVAL

BY_START = (
    "; or time.end_clock: start in the format, if ends are written by the clock at the start of"
    " their interval"
)

ORDERED_DAYS = "rows in order of time, oldest first, since their order tells when they are of"


@dataclass(frozen=True, slots=True)
class DelimitedRow:
    """A row: its raw text, its timestamp's text, and its quantities as a RowBatch has them."""

    raw: bytes
    time: str
    quantities: str
    missing: int
    rounded: int = 0
    fields: Sequence[str] = ()


class DelimitedRows(PlainRowReader[DelimitedRow]):
    """Reads rows of delimited fields whose columns the settings of the format describe."""

    def __init__(self, context: ParseContext, layout: DelimitedLayout) -> None:
        super().__init__(context, layout.zone, np.uint64, layout.end_shift)
        self._layout = layout
        self._plain = layout.plain
        self.identifier = layout.header.meter
        self.is_full = layout.values.is_full
        self._identifier_line = 0
        self._offsets: dict[date, int | None] = {}
        self._dst_marks: defaultdict[datetime, set[int]] = defaultdict(set)
        """The hashes at each local time of the days on which clocks change."""
        self._parts: list[tuple[int, PartOfDay, DelimitedRow | None]] = []
        """The rows of a day that tell together when they are of; None for an invalid one."""
        self._ordered_day = datetime.min  # noqa: DTZ901 - a local time
        """The latest day whose rows' order tells when they are of."""

    def _marks(self, quantities: Mapping[str, Column], flags: Bits) -> Marks:
        """Return what tells rows from others of their times."""
        return marks_of(quantities.values(), flags if self.is_full else None)

    def _read_line(self, number: int, raw: bytes) -> None:
        check_row_length(self._context.path, number, raw)
        fields = self._layout.header.split(number, raw)
        if fields is None:
            return
        if isinstance(fields, RowError):
            self._reject_invalid([fields], raw, None)
        else:
            self._read_fields(number, raw, fields)

    def _read_fields(self, number: int, raw: bytes, fields: list[str]) -> None:
        layout = self._layout
        timestamp = layout.timestamps.parse(fields)
        errors = []
        if isinstance(timestamp, InvalidTimestamp):
            errors.append(RowError(number, timestamp.column, timestamp.value, timestamp.expected))
        values = layout.collected or layout.values
        quantities = values.read(number, fields, errors)
        identifier = self._parse_identifier(number, fields, errors)
        if isinstance(timestamp, InvalidTimestamp):
            self._reject_invalid(errors, raw, None)
            return
        if errors:
            if isinstance(timestamp, PartOfDay) and timestamp.place is None:
                self._add_part(number, timestamp, None)
            local = timestamp if isinstance(timestamp, datetime) else None
            is_local = local is not None and local.tzinfo is None
            self._reject_invalid(errors, raw, local if is_local else None)
            return
        if self.identifier is None and identifier:
            self.identifier, self._identifier_line = identifier, number
        text = layout.timestamps.columns.text(fields)
        row = DelimitedRow(raw, text, *quantities, fields)
        self._add(number, timestamp, row)

    def _add(self, number: int, timestamp: datetime | PartOfDay, row: DelimitedRow) -> None:
        """Add a valid row, or buffer it if others of its day tell when it is of."""
        if isinstance(timestamp, PartOfDay):
            self._add_part(number, timestamp, row)
            return
        if timestamp.tzinfo is not None:
            if self._parts:
                self.flush()
            self._add_instant(number, timestamp, row)
            return
        layout = self._layout
        timestamp -= layout.local_shift
        offset = self._offset(timestamp.date())
        if layout.end_shift and self._is_by_start_alone(timestamp - layout.end_shift):
            offset = None
        if offset is None:
            if not self._dst_days.continues(timestamp.date()):
                self.flush()
            # The order of times tells their passes, not that of the seconds that they are late.
            self._buffer(number, self._moved_back(timestamp), row)
            return
        self.flush()
        self._add_with_offset(number, timestamp, offset, row, layout.local_shift)

    def _is_by_start_alone(self, start: datetime) -> bool:
        """Return whether clocks change at the start of an interval which ends on another day."""
        is_changed = self._offset(start.date()) is None
        return is_changed and self._resolver.is_repeated(start)

    def _add_part(self, number: int, part: PartOfDay, row: DelimitedRow | None) -> None:
        """Buffer a row of a day whose rows tell together when they are of."""
        if self._parts and self._parts[-1][1].day != part.day:
            self.flush()
        self._parts.append((number, part, row))
        self._is_buffering = True

    def flush(self) -> None:
        """Add the buffered rows; no later row belongs to their days."""
        rows, self._parts = self._parts, []
        if rows:
            self._place_parts(rows)
        super().flush()

    def _place_parts(self, rows: list[tuple[int, PartOfDay, DelimitedRow | None]]) -> None:
        """Add the rows of a day by their parts, or reject all if these are doubtful."""
        time = self._layout.settings.time
        _, first, _ = rows[0]
        length = timedelta(seconds=self._layout.settings.interval or HOURLY_INTERVAL)
        column, expected = str(time.hour or time.period), DOUBTFUL_HOURS
        kind = HourKind.CLOCK if time.hours == "clock" else None
        if first.place is None:
            column = self._layout.timestamps.columns.label
            expected = self._wrong_order(first, len(rows))
            kind = None if expected else HourKind.COUNTED
        elif kind is None:
            places = [part.place for _, part, _ in rows if part.place is not None]
            kind = kind_of_hours(places, first.day, first.count, self._resolver, length)
        begin = self._resolver.instant(first.day) if kind is HourKind.COUNTED else None
        day = str(first.day.date())
        if kind is None and day not in self.refused_days:
            self.refused_days.append(day)
        for position, (number, part, row) in enumerate(rows):
            place = position if part.place is None else part.place
            if row is None:
                continue
            if kind is None:
                value = row.time if part.place is None else f"{row.time} {part.text}"
                self._reject([RowError(number, column, value, expected, day)], row.raw)
            elif begin is None:
                self._buffer(number, first.day + length * place, row)
            else:
                self._add_instant(number, begin + length * place, row)

    def _wrong_order(self, part: PartOfDay, count: int) -> str:
        """Return what was expected instead of the rows of a day that their order tells."""
        if part.day < self._ordered_day:
            return ORDERED_DAYS
        self._ordered_day = part.day
        if count == part.count:
            return ""
        return (
            f"{part.count} rows of this day, since only their order tells when they are of; there"
            f" are {count}"
        )

    def _parse_identifier(
        self, number: int, fields: list[str], errors: list[RowError]
    ) -> str | None:
        """Return the meter's name in the row, which must be the same in all rows."""
        column, field = self._layout.settings.identifier_column, self._layout.identifier_field
        if column is None or field is None:
            return None
        identifier = plain_identifier(fields[field])
        expected = ""
        if not is_identifier(identifier):
            expected = f"the name of the meter, at most {MAX_IDENTIFIER_LENGTH} characters"
        elif identifier != (self.identifier or identifier):
            expected = (
                f"{self.identifier} as in line {self._identifier_line}: one meter in a report"
            )
        if expected:
            errors.append(RowError(number, str(column), identifier, expected))
        return identifier

    def _offset(self, day: date) -> int | None:
        """Return the offset of a local day; None if it changes on that day."""
        if day not in self._offsets:
            self._offsets[day] = self._resolver.offset_all_day(day)
        return self._offsets[day]

    def _add_local(self, line: int, local: datetime, offset: int | str, row: DelimitedRow) -> None:
        """Add a row by its local time and offset, or reject it with what was expected instead."""
        mark = self._mark(row)
        if isinstance(offset, int):
            self._dst_marks[local].add(mark)
            shift = self._layout.local_shift or self._dst_days.shift
            self._add_with_offset(line, local, offset, row, shift)
        elif offset == DUPLICATE_TIME and self._is_of_other_zone(local):
            self._reject_time(line, row, OTHER_ZONE_TIME)
        elif offset == DUPLICATE_TIME and mark in self._dst_marks[local]:
            self.repeated += 1
        else:
            self._reject_time(line, row, offset + self._end_clock_hint(local))

    def _end_clock_hint(self, local: datetime) -> str:
        """Return what may be said of ends that clocks do not show."""
        start = local - self._layout.end_shift
        resolver = self._resolver
        is_shown = resolver.instant(local) is not None
        may_be = resolver.is_repeated(start) if is_shown else resolver.instant(start) is not None
        is_other = may_be and not resolver.is_repeated(local) and not self._dst_days.shift
        return BY_START if self._layout.end_shift and is_other else ""

    def _add_with_offset(
        self, line: int, local: datetime, offset: int, row: DelimitedRow, shift: timedelta
    ) -> None:
        """Add a row by a local time, which is so much earlier than its time is written."""
        self._add_instant(line, local.replace(tzinfo=UTC) - timedelta(seconds=offset) + shift, row)

    def _add_instant(self, line: int, instant: datetime, row: DelimitedRow) -> None:
        """Add a row by the instant of its timestamp, which marks a start or an end."""
        layout = self._layout
        if layout.tolerance:
            instant = self._moved(instant)
        mark = self._mark(row)
        start = int((instant - layout.shift).timestamp())
        local, offset, earlier = self._starts.add(start, mark)
        if earlier:
            self._add_repeat(line, instant, row, is_same=earlier == mark)
            return
        self._ready.add_line(local, offset, row.quantities)
        self.missing += row.missing
        self.rounded += row.rounded

    def _add_repeat(
        self, line: int, instant: datetime, row: DelimitedRow, *, is_same: bool
    ) -> None:
        """Pass over a row that is the same as an earlier one, or reject it."""
        time = self._layout.settings.time
        local = instant.astimezone(self._layout.zone).replace(tzinfo=None)
        is_counted = time.hours == "counted" or time.period == BY_ORDER
        has_offset = self._layout.has_offset or is_counted
        if not has_offset and self._is_of_other_zone(local):
            self._reject_time(line, row, OTHER_ZONE_TIME)
        elif is_same:
            self.repeated += 1
        else:
            self._reject_time(line, row, DUPLICATE_TIME)

    def _mark(self, row: DelimitedRow) -> int:
        """Return what tells a row from others of its time: a number other than 0."""
        if self._plain is not None:
            return mark_of(row.quantities)
        # Rows that were moved to one time are not the same.
        is_same = (row.time, row.quantities) if self._layout.tolerance else row.quantities
        return hash(is_same) % 2**64 or 1

    def _placed(
        self, rows: list[tuple[int, datetime, DelimitedRow, int | str]]
    ) -> list[tuple[int, datetime, DelimitedRow, int | str]]:
        """Correct the offsets of early times, which the order alone does not tell."""
        repeated = [each for each in rows if self._resolver.is_repeated(each[1])]
        if not any(map(self._is_early, (local for _, local, _, _ in repeated))):
            return rows
        if any(isinstance(offset, str) for _, _, _, offset in repeated):
            return rows
        times = [local for _, local, _, offset in rows if isinstance(offset, int)]
        step = timedelta(seconds=self._layout.step)
        told = offsets_of_early(times, self._resolver, self._moved, step)
        untold = repeat(UNTOLD_EARLY_TIME, len(repeated))
        offsets: Iterator[int | str] = iter(untold if told is None else told)
        return [
            (line, local, row, next(offsets) if self._resolver.is_repeated(local) else offset)
            for line, local, row, offset in rows
        ]

    def _is_early(self, local: datetime) -> bool:
        """Return whether a local time is early, within the tolerance."""
        if not self._layout.tolerance:
            return False
        late = int((local - midnight(local.date())).total_seconds()) % self._layout.step
        return 0 < self._layout.step - late <= self._layout.tolerance

    def _moved_back(self, local: datetime) -> datetime:
        """Return a local time moved to the one that is expected before it, within the tolerance."""
        if not self._layout.tolerance:
            return local
        late = int((local - midnight(local.date())).total_seconds()) % self._layout.step
        return local - timedelta(seconds=late) * (late <= self._layout.tolerance)

    def _moved(self, instant: datetime) -> datetime:
        """Return an instant moved to the nearest one that is expected, within the tolerance."""
        step, tolerance = self._layout.step, self._layout.tolerance
        offset = instant.astimezone(self._layout.zone).utcoffset()
        assert offset is not None
        late = int(instant.timestamp() + offset.total_seconds()) % step
        if late <= tolerance:
            return instant - timedelta(seconds=late)
        early = step - late
        return instant + timedelta(seconds=early) if early <= tolerance else instant

    def _reject_time(self, line: int, row: DelimitedRow, expected: str) -> None:
        column = self._layout.timestamps.columns.label
        self._reject([RowError(line, column, row.time, expected)], row.raw)

    def differences(self) -> Differences:
        """Return the differences between the starts of the readings."""
        found = Differences()
        for start, seconds in self._runs():
            found.add_run(start, seconds)
        return found

    def _runs(self) -> Iterator[tuple[int, tuple[int, ...]]]:
        """Yield the instants of the readings in runs, in order of time, see `Differences`."""
        yield from self._starts.runs()

"""Reading the rows of a report in a configured format."""

from array import array
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from domain.time.local_time import DUPLICATE_TIME, OTHER_ZONE_TIME
from loader.formats.timestamps import HourOfDay, InvalidTimestamp, make_timestamp_parser
from loader.rows.errors import RowError
from loader.rows.file_reader import check_row_length
from loader.rows.header import Header
from loader.rows.hour_days import DOUBTFUL_HOURS, HourKind, kind_of_hours
from loader.rows.identifier_column import MAX_IDENTIFIER_LENGTH, is_identifier
from loader.rows.reader import ParseContext, RowReader, midnight, seconds_since_1970
from loader.values.collected_values import CollectedValues
from loader.values.row_values import RowValues
from settings import HOURLY_INTERVAL, ISO, FormatSettings


@dataclass(frozen=True, slots=True)
class DelimitedRow:
    """A row: its raw text, its timestamp's text, and its quantities as a RowBatch has them."""

    raw: bytes
    time: str
    quantities: str
    missing: int
    rounded: int = 0


class DelimitedLayout:
    """The columns of reports with the same header, whose times are of the same zone."""

    def __init__(
        self, settings: FormatSettings, header: Header, zone: ZoneInfo, seconds: int | None = None
    ) -> None:
        """Take the length of the rows in seconds, if it differs from row to row."""
        self.settings = settings = settings.fitted(header.names)
        self.header = header
        self.zone = zone
        self.timestamps = make_timestamp_parser(settings.time, header.names, zone)
        seconds = seconds or settings.interval or HOURLY_INTERVAL
        self.values = RowValues(settings, header.names, seconds)
        self.collected: CollectedValues | None = None
        """What reads the rows if several may make one reading."""
        if settings.columns.have_conditions or settings.columns.of_kind("register"):
            self.collected = CollectedValues(settings, header.names, self.values)
        self.time_field = settings.time.column.position(header.names)
        self.identifier_field: int | None = None
        if settings.identifier_column is not None:
            self.identifier_field = settings.identifier_column.position(header.names)
        self.shift = timedelta(seconds=settings.interval or 0) * settings.time.marks_end
        self.step = settings.step or 0
        self.tolerance = settings.time.tolerance

    def is_valid(self, fields: list[str]) -> bool:
        """Return whether the time and the quantities of a row can be parsed."""
        if isinstance(self.timestamps.parse(fields), InvalidTimestamp):
            return False
        if self.collected is not None and not self.collected.series(fields):
            return False
        errors: list[RowError] = []
        (self.collected or self.values).read(0, fields, errors)
        return not errors


class DelimitedRows(RowReader[DelimitedRow]):
    """Reads rows of delimited fields whose columns the settings of the format describe."""

    def __init__(self, context: ParseContext, layout: DelimitedLayout) -> None:
        super().__init__(context, layout.zone)
        self._layout = layout
        self.identifier = layout.header.meter
        self.is_full = layout.values.is_full
        self._identifier_line = 0
        self._offsets: dict[date, int | None] = {}
        self._marks: defaultdict[date, array[int]] = defaultdict(lambda: array("q"))
        """The hash of each row's quantities, at the index of its time of day in UTC; 0 for none."""
        self._dst_marks: defaultdict[datetime, set[int]] = defaultdict(set)
        """The hashes at each local time of the days on which clocks change."""
        self._hours: list[tuple[int, HourOfDay, DelimitedRow]] = []
        """The rows of a day whose hours may be counted or those of the clock."""

    def read(self, chunk: bytes, line: int) -> None:
        """Read whole lines, the first of which has this number."""
        for number, raw in enumerate(chunk.removesuffix(b"\n").split(b"\n"), line):
            check_row_length(self._context.path, number, raw)
            fields = self._layout.header.split(number, raw)
            if fields is None:
                continue
            if isinstance(fields, RowError):
                self._reject_invalid([fields], raw, None)
            else:
                self._read_fields(number, raw, fields)

    def _read_fields(self, number: int, raw: bytes, fields: list[str]) -> None:
        timestamp = self._layout.timestamps.parse(fields)
        errors = []
        if isinstance(timestamp, InvalidTimestamp):
            errors.append(RowError(number, timestamp.column, timestamp.value, timestamp.expected))
        values = self._layout.collected or self._layout.values
        quantities = values.read(number, fields, errors)
        identifier = self._parse_identifier(number, fields, errors)
        if isinstance(timestamp, InvalidTimestamp):
            self._reject_invalid(errors, raw, None)
            return
        if errors:
            local = timestamp if isinstance(timestamp, datetime) else None
            is_local = local is not None and local.tzinfo is None
            self._reject_invalid(errors, raw, local if is_local else None)
            return
        if self.identifier is None and identifier:
            self.identifier, self._identifier_line = identifier, number
        row = DelimitedRow(raw, fields[self._layout.time_field], *quantities)
        self._add(number, timestamp, row)

    def _add(self, number: int, timestamp: datetime | HourOfDay, row: DelimitedRow) -> None:
        """Add a valid row, or buffer it if others of its day tell when it is of."""
        if isinstance(timestamp, HourOfDay):
            if self._hours and self._hours[-1][1].day != timestamp.day:
                self.flush()
            self._hours.append((number, timestamp, row))
            self._is_buffering = True
            return
        if timestamp.tzinfo is not None:
            if self._hours:
                self.flush()
            self._add_instant(number, timestamp, row)
            return
        offset = self._offset(timestamp.date())
        if offset is None:
            if not self._dst_days.continues(timestamp.date()):
                self.flush()
            # The order of times tells their passes, not that of the seconds that they are late.
            self._buffer(number, self._moved_back(timestamp), row)
            return
        self.flush()
        self._add_with_offset(number, timestamp, offset, row)

    def flush(self) -> None:
        """Add the buffered rows; no later row belongs to their days."""
        rows, self._hours = self._hours, []
        if rows:
            self._place_hours(rows)
        super().flush()

    def _place_hours(self, rows: list[tuple[int, HourOfDay, DelimitedRow]]) -> None:
        """Add the rows of a day by their hours, or reject all if these are doubtful."""
        time = self._layout.settings.time
        _, first, _ = rows[0]
        kind = HourKind.CLOCK if time.hours == "clock" else None
        if kind is None:
            places = [hour.place for _, hour, _ in rows]
            kind = kind_of_hours(places, first.day, first.hours, self._resolver)
        begin = self._resolver.instant(first.day) if kind is HourKind.COUNTED else None
        day = str(first.day.date())
        if kind is None and day not in self.refused_days:
            self.refused_days.append(day)
        for number, hour, row in rows:
            if kind is None:
                value = f"{row.time} {hour.text}"
                error = RowError(number, str(time.hour), value, DOUBTFUL_HOURS, day)
                self._reject([error], row.raw)
            elif begin is None:
                self._buffer(number, first.day + timedelta(hours=hour.place), row)
            else:
                start = begin + timedelta(hours=hour.place)
                self._add_instant(number, start + self._layout.shift, row)

    def _parse_identifier(
        self, number: int, fields: list[str], errors: list[RowError]
    ) -> str | None:
        """Return the meter's name in the row, which must be the same in all rows."""
        column, field = self._layout.settings.identifier_column, self._layout.identifier_field
        if column is None or field is None:
            return None
        identifier = fields[field]
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
            self._add_with_offset(line, local, offset, row)
        elif offset == DUPLICATE_TIME and self._is_of_other_zone(local):
            self._reject_time(line, row, OTHER_ZONE_TIME)
        elif offset == DUPLICATE_TIME and mark in self._dst_marks[local]:
            self.repeated += 1
        else:
            self._reject_time(line, row, offset)

    def _add_with_offset(self, line: int, local: datetime, offset: int, row: DelimitedRow) -> None:
        instant = local.replace(tzinfo=UTC) - timedelta(seconds=offset)
        if self._layout.settings.time.hour is not None:
            instant += self._layout.shift  # the local time is that of the start
        self._add_instant(line, instant, row)

    def _add_instant(self, line: int, instant: datetime, row: DelimitedRow) -> None:
        """Add a row by the instant of its timestamp, which marks a start or an end."""
        layout = self._layout
        if layout.tolerance:
            instant = self._moved(instant)
        start = instant - layout.shift
        day = start.date()
        marks = self._marks[day]
        index = self._times_of_day[start.isoformat()[11:19]]
        if index >= len(marks):
            marks.frombytes(bytes(marks.itemsize * (index + 1 - len(marks))))
        mark = self._mark(row)
        if marks[index]:
            self._add_repeat(line, instant, row, is_same=marks[index] == mark)
            return
        marks[index] = mark
        local = start.astimezone(self._context.zone)
        offset = local.utcoffset()
        assert offset is not None
        date_text = local.isoformat(" ")[:19]
        self._dates.append(date_text)
        number = self.readings + len(self._dates)
        self._lines.append(f"{number},{date_text},{int(offset.total_seconds())},{row.quantities}\n")
        self.missing += row.missing
        self.rounded += row.rounded

    def _add_repeat(
        self, line: int, instant: datetime, row: DelimitedRow, *, is_same: bool
    ) -> None:
        """Pass over a row that is the same as an earlier one, or reject it."""
        time = self._layout.settings.time
        local = instant.astimezone(self._layout.zone).replace(tzinfo=None)
        if time.hour is not None:
            local -= self._layout.shift
        has_offset = time.pattern == ISO or time.hours == "counted"
        if not has_offset and self._is_of_other_zone(local):
            self._reject_time(line, row, OTHER_ZONE_TIME)
        elif is_same:
            self.repeated += 1
        else:
            self._reject_time(line, row, DUPLICATE_TIME)

    def _mark(self, row: DelimitedRow) -> int:
        """Return what tells a row from others of its time: a number other than 0."""
        # Rows that were moved to one time are not the same.
        is_same = (row.time, row.quantities) if self._layout.tolerance else row.quantities
        return hash(is_same) or 1

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
        column = self._layout.settings.time.column
        self._reject([RowError(line, str(column), row.time, expected)], row.raw)

    def _runs(self) -> Iterator[tuple[int, tuple[int, ...]]]:
        """Yield the instants of the readings in runs, see `Differences`."""
        for day, marks in self._marks.items():
            seen = bytes(map(bool, marks))
            yield seconds_since_1970(midnight(day)), self._times_of_day.seconds(seen)

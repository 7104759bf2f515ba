"""Rows that are collected before they become readings: joined ones, and states of registers."""

from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime
from functools import lru_cache

from domain.report_source import RowBatch
from domain.time.sampling_interval import Differences, IntervalSpan
from domain.time.time_zone import DAY_SECONDS
from loader.formats.delimited.layout import DelimitedLayout
from loader.formats.delimited.own_lengths import LengthSpans, usual_seconds
from loader.formats.delimited.placed_starts import ZoneOffsets
from loader.formats.delimited.rows import DelimitedRow, DelimitedRows
from loader.formats.timestamps.ends import RowEnds
from loader.formats.timestamps.parser import InvalidTimestamp, PartOfDay
from loader.rows.errors import RowError
from loader.rows.reader import ParseContext
from loader.values.collected_values import CollectedValues
from loader.values.joined_rows import CollectedRow, JoinedReading, RowJoiner
from loader.values.register_energies import RegisterEnergies
from loader.values.row_values import RowQuantities

_BATCH_ROWS = 10_000

NO_ENERGY = "expected at least two states of a register, since the first one alone gives no energy"


_DAY_1970 = date(1970, 1, 1).toordinal()


@lru_cache(maxsize=1024)
def _date_text(day: int) -> str:
    """Return a day, so many after that of 1970, as YYYY-MM-DD."""
    return date.fromordinal(_DAY_1970 + day).isoformat()


@lru_cache(maxsize=4096)
def _clock_text(second: int) -> str:
    """Return a second of a day as HH:MM:SS."""
    return f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"


class _Series(DelimitedRows):
    """Places rows that the same quantities are taken from, as if they were a report of their own.

    Only the order of the rows of a series tells the two passes of a repeated hour apart.
    """

    def __init__(
        self,
        context: ParseContext,
        layout: DelimitedLayout,
        first_line: int,
        collect: Callable[[datetime, int, DelimitedRow, int | None], None],
        reject: Callable[[list[RowError], bytes], None],
        layout_of: Callable[[int], DelimitedLayout] | None,
    ) -> None:
        super().__init__(context, layout)
        self._dst_days.first_line = first_line
        self._collect = collect
        self._reject_row = reject
        self._layout_of = layout_of
        self._ends: RowEnds | None = None
        if layout_of is not None:
            self._ends = RowEnds(layout.settings.time, layout.header.names, layout.zone)

    def place(self, number: int, timestamp: datetime | PartOfDay, row: DelimitedRow) -> None:
        """Place a row on the time line."""
        self._add(number, timestamp, row)

    def place_part(self, number: int, part: PartOfDay, row: DelimitedRow | None) -> None:
        """Place a row of a day whose rows tell together when they are of."""
        self._add_part(number, part, row)

    def note_invalid(self, line: int, local: datetime | None) -> None:
        """Note an invalid row that is or may be one of these."""
        if self._context.skip_bad_rows:
            self._dst_days.reject(line, local)

    def _add_instant(self, line: int, instant: datetime, row: DelimitedRow) -> None:
        if self._layout.tolerance:
            instant = self._moved(instant)
        if self._ends is None or self._layout_of is None:
            self._collect(instant - self._layout.shift, line, row, None)
            return
        length = self._ends.length(row.fields, instant)
        if isinstance(length, InvalidTimestamp):
            self._reject([RowError(line, length.column, length.value, length.expected)], row.raw)
            return
        if self._layout.settings.columns.need_length:
            values = self._layout_of(int(length.total_seconds())).collected
            assert values is not None, "the columns are the same"
            errors: list[RowError] = []
            quantities = values.read(line, row.fields, errors)
            if errors:
                self._reject(errors, row.raw)
                return
            row = DelimitedRow(row.raw, row.time, *quantities)
        self._collect(instant, line, row, usual_seconds(instant, length, self._layout.zone))

    def _reject(self, errors: list[RowError], raw: bytes) -> None:
        self._reject_row(errors, raw)


class CollectedRows(DelimitedRows):
    """Reads rows of which several may make one reading.

    They are sorted by time in bounded memory, so that rows of one time may be anywhere in a report,
    and readings become ready once all rows were read.
    """

    def __init__(
        self,
        context: ParseContext,
        layout: DelimitedLayout,
        values: CollectedValues,
        layout_of: Callable[[int], DelimitedLayout] | None = None,
    ) -> None:
        """Take what returns the layout of a length in seconds if each row has its own."""
        super().__init__(context, layout)
        self._values = values
        self._layout_of = layout_of
        self._lengths = LengthSpans()
        self._series: dict[int, _Series] = {}
        self._current: _Series | None = None
        """The series of the row that is being read, if it is known."""
        self._offsets_of = ZoneOffsets(context.zone)
        self._joiner = RowJoiner(self._spool, self._reject_conflict)
        self._is_complete = False
        self._differences = Differences()
        settings = layout.settings
        registers = values.registers
        self._energies = None
        if registers:
            self._energies = RegisterEnergies(
                registers,
                self._spool,
                self._local_time,
                self._local_day,
                interval=settings.interval,
                shift=self._seconds_to_states(layout),
                has_others=len(registers) < len(values.columns),
            )

    @staticmethod
    def _seconds_to_states(layout: DelimitedLayout) -> int:
        """Return how many seconds after the start of a row the states of registers are those."""
        settings, time = layout.settings, layout.settings.time
        is_end = time.states == "end" or (time.hour is not None and time.marks_end)
        if is_end and settings.interval is not None:
            return settings.interval
        return int(layout.shift.total_seconds())

    @property
    def is_buffering(self) -> bool:
        """Whether rows wait for others."""
        return bool(self._series)

    @property
    def events(self) -> Sequence[str]:
        """What happened to registers."""
        if self._energies is None:
            return ()
        events = self._energies.events
        more = events.count - len(events.texts)
        return [*events.texts, *([f"{more} more events"] if more else [])]

    @property
    def no_reading(self) -> str | None:
        """What was expected if there is no reading, if a row alone does not make one."""
        return NO_ENERGY if self._energies is not None and self._series else None

    def note_unassigned(self, line: int) -> None:
        """Note that there is a row at this line which may be one of the same meter."""
        for series in self._series.values():
            series.note_unassigned(line)

    def finish(self) -> None:
        """Place all rows that wait for later ones; there are none."""
        for series in self._series.values():
            series.finish()
            self.repeated += series.repeated
        self._is_complete = True

    def batches(self) -> Iterator[RowBatch]:
        """Yield the readings in order of time, once all rows were read."""
        if not self._is_complete:
            return
        readings = self._joiner.joined()
        if self._energies is not None:
            readings = self._energies.energies(readings)
        width, is_full = self._layout.values.width, self._layout.values.is_full
        for reading in readings:
            self._add_reading(reading, width, is_full=is_full)
            if self._ready.lines >= _BATCH_ROWS:
                yield from super().batches()
        self.repeated += self._joiner.repeated
        self.rounded += self._joiner.rounded
        yield from super().batches()

    @property
    def said_spans(self) -> Sequence[IntervalSpan]:
        """The lengths of the readings in order of time, if each row says its own."""
        return self._lengths.spans()

    def differences(self) -> Differences:
        """Return the differences between the starts of the readings."""
        return self._differences

    def _read_fields(self, number: int, raw: bytes, fields: list[str]) -> None:
        series = self._values.series(fields)
        if not series:
            self.unread_rows += 1
            return
        self._current = self._series.get(series)
        if self._current is None:
            self._current = self._series[series] = _Series(
                self._context, self._layout, number, self._collect, self._reject, self._layout_of
            )
            self._current.refused_days = self.refused_days
        super()._read_fields(number, raw, fields)
        self._current = None

    def _add(self, number: int, timestamp: datetime | PartOfDay, row: DelimitedRow) -> None:
        assert self._current is not None, "it is a row of a series"
        self._current.place(number, timestamp, row)

    def _add_part(self, number: int, part: PartOfDay, row: DelimitedRow | None) -> None:
        assert self._current is not None, "as above"
        self._current.place_part(number, part, row)

    def _reject_invalid(self, errors: list[RowError], raw: bytes, local: datetime | None) -> None:
        """Reject a row that is invalid by itself; its position among the others matters too."""
        concerned = [self._current] if self._current is not None else [*self._series.values()]
        for series in concerned:
            series.note_invalid(errors[0].line, local)
        self._reject(errors, raw)

    def _collect(self, start: datetime, line: int, row: DelimitedRow, seconds: int | None) -> None:
        values = RowQuantities(row.quantities, row.missing, row.rounded)
        self._joiner.add(int(start.timestamp()), line, seconds, values, row.raw)

    def _reject_conflict(self, row: CollectedRow, at: int | None, value: str) -> None:
        """Reject a row that contradicts an earlier one of its time."""
        if at is None:
            header = self._layout.timestamps.columns.label
            expected = f"{value} seconds, as another row of {self._local_time(row.start)} lasts"
            self._reject([RowError(row.line, header, f"{row.seconds} seconds", expected)], row.raw)
            return
        _, column = self._values.columns[at]
        shown, other = self._values.shown(at, row.cells[at]), self._values.shown(at, value)
        expected = (
            f"{other} as in another row of {self._local_time(row.start)}, since both are"
            f" {column.name} of that time"
        )
        self._reject([RowError(row.line, column.headers[0], shown, expected)], row.raw)

    def _add_reading(self, reading: JoinedReading, width: int, *, is_full: bool) -> None:
        quantities = [""] * width
        for (place, _), cell in zip(self._values.columns, reading.cells, strict=True):
            quantities[place] = cell
            self.missing += not cell
        if is_full:
            quantities[-1] = reading.estimated
        offset = self._offsets_of.at(reading.start)
        day, second = divmod(reading.start + offset, DAY_SECONDS)
        text = f"{_date_text(day)} {_clock_text(second)}"
        self._differences.add(reading.start)
        if reading.seconds is not None:
            self._lengths.note(reading.start, reading.seconds)
        self._ready.add_line(text, offset, ",".join(quantities))

    def _local_day(self, instant: int) -> int:
        """Return how many days after that of 1970 an instant is, in local time."""
        return (instant + self._offsets_of.at(instant)) // DAY_SECONDS

    def _local_time(self, instant: int) -> str:
        return datetime.fromtimestamp(instant, self._context.zone).isoformat(" ")[:19]

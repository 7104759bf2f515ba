"""A report of one meter: its detected format, and its rows in batches."""

from bisect import bisect
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from domain.report_source import RowBatch
from domain.time.sampling_interval import (
    Differences,
    IntervalSpan,
    SamplingIntervals,
    told_spans,
)
from loader.formats.detection import DetectedFormat
from loader.formats.registry import SHIPPED_FORMATS
from loader.formats.report_format import ReportFormat
from loader.report_file import NO_READING, ReportFile, ReportPart
from loader.rows.dst_days import FIRST_ROW
from loader.rows.errors import FaultyRowsError, ReportError, RowError
from loader.rows.file_reader import can_be_read_again
from loader.rows.reader import ParseContext, RepeatedTime, RowReader
from loader.rows.registers import REGISTER_QUANTITIES, RegisterWatch
from loader.table.row_filter import PassedOver

_PARSED_ROWS = 100
"""Rows of a batch that is parsed ahead, which takes as much memory again."""
_BATCHES_AHEAD = 2
"""Batches that are read ahead: to look for the second one ends a report that has only one."""


class Report:
    """A report to import: `batches` reads it once, and the counts are complete after that.

    It is a whole file, or the part of a file that is of one meter.

    `on_errors` is called with the errors of a row and its raw text. After an invalid row, further
    batches are only checked, unless bad rows are to be skipped. A refused day stops nothing.
    """

    def __init__(
        self,
        path: str,
        zone: ZoneInfo,
        *,
        skip_bad_rows: bool,
        on_errors: Callable[[list[RowError], bytes], None],
        on_progress: Callable[[int], None] = lambda _: None,
        formats: Sequence[ReportFormat] = SHIPPED_FORMATS,
        part: ReportPart | None = None,
        is_first_reading: bool = True,
    ) -> None:
        """Take the whole file, unless a part of it is given.

        Rows of the same time are compared by reading the file again, after the first reading.
        """
        self.path = path
        self._part = part or ReportFile(path, formats=formats, on_progress=on_progress).whole()
        self.span: tuple[str, str] | None = None
        self.name = self._part.name
        self.said_spans: Sequence[IntervalSpan] = ()
        self.differences = Differences()
        is_read_again = is_first_reading and part is None and can_be_read_again(path)
        self._context = ParseContext(
            path, zone, skip_bad_rows, self._report_errors, is_read_again=is_read_again
        )
        self._on_errors = on_errors
        self._lines = _LineNumbers()
        self._rows: RowReader[Any] | None = None
        self._batches = self._read()
        self._ahead: list[RowBatch] = []
        """The first batches, which were read before they are asked for."""
        self._watches = [RegisterWatch(quantity) for quantity in REGISTER_QUANTITIES]

    @property
    def detected(self) -> DetectedFormat | None:
        """The format, once the header was read."""
        return self._part.detected

    @property
    def format(self) -> str:
        """The name of the format."""
        return self._known_format.name

    @property
    def quantities(self) -> Sequence[str]:
        """The names of the quantities that the format has columns for."""
        return self._known_format.quantities

    @property
    def tells_estimated(self) -> bool:
        """Whether the format says which readings were estimated."""
        return self._known_format.tells_estimated

    @property
    def _known_format(self) -> ReportFormat:
        assert self.detected is not None, "the header was read"
        return self.detected.format

    @property
    def sha256(self) -> str:
        """The digest of the whole file's uncompressed content, in hex."""
        return self._part.sha256

    @property
    def readings(self) -> int:
        """The number of valid rows."""
        return self._rows.readings if self._rows else 0

    @property
    def missing(self) -> int:
        """The number of missing values."""
        return self._rows.missing if self._rows else 0

    @property
    def rounded(self) -> int:
        """The number of values that had more decimals than are stored."""
        return self._rows.rounded if self._rows else 0

    @property
    def unread_rows(self) -> int:
        """The number of rows that no quantity is taken from."""
        return self._rows.unread_rows if self._rows else 0

    @property
    def register_events(self) -> Sequence[str]:
        """What happened to cumulative registers, in order of time."""
        return self._rows.events if self._rows else ()

    @property
    def rejected(self) -> int:
        """The number of invalid rows."""
        return self._rows.rejected if self._rows else 0

    @property
    def repeated(self) -> int:
        """The number of rows that are passed over, since an earlier one is the same."""
        return self._rows.repeated if self._rows else 0

    @property
    def passed_over(self) -> PassedOver:
        """What of the file is not read."""
        return self._part.passed_over

    @property
    def refused_days(self) -> Sequence[str]:
        """The local days that are left out, since their rows do not tell when they are of."""
        return self._rows.refused_days if self._rows else ()

    @property
    def identifier(self) -> str | None:
        """The meter's name in the report, if it has one."""
        return self._part.identifier or (self._rows.identifier if self._rows else None)

    def read_ahead(self) -> None:
        """Read the first batches now; an error comes up once they are asked for."""
        try:
            for batch in islice(self._batches, _BATCHES_AHEAD):
                if batch.count <= _PARSED_ROWS:
                    batch.parse()
                self._ahead.append(batch)
        except ReportError as error:
            self._batches = _failing(error)

    def batches(self) -> Iterator[RowBatch]:
        """Yield the checked rows.

        Raises ReportError if the file can't be read or isn't a report, and FaultyRowsError at its
        end if rows were invalid and bad rows are not to be skipped.
        """
        try:
            yield from self._ahead
            yield from self._batches
        finally:
            # What is not read any more need not be kept.
            self._batches.close()

    def _read(self) -> Generator[RowBatch]:
        """Yield the checked rows, see `batches`."""
        rows: RowReader[Any] | None = None
        number = FIRST_ROW
        try:
            for content, lines in self._part.rows:
                if rows is None:
                    self._rows = rows = self._row_reader()
                self._lines.add(number, lines)
                if content:
                    rows.read(content, number)
                else:
                    rows.note_unassigned(number)
                number += len(lines)
                yield from self._ready(rows)
                if not rows.is_buffering:
                    self._lines.forget()
            if rows is None:
                self._rows = rows = self._row_reader()
            rows.finish()
            yield from self._ready(rows)
            self.differences = rows.differences()
        finally:
            self._release()
        if rows.repeats:
            rows.settle_repeats(self._same_repeats(rows.repeats))
        label = self._part.label
        if rows.invalid and not self._context.skip_bad_rows:
            raise FaultyRowsError(f"{label}: {rows.rejected} rows are wrong")
        if rows.refused_days and not rows.readings:
            raise FaultyRowsError(f"{label}: all its days are refused")
        if not rows.readings:
            raise ReportError(f"{label}: {rows.no_reading or NO_READING}")
        assert self._part.identifier in (None, rows.identifier), "rows of another meter"
        self._refuse_registers()
        self.said_spans = rows.said_spans or self._checked_interval()

    def _release(self) -> None:
        """Give up what is not needed once no more rows are read."""
        self._part.drop()
        if self._rows is not None:
            self._rows.close()

    def _row_reader(self) -> RowReader[Any]:
        """Return the reader of the rows below the header."""
        assert self.detected is not None, "the header was read"
        return self.detected.format.row_reader(self.detected.header, self._context)

    def _same_repeats(self, repeats: Sequence[RepeatedTime]) -> set[int]:
        """Return the numbers of the rows that are the same as earlier ones of their times.

        Raises ReportError if the file has changed meanwhile.
        """
        numbers = defaultdict[str, list[int]](list)
        for number, repeat in enumerate(repeats):
            numbers[repeat.local].append(number)
        again = Report(
            self.path,
            self._context.zone,
            skip_bad_rows=True,
            on_errors=lambda _errors, _raw: None,
            formats=[self._known_format],
            is_first_reading=False,
        )
        same = set()
        for batch in again.batches():
            for line in batch.rows.decode("ascii").splitlines():
                _, local, offset, quantities = line.split(",", 3)
                for number in numbers.get(local, ()):
                    repeat = repeats[number]
                    is_of_time = repeat.offset in (None, int(offset))
                    if is_of_time and repeat.quantities == quantities:
                        same.add(number)
        if again.sha256 != self.sha256:
            raise ReportError(f"{self._part.label}: changed while it was read: load it again")
        return same

    def _report_errors(self, errors: list[RowError], raw: bytes) -> None:
        """Report the errors of a row, which is numbered among those of its meter."""
        line = self._lines.in_file(errors[0].line)
        if line != errors[0].line:
            errors = [replace(error, line=line) for error in errors]
        self._on_errors(errors, raw)

    def _ready(self, rows: RowReader[Any]) -> Iterator[RowBatch]:
        """Yield the rows that became ready, unless they are only checked."""
        for batch in rows.batches():
            earliest, latest = self.span or (batch.first, batch.last)
            self.span = min(batch.first, earliest), max(batch.last, latest)
            for watch in self._watches:
                watch.add(batch)
            if self._context.skip_bad_rows or not rows.invalid:
                yield batch

    @property
    def gaps(self) -> int:
        """The number of readings that do not follow the one before by its interval."""
        return self.differences.longer_than(SamplingIntervals(self._spans))

    @property
    def may_vary(self) -> bool:
        """Whether a row after a gap may be one that lasts longer."""
        return self._known_format.may_vary

    def _refuse_registers(self) -> None:
        """Raise ReportError if a quantity is a cumulative register."""
        assert self.detected is not None
        if self.detected.header.has_reasons:
            return
        for watch in self._watches:
            if watch.is_register and watch.quantity not in self._known_format.energies:
                raise ReportError(
                    f"{self._part.label}: {watch.quantity} only rises, {watch.span}: this is the"
                    " state of a cumulative register, not the energy of each interval. Describe the"
                    f" format with kind: register for the column of {watch.quantity}, and energy is"
                    " worked out from the states; or with kind: energy, if it is the energy of each"
                    " interval all the same; elecdata inspect FILE writes the format"
                )

    @property
    def interval(self) -> int | None:
        """The interval of the readings, None if they tell none or several."""
        lengths = {*self.intervals}
        return lengths.pop() if len(lengths) == 1 else None

    @property
    def intervals(self) -> Sequence[int | None]:
        """The intervals of the readings, in order of time; None where they tell none."""
        return [span.seconds for span in self._spans]

    @property
    def _spans(self) -> Sequence[IntervalSpan]:
        return self.said_spans or told_spans(self.differences)

    def _checked_interval(self) -> Sequence[IntervalSpan]:
        """Return the interval that the format says, if any.

        Raises ReportError if the readings tell another one, unless they are rejected ones.
        """
        assert self.detected is not None
        report_format, header = self.detected.format, self.detected.header
        said = report_format.interval
        if header.has_reasons:
            # Some rows of a report tell less than all.
            self.differences = Differences() if said is None else self.differences
        if said is None or self.differences.first is None:
            return ()
        spans = [IntervalSpan(self.differences.first, said, is_said=True)]
        if header.has_reasons:
            return spans
        for span in told_spans(self.differences):
            if span.seconds is None or span.seconds == said:
                continue
            if report_format.is_interval_asked_for and span.seconds % said == 0:
                continue
            by = "--interval" if report_format.is_interval_asked_for else report_format.name
            raise ReportError(
                f"{self._part.label}: readings are {span.seconds} seconds apart: expected {said},"
                f" as the format {by} says; to see what the file is: elecdata inspect FILE"
            )
        return spans


def _failing(error: ReportError) -> Generator[RowBatch]:
    """Raise an error instead of yielding batches."""
    yield from ()
    raise error


class _LineNumbers:
    """The lines in the file of the rows that may still turn out to be wrong.

    A reader numbers the rows of a meter as if they were a file of their own.
    """

    def __init__(self) -> None:
        self._firsts: list[int] = []
        self._lines: list[Sequence[int]] = []

    def add(self, first: int, lines: Sequence[int]) -> None:
        """Add rows, the first of which has this number."""
        self._firsts.append(first)
        self._lines.append(lines)

    def forget(self) -> None:
        """Forget all rows so far."""
        self._firsts.clear()
        self._lines.clear()

    def in_file(self, number: int) -> int:
        """Return the line of a row in the file."""
        index = bisect(self._firsts, number) - 1
        return self._lines[index][number - self._firsts[index]]

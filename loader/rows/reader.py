"""The base class that reads, checks and dates the rows of a report of any format.

A valid row becomes a line of a RowBatch, see `domain.report_source`; an invalid one is reported
as one or more RowErrors.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Generic, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

import numpy as np

from domain.columns import Bits, Column, Columns, Integers
from domain.quantities import QUANTITY_NAMES
from domain.report_source import RowBatch
from domain.time.local_time import LocalTimeResolver, is_repeated_anywhere
from domain.time.sampling_interval import Differences, IntervalSpan
from loader.rows.dst_days import DstDayBuffer
from loader.rows.errors import RowError

FIRST_YEAR, LAST_YEAR = 1970, 2199

MAX_REPEATS = 20_000
"""Rows of a report that are compared with earlier ones of the same time; more are rejected."""

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class ParseContext:
    """The context in which the rows of a report are parsed."""

    path: str
    zone: ZoneInfo
    """The zone of the readings; the times of a report may be of another."""
    skip_bad_rows: bool
    on_errors: Callable[[list[RowError], bytes], None]
    """Called with the errors of a row and its raw text, in the order of the lines."""
    is_read_again: bool = False
    """Whether the report can be read again, to compare rows of the same time."""


class RepeatedTime(NamedTuple):
    """A row whose time an earlier row has, too."""

    local: str
    offset: int | None
    """None if it may be any."""
    quantities: str
    """As a RowBatch has them."""
    error: RowError
    raw: bytes


class ReadyRows:
    """Rows that are ready to be yielded: lines of a batch, and in between them arrays."""

    def __init__(self) -> None:
        self.count = 0
        """All rows so far."""
        self._lines: list[str] = []
        self._dates: list[str] = []
        self._arrays: list[tuple[Columns, Integers]] = []

    @property
    def lines(self) -> int:
        """How many lines wait."""
        return len(self._lines)

    def add_line(self, local: str, ahead: int, quantities: str) -> None:
        """Add a row as text: its local time, its UTC offset and its quantities."""
        self.count += 1
        self._dates.append(local)
        self._lines.append(f"{self.count},{local},{ahead},{quantities}\n")

    def add_columns(
        self, utc: Integers, ahead: Integers, quantities: Mapping[str, Column], flags: Bits
    ) -> None:
        """Add rows as arrays, if there are any."""
        if not len(utc):
            return
        if self._lines:
            batch = self._of_lines(is_full=len(quantities) > len(QUANTITY_NAMES))
            self._arrays.append((batch.columns, batch.ahead))
        ids = np.arange(self.count + 1, self.count + 1 + len(utc))
        self.count += len(utc)
        self._arrays.append((Columns(ids, utc, quantities, flags), ahead))

    def take(self, *, is_full: bool) -> RowBatch | None:
        """Return the rows that were added since the last call, if there are any."""
        batch = self._of_lines(is_full=is_full) if self._lines else None
        arrays, self._arrays = self._arrays, []
        if not arrays:
            return batch
        if batch is not None:
            arrays.append((batch.columns, batch.ahead))
        columns = Columns.joined([columns for columns, _ in arrays])
        return RowBatch.of(columns, np.concatenate([ahead for _, ahead in arrays]), is_full=is_full)

    def _of_lines(self, *, is_full: bool) -> RowBatch:
        lines, dates, self._lines, self._dates = self._lines, self._dates, [], []
        return RowBatch("".join(lines).encode(), len(lines), min(dates), max(dates), is_full)


class RowReader(ABC, Generic[Row]):
    """Reads the rows of a report: `read` takes chunks of it, `batches` returns what is ready."""

    is_full = False
    """Whether lines have FULL_BATCH_FIELDS."""

    def __init__(
        self, context: ParseContext, zone: tzinfo, end_shift: timedelta = timedelta()
    ) -> None:
        """Take the interval if times are ends whose clock the rows may tell."""
        self.readings = 0
        self.missing = 0
        self.rounded = 0
        """Values that had more decimals than are stored."""
        self.rejected = 0
        self.repeated = 0
        """Rows that are passed over, since an earlier one has their time and their values."""
        self.invalid = 0
        """The rejected rows that are not of a refused day: each may stand for a faulty report."""
        self.refused_days: list[str] = []
        self.unread_rows = 0
        """Rows that no quantity is taken from."""
        self.identifier: str | None = None
        """The meter's name in the report."""
        self.repeats: list[RepeatedTime] = []
        """Rows that are to be compared with the earlier ones of their times."""
        self._context = context
        self._resolver = LocalTimeResolver(zone)
        self._dst_days: DstDayBuffer[Row] = DstDayBuffer(self._resolver, end_shift)
        self._ready = ReadyRows()
        self._is_buffering = False
        self._unreported: list[tuple[list[RowError], bytes]] = []

    @abstractmethod
    def read(self, chunk: bytes, line: int) -> None:
        """Read whole lines, the first of which has this number."""

    @abstractmethod
    def _add_local(self, line: int, local: datetime, offset: int | str, row: Row) -> None:
        """Add a row by its local time and offset, or reject it with what was expected instead."""

    @abstractmethod
    def _runs(self) -> Iterator[tuple[int, tuple[int, ...]]]:
        """Yield the instants of the readings in runs, see `Differences`."""

    @property
    def is_buffering(self) -> bool:
        """Whether rows wait for others."""
        return self._is_buffering or bool(self.repeats)

    @property
    def said_spans(self) -> Sequence[IntervalSpan]:
        """The lengths of the readings in order of time, if each row says its own."""
        return ()

    @property
    def events(self) -> Sequence[str]:
        """What happened to cumulative registers, in order of time."""
        return ()

    @property
    def no_reading(self) -> str | None:
        """What was expected if there is no reading, if a row alone does not make one."""
        return None

    def close(self) -> None:
        """Remove what the reader holds outside of memory."""

    def note_unassigned(self, line: int) -> None:
        """Note that there is a row at this line which may be one of the same meter."""
        if self._context.skip_bad_rows:
            self._dst_days.note_unassigned(line)

    def differences(self) -> Differences:
        """Return the differences between the starts of the readings."""
        return Differences.of_runs(self._runs())

    def batches(self) -> Iterator[RowBatch]:
        """Yield the rows that became ready since the last call."""
        batch = self._ready.take(is_full=self.is_full)
        if batch is not None:
            self.readings += batch.count
            yield batch

    def settle_repeats(self, same: Collection[int]) -> None:
        """Pass over those of `repeats` whose numbers are given, and reject the others."""
        for number, repeat in enumerate(self.repeats):
            if number in same:
                self.repeated += 1
            else:
                self._reject([repeat.error], repeat.raw)
        self.repeats = []

    def flush(self) -> None:
        """Add the buffered rows; no later row belongs to their days."""
        if not self._is_buffering:
            return
        for line, local, row, offset in self._placed(self._dst_days.flush()):
            self._add_local(line, local, offset, row)
        self._is_buffering = False
        self._report_errors()

    def _placed(
        self, rows: list[tuple[int, datetime, Row, int | str]]
    ) -> list[tuple[int, datetime, Row, int | str]]:
        """Return the rows of days on which clocks change with the offsets that they get."""
        return rows

    def finish(self) -> None:
        """Add all rows that wait for later ones; there are none."""
        self.flush()

    def _buffer(self, line: int, local: datetime, row: Row) -> None:
        """Buffer a row of a day on which clocks change."""
        self._dst_days.add(line, local, row)
        self._is_buffering = True

    def _reject_invalid(self, errors: list[RowError], raw: bytes, local: datetime | None) -> None:
        """Reject a row that is invalid by itself; its position among the others matters too."""
        if self._context.skip_bad_rows:
            self._dst_days.reject(errors[0].line, local)
        self._reject(errors, raw)

    def _is_of_other_zone(self, local: datetime) -> bool:
        """Return whether a time that a report has twice may be repeated in its true zone only."""
        return is_repeated_anywhere(local) and not self._resolver.is_repeated(local)

    def _reject_repeat(self, repeat: RepeatedTime) -> None:
        """Reject a row whose time an earlier row has, unless it may be compared with that later."""
        if self._context.is_read_again and len(self.repeats) < MAX_REPEATS:
            self.repeats.append(repeat)
        else:
            self._reject([repeat.error], repeat.raw)

    def _reject(self, errors: list[RowError], raw: bytes) -> None:
        self.rejected += 1
        self.invalid += not errors[0].day
        self._unreported.append((errors, raw))
        if not self._is_buffering:
            self._report_errors()

    def _report_errors(self) -> None:
        unreported, self._unreported = self._unreported, []
        for errors, raw in sorted(unreported, key=lambda item: item[0][0].line):
            self._context.on_errors(errors, raw)


def seconds_since_1970(local: datetime) -> int:
    """Return the Unix time of a naive datetime in UTC."""
    return int(local.replace(tzinfo=UTC).timestamp())


def midnight(day: date) -> datetime:
    """Return the beginning of a day."""
    return datetime.combine(day, time.min)

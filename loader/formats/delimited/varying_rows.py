"""Rows that last differently long, each as long as its distance to its neighbour tells."""

from bisect import bisect, insort
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from typing import NamedTuple

from domain.time.sampling_interval import MAX_SPANS, IntervalSpan
from loader.formats.delimited.layout import DelimitedLayout
from loader.formats.delimited.rows import DelimitedRow, DelimitedRows
from loader.rows.errors import RowError
from loader.rows.reader import ParseContext

UNORDERED_ROW = "rows in order of time, since their distances tell how long they last"
UNTOLD_LENGTH = (
    "a row at one of the lengths beside this one, since it may be longer than the shortest one"
)
LOST_NEIGHBOUR = "no invalid row beside this one, since their distance tells how long it lasts"


class _TimedRow(NamedTuple):
    """A row, when it starts, and how many seconds it lasts; or what was expected instead."""

    line: int
    row: DelimitedRow
    start: datetime
    seconds: int
    expected: str = ""


class _RowLengths:
    """Tells the length of each row once the one below it is known, in either order of time.

    A row whose time marks its end lasts since the time of the row before it; one whose time marks
    its start, until that of the row after it. If that is none of the lengths, there is a gap, and
    the row has the usual length, if there is one, or else the shortest, unless its time is one of a
    longer row: a multiple of its length.
    """

    def __init__(
        self, lengths: Sequence[int], usual: int | None, zone: tzinfo, *, marks_end: bool
    ) -> None:
        self._lengths = lengths
        self._usual = usual
        self._zone = zone
        self._marks_end = marks_end
        self.pending: tuple[int, datetime, DelimitedRow] | None = None
        """The row that waits for the one below it: its line, its time and the row."""
        self._above: datetime | None = None
        self._lost: list[int] = []
        """The lines of invalid rows from the one that waits on."""
        self._is_lost_above = False
        self._spans: list[IntervalSpan] = []

    @property
    def spans(self) -> Sequence[IntervalSpan]:
        """The lengths so far, in order of time; unknown if they change too often."""
        spans = sorted(self._spans, key=lambda span: span.first)
        if len(spans) > MAX_SPANS:
            return [IntervalSpan(spans[0].first, None, is_said=True)]
        return spans

    def lose(self, line: int) -> None:
        """Note an invalid row."""
        insort(self._lost, line)

    def add(self, line: int, instant: datetime, row: DelimitedRow) -> _TimedRow | None:
        """Take the next row and the instant of its time; return the one above it."""
        before = bisect(self._lost, line)
        timed = self._timed(instant, is_lost=before > 0)
        self._is_lost_above = before > 0
        del self._lost[:before]
        self.pending = line, instant, row
        return timed

    def finish(self) -> _TimedRow | None:
        """Return the last row."""
        return self._timed(None, is_lost=bool(self._lost))

    def _timed(self, below: datetime | None, *, is_lost: bool) -> _TimedRow | None:
        """Return the row that waits; invalid rows may be between it and the one below it."""
        if self.pending is None:
            return None
        line, instant, row = self.pending
        above, self._above, self.pending = self._above, instant, None
        ascends = above < instant if above is not None else below is None or instant < below
        if above is not None and below is not None and ascends is not (instant < below):
            return _TimedRow(line, row, instant, 0, UNORDERED_ROW)
        is_above = ascends is self._marks_end
        if self._is_lost_above if is_above else is_lost:
            return _TimedRow(line, row, instant, 0, LOST_NEIGHBOUR)
        neighbour = above if is_above else below
        least, *longer = self._lengths
        distance = None if neighbour is None else int(abs(instant - neighbour).total_seconds())
        if distance is not None and distance < least:
            expected = f"at least {least} seconds between rows, as lengths says"
            return _TimedRow(line, row, instant, 0, expected)
        seconds = least
        if distance is not None and distance in self._lengths:
            seconds = distance
        elif self._usual is not None and (distance is None or self._usual < distance):
            seconds = self._usual
        elif any(
            self._is_multiple(instant, each)
            for each in longer
            if distance is None or each < distance
        ):
            return _TimedRow(line, row, instant, 0, UNTOLD_LENGTH)
        start = instant - timedelta(seconds=seconds) * self._marks_end
        self._note(int(start.timestamp()), seconds, ascends=ascends)
        return _TimedRow(line, row, start, seconds)

    def _is_multiple(self, instant: datetime, seconds: int) -> bool:
        """Return whether a local time is near a multiple of a length."""
        offset = instant.astimezone(self._zone).utcoffset()
        assert offset is not None
        rest = int(instant.timestamp() + offset.total_seconds()) % seconds
        return min(rest, seconds - rest) * 2 < self._lengths[0]

    def _note(self, first: int, seconds: int, *, ascends: bool) -> None:
        """Extend the last span, or begin another one."""
        if not self._spans or self._spans[-1].seconds != seconds:
            self._spans.append(IntervalSpan(first, seconds, is_said=True))
        elif not ascends:
            self._spans[-1] = IntervalSpan(first, seconds, is_said=True)


class VaryingRows(DelimitedRows):
    """Reads rows of a format that says several lengths of rows."""

    def __init__(
        self, context: ParseContext, layout: DelimitedLayout, layouts: Mapping[int, DelimitedLayout]
    ) -> None:
        """Take a layout to check rows with, and one for each length."""
        super().__init__(context, layout)
        settings = layout.settings
        self._layouts = layouts
        self._lengths = _RowLengths(
            settings.lengths,
            settings.usual_length,
            layout.zone,
            marks_end=settings.time.marks_end,
        )

    @property
    def is_buffering(self) -> bool:
        """Whether rows wait for later ones."""
        return super().is_buffering or self._lengths.pending is not None

    @property
    def said_spans(self) -> Sequence[IntervalSpan]:
        """The lengths of the readings, in order of time."""
        return self._lengths.spans

    def finish(self) -> None:
        """Add all rows that wait; there are no later ones."""
        super().finish()
        self._add_timed(self._lengths.finish())

    def _add_local(self, line: int, local: datetime, offset: int | str, row: DelimitedRow) -> None:
        if isinstance(offset, str):
            self._lengths.lose(line)
        super()._add_local(line, local, offset, row)

    def _reject_invalid(self, errors: list[RowError], raw: bytes, local: datetime | None) -> None:
        self._lengths.lose(errors[0].line)
        super()._reject_invalid(errors, raw, local)

    def _add_instant(self, line: int, instant: datetime, row: DelimitedRow) -> None:
        """Add the row above, whose length this one tells."""
        if self._layout.tolerance:
            instant = self._moved(instant)
        pending = self._lengths.pending
        if pending is not None and pending[1] == instant:
            is_same = self._mark(pending[2]) == self._mark(row)
            self._add_repeat(line, instant, row, is_same=is_same)
        else:
            self._add_timed(self._lengths.add(line, instant, row))

    def _add_timed(self, timed: _TimedRow | None) -> None:
        if timed is None:
            return
        line, row, start, seconds, expected = timed
        if expected:
            self._reject_time(line, row, expected)
            return
        fields = self._layout.header.split(line, row.raw)
        assert isinstance(fields, list), "it was read before"
        errors: list[RowError] = []
        quantities = self._layouts[seconds].values.read(line, fields, errors)
        if errors:
            self._reject(errors, row.raw)
        else:
            super()._add_instant(line, start, DelimitedRow(row.raw, row.time, *quantities))

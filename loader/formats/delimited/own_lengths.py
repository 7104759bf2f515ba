"""Rows that say when they begin and when they end, and so how long they last."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from domain.time.sampling_interval import MAX_SPANS, IntervalSpan
from domain.time.time_zone import DAY_SECONDS
from loader.formats.delimited.layout import DelimitedLayout
from loader.formats.delimited.rows import DelimitedRow, DelimitedRows
from loader.formats.timestamps.ends import RowEnds
from loader.formats.timestamps.parser import InvalidTimestamp
from loader.rows.errors import RowError
from loader.rows.reader import ParseContext


@dataclass(slots=True)
class _EqualRows:
    """Rows of one length, from the first start to the last."""

    first: int
    last: int
    seconds: int


class LengthSpans:
    """The lengths of readings, by spans of time; their order does not matter if none overlap."""

    def __init__(self) -> None:
        self._runs: list[_EqualRows] = []

    def note(self, start: int, seconds: int) -> None:
        """Add a reading."""
        if not self._runs or self._runs[-1].seconds != seconds:
            self._runs.append(_EqualRows(start, start, seconds))
            return
        run = self._runs[-1]
        run.first, run.last = min(run.first, start), max(run.last, start)

    def spans(self) -> Sequence[IntervalSpan]:
        """Return the lengths in order of time; unknown if they overlap, or change too often."""
        spans: list[IntervalSpan] = []
        last = None
        for run in sorted(self._runs, key=lambda run: run.first):
            is_other = not spans or spans[-1].seconds != run.seconds
            if is_other and last is not None and run.first <= last:
                return [IntervalSpan(spans[0].first, None, is_said=True)]
            last = run.last if last is None else max(last, run.last)
            if is_other:
                spans.append(IntervalSpan(run.first, run.seconds, is_said=True))
        if len(spans) > MAX_SPANS:
            return [IntervalSpan(spans[0].first, None, is_said=True)]
        return spans


def usual_seconds(start: datetime, length: timedelta, zone: tzinfo) -> int:
    """Return the seconds of a length; days are as long as if clocks did not change."""
    first, last = (at.astimezone(zone).replace(tzinfo=None) for at in (start, start + length))
    shown = int((last - first).total_seconds())
    return shown if shown and not shown % DAY_SECONDS else int(length.total_seconds())


class OwnLengthRows(DelimitedRows):
    """Reads rows that have an end, so that each has a length of its own."""

    def __init__(
        self,
        context: ParseContext,
        layout: DelimitedLayout,
        layout_of: Callable[[int], DelimitedLayout],
    ) -> None:
        """Take a layout to check rows with, and what returns the one of a length in seconds."""
        super().__init__(context, layout)
        self._layout_of = layout_of
        self._ends = RowEnds(layout.settings.time, layout.header.names, layout.zone)
        self._needs_length = layout.settings.columns.need_length
        self._lengths = LengthSpans()
        self._neighbour: tuple[datetime, datetime] | None = None
        """When the row above begins and ends."""
        self._ascends = True
        """Whether the row above is later than the one before it."""

    @property
    def said_spans(self) -> Sequence[IntervalSpan]:
        """The lengths of the readings, in order of time."""
        return self._lengths.spans()

    def _add_local(self, line: int, local: datetime, offset: int | str, row: DelimitedRow) -> None:
        """Add a row by its local time, which a row tells that it continues or leads up to."""
        if self._resolver.is_repeated(local):
            linked = self._linked_offset(local, row)
            offset = offset if linked is None else linked
        super()._add_local(line, local, offset, row)

    def _linked_offset(self, local: datetime, row: DelimitedRow) -> int | None:
        """Return the offset with which a row is next to the one above it."""
        if self._neighbour is None:
            return None
        above_start, above_end = self._neighbour
        for fold in (0, 1):
            offset = local.replace(tzinfo=self._layout.zone, fold=fold).utcoffset()
            assert offset is not None
            start = local.replace(tzinfo=UTC) - offset
            is_next = start == above_end
            if not self._ascends:
                length = self._ends.length(row.fields, start)
                is_next = isinstance(length, timedelta) and start + length == above_start
            if is_next:
                return int(offset.total_seconds())
        return None

    def _add_instant(self, line: int, instant: datetime, row: DelimitedRow) -> None:
        """Add a row that lasts from an instant to its end."""
        length = self._ends.length(row.fields, instant)
        if isinstance(length, InvalidTimestamp):
            error = RowError(line, length.column, length.value, length.expected)
            self._reject([error], row.raw)
            return
        if self._neighbour is not None:
            self._ascends = self._neighbour[0] < instant
        self._neighbour = instant, instant + length
        if self._needs_length:
            errors: list[RowError] = []
            layout = self._layout_of(int(length.total_seconds()))
            quantities = layout.values.read(line, row.fields, errors)
            if errors:
                self._reject(errors, row.raw)
                return
            row = DelimitedRow(row.raw, row.time, *quantities, row.fields)
        count = self._ready.count
        super()._add_instant(line, instant, row)
        if self._ready.count > count:
            seconds = usual_seconds(instant, length, self._layout.zone)
            self._lengths.note(int(instant.timestamp()), seconds)

"""The intervals of a meter, kept in the transaction that changes its readings."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from domain.report_source import ReportSource
from domain.time.sampling_interval import (
    Differences,
    IntervalSpan,
    SamplingIntervals,
    joined_spans,
    tells_only,
    told_spans,
)
from storage.backends.base import WriteEngine
from storage.backends.dialect import Condition
from storage.meters import MeterRecord

INSTANTS_AT_ONCE = 20_000
"""Starts of readings that one statement reads."""

MARGIN_READINGS = 64
"""Readings on either side of new ones that may show that the interval stays what it was."""


@dataclass(frozen=True, slots=True)
class NewReadings:
    """What an import has added to a meter."""

    before: int
    """Readings that the meter had before."""
    last: int | None
    """The start of the last one of these."""
    inserted: int
    """Readings that were added, anywhere."""
    are_later: bool
    """Whether they, all that the report has, come after those of before."""


class IntervalUpdater:
    """Keeps the table `intervals`. Every call raises a StorageError if the database fails."""

    def __init__(self, engine: WriteEngine) -> None:
        self._engine = engine

    def recorded(self, meter_id: int) -> Condition:
        """Return the statement that selects the spans on record."""
        first = self._engine.dialect.unix_seconds("first_utc")
        return Condition(
            f"SELECT {first}, seconds, said FROM intervals WHERE meter_id = {meter_id}"
            " ORDER BY first_utc"
        )

    def known(self, meter: MeterRecord, rows: Sequence[Sequence[Any]]) -> SamplingIntervals:
        """Return the intervals of a meter from the rows of `recorded`."""
        return SamplingIntervals(_known(meter, _spans(rows)))

    async def update(
        self,
        meter: MeterRecord,
        report: ReportSource,
        new: NewReadings,
        rows: Sequence[Sequence[Any]],
    ) -> SamplingIntervals:
        """Return the intervals of a meter after an import, and record them.

        The rows are those of `recorded` before. What the report says holds for the time between its
        first and its last reading.
        """
        differences = report.differences
        recorded = _spans(rows)
        known = _known(meter, recorded)
        if differences.first is None:
            return SamplingIntervals(known)
        if report.said_spans:
            spans = await self._with_said(meter, known, differences, report.said_spans)
        elif (known and not new.inserted) or _continues(known, differences, new):
            spans = known
        elif not new.before:
            # What readings told that another program has deleted since is no longer known.
            said = _until([span for span in known if span.is_said], differences.first)
            told = told_spans(differences, said[-1] if said else None)
            # What was said of a meter without readings is of none if its first ones tell otherwise.
            is_refuted = said and told[0].seconds not in (None, said[-1].seconds)
            spans = told if is_refuted else [*said, *told]
        else:
            spans = await self._with_told(meter, known, differences, are_later=new.are_later)
        spans = joined_spans(spans)
        if [*spans] != [*recorded]:
            if recorded:
                await self._engine.post(f"DELETE FROM intervals WHERE meter_id = {meter.id}")
            await self._record(meter, spans)
        return SamplingIntervals(spans)

    async def _with_said(
        self,
        meter: MeterRecord,
        known: Sequence[IntervalSpan],
        differences: Differences,
        said: Sequence[IntervalSpan],
    ) -> Sequence[IntervalSpan]:
        """Return spans with those that the report says, from its first to its last reading."""
        after = await self._next(meter, differences.last)
        return [*_until(known, said[0].first), *said, *_since(known, after)]

    async def _with_told(
        self,
        meter: MeterRecord,
        known: Sequence[IntervalSpan],
        differences: Differences,
        *,
        are_later: bool,
    ) -> Sequence[IntervalSpan]:
        """Return spans with those that the readings around new ones tell.

        The readings of spans that were said stay apart, except between the new ones.
        """
        first, last = differences.first, differences.last
        assert first is not None, "the report has readings"
        start: int | None = first
        end = None if are_later else await self._next(meter, last)
        at = max((place for place, span in enumerate(known) if span.first <= first), default=0)
        if known and not known[at].is_said:
            start = await self._margin(meter, known, at, first, is_before=True)
        elif not known:
            start = None
        at = max((place for place, span in enumerate(known) if span.first <= last), default=0)
        if known and not known[at].is_said and not are_later:
            end = await self._margin(meter, known, at, last, is_before=False)
        elif not known:
            end = None
        kept = _until(known, start)
        found = Differences()
        await self._read(meter, found, start, end)
        told = told_spans(found, kept[-1] if kept and kept[-1].is_said else None)
        return [*kept, *told, *_since(known, end)]

    async def _margin(
        self,
        meter: MeterRecord,
        known: Sequence[IntervalSpan],
        at: int,
        instant: int,
        *,
        is_before: bool,
    ) -> int | None:
        """Return where to begin, or end, to look at readings around an instant; None at the end.

        That is near it if the readings there tell the interval of their span, or else where a span
        that was said ends or begins.
        """
        dialect, span = self._engine.dialect, known[at]
        bound = known[at + 1].first if at + 1 < len(known) else None
        near = f"utc < {dialect.instant(instant)}"
        if not is_before:
            near = f"utc > {dialect.instant(instant)}"
        if is_before and at:
            near += f" AND utc >= {dialect.instant(span.first)}"
        if not is_before and bound is not None:
            near += f" AND utc < {dialect.instant(bound)}"
        rows = await self._engine.fetch(
            f"SELECT {dialect.unix_seconds('utc')} FROM readings WHERE meter_id = {meter.id}"
            f" AND {near} ORDER BY utc {'DESC' if is_before else ''} LIMIT {MARGIN_READINGS}"
        )
        instants = sorted(row[0] for row in rows)
        margin = Differences()
        for each in instants:
            margin.add(each)
        if span.seconds is not None and tells_only(margin, span.seconds):
            return int(instants[0] if is_before else instants[-1])
        if is_before:
            before = next((place for place in range(at, 0, -1) if known[place - 1].is_said), 0)
            return known[before].first if before else None
        later = (each.first for each in known[at + 1 :] if each.is_said)
        return next(later, None)

    async def _next(self, meter: MeterRecord, instant: int) -> int | None:
        """Return the start of the first reading after an instant, None if there is none."""
        dialect = self._engine.dialect
        rows = await self._engine.fetch(
            f"SELECT {dialect.unix_seconds('utc')} FROM readings WHERE meter_id = {meter.id}"
            f" AND utc > {dialect.instant(instant)} ORDER BY utc LIMIT 1"
        )
        following: int | None = rows[0][0] if rows else None
        return following

    async def _read(
        self, meter: MeterRecord, found: Differences, start: int | None, end: int | None
    ) -> None:
        """Add the starts of readings from one instant up to another, in order of time."""
        dialect = self._engine.dialect
        condition = f"meter_id = {meter.id}"
        if end is not None:
            condition += f" AND utc < {dialect.instant(end)}"
        after = "TRUE" if start is None else f"utc >= {dialect.instant(start)}"
        while True:
            rows = await self._engine.fetch(
                f"SELECT {dialect.unix_seconds('utc')} FROM readings WHERE {condition}"
                f" AND {after} ORDER BY utc LIMIT {INSTANTS_AT_ONCE}"
            )
            for (instant,) in rows:
                found.add(instant)
            if len(rows) < INSTANTS_AT_ONCE:
                return
            after = f"utc > {dialect.instant(found.last)}"

    async def _record(self, meter: MeterRecord, spans: Sequence[IntervalSpan]) -> None:
        dialect = self._engine.dialect
        values = (
            f"({meter.id}, {dialect.instant(span.first)},"
            f" {'NULL' if span.seconds is None else span.seconds}, {span.is_said:d})"
            for span in spans
        )
        await self._engine.post(
            f"INSERT INTO intervals (meter_id, first_utc, seconds, said) VALUES {', '.join(values)}"
        )


def lengths_within(intervals: SamplingIntervals, differences: Differences) -> Sequence[int | None]:
    """Return the intervals between the first and the last of some readings, in order of time."""
    if differences.first is None:
        return []
    spans = intervals.within(differences.first, differences.last + 1)
    return [seconds for seconds, _ in groupby(span.seconds for span in spans)]


def _spans(rows: Sequence[Sequence[Any]]) -> Sequence[IntervalSpan]:
    return [IntervalSpan(first, seconds, bool(said)) for first, seconds, said in rows]


def _known(meter: MeterRecord, recorded: Sequence[IntervalSpan]) -> Sequence[IntervalSpan]:
    """Return the spans of a meter; an interval that a command has set holds for all readings."""
    if meter.interval is not None and {span.seconds for span in recorded} != {meter.interval}:
        return [IntervalSpan(0, meter.interval, is_said=True)]
    return recorded


def _continues(known: Sequence[IntervalSpan], differences: Differences, new: NewReadings) -> bool:
    """Return whether later readings show at once that the last interval holds for them."""
    if not new.are_later or not known or known[-1].seconds is None or new.last is None:
        return False
    seconds = known[-1].seconds
    first_run = next(differences.runs(), None)
    return (
        first_run is not None
        and differences.first is not None
        and first_run.difference == seconds
        and (differences.first - new.last) % seconds == 0
        and tells_only(differences, seconds)
    )


def _until(spans: Sequence[IntervalSpan], instant: int | None) -> list[IntervalSpan]:
    """Return the spans that begin before an instant."""
    return [span for span in spans if instant is not None and span.first < instant]


def _since(spans: Sequence[IntervalSpan], instant: int | None) -> list[IntervalSpan]:
    """Return the spans from an instant on, the first of which may begin before it."""
    if instant is None:
        return []
    later = [span for span in spans if span.first > instant]
    there = [span for span in spans if span.first <= instant] or [*spans[:1]]
    return [IntervalSpan(instant, span.seconds, span.is_said) for span in there[-1:]] + later

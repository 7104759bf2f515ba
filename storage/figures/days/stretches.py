"""The readings of a selection as whole local days, whose sums are kept, and what lies between."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from domain.time.time_zone import DAY_SECONDS
from storage.backends.base import ReadEngine
from storage.backends.dialect import Dialect
from storage.common.prefetch import prefetch
from storage.common.turns import in_pieces
from storage.figures.aggregation_rules import (
    COUNT,
    GREATEST,
    AggregatePart,
    PartValues,
    day_expression,
    merge_parts,
)
from storage.figures.selection import Selection

CHUNK_DAYS = 4000
"""Days that one statement reads."""


@dataclass(slots=True)
class Stretch:
    """Readings from `start` up to, and without, `end`."""

    start: int
    end: int
    parts: PartValues | None
    """Their aggregates, None if the readings have to be scanned."""

    def takes(self, later: "Stretch") -> bool:
        """Take in a later stretch if both are to be scanned in one go; return whether they are."""
        is_near = later.start < self.end + DAY_SECONDS
        if later.start >= self.end and not (is_near and self.parts is later.parts is None):
            return False
        self.start, self.end = min(self.start, later.start), max(self.end, later.end)
        self.parts = None
        return True


async def day_stretches(
    engine: ReadEngine,
    selection: Selection,
    parts: Sequence[AggregatePart],
    is_one_bucket: Callable[[int, int], bool] = lambda *_: True,
    day_filter: str = "TRUE",
) -> AsyncGenerator[Sequence[Stretch]]:
    """Yield stretches, in the order of time, that together have all readings of a selection.

    A day is a stretch of its own. It has to be scanned if it lies over an end of the selection, if
    its first and last reading are not of one bucket, or if readings of another day lie between
    them, as when clocks go back over midnight. A filter leaves out days whose readings, were they
    scanned, would change nothing.
    """
    if not selection.has_days:
        yield [Stretch(selection.start, selection.until, None)]
        return
    max_parts = [at for at, (function, _) in enumerate(parts) if function == GREATEST]
    zero = engine.dialect.max_with_time_zero
    last: Stretch | None = None
    async with aclosing(prefetch(_jobs(engine, selection, parts, day_filter))) as results:
        async for rows in results:
            async for piece in in_pieces(rows):
                done: list[Stretch] = []
                for first, final, *values in piece:
                    for at in max_parts:
                        values[at] = None if values[at] is None else int(values[at]) - zero
                    here = _clipped(selection, first, final, values)
                    if here.parts is not None and not is_one_bucket(first, final):
                        here.parts = None
                    if last is not None and not last.takes(here):
                        done.append(last)
                        last = None
                    last = last or here
                yield done
    if last is not None:
        yield [last]


def _clipped(selection: Selection, first: int, last: int, parts: PartValues) -> Stretch:
    """Return the stretch of a day, or of a part of it, by its first and last reading."""
    if first >= selection.start and last < selection.until:
        return Stretch(first, last + 1, parts)
    return Stretch(max(first, selection.start), min(last + 1, selection.until), None)


def whole_days(dialect: Dialect, selection: Selection) -> str:
    """Return what follows FROM to select the days that lie in a selection as a whole."""
    return (
        f"{kept_days(selection)} AND first_utc >= {dialect.instant(selection.start)}"
        f" AND last_utc < {dialect.instant(selection.until)}"
    )


def kept_days(selection: Selection) -> str:
    """Return what follows FROM to select the days of the meter, as a selection wants them."""
    quality = "(clean = 1 OR implausible = 0)" if selection.is_clean else "clean = 0"
    return f"days WHERE meter_id = {selection.meter.id} AND {quality}"


async def may_derive(engine: ReadEngine, selection: Selection) -> bool:
    """Return whether readings of the meter may have a power that is derived from energy."""
    if not selection.has_days:
        return True
    return bool(
        await engine.fetch(
            f"SELECT 1 FROM days WHERE meter_id = {selection.meter.id} AND clean = 0"
            " AND derived_energy_count > 0 LIMIT 1"
        )
    )


async def summed(
    engine: ReadEngine,
    selection: Selection,
    parts: Sequence[AggregatePart],
    scan: Callable[[Selection], Awaitable[PartValues]],
    day_filter: str = "TRUE",
) -> PartValues:
    """Return the aggregates of a selection; `scan` returns them for what has to be scanned."""
    values: list[PartValues] = [[0 if function == COUNT else None for function, _ in parts]]
    days = day_stretches(engine, selection, parts, day_filter=day_filter)
    async with aclosing(days) as stretches:
        async for some in stretches:
            known = [stretch.parts for stretch in some if stretch.parts is not None]
            values = [merge_parts(parts, [*values, *known])]
            for stretch in some:
                if stretch.parts is None:
                    part = replace(selection, start=stretch.start, until=stretch.end)
                    values.append(await scan(part))
    return merge_parts(parts, values)


async def _jobs(
    engine: ReadEngine, selection: Selection, parts: Sequence[AggregatePart], day_filter: str
) -> AsyncGenerator[Coroutine[Any, Any, Iterator[list[Any]]]]:
    """Yield what reads the days of a selection, in chunks."""
    start = max(selection.start, selection.first_reading)
    end = min(selection.until, selection.last_reading + 1)
    # The rules of the zone may have changed since the local times were written.
    first = selection.zone.at(start).date().toordinal() - 1
    last = selection.zone.at(end).date().toordinal() + 1
    for at in range(first, last + 1, CHUNK_DAYS):
        until = min(at + CHUNK_DAYS - 1, last)
        days = f"'{date.fromordinal(at)}' AND '{date.fromordinal(until)}'"
        yield _days(engine, selection, parts, f"day BETWEEN {days}", day_filter)


async def _days(
    engine: ReadEngine,
    selection: Selection,
    parts: Sequence[AggregatePart],
    days: str,
    day_filter: str,
) -> Iterator[list[Any]]:
    """Return the starts of the first and last reading of days, and their aggregates."""
    dialect = engine.dialect
    mark = dialect.placeholder
    start, until = dialect.utc(selection.start), dialect.utc(selection.until)
    rows = await engine.fetch(
        dialect.in_order(
            dialect.unix_seconds("first_utc"),
            [
                dialect.unix_seconds("last_utc"),
                *(day_expression(part, dialect) for part in parts),
            ],
            f"{kept_days(selection)} AND {days} AND last_utc >= {mark} AND first_utc < {mark}"
            f" AND ({day_filter} OR first_utc < {mark} OR last_utc >= {mark})",
        ),
        (start, until, start, until),
    )
    return dialect.parse_groups(rows)

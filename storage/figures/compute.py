"""Figures of one state of the data, although several statements compute them."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace

from storage.backends.base import ReadEngine
from storage.figures.result import FigureQuery, Metadata, ResultTable, Row, empty_table, units_of
from storage.meters import Meter

Admit = Callable[[int], Awaitable[None]]
"""Returns when so many readings may be scanned, or raises an error."""


async def admit_any(_: int) -> None:
    """Let any number of readings be scanned."""


async def compute(
    query: FigureQuery,
    engine: ReadEngine,
    meter: Meter | None,
    require_current: Callable[[], Awaitable[None]],
    admit: Admit,
) -> ResultTable:
    """Return the result of a query of a meter, None if there is none yet; raise QueryError.

    `require_current` raises Overtaken if the data has changed since the call.
    """
    selection = None if meter is None else await query.select(engine, meter)
    if selection is None:
        return empty_table(query.fields)
    await admit(query.scanned(selection))
    table = await query.table(engine, selection)
    return replace(
        table,
        rows=of_one_state(table.rows, require_current),
        metadata=with_units(table),
    )


def with_units(table: ResultTable) -> Metadata:
    """Return the metadata of a result with the unit of each field that has one."""
    more = table.metadata.get("units")
    units = units_of(table.fields) | (dict(more) if isinstance(more, Mapping) else {})
    return {**table.metadata, "units": units} if units else table.metadata


async def of_one_state(
    rows: AsyncGenerator[Sequence[Row]], require_current: Callable[[], Awaitable[None]]
) -> AsyncGenerator[Sequence[Row]]:
    """Yield the rows; the first chunk and the last one after the state was checked."""
    held: Sequence[Row] = []
    is_first = True
    async with aclosing(rows):
        async for chunk in rows:
            if held:
                if is_first:
                    await require_current()
                is_first = False
                yield held
            held = chunk
    await require_current()
    if held:
        yield held

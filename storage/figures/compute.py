"""Figures of one state of the data, although several statements compute them."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace

from storage.backends.base import ReadEngine
from storage.common.errors import Inconsistent
from storage.figures.meter_info import MeterInfo
from storage.figures.result import FigureQuery, ResultTable, Row, empty_table

Admit = Callable[[int], Awaitable[None]]
"""Returns when so many readings may be scanned, or raises an error."""


async def admit_any(_: int) -> None:
    """Let any number of readings be scanned."""


async def compute(
    query: FigureQuery,
    engine: ReadEngine,
    current_version: Callable[[], Awaitable[str]],
    version: str,
    admit: Admit,
) -> ResultTable:
    """Return the result of a query; raise QueryError if there can be none.

    Its rows raise Inconsistent unless the data still has the given version after the last one.
    """
    selection = await query.select(engine)
    if selection is None:
        return empty_table(query.fields)
    if not isinstance(query, MeterInfo):  # which reads none of the readings
        await admit(selection.readings)
    table = await query.table(engine, selection)
    return replace(table, rows=_of_one_version(table.rows, current_version, version))


async def _of_one_version(
    rows: AsyncGenerator[Sequence[Row]], current_version: Callable[[], Awaitable[str]], version: str
) -> AsyncGenerator[Sequence[Row]]:
    """Yield the rows; the last chunk, often the only one, after the version was checked."""
    held: Sequence[Row] = []
    async with aclosing(rows):
        async for chunk in rows:
            if held:
                yield held
            held = chunk
    if await current_version() != version:
        raise Inconsistent("an import was written while figures were worked out")
    if held:
        yield held

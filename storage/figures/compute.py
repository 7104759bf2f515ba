"""Figures of one state of the data, although several statements compute them."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace

from storage.backends.base import ReadEngine
from storage.common.errors import Inconsistent
from storage.figures.result import FigureQuery, ResultTable, Row


async def compute(
    query: FigureQuery,
    engine: ReadEngine,
    current_version: Callable[[], Awaitable[str]],
    version: str,
) -> ResultTable:
    """Return the result of a query; raise QueryError if there can be none.

    Its rows raise Inconsistent unless the data still has the given version after the last one.
    """
    table = await query.table(engine)
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

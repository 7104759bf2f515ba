"""The readings of a selection as arrays."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from domain.columns import Columns
from domain.flags import Flag
from storage.backends.base import ReadEngine
from storage.columns.reader import Spans, read_columns
from storage.figures.selection import Selection


async def selected_columns(
    engine: ReadEngine,
    selection: Selection,
    names: Sequence[str],
    *flags: Flag,
    spans: Spans | None = None,
) -> AsyncGenerator[Columns]:
    """Yield the readings of a selection, in the order of time, without those with some flags.

    They come at least one at a time. Those in none of some spans, if any are given, may be left
    out.
    """
    bits = selection.bits(*flags)
    meter_id, start, until = selection.meter.id, selection.start, selection.until
    readings = read_columns(engine, meter_id, start, until, names, spans)
    async with aclosing(readings):
        async for columns in readings:
            selected = columns.without_flags(bits)
            if len(selected):
                yield selected

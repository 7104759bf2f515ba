"""The base load: the power that is exceeded nearly all of the time."""

from contextlib import aclosing

import numpy as np

from domain.columns import Column, Columns
from domain.flags import CATCH_UP
from storage.backends.base import ReadEngine
from storage.backends.derived import DERIVED_ENERGY
from storage.columns.derived import derived_column, powers
from storage.columns.highest import Highest
from storage.common.turns import in_thread
from storage.figures.profile import nearest_rank
from storage.figures.scan import selected_columns
from storage.figures.selection import Selection

PERCENT = 5
"""The percentile of power that base load is."""


async def base_load(
    engine: ReadEngine, selection: Selection, measured: int, derived: int
) -> int | None:
    """Return the base load in kW, scaled, of readings of one interval.

    It is made of the readings that are no catch-ups: those with a measured power, and those with a
    power that is derived from energy, so many of each.
    """
    count = measured + derived
    if not count:
        return None
    (seconds,) = selection.lengths
    lowest = Highest(nearest_rank(PERCENT, count))
    """Of the powers with the other sign."""

    def add(columns: Columns) -> None:
        power = columns.quantities["power"]
        if derived and seconds is not None:
            energy = derived_column(columns, DERIVED_ENERGY)
            values = np.where(power.present, power.values, powers(energy.values, seconds))
            power = Column(values, power.present | energy.present)
        lowest.add(Column(-power.values, power.known), columns.utc)

    names = ("power", "energy") if derived else ("power",)
    readings = selected_columns(engine, selection, names, CATCH_UP)
    async with aclosing(readings):
        async for columns in readings:
            await in_thread(add, columns)
    last = await in_thread(lowest.last)
    return None if last is None else -last

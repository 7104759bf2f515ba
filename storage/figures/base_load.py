"""The base load: the power that is exceeded nearly all of the time."""

from domain.fixed_point import parse_scaled
from domain.flags import CATCH_UP
from storage.backends.base import ReadEngine
from storage.backends.dialect import Condition, comparable
from storage.figures.profile import nearest_rank
from storage.figures.scan import ScanPlan, plan_scan
from storage.figures.selection import Selection

PERCENT = 5
"""The percentile of power that base load is."""

MIN_READINGS = 1000
"""Readings that a guess is made from."""

SAMPLE_MARGIN = 2
"""How many times the wanted percentile the guess is, so that it is seldom too low."""


async def base_load(engine: ReadEngine, asked: Selection, with_power: int) -> int | None:
    """The base load in hundred-thousandths of a kW, of so many readings that are no catch-ups."""
    if not with_power:
        return None
    believed = await plan_scan(engine, asked, CATCH_UP)
    where = believed.where & Condition("power IS NOT NULL")
    low = await _low(engine, believed, where)
    # To sort the low ones is quick. Were they too few after all, all are sorted.
    for wanted in ([] if low is None else [low & where]) + [where]:
        rows = await engine.fetch(
            f"SELECT power FROM {believed.table} WHERE {wanted.text}"
            f" ORDER BY power LIMIT 1 OFFSET {nearest_rank(PERCENT, with_power) - 1}",
            wanted.args,
        )
        if rows:
            return parse_scaled(rows[0][0])
    return None


async def _low(engine: ReadEngine, believed: ScanPlan, where: Condition) -> Condition | None:
    """The readings up to a power that is a guess, from some of many that are spread over all."""
    first, last = believed.ids
    if not believed.slices or last - first < SAMPLE_MARGIN * MIN_READINGS:
        return None
    ids = engine.dialect.among(range(first, last + 1, (last - first) // MIN_READINGS))
    some = ids & where
    rows = await engine.fetch(
        f"SELECT power FROM consumpdata WHERE {some.text} ORDER BY power", some.args
    )
    if not rows:
        return None
    guess = rows[nearest_rank(SAMPLE_MARGIN * PERCENT, len(rows)) - 1][0]
    return Condition(f"power <= {engine.dialect.placeholder}", (comparable(guess),))

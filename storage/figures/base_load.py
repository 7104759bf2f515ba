"""The base load: the power that is exceeded nearly all of the time."""

from math import gcd

from domain.fixed_point import divide_rounded, parse_scaled
from domain.flags import CATCH_UP
from storage.backends.base import ReadEngine
from storage.backends.dialect import Condition, comparable
from storage.figures.aggregation_rules import HOUR_SECONDS
from storage.figures.profile import nearest_rank
from storage.figures.scan import ScanPlan, plan_scan
from storage.figures.selection import Selection

PERCENT = 5
"""The percentile of power that base load is."""

MIN_READINGS = 1000
"""Readings that the estimate is made from."""

SAMPLE_MARGIN = 2
"""The estimate's percentile over the base load's, so that it is seldom too low."""


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
    power, divisor = _power(selection.lengths.pop() if derived else None)
    plan = await plan_scan(engine, selection, CATCH_UP)
    where = plan.where & Condition(f"{power} IS NOT NULL")
    low = await _low_powers(engine, selection, plan, power)
    # To sort the low ones is quick. Were they too few after all, all are sorted.
    for condition in ([] if low is None else [low & where]) + [where]:
        rows = await engine.fetch(
            f"SELECT {power} AS multiple FROM {plan.table} WHERE {condition.text}"
            f" ORDER BY multiple LIMIT 1 OFFSET {nearest_rank(PERCENT, count) - 1}",
            condition.args,
        )
        if rows:
            multiple = parse_scaled(rows[0][0])
            assert multiple is not None
            return divide_rounded(multiple, divisor)
    return None


def _power(interval: int | None) -> tuple[str, int]:
    """Return the SQL of a multiple of power, an exact one, and how many times the power it is."""
    if interval is None:
        return "power", 1
    divisor = interval // gcd(interval, HOUR_SECONDS)
    factor = HOUR_SECONDS // gcd(interval, HOUR_SECONDS)
    return f"COALESCE(power * {divisor}, energy * {factor})", divisor


async def _low_powers(
    engine: ReadEngine, selection: Selection, plan: ScanPlan, power: str
) -> Condition | None:
    """Select the readings up to an estimated power, from a sample of many; None of few."""
    first, last = plan.ids
    if not plan.slices or last - first < SAMPLE_MARGIN * MIN_READINGS:
        return None
    ids = engine.dialect.among(range(first, last + 1, (last - first) // MIN_READINGS))
    table = selection.table
    # With the range of the ids as well, SQLite would scan it.
    sample = table.where(
        ids, Condition(f"{power} IS NOT NULL"), table.without_flags(selection.bits(CATCH_UP))
    )
    rows = await engine.fetch(
        f"SELECT {power} AS multiple FROM {table.name} WHERE {sample.text} ORDER BY multiple",
        sample.args,
    )
    if not rows:
        return None
    estimate = rows[nearest_rank(SAMPLE_MARGIN * PERCENT, len(rows)) - 1][0]
    return Condition(f"{power} <= {engine.dialect.placeholder}", (comparable(estimate),))

"""What a clean result leaves out."""

from domain.fixed_point import format_scaled, parse_scaled
from domain.flags import IMPLAUSIBLE
from storage.backends.base import ReadEngine
from storage.figures.aggregation_rules import COUNT, SUM, PartValues
from storage.figures.days.stretches import summed
from storage.figures.selection import Selection

_PARTS = ((COUNT, IMPLAUSIBLE.name), (SUM, "implausible_energy"))


async def left_out(engine: ReadEngine, selection: Selection) -> dict[str, dict[str, str]]:
    """Return how many readings, and how much energy, a clean result leaves out."""
    if not selection.is_clean:
        return {}

    async def scan(part: Selection) -> PartValues:
        where = part.where(engine.dialect)
        rows = await engine.fetch(
            f"SELECT COUNT(*), SUM(energy) FROM {part.table.flagged}"
            f" WHERE flags & {IMPLAUSIBLE.bit} <> 0 AND {where.text}",
            where.args,
        )
        return [parse_scaled(value) for value in rows[0]]

    count, energy = await summed(
        engine, selection.raw(), _PARTS, scan, day_filter="implausible > 0"
    )
    return {"left_out": {"readings": str(count or 0), "energy": format_scaled(energy or 0)}}

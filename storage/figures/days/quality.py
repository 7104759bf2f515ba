"""Whether a result is raw or clean, and what makes the difference."""

from dataclasses import dataclass

from domain.fixed_point import format_scaled, parse_scaled
from domain.flags import IMPLAUSIBLE
from storage.backends.base import ReadEngine
from storage.figures.aggregation_rules import COUNT, SUM, PartValues
from storage.figures.days.stretches import summed
from storage.figures.result import Metadata
from storage.figures.selection import Selection

_PARTS = ((COUNT, IMPLAUSIBLE.name), (SUM, "implausible_energy"))


@dataclass(frozen=True, slots=True)
class Implausible:
    """The implausible readings of a period: raw includes them, clean leaves them out."""

    readings: int
    energy: int
    """Their energy in kWh, scaled."""
    is_clean: bool

    @property
    def metadata(self) -> Metadata:
        """What a result says of them."""
        counts = {"readings": str(self.readings), "energy": format_scaled(self.energy)}
        if self.is_clean:
            return {"quality": "clean", "implausible": counts, "left_out": counts}
        return {"quality": "raw", "implausible": counts}

    def energies(self, energy: int | None, readings: int) -> tuple[int | None, int | None]:
        """Return the raw and the clean energy, given that of a result and how many have it."""
        if self.is_clean:
            return (energy or 0) + self.energy if readings or self.readings else None, energy
        return energy, None if energy is None or readings == self.readings else energy - self.energy


async def implausible(engine: ReadEngine, selection: Selection) -> Implausible:
    """Return the implausible readings of a selection's period, also those that it leaves out."""

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
    return Implausible(count or 0, energy or 0, selection.is_clean)


async def quality_of(engine: ReadEngine, selection: Selection) -> Metadata:
    """Return whether a result of a selection is raw or clean, and what the other one differs by."""
    return (await implausible(engine, selection)).metadata

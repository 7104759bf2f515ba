"""Sums of several meters together, from their days."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

from domain.fixed_point import parse_scaled
from storage.backends.base import ReadEngine

_LABELS = {"day": "day", "month": "SUBSTR(day, 1, 7)"}


@dataclass(frozen=True, slots=True)
class MeterSums:
    """Sums of some meters in a day or month, quantities scaled by 10^5."""

    label: str
    """The local day or month, as YYYY-MM-DD or YYYY-MM."""
    energy: int | None
    reactive_energy: int | None
    present: int
    """Readings with any value."""


async def sums_of_meters(
    engine: ReadEngine,
    meter_ids: Sequence[int],
    first: date,
    last: date,
    by: Literal["day", "month"],
) -> list[MeterSums] | None:
    """Return the sums of meters by day or month, from the first to the last day, in order.

    Each meter's days are those of its own zone. Return None if another program has changed
    readings of a meter since its last import: its days are not kept then.
    """
    meters = f"meter_id IN ({', '.join(map(str, meter_ids))})"
    # Not MAX, for which MariaDB would look at all readings of each meter.
    newest = (
        f"SELECT id FROM readings {engine.dialect.by_id}"
        " WHERE readings.meter_id = states.meter_id ORDER BY id DESC LIMIT 1"
    )
    rows = await engine.fetch(
        f"SELECT COUNT(*) FROM states WHERE {meters}"
        f" AND (changes <> 0 OR last_id <> COALESCE(({newest}), 0))"
    )
    if rows[0][0]:
        return None
    rows = await engine.fetch(
        f"SELECT {_LABELS[by]} AS label, SUM(energy), SUM(reactive_energy), SUM(present)"
        f" FROM days WHERE {meters} AND day BETWEEN '{first}' AND '{last}' AND clean = 0"
        " GROUP BY label ORDER BY label"
    )
    return [
        MeterSums(label.decode(), parse_scaled(energy), parse_scaled(reactive), int(present))
        for label, energy, reactive, present in rows
    ]

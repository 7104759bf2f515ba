"""The meter whose readings are asked for."""

from dataclasses import dataclass

from domain.sampling_interval import interval_on_record
from domain.time_zone import TimeZone, load_time_zone
from storage.backends.base import ReadEngine

METER = 1
"""The only meter so far."""


@dataclass(frozen=True, slots=True)
class Meter:
    """What the database says of a meter."""

    zone: TimeZone
    interval: int
    """Seconds from the start of a reading to that of the next."""
    identifier: str | None
    """What reports call it."""


async def meter(engine: ReadEngine) -> Meter | None:
    """The meter, if a report of it was ever loaded."""
    rows = await engine.fetch(
        f"SELECT timezone, interval_seconds, identifier FROM meters WHERE id = {METER}"
    )
    if not rows:
        return None
    timezone, seconds, identifier = rows[0]
    return Meter(
        await load_time_zone(timezone.decode()),
        interval_on_record(seconds),
        identifier and identifier.decode(),
    )

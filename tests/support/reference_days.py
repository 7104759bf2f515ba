"""The table `days`, and what it should hold by plain reckoning."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from domain.flags import CATCH_UP, FLAGGED_BITS, FLAGS, IMPLAUSIBLE
from domain.quantities import ALL_QUANTITY_NAMES
from storage.backends.base import WriteEngine

Row = dict[str, Any]
Days = dict[tuple[int, str, int], Row]
"""The columns of a day by meter, day and whether the implausible readings are left out."""

LEVELS = ("power", "reactive_power", "voltage", "intensity")


async def kept_days(engine: WriteEngine) -> Days:
    """Return the rows of the table."""
    sums = [*columns([])]
    rows = await engine.fetch(f"SELECT meter_id, day, clean, {', '.join(sums)} FROM days")
    return {
        (meter, str(day), clean): dict(zip(sums, map(plain, values), strict=True))
        for meter, day, clean, *values in rows
    }


async def reckoned_days(engine: WriteEngine) -> Days:
    """Return the rows that the table should have."""
    flags = {
        (meter, number): bits
        for meter, number, bits in await engine.fetch(
            "SELECT meter_id, reading_id, flags FROM flags"
        )
    }
    readings: dict[tuple[int, str, int], list[Row]] = defaultdict(list)
    rows = await engine.fetch(
        f"SELECT meter_id, id, date, utc, {', '.join(ALL_QUANTITY_NAMES)} FROM readings"
    )
    for meter, number, local, at, *values in rows:
        reading = dict(zip(ALL_QUANTITY_NAMES, map(plain, values), strict=True))
        reading |= {"at": plain(at), "flags": flags.get((meter, number), 0)}
        readings[meter, str(local)[:10], 0].append(reading)
    days = {key: columns(of_day) for key, of_day in readings.items()}
    for (meter, day, _), of_day in readings.items():
        left = [reading for reading in of_day if not reading["flags"] & IMPLAUSIBLE.bit]
        if left and len(left) < len(of_day):
            days[meter, day, 1] = columns(left)
    return days


def columns(readings: Sequence[Row]) -> Row:
    """Return the sums of a day."""

    def values(name: str, bit: int = 0) -> list[int]:
        return [
            reading[name]
            for reading in readings
            if reading[name] is not None and reading["flags"] & bit == bit
        ]

    def number(bits: int) -> int:
        return sum(bool(reading["flags"] & bits) for reading in readings)

    peak = max(values("maximeter"), default=None)
    row = {
        "first_utc": min(values("at"), default=None),
        "last_utc": max(values("at"), default=None),
        "readings": len(readings),
        "present": sum(any(r[name] is not None for name in ALL_QUANTITY_NAMES) for r in readings),
        "flagged": number(FLAGGED_BITS),
        "energy": total(values("energy")),
        "energy_count": len(values("energy")),
        "reactive_energy": total(values("reactive_energy")),
        "exported_energy": total(values("exported_energy")),
        "exported_reactive_energy": total(values("exported_reactive_energy")),
        "maximeter": peak,
        "maximeter_utc": min(
            (r["at"] for r in readings if r["maximeter"] == peak is not None), default=None
        ),
        "catch_up_energy": total(values("energy", CATCH_UP.bit)),
        "catch_up_energy_count": len(values("energy", CATCH_UP.bit)),
        "catch_up_power_count": len(values("power", CATCH_UP.bit)),
        "implausible_energy": total(values("energy", IMPLAUSIBLE.bit)),
    }
    derived = [
        reading["energy"]
        for reading in readings
        if reading["power"] is None
        and reading["energy"] is not None
        and not reading["flags"] & CATCH_UP.bit
    ]
    taken = [
        reading["reactive_power"]
        for reading in readings
        if reading["reactive_power"] is not None and (reading["power"] or 0) >= 0
    ]
    row |= {
        "power_factor": total(values("power_factor")),
        "power_factor_count": len(values("power_factor")),
        "derived_energy": total(derived),
        "derived_energy_count": len(derived),
        "derived_energy_min": min(derived, default=None),
        "derived_energy_max": max(derived, default=None),
        "inductive_power": total([max(power, 0) for power in taken]),
        "capacitive_power": total([max(-power, 0) for power in taken]),
    }
    for name in LEVELS:
        row[name] = total(values(name))
        row[f"{name}_count"] = len(values(name))
        row[f"{name}_min"] = min(values(name), default=None)
        row[f"{name}_max"] = max(values(name), default=None)
    return row | {flag.name: number(flag.bit) for flag in FLAGS}


def total(values: Sequence[int]) -> int | None:
    return sum(values) if values else None


def plain(value: Any) -> Any:
    """Return quantities in hundred-thousandths, and instants in seconds since 1970."""
    match value:
        case Decimal():
            return int(value.scaleb(5))
        case datetime():
            return int(value.replace(tzinfo=UTC).timestamp())
        case date():
            return str(value)
    return value

"""Building small reports for tests."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

HEADING = (
    "Date,Energy (kWh),Reactive energy (kVArh),Power (kW),Maximeter (kW),Reactive power (kVAr),"
    "Voltage (V),Intensity (A),Power factor (φ)\n"
)
MADRID = ZoneInfo("Europe/Madrid")
QUANTITIES = ("1.211", "0.200", "5.156", "5.306", "-8.382", "121.955", "53.003", "0.857")


def row(time: str, *quantities: str) -> str:
    """Return a line with these quantities from the left; the others are missing."""
    return ",".join([time, *quantities, *[""] * (8 - len(quantities))]) + "\n"


def report(*rows: str) -> str:
    """Return a report of these lines."""
    return HEADING + "".join(rows)


def written(local: datetime) -> str:
    """Return a local time as a report has it."""
    return f"{local.day} {local:%b %Y %H:%M:%S}"


def quarters(first: str, count: int, zone: ZoneInfo = MADRID) -> list[str]:
    """Return the times of `count` quarter-hours from a local time on, in chronological order."""
    start = datetime.fromisoformat(first).replace(tzinfo=zone).astimezone(UTC)
    times = [start + timedelta(minutes=15) * number for number in range(count)]
    return [written(time.astimezone(zone)) for time in times]


def numbered(times: list[str], first: int = 1) -> list[str]:
    """Return a line for each time, with the number of the row as its energy."""
    return [row(time, str(number)) for number, time in enumerate(times, first)]

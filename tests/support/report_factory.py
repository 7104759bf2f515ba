"""Reports for tests, from a few rows."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

HEADING = (
    "Date,Energy (kWh),Reactive energy (kVArh),Power (kW),Maximeter (kW),Reactive power (kVAr),"
    "Voltage (V),Intensity (A),Power factor (φ)\n"
)
MADRID = ZoneInfo("Europe/Madrid")
QUANTITIES = ("1.211", "0.200", "5.156", "5.306", "-8.382", "121.955", "53.003", "0.857")


def row(moment: str, *quantities: str) -> str:
    """A line with these quantities from the left; those left out are missing."""
    return ",".join([moment, *quantities, *[""] * (8 - len(quantities))]) + "\n"


def report(*rows: str) -> str:
    """A report of these lines."""
    return HEADING + "".join(rows)


def written(local: datetime) -> str:
    """A local time as a report has it."""
    return f"{local.day} {local:%b %Y %H:%M:%S}"


def quarters(first: str, count: int, zone: ZoneInfo = MADRID) -> list[str]:
    """So many quarters of an hour from a local time on, in the order in which a meter has them."""
    start = datetime.fromisoformat(first).replace(tzinfo=zone).astimezone(UTC)
    moments = [start + timedelta(minutes=15) * number for number in range(count)]
    return [written(moment.astimezone(zone)) for moment in moments]


def numbered(moments: list[str], first: int = 1) -> list[str]:
    """A line for each moment, its energy the number of the row."""
    return [row(moment, str(number)) for number, moment in enumerate(moments, first)]

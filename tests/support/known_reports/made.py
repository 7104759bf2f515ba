"""Made readings, and what the writers of files share."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True)
class Made:
    """A reading: when its interval starts, its length in seconds, and energies in kWh."""

    start: datetime
    seconds: int
    energy: Decimal | None
    exported: Decimal | None = None
    is_estimated: bool = False

    @property
    def end(self) -> datetime:
        """When its interval ends."""
        return self.start + timedelta(seconds=self.seconds)


@dataclass(frozen=True, slots=True)
class Layout:
    """How a portal or program writes readings to a file."""

    format: str
    """The shipped format that reads it."""
    write: Callable[[Sequence[Made]], bytes]
    zone: ZoneInfo
    """That of its local times, and of the meter."""
    seconds: int = 900
    """The length of its intervals."""
    has_energy: bool = True
    has_exported: bool = False
    has_estimated: bool = False
    has_missing: bool = True
    """Whether a field can be empty."""
    has_gaps: bool = True
    """Whether intervals can be left out."""
    least_gap: int = 1
    """How many of them at least: one alone may look like a longer row."""
    is_whole_days: bool = False
    has_repeated: bool = True
    """Whether it can hold a repeated hour."""
    has_power: bool = False
    has_zeros: bool = True
    meter: str | None = None
    """The identifier in it."""


def number(value: Decimal | None, mark: str = ",", places: int = 3) -> str:
    """Return a decimal with a fixed number of decimals; nothing where it is missing."""
    return "" if value is None else f"{value:.{places}f}".replace(".", mark)


def times(value: Decimal | None, factor: int) -> Decimal | None:
    """Return a multiple of a value, if there is one."""
    return None if value is None else value * factor


def named(heading: str, delimiter: str = ";") -> list[str]:
    """Return the names in a heading."""
    return heading.split(delimiter)


def lines(
    rows: Iterable[Sequence[str]], *, above: Sequence[str] = (), delimiter: str = ";", end: str = ""
) -> str:
    """Return rows, the heading first, below other lines; `end` stands at the end of each row."""
    return "".join(f"{line}\n" for line in (*above, *(delimiter.join(row) + end for row in rows)))


def states(
    readings: Sequence[Made], value: Callable[[Made], Decimal | None], first: Decimal
) -> list[Decimal]:
    """Return the states of a register: before the first reading, and after each one."""
    found = [first]
    for reading in readings:
        found.append(found[-1] + (value(reading) or 0))
    return found

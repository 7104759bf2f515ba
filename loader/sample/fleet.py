"""The meters of a sample fleet.

A fleet of ten has every kind, zone and interval. A meter depends only on the seed and its number,
so a larger fleet of the same seed contains a smaller one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from loader.sample.kinds import FACTORY, HOUSEHOLD, SHOP, SOLAR_HOME, CustomerKind

CANARY, KOLKATA = "Atlantic/Canary", "Asia/Kolkata"
"""The zones of some meters; the others have that of the fleet."""

MAX_METERS = 999_999
IDENTIFIER_LENGTH = 20

QUARTER, HALF, HOUR = 900, 1800, 3600
"""Seconds of an interval."""

FIRST_KINDS = (
    HOUSEHOLD, SHOP, FACTORY, SOLAR_HOME, HOUSEHOLD,
    HOUSEHOLD, HOUSEHOLD, SHOP, SOLAR_HOME, HOUSEHOLD,
)  # fmt: skip
FIRST_ZONES = {5: CANARY, 6: KOLKATA}
FIRST_INTERVALS = {4: HOUR, 7: HALF}
"""By the number of the meter."""

_KINDS = ((0.62, HOUSEHOLD), (0.82, SOLAR_HOME), (0.99, SHOP), (1, FACTORY))
_ZONES = ((0.05, CANARY), (0.08, KOLKATA))
_INTERVALS = ((0.08, HALF), (0.14, HOUR), (1, QUARTER))
"""The choices for further meters, each with the random number below which it is taken."""

T = TypeVar("T")

_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"


@dataclass(frozen=True, slots=True)
class SampleMeter:
    """A meter of the fleet."""

    seed: int
    number: int
    identifier: str
    kind: CustomerKind
    timezone: str
    interval: int
    """Seconds between its readings."""
    size: float
    """Factor on the load of its kind."""

    @property
    def public_id(self) -> str:
        """The id that names the meter in commands and in the names of files."""
        return f"m{self.number:06}"

    @property
    def name(self) -> str:
        """The name for people."""
        return f"{self.kind.name.capitalize()} {self.number}"


@dataclass(frozen=True, slots=True)
class Fleet:
    """A number of meters; they are created one by one during iteration."""

    meters: int
    seed: int
    timezone: str
    """The zone of most meters."""

    @property
    def timezones(self) -> set[str]:
        """The zones that its meters may have."""
        return {self.timezone, CANARY, KOLKATA}

    def __iter__(self) -> Iterator[SampleMeter]:
        """Yield the meters by their numbers, from 1."""
        return (self._meter(number) for number in range(1, self.meters + 1))

    def _meter(self, number: int) -> SampleMeter:
        random = Random(f"{self.seed} {number}").random  # noqa: S311 - not for secrets
        kind = _pick(random(), _KINDS)
        timezone = _pick(random(), (*_ZONES, (1, self.timezone)))
        interval = _pick(random(), _INTERVALS)
        if number <= len(FIRST_KINDS):
            kind = FIRST_KINDS[number - 1]
            timezone = FIRST_ZONES.get(number, self.timezone)
            interval = FIRST_INTERVALS.get(number, QUARTER)
        return SampleMeter(
            self.seed,
            number,
            _identifier(number, random()),
            kind,
            timezone,
            interval,
            size=0.6 + random(),
        )


def _pick(number: float, choices: Sequence[tuple[float, T]]) -> T:
    """Return the choice that a random number falls on."""
    return next(choice for limit, choice in choices if number < limit)


def _identifier(number: int, random: float) -> str:
    """Return a CUPS with valid check letters, of a distributor that does not exist."""
    digits = f"9999{int(random * 10**6):06}{number:06}"
    first, second = divmod(int(digits) % len(_LETTERS) ** 2, len(_LETTERS))
    return f"ES{digits}{_LETTERS[first]}{_LETTERS[second]}"

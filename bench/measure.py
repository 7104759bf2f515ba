"""Runs of several sides, taking turns, so that whatever else the machine does meets all of them."""

import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from bench.paths import MissingError
from bench.process import FailedError

SLOW = 20.0
"""Seconds; a side that takes longer is run once."""
LONGEST = 120.0
"""Seconds; a side that would take longer is left out."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A run: seconds until the first byte of the body and until the end, bytes, MiB at the most."""

    seconds: float
    first_byte: float | None = None
    size: int | None = None
    peak: float | None = None


@dataclass(frozen=True, slots=True)
class Spread:
    """What several runs gave."""

    median: float
    low: float
    high: float
    runs: int


@dataclass(slots=True)
class Series:
    """The runs of a side."""

    samples: list[Sample] = field(default_factory=list)

    @property
    def seconds(self) -> Spread:
        """Until the end."""
        return spread([sample.seconds for sample in self.samples])

    @property
    def first_byte(self) -> Spread | None:
        """Seconds until the first byte of the body."""
        return _spread_of_known(sample.first_byte for sample in self.samples)

    @property
    def peak(self) -> Spread | None:
        """MiB at the most."""
        return _spread_of_known(sample.peak for sample in self.samples)

    @property
    def size(self) -> int | None:
        """Bytes of the body."""
        return self.samples[-1].size


class Side(Protocol):
    """One of those that are compared."""

    @property
    def name(self) -> str:
        """What the tables call it."""

    def run(self) -> Sample:
        """Does its work once."""


@dataclass(slots=True)
class Comparison:
    """What sides gave for one number of readings, and which were left out."""

    series: dict[str, Series] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def compare(sides: Iterable[Side], rounds: int, into: Comparison) -> None:
    """Runs all sides, each once a round."""
    for turn in range(rounds):
        for side in sides:
            done = into.series.get(side.name)
            if side.name in into.left_out or (done and turn and done.samples[0].seconds > SLOW):
                continue
            try:
                sample = side.run()
            except (FailedError, MissingError, OSError) as error:
                into.left_out[side.name] = str(error)
                continue
            into.series.setdefault(side.name, Series()).samples.append(sample)


def spread(values: list[float]) -> Spread:
    """Median and range."""
    return Spread(statistics.median(values), min(values), max(values), len(values))


def _spread_of_known(values: Iterable[float | None]) -> Spread | None:
    known = [value for value in values if value is not None]
    return spread(known) if known else None

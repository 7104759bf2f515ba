"""Running contenders in turn, so that other load on the machine affects all of them."""

import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from bench.paths import MissingError
from bench.process import FailedError

SLOW_SECONDS = 20.0
"""A contender that takes longer is run once."""
MAX_SECONDS = 120.0
"""A contender that would take longer is left out."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One run: seconds in all and to the body's first byte, its bytes, peak memory in MiB."""

    seconds: float
    first_byte: float | None = None
    size: int | None = None
    peak: float | None = None


@dataclass(frozen=True, slots=True)
class Spread:
    """The median and range of several runs."""

    median: float
    low: float
    high: float
    runs: int


@dataclass(slots=True)
class Series:
    """The runs of a contender."""

    samples: list[Sample] = field(default_factory=list)

    @property
    def seconds(self) -> Spread:
        """Seconds until the end."""
        return spread([sample.seconds for sample in self.samples])

    @property
    def first_byte(self) -> Spread | None:
        """Seconds until the first byte of the body."""
        return _spread_of_known(sample.first_byte for sample in self.samples)

    @property
    def peak(self) -> Spread | None:
        """Peak memory in MiB."""
        return _spread_of_known(sample.peak for sample in self.samples)

    @property
    def size(self) -> int | None:
        """Bytes of the body."""
        return self.samples[-1].size


class Contender(Protocol):
    """A program that is compared with others."""

    @property
    def name(self) -> str:
        """The name in the tables."""

    def run(self) -> Sample:
        """Do the work once."""


@dataclass(slots=True)
class Comparison:
    """The runs of contenders at one number of readings, and the reasons of those left out."""

    series: dict[str, Series] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def compare(contenders: Iterable[Contender], rounds: int, into: Comparison) -> None:
    """Run all contenders, each once a round."""
    for turn in range(rounds):
        for contender in contenders:
            done = into.series.get(contender.name)
            if contender.name in into.left_out or (
                done and turn and done.samples[0].seconds > SLOW_SECONDS
            ):
                continue
            try:
                sample = contender.run()
            except (FailedError, MissingError, OSError) as error:
                into.left_out[contender.name] = str(error)
                continue
            into.series.setdefault(contender.name, Series()).samples.append(sample)


def spread(values: list[float]) -> Spread:
    """Return the median and range of values."""
    return Spread(statistics.median(values), min(values), max(values), len(values))


def _spread_of_known(values: Iterable[float | None]) -> Spread | None:
    known = [value for value in values if value is not None]
    return spread(known) if known else None

"""Statistics of values by key: means over time, extremes and percentiles, all exact."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from domain.columns import Integers
from domain.fixed_point import divide_rounded
from domain.time.time_zone import HOUR_SECONDS
from storage.columns.aggregates import exact_sums, group_starts
from storage.columns.derived import powers
from storage.columns.keyed_values import MAX_KEY, KeyedValues
from storage.common.turns import in_thread

PIECE_VALUES = 50_000
"""About how many values are looked at in one piece of work."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """Statistics of the values of a key."""

    count: int
    derived: int
    """How many are powers that energies give."""
    mean: int | None
    """Over time; None for values of known and unknown intervals together."""
    least: int
    greatest: int
    percentiles: Sequence[int | None]
    """By nearest rank, over time; None like the mean."""


@dataclass(slots=True)
class _Sums:
    count: int = 0
    derived: int = 0
    weighed: int = 0
    weight: int = 0
    lengths: set[int | None] = field(default_factory=set)


class StatisticsByKey:
    """Collects the values of readings by key."""

    def __init__(self, percents: Sequence[int]) -> None:
        self._percents = percents
        self._values: dict[tuple[int | None, bool], KeyedValues] = defaultdict(KeyedValues)

    def add(
        self, keys: Integers, values: Integers, seconds: int | None, *, are_energies: bool = False
    ) -> None:
        """Take in values of readings that last so many seconds, or energies that give powers."""
        if len(values):
            self._values[seconds, are_energies].add(keys, values)

    async def all(self) -> dict[int, Statistics]:
        """Return the statistics by key, in order, once all values have been taken in."""
        for values in self._values.values():
            await in_thread(values.sort)
        found: dict[int, Statistics] = {}
        is_rest = False
        while not is_rest:
            following = (values.key_after(PIECE_VALUES) for values in self._values.values())
            last = min((key for key in following if key is not None), default=MAX_KEY)
            is_rest = last == MAX_KEY
            found |= await in_thread(self._take, last + 1)
        return found

    def _take(self, end: int) -> dict[int, Statistics]:
        """Return the statistics of the keys that are less than one, and were not taken yet."""
        sums: dict[int, _Sums] = defaultdict(_Sums)
        parts = []
        for (seconds, are_energies), source in self._values.items():
            keys, values = source.take(end)
            _add_sums(sums, keys, values, seconds, are_energies=are_energies)
            if are_energies and seconds is not None:
                values = powers(values, seconds)
            parts.append((keys, values, np.full(len(keys), seconds or 1)))
        parts = [part for part in parts if len(part[0])]
        if not parts:
            return {}
        keys, values, weights = (np.concatenate(each) for each in zip(*parts, strict=True))
        if len(parts) > 1:
            order = np.lexsort((values, keys))
            keys, values, weights = keys[order], values[order], weights[order]
        starts = group_starts(keys)
        lasts = np.append(starts[1:], len(keys)) - 1
        elapsed = weights.cumsum()
        before = elapsed[starts] - weights[starts]
        lengths = elapsed[lasts] - before
        places = [
            elapsed.searchsorted(before - -percent * lengths // 100) for percent in self._percents
        ]
        ranked = values[np.stack((starts, lasts, *places), axis=1)].tolist()
        return {
            key: _statistics(sums[key], *values)
            for key, values in zip(keys[starts].tolist(), ranked, strict=True)
        }


def _add_sums(
    sums: dict[int, _Sums],
    keys: Integers,
    values: Integers,
    seconds: int | None,
    *,
    are_energies: bool,
) -> None:
    starts = group_starts(keys)
    counts = np.diff(starts, append=len(keys)).tolist()
    weight = seconds or 1
    factor = HOUR_SECONDS if are_energies else weight
    for key, total, count in zip(
        keys[starts].tolist(), exact_sums(values, starts), counts, strict=True
    ):
        each = sums[key]
        each.count += count
        each.derived += count if are_energies else 0
        each.weighed += total * factor
        each.weight += count * weight
        each.lengths.add(seconds)


def _statistics(sums: _Sums, least: int, greatest: int, *percentiles: int) -> Statistics:
    if None in sums.lengths and len(sums.lengths) > 1:
        nothing = [None] * len(percentiles)
        return Statistics(sums.count, sums.derived, None, least, greatest, nothing)
    mean = divide_rounded(sums.weighed, sums.weight)
    return Statistics(sums.count, sums.derived, mean, least, greatest, percentiles)

"""Sums of local days, from arrays: the columns of `days`, see `storage.backends.day_sums`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from domain.columns import Column, Columns, Integers, Truths
from domain.flags import CATCH_UP, FLAGGED_BITS, FLAGS, IMPLAUSIBLE
from domain.quantities import ALL_QUANTITIES, AggregationRule
from storage.backends.derived import CAPACITIVE_POWER, DERIVED_ENERGY, INDUCTIVE_POWER
from storage.columns.aggregates import first_maxima, group_starts
from storage.columns.derived import derived_column

Day = Mapping[str, int | None]
"""The columns of a day: quantities in hundred-thousandths, instants in seconds since 1970."""

INSTANTS = ("first_utc", "last_utc", "maximeter_utc")
_WITH_EXTREMES = (
    *(each.name for each in ALL_QUANTITIES if each.rule is AggregationRule.LEVEL),
    DERIVED_ENERGY,
)
_WITHOUT_COUNT = (
    *("reactive_energy", "exported_energy", "exported_reactive_energy"),
    *(INDUCTIVE_POWER, CAPACITIVE_POWER),
)
_SAFE_SUM = 2**62
_LEAST, _GREATEST = np.iinfo(np.int64).min, np.iinfo(np.int64).max

Sums = dict[str, Sequence[int | None]]
"""The columns of several days."""


def is_quantity(name: str) -> bool:
    """Return whether a column of a day has a quantity."""
    return name not in INSTANTS and name not in _COUNTS and not name.endswith("_count")


_COUNTS = ("readings", "present", "flagged", *(flag.name for flag in FLAGS))


def summed_days(columns: Columns, days: Integers) -> Iterator[tuple[int, Day]]:
    """Yield the days of readings and their sums.

    The readings are in the order of time; `days` has the local day of each, counted from 1970.
    """
    if (days[1:] < days[:-1]).any():
        # Clocks went back over midnight.
        order = np.argsort(days, kind="stable")
        columns, days = columns[order], days[order]
    starts = group_starts(days)
    sums = _sums(columns, starts)
    sums |= _sums_of_flagged(columns, starts)
    for day, values in zip(days[starts].tolist(), zip(*sums.values(), strict=True), strict=True):
        yield day, dict(zip(sums, values, strict=True))


def merged_day(days: Sequence[Day]) -> Day:
    """Return the sums of a day from those of parts of it."""
    if len(days) == 1:
        return days[0]
    found: dict[str, int | None] = {}
    for name in days[0]:
        values = [value for day in days if (value := day[name]) is not None]
        if name.endswith("_min") or name == "first_utc":
            found[name] = min(values, default=None)
        elif name.endswith("_max") or name in ("last_utc", "maximeter"):
            found[name] = max(values, default=None)
        else:
            found[name] = sum(values) if values else None
    greatest = [day for day in days if day["maximeter"] == found["maximeter"]]
    times = [at for day in greatest if (at := day["maximeter_utc"]) is not None]
    return found | {"maximeter_utc": min(times, default=None)}


def _sums(columns: Columns, starts: Integers) -> Sums:
    parts = dict(columns.quantities)
    for name in (DERIVED_ENERGY, INDUCTIVE_POWER, CAPACITIVE_POWER):
        parts[name] = derived_column(columns, name)
    places = {name: place for place, name in enumerate(parts)}
    values = np.array([column.values for column in parts.values()])
    known = np.array([column.present for column in parts.values()])
    counts = _count(known, starts)
    totals = _with_nulls(_add(values, starts), counts)
    extremes = [places[name] for name in _WITH_EXTREMES]
    some, some_known, some_counts = values[extremes], known[extremes], counts[extremes]
    minima, maxima = (
        _with_nulls(_extremes(function, some, some_known, otherwise, starts), some_counts)
        for function, otherwise in ((np.minimum, _GREATEST), (np.maximum, _LEAST))
    )
    ends = np.concatenate((starts[1:], [len(columns)]))
    is_present = np.logical_or.reduce(known[: len(columns.quantities)])
    maximeter = columns.quantities["maximeter"]
    first = first_maxima(maximeter, starts)
    peaks = np.array([maximeter.values[first], columns.utc[first]])
    has_peak = counts[[places["maximeter"]] * 2]
    sums: Sums = {
        "first_utc": columns.utc[starts].tolist(),
        "last_utc": columns.utc[ends - 1].tolist(),
        "readings": (ends - starts).tolist(),
        "present": _count(is_present, starts).tolist(),
    }
    sums |= zip(("maximeter", "maximeter_utc"), _with_nulls(peaks, has_peak), strict=True)
    numbers = counts.tolist()
    for name, place in places.items():
        if name != "maximeter":
            sums[name] = totals[place]
            if name not in _WITHOUT_COUNT:
                sums[f"{name}_count"] = numbers[place]
    for name, least, greatest in zip(_WITH_EXTREMES, minima, maxima, strict=True):
        sums[f"{name}_min"], sums[f"{name}_max"] = least, greatest
    return sums


def _sums_of_flagged(columns: Columns, starts: Integers) -> Sums:
    """Return the columns that tell of flags."""
    bits = {"flagged": FLAGGED_BITS, **{flag.name: flag.bit for flag in FLAGS}}
    sums: Sums
    if columns.flags.any():
        has = columns.flags & np.array([*bits.values()], np.uint8)[:, np.newaxis] != 0
        sums = dict(zip(bits, _count(has, starts).tolist(), strict=True))
    else:
        sums = dict.fromkeys(bits, [0] * len(starts))
    energy, power = columns.quantities["energy"], columns.quantities["power"]
    caught_up, caught_up_count = _part(energy, columns.flags & CATCH_UP.bit != 0, starts)
    _, power_count = _part(power, columns.flags & CATCH_UP.bit != 0, starts)
    implausible, _ = _part(energy, columns.flags & IMPLAUSIBLE.bit != 0, starts)
    return sums | {
        "catch_up_energy": caught_up,
        "catch_up_energy_count": caught_up_count,
        "catch_up_power_count": power_count,
        "implausible_energy": implausible,
    }


def _part(
    column: Column, which: Truths, starts: Integers
) -> tuple[Sequence[int | None], Sequence[int]]:
    """Return sums and numbers of the values of some readings."""
    if not which.any():
        return [None] * len(starts), [0] * len(starts)
    known = which & column.present
    counts = _count(known, starts)
    (totals,) = _with_nulls(
        _add(np.where(known, column.values, 0), starts)[np.newaxis], counts[np.newaxis]
    )
    return totals, counts.tolist()


def _count(which: Truths, starts: Integers) -> Integers:
    counts: Integers = np.add.reduceat(which, starts, axis=-1, dtype=np.int64)
    return counts


def _add(values: NDArray[Any], starts: Integers) -> NDArray[Any]:
    """Return exact sums."""
    greatest = max(abs(int(values.min())), abs(int(values.max())))
    if greatest * values.shape[-1] >= _SAFE_SUM:
        values = values.astype(object)
    return np.add.reduceat(values, starts, axis=-1)


def _extremes(
    function: np.ufunc, values: Integers, known: Truths, otherwise: int, starts: Integers
) -> Integers:
    if not known.all():
        values = np.where(known, values, otherwise)
    found: Integers = function.reduceat(values, starts, axis=-1)
    return found


def _with_nulls(values: NDArray[Any], counts: Integers) -> list[list[int | None]]:
    """Return values by rows, None where there is nothing to count."""
    found: list[list[int | None]] = values.tolist()
    if not counts.all():
        for row, place in np.argwhere(counts == 0).tolist():
            found[row][place] = None
    return found

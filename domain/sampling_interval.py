"""The sampling interval of a meter, inferred from its readings."""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

MIN_RUNS = 3
"""Equal differences that establish an interval; fewer may be the rest of a gap."""


DEFAULT_INTERVAL = 900
"""Seconds of an interval until readings establish it: a quarter of an hour."""


def interval_on_record(seconds: int | None) -> int:
    """Return the interval on record, or the default."""
    return DEFAULT_INTERVAL if seconds is None else seconds


def usual_interval(runs: Iterable[tuple[int, Sequence[int]]]) -> int | None:
    """Return the most common difference between neighbouring instants, if it is the majority.

    Each run is an instant in seconds and the ascending seconds after it at which there are
    readings; runs may come in any order. Many runs share their seconds, since days are alike.
    """
    differences: Counter[int] = Counter()
    repeated: Counter[tuple[int, ...]] = Counter()
    before: int | None = None
    for start, seconds in sorted(run for run in runs if run[1]):
        repeated[tuple(seconds)] += 1
        if before is not None:
            differences[start + seconds[0] - before] += 1
        before = start + seconds[-1]
    for seconds, count in repeated.items():
        for earlier, later in pairwise(seconds):
            differences[later - earlier] += count
    if not differences:
        return None
    interval, count = differences.most_common(1)[0]
    return interval if count >= MIN_RUNS and count * 2 > differences.total() else None

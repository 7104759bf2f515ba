"""How long the intervals of a meter are, as its readings tell."""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

MIN_RUNS = 3
"""Equal differences that tell an interval; fewer may be what is left of a gap."""


DEFAULT_INTERVAL = 900
"""Seconds that an interval is taken to have until readings tell: a quarter of an hour."""


def interval_on_record(seconds: int | None) -> int:
    """The interval of a meter, which a few readings leave open."""
    return DEFAULT_INTERVAL if seconds is None else seconds


def usual_interval(runs: Iterable[tuple[int, Sequence[int]]]) -> int | None:
    """The most common difference between neighbouring instants, if more than half are like it.

    Each run is an instant in seconds and the ascending seconds after it at which there are
    readings; runs may come in any order. Many runs share their seconds, since days are alike.
    """
    differences: Counter[int] = Counter()
    alike: Counter[tuple[int, ...]] = Counter()
    before: int | None = None
    for start, seconds in sorted(run for run in runs if run[1]):
        alike[tuple(seconds)] += 1
        if before is not None:
            differences[start + seconds[0] - before] += 1
        before = start + seconds[-1]
    for seconds, count in alike.items():
        for earlier, later in pairwise(seconds):
            differences[later - earlier] += count
    if not differences:
        return None
    interval, count = differences.most_common(1)[0]
    return interval if count >= MIN_RUNS and count * 2 > differences.total() else None

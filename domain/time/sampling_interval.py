"""The sampling intervals of a meter: how long its readings last, by spans of time.

A reading lasts as long as the span says in which it starts. Spans are told by the readings, see
`told_spans`, or said by the configuration.
"""

from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby, pairwise

from domain.time.time_zone import DAY_SECONDS

MIN_EQUAL = 3
"""Equal differences that tell an interval if all others are multiples of them; fewer may be gaps.
"""

MIN_RUN = 12
"""Equal differences in succession that tell an interval whatever the others are.

Were every other reading lost at random, so many differences of two intervals would follow each
other once in 2^24 readings.
"""

MAX_SPANS = 100
"""Spans of a meter: each figure looks at all of them.

A meter changes its interval a few times in its life. More spans are a sign that its readings have
no interval at all, which is then unknown.
"""

CLOCK_CHANGES = (1800, 3600)
"""Seconds by which clocks change: days are that much shorter or longer."""

_PLAUSIBLE = 4, 3
"""A said interval has not more than 4 readings where it expects 3."""


@dataclass(frozen=True, slots=True)
class IntervalSpan:
    """The interval of the readings from `first` up to the next span."""

    first: int
    """The start of its first reading, seconds since 1970."""
    seconds: int | None
    """From the start of a reading to that of the next; None if unknown."""
    is_said: bool = False
    """Whether the configuration says so, not the readings."""


class SamplingIntervals:
    """The intervals of a meter; the first span has all earlier readings, too."""

    def __init__(self, spans: Sequence[IntervalSpan] = ()) -> None:
        """Take spans in order of time; without any, the interval is unknown."""
        self.spans = tuple(spans) or (IntervalSpan(0, None),)
        self._bounds = [span.first for span in self.spans[1:]]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SamplingIntervals) and self.spans == other.spans

    def __hash__(self) -> int:
        return hash(self.spans)

    @property
    def only(self) -> int | None:
        """The interval if all readings have it; None if it is unknown or differs."""
        lengths = {span.seconds for span in self.spans}
        return lengths.pop() if len(lengths) == 1 else None

    def at(self, instant: int) -> int | None:
        """Return the interval of a reading, None if it is unknown."""
        return self.spans[bisect_right(self._bounds, instant)].seconds

    def within(self, start: int, end: int | None = None) -> Sequence[IntervalSpan]:
        """Return the spans from an instant up to another, the first one cut to begin there."""
        first = bisect_right(self._bounds, start)
        last = len(self._bounds) if end is None else bisect_right(self._bounds, end - 1)
        return (replace(self.spans[first], first=start), *self.spans[first + 1 : last + 1])

    def visible(self, bounds: Iterable[tuple[int | None, int | None]]) -> "SamplingIntervals":
        """Return what readings tell that lie between some pairs of instants, which are in order.

        None has no bound. Readings are expected at the same moments as before.
        """
        found: list[IntervalSpan] = []
        for start, end in bounds:
            first = 0 if start is None else bisect_right(self._bounds, start)
            last = len(self._bounds) if end is None else bisect_right(self._bounds, end - 1)
            head, *later = self.spans[first : last + 1]
            if start is not None and head.first < start:
                head = replace(head, first=_in_step(head, start))
            if not (found and _is_continued(found[-1], head)):
                found.append(head)
            found += later
        return SamplingIntervals(found)

    def lengths(self, start: int, end: int) -> set[int | None]:
        """Return the intervals between two instants; None stands for an unknown one."""
        return {span.seconds for span in self.within(start, end)}


def _in_step(span: IntervalSpan, instant: int) -> int:
    """Return the first start of a reading of a span at or after an instant."""
    return instant if span.seconds is None else instant + (span.first - instant) % span.seconds


def _is_continued(span: IntervalSpan, later: IntervalSpan) -> bool:
    """Return whether a later span has the same interval, in step."""
    return span.seconds == later.seconds and _in_step(span, later.first) == later.first


class ReadingGrid:
    """The moments at which readings of a meter are expected to start.

    These are `first_reading` and every interval before and after it; each later span begins anew.
    """

    def __init__(self, intervals: SamplingIntervals, first_reading: int) -> None:
        spans = intervals.within(first_reading)
        self._origins = [span.first for span in spans]
        self._lengths = [span.seconds for span in spans]
        self._bounds = self._origins[1:]
        self._before = [0]
        """Readings expected before each span, counted from the first origin."""
        self._unknown = [0]
        """Spans of unknown interval before each."""
        for origin, length, bound in zip(
            self._origins[:-1], self._lengths[:-1], self._bounds, strict=True
        ):
            steps = 0 if length is None else -((origin - bound) // length)
            self._before.append(self._before[-1] + steps)
            self._unknown.append(self._unknown[-1] + (length is None))

    def expected(self, start: int, end: int) -> int | None:
        """Return how many readings should start between two instants, None if that is unknown."""
        if not self._bounds:
            length, origin = self._lengths[0], self._origins[0]
            return None if length is None else (origin - start) // length - (origin - end) // length
        first = bisect_right(self._bounds, start)
        last = max(bisect_right(self._bounds, end - 1), first)
        unknown = self._unknown[last] + (self._lengths[last] is None)
        if unknown > self._unknown[first]:
            return None
        return self._position(last, end) - self._position(first, start)

    def next_expected(self, instant: int) -> int:
        """Return the first expected start of a reading at or after an instant.

        Where the interval is unknown, that is the instant itself.
        """
        span = bisect_right(self._bounds, instant)
        length, origin = self._lengths[span], self._origins[span]
        if length is None:
            return instant
        due = origin - (origin - instant) // length * length
        return min(due, self._bounds[span]) if span < len(self._bounds) else due

    def last_expected(self, instant: int) -> int:
        """Return the last expected start of a reading before an instant.

        Where the interval is unknown, that is the second before it.
        """
        span = bisect_right(self._bounds, instant - 1)
        length, origin = self._lengths[span], self._origins[span]
        if length is None:
            return instant - 1
        return origin - ((origin - instant) // length + 1) * length

    def due(self, instant: int) -> int:
        """Return the expected start that is nearest to an instant."""
        span = bisect_right(self._bounds, instant)
        length = self._lengths[span]
        if length is None:
            return instant
        around = instant - length // 2
        if span and around <= self._origins[span]:
            return self._origins[span]
        return self.next_expected(around)

    def _position(self, span: int, instant: int) -> int:
        length = self._lengths[span]
        if length is None:
            return self._before[span]
        return self._before[span] - (self._origins[span] - instant) // length


class Differences:
    """The differences between neighbouring instants, as runs of equal ones."""

    def __init__(self) -> None:
        self.first: int | None = None
        self.last = 0
        self._differences = array("q")
        self._counts = array("q")

    @classmethod
    def of_runs(cls, runs: Iterable[tuple[int, Sequence[int]]]) -> "Differences":
        """Return those of runs, which may come in any order.

        Each is an instant and the ascending seconds after it at which there are readings. When
        clocks go forward, what follows counts from an earlier midnight than what is before.
        """
        found = cls()
        by_first = sorted(
            (start + seconds[0], start, seconds) for start, seconds in runs if seconds
        )
        for _, start, seconds in by_first:
            found.add_run(start, seconds)
        return found

    def add_run(self, start: int, seconds: Sequence[int]) -> None:
        """Add instants after the last one: those so many seconds after the start, ascending."""
        self.add(start + seconds[0])
        for difference, count in _equal_differences(tuple(seconds)):
            self._add(difference, count)
        self.last = start + seconds[-1]

    def add(self, instant: int) -> None:
        """Add an instant after the last one."""
        if self.first is None:
            self.first = instant
        else:
            self._add(instant - self.last, 1)
        self.last = instant

    def longer_than(self, intervals: SamplingIntervals) -> int:
        """Return how many are longer than the interval that holds where they begin."""
        lengths = ((intervals.at(run.start), run) for run in self.runs())
        return sum(run.count for seconds, run in lengths if seconds and run.difference > seconds)

    def runs(self) -> Iterator["_Run"]:
        """Yield the runs in order of time, those of one length as one."""
        if self.first is None:
            return
        at = self.first
        pairs = zip(self._differences, self._counts, strict=True)
        for whole, group in groupby(pairs, lambda pair: _of_whole_days(pair[0])):
            counts = seconds = 0
            for difference, count in group:
                counts += count
                seconds += difference * count
            yield _Run(at, whole, counts)
            at += seconds

    def _add(self, difference: int, count: int) -> None:
        if self._differences and self._differences[-1] == difference:
            self._counts[-1] += count
        else:
            self._differences.append(difference)
            self._counts.append(count)


@dataclass(frozen=True, slots=True)
class _Run:
    """Readings that follow each other by equal differences."""

    start: int
    difference: int
    count: int


def told_spans(
    differences: Differences, before: IntervalSpan | None = None
) -> Sequence[IntervalSpan]:
    """Return the spans that instants tell, after those of a span `before`; see the documentation.

    A dozen equal differences in succession tell an interval. Between two of these, each takes the
    neighbouring differences that are its multiples: they are gaps. The longer interval comes first.
    What is left tells an interval if three differences are equal and all others their multiples, or
    else is too little to tell, or unknown.
    """
    if differences.first is None:
        return []
    runs = [*differences.runs()]
    places = [place for place, run in enumerate(runs) if run.count >= MIN_RUN]
    spans: list[IntervalSpan] = []
    left = before
    for begin, end in pairwise([-1, *places, len(runs)]):
        right = runs[end].difference if end < len(runs) else None
        spans += _between(runs[begin + 1 : end], left, right)
        if right is not None:
            left = IntervalSpan(runs[end].start, right)
            spans.append(left)
    if not spans:
        seconds = None if before is None else before.seconds
        spans = [IntervalSpan(differences.first, seconds)]
    return joined_spans(spans)


def joined_spans(spans: Iterable[IntervalSpan]) -> Sequence[IntervalSpan]:
    """Return spans in order of time, neighbours of one length as one; one unknown for too many."""
    found: list[IntervalSpan] = []
    for span in spans:
        if not found or (found[-1].seconds, found[-1].is_said) != (span.seconds, span.is_said):
            found.append(span)
    return found if len(found) <= MAX_SPANS else [IntervalSpan(found[0].first, None)]


def tells_only(differences: Differences, seconds: int) -> bool:
    """Return whether instants are those of an interval throughout, which a dozen of them tell."""
    is_told = False
    for run in differences.runs():
        if run.difference % seconds:
            return False
        if run.count >= MIN_RUN:
            if run.difference != seconds:
                return False
            is_told = True
    return is_told


def _between(
    runs: Sequence[_Run], before: IntervalSpan | None, right: int | None
) -> Iterator[IntervalSpan]:
    """Yield the spans of runs between two that tell their interval; either may not be there."""
    left = None if before is None else before.seconds
    left, right = left or right, right or left
    begin, end = 0, len(runs)

    def take_first() -> None:
        nonlocal begin
        while left and begin < end and not runs[begin].difference % left:
            begin += 1

    if (left or 0) >= (right or 0):
        take_first()
    while right and begin < end and not runs[end - 1].difference % right:
        end -= 1
    take_first()
    if begin:
        yield IntervalSpan(runs[0].start, left)
    if begin < end:
        rest = runs[begin:end]
        yield IntervalSpan(rest[0].start, _told(rest) or _continued(rest, before, left))
    if end < len(runs):
        yield IntervalSpan(runs[end].start, right)


def _told(runs: Sequence[_Run]) -> int | None:
    """Return the interval of which all differences are multiples, if a few tell it."""
    counts: Counter[int] = Counter()
    for run in runs:
        counts[run.difference] += run.count
    least = min(counts)
    is_doubtful = any(run.count >= MIN_EQUAL and run.difference != least for run in runs)
    if counts[least] < MIN_EQUAL or is_doubtful or any(each % least for each in counts):
        return None
    return least


def _continued(
    runs: Sequence[_Run], before: IntervalSpan | None, seconds: int | None
) -> int | None:
    """Return the interval before, for readings that tell none: few, or none that contradict it."""
    count = sum(run.count for run in runs)
    if seconds is None or count < MIN_RUN:
        return seconds
    more, than = _PLAUSIBLE
    elapsed = sum(run.difference * run.count for run in runs)
    is_said = before is not None and before.is_said
    return seconds if is_said and count * seconds * than <= elapsed * more else None


def _of_whole_days(difference: int) -> int:
    """Return a difference of days as if clocks had not changed meanwhile."""
    if difference < DAY_SECONDS - max(CLOCK_CHANGES):
        return difference
    rest = (difference + DAY_SECONDS // 2) % DAY_SECONDS - DAY_SECONDS // 2
    return difference - rest if abs(rest) in CLOCK_CHANGES else difference


@lru_cache(maxsize=64)
def _equal_differences(seconds: tuple[int, ...]) -> Sequence[tuple[int, int]]:
    """Return the differences of a day's readings, each with the number of times in succession."""
    differences = (later - earlier for earlier, later in pairwise(seconds))
    return [(difference, len([*equal])) for difference, equal in groupby(differences)]

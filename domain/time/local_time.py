"""The UTC offsets of a report's local times.

A report gives local time without its offset. When clocks go back, an hour occurs twice, and only
the order of the rows tells which reading belongs to which pass; when they go forward, an hour does
not exist. PEP 495's fold distinguishes the two offsets of such times.
"""

from bisect import bisect
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo

from domain.time.sampling_interval import MIN_EQUAL, Differences, SamplingIntervals, told_spans
from domain.time.time_zone import DAY_SECONDS

NONEXISTENT_TIME = "a local time that exists: clocks go forward over this one"
DUPLICATE_TIME = "a local time that does not occur in an earlier row"
OTHER_ZONE_TIME = (
    "a local time that does not occur in an earlier row, or the time zone in which clocks go back"
    " over it"
)

_ZONES_THAT_GO_BACK = (
    *("Atlantic/Azores", "Europe/Lisbon", "Europe/Madrid", "Europe/Athens", "Asia/Beirut"),
    *("Asia/Jerusalem", "Asia/Gaza", "Africa/Cairo", "Africa/Casablanca", "America/Nuuk"),
    *("America/St_Johns", "America/New_York", "America/Havana", "America/Santiago"),
    *("America/Asuncion", "America/Sao_Paulo", "Australia/Sydney", "Australia/Lord_Howe"),
    *("Pacific/Auckland", "Pacific/Chatham", "Pacific/Fiji", "Asia/Tehran", "Asia/Amman"),
)
"""One of each rule by which clocks have gone back in the years of meters."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_1970 = _EPOCH.toordinal()
_MAX_KNOWN = 1024
"""Offsets that are remembered: a day on which clocks change is looked at several times."""
_SEARCH_STEP = 3 * 86_400
"""Seconds within which no zone ever changed its offset twice."""
_EARLIEST = int(datetime(1, 1, 3, tzinfo=UTC).timestamp())
_LATEST = int(datetime(9999, 12, 28, tzinfo=UTC).timestamp())


class LocalTimeResolver:
    """Resolves local times of a zone to UTC offsets, in seconds ahead of UTC."""

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self._offsets: dict[tuple[datetime, int], int] = {}
        self._first_offsets: dict[int, int] = {}
        """The offset at the beginning of days of UTC, by their numbers."""

    def offset_all_day(self, day: date) -> int | None:
        """Return the offset of a day, None if it changes on that day."""
        number = day.toordinal() - _DAY_1970
        # No zone changes its offset twice in three days.
        if (offset := self._first_offset(number - 1)) == self._first_offset(number + 2):
            return offset
        ends = (datetime.combine(day, time.min), datetime.combine(day, time(23, 59, 59)))
        offsets = {self.offset(end, fold) for end in ends for fold in (0, 1)}
        return offsets.pop() if len(offsets) == 1 else None

    def offset_all_utc_day(self, number: int) -> int | None:
        """Return the offset of a day of UTC by its number; None if it changes on that day."""
        offset = self._first_offset(number)
        return offset if offset == self._first_offset(number + 1) else None

    def offsets(
        self, times: Sequence[datetime], taken: set[tuple[datetime, int]] | None = None
    ) -> list[int | str]:
        """Return the offset of each of a day's times, given in the order of the report.

        `taken` holds the times and offsets of earlier rows, and is added to. A time that has no
        offset left gets NONEXISTENT_TIME or DUPLICATE_TIME instead.
        """
        taken = set() if taken is None else taken
        if _descends(times):
            return self.offsets(times[::-1], taken)[::-1]
        repeated = [local for local in times if self.is_repeated(local)]
        passes = self._in_step(times, repeated, [*_folds(repeated)]) if repeated else []
        folds = iter(self._apart(times, passes))
        return [self._free_offset(local, folds, taken) for local in times]

    def instant(self, local: datetime) -> datetime | None:
        """Return the instant, or the first of two, at which clocks show a time; None if never."""
        before, after = self.offset(local, 0), self.offset(local, 1)
        if before < after:
            return None
        return local.replace(tzinfo=UTC) - timedelta(seconds=before)

    def is_repeated(self, local: datetime) -> bool:
        """Return whether clocks show this time twice."""
        return self.offset(local, 0) > self.offset(local, 1)

    def repeated(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """Yield the start and end of each period whose local times occur twice.

        All in seconds since 1970. Some periods may lie a little outside the two instants.
        """
        at = max(first - _SEARCH_STEP, _EARLIEST)
        offset = self.offset_at(at)
        while at < min(last + _SEARCH_STEP, _LATEST):
            at += _SEARCH_STEP
            before, offset = offset, self.offset_at(at)
            if before > offset:
                earlier, later = at - _SEARCH_STEP, at
                while later - earlier > 1:
                    middle = (earlier + later) // 2
                    if self.offset_at(middle) == before:
                        earlier = middle
                    else:
                        later = middle
                yield later - (before - offset), later + (before - offset)

    def _first_offset(self, number: int) -> int:
        """Return the offset at the beginning of a day of UTC."""
        offset = self._first_offsets.get(number)
        if offset is None:
            instant = max(_EARLIEST, min(_LATEST, number * DAY_SECONDS))
            self._first_offsets[number] = offset = self.offset_at(instant)
        return offset

    def offset_at(self, instant: int) -> int:
        """Return the offset at an instant."""
        offset = (_EPOCH + timedelta(seconds=instant)).astimezone(self._zone).utcoffset()
        assert offset is not None
        return int(offset.total_seconds())

    def _in_step(
        self, times: Sequence[datetime], repeated: Sequence[datetime], folds: list[int]
    ) -> list[int]:
        """Return the passes of repeated times, corrected for those of which there is only one.

        If the interval does not divide what clocks go back by, such as an hour for half an hour,
        each time is that of one reading: its pass is the one in step with the readings around it.
        """
        lone = {local for local, count in Counter(repeated).items() if count == 1}
        others = sorted(
            {
                self._instant(local, 0)
                for local in times
                if self.offset(local, 0) == self.offset(local, 1)
            }
        )
        differences = Differences.of_runs([(0, others)] if lone else [])
        interval = SamplingIntervals(told_spans(differences)).only
        if interval is None:
            return folds
        corrected = []
        for local, fold in zip(repeated, folds, strict=True):
            passes = [self._instant(local, fold) for fold in (0, 1)]
            around = (
                others[: bisect(others, passes[0])][-1:] + others[bisect(others, passes[1]) :][:1]
            )
            fits = [
                all((instant - other) % interval == 0 for other in around) for instant in passes
            ]
            is_told = local in lone and fits[0] != fits[1]
            corrected.append(fits.index(True) if is_told else fold)
        return corrected

    def _apart(self, times: Sequence[datetime], folds: list[int]) -> list[int]:
        """Return the passes of repeated times, corrected if they are beside the grid.

        If clocks of a logger are some seconds late, time may not go back from one pass to the next.
        Two times that follow each other much too soon are then of both, if that leaves no gap.
        """
        places = [place for place, local in enumerate(times) if self.is_repeated(local)]
        steps = sorted(later - earlier for earlier, later in pairwise(times))
        if any(folds) or len(places) < 2 or len(steps) < MIN_EQUAL or not steps[0]:
            return folds
        usual = steps[len(steps) // 2]
        pairs = enumerate(pairwise(times[place] for place in places), 1)
        second = next((at for at, (one, other) in pairs if (other - one) * 2 < usual), None)
        if second is None:
            return folds
        corrected = [int(place >= second) for place in range(len(places))]
        around = times[max(places[0] - 1, 0) : places[-1] + 2]
        has_gap = [
            max(later - earlier for earlier, later in pairwise(self._in_turn(around, passes))) * 2
            >= usual.total_seconds() * 3
            for passes in (folds, corrected)
        ]
        return corrected if has_gap == [True, False] else folds

    def _in_turn(self, times: Sequence[datetime], folds: Sequence[int]) -> list[int]:
        """Return the instants of times, of which the repeated ones have these passes."""
        passes = iter(folds)
        return [
            self._instant(local, next(passes) if self.is_repeated(local) else 0) for local in times
        ]

    def _instant(self, local: datetime, fold: int) -> int:
        """Return the seconds since 1970 of a time."""
        return int(local.replace(tzinfo=self._zone, fold=fold).timestamp())

    def _free_offset(
        self, local: datetime, folds: Iterator[int], taken: set[tuple[datetime, int]]
    ) -> int | str:
        before, after = self.offset(local, 0), self.offset(local, 1)
        if before < after:
            return NONEXISTENT_TIME
        candidates = [before]
        if before > after:
            candidates = [before, after] if next(folds) == 0 else [after, before]
        for offset in candidates:
            if (local, offset) not in taken:
                taken.add((local, offset))
                return offset
        return DUPLICATE_TIME

    def offset(self, local: datetime, fold: int) -> int:
        """Return the offset of a time, of the first or the second pass where it is repeated."""
        known = self._offsets.get((local, fold))
        if known is not None:
            return known
        offset = local.replace(tzinfo=self._zone, fold=fold).utcoffset()
        assert offset is not None
        if len(self._offsets) >= _MAX_KNOWN:
            self._offsets.clear()
        self._offsets[local, fold] = found = int(offset.total_seconds())
        return found


@lru_cache(maxsize=4096)
def is_repeated_anywhere(local: datetime) -> bool:
    """Return whether clocks of some zone show this time twice."""
    return any(LocalTimeResolver(ZoneInfo(name)).is_repeated(local) for name in _ZONES_THAT_GO_BACK)


def _descends(times: Sequence[datetime]) -> bool:
    """Return whether the newest reading comes first: time goes back more often than clocks can."""
    falls = sum(earlier > later for earlier, later in pairwise(times))
    rises = sum(earlier < later for earlier, later in pairwise(times))
    return falls > max(1, rises)


def _folds(times: Sequence[datetime]) -> Iterator[int]:
    """Yield the pass of the repeated hour that each time belongs to, by its position in the report.

    A report sorted by local time has the two readings of a time in succession; any other has the
    whole first pass before the second, and time goes back once in between.
    """
    if any(earlier == later for earlier, later in pairwise(times)):
        yield from (0 for _ in times)
        return
    fold = 0
    for index, local in enumerate(times):
        if index and local < times[index - 1]:
            fold = 1
        yield fold

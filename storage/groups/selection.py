"""What a figure of a group is made of: its members, and a period of its local days."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import islice
from typing import Protocol

from domain.access import Window
from domain.flags import IMPLAUSIBLE
from domain.readings_query import QueryError
from domain.time.time_zone import TimeZone, UnknownZoneError, load_time_zone
from storage.backends.base import ReadEngine
from storage.common.errors import StorageError
from storage.common.turns import in_turns
from storage.figures.result import Field, ResultTable
from storage.figures.selection import MAX_PERIOD, YEAR_SECONDS, Period
from storage.groups.members import CountedMeter, counted, memberships_of
from storage.groups.memberships import Membership

MAX_NAMED = 10
"""Members that a list in a result names; it is followed by how many more there are."""

_DAY = timedelta(days=1)
_LIKELY_SECONDS = 900
"""The interval of readings where it is not known."""


@dataclass(frozen=True, slots=True)
class NamedGroup:
    """A group whose members are to be summed up."""

    id: int
    public_id: str
    name: str | None
    windows: Sequence[Window] = ()
    """The local days of the group that the client may see, all of them if there are none."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Part of a period in which a meter is counted alike."""

    start: int
    end: int
    weight: int
    times: int


class GroupSelection:
    """The members of a group from an instant up to, and without, another."""

    def __init__(
        self,
        members: Sequence[CountedMeter],
        zone: TimeZone,
        start: int,
        until: int,
        *,
        is_clean: bool,
    ) -> None:
        self.members = members
        self.zone = zone
        """The zone of the group's days."""
        self.start = start
        self.until = until
        self.is_clean = is_clean
        self._starts: dict[date, int] = {}

    @property
    def left_out(self) -> int:
        """The bits of the flags whose readings are not counted."""
        return IMPLAUSIBLE.bit if self.is_clean else 0

    def up_to(self, until: int) -> "GroupSelection":
        """Return the same up to, and without, an earlier instant."""
        return GroupSelection(self.members, self.zone, self.start, until, is_clean=self.is_clean)

    def segments(self, member: CountedMeter, start: int, end: int) -> list[Segment]:
        """Return the parts of a time in which a member is counted, in order."""
        return [*self._segments(member, start, end)]

    def _segments(self, member: CountedMeter, start: int, end: int) -> Iterator[Segment]:
        for each in member.memberships:
            begin, finish = start, end
            if each.days.first != date.min:
                begin = max(begin, self._start_of(each.days.first))
            if each.days.last != date.max:
                finish = min(finish, self._start_of(each.days.last + _DAY))
            if begin < finish:
                yield Segment(begin, finish, each.weight, each.times)

    def _start_of(self, day: date) -> int:
        start = self._starts.get(day)
        if start is None:
            start = self._starts[day] = self.zone.first(datetime.combine(day, time.min))
        return start

    def keeps(self, member: CountedMeter) -> bool:
        """Return whether sums of the group's days are kept of a member."""
        return member.has_days and member.timezone == self.zone.name

    def readings_of(self, member: CountedMeter) -> int:
        """Return about how many readings of a member are in the period."""
        if member.first_reading is None or member.last_reading is None:
            return 0
        start = max(self.start, member.first_reading)
        end = min(self.until, member.last_reading + 1)
        if start >= end:
            return 0
        expected = member.grid.expected(start, end)
        return (end - start) // _LIKELY_SECONDS if expected is None else expected

    async def metadata(self) -> dict[str, str | dict[str, str]]:
        """Return what a result says of its members, once."""
        notes: dict[str, str | dict[str, str]] = {
            "quality": "clean" if self.is_clean else "raw",
            "timezone": self.zone.name,
            "members": str(len(self.members)),
        }
        zones: dict[str, str] = {}
        lengths: dict[str, str] = {}
        several: dict[str, str] = {}
        async for each in in_turns(self.members):
            if each.timezone != self.zone.name:
                zones[each.public_id] = each.timezone
            lengths[each.public_id] = self._interval(each)
            segments = self._segments(each, self.start, self.until)
            times = max((segment.times for segment in segments), default=0)
            if times > 1:
                several[each.public_id] = f"{times} times"
        usual = Counter(lengths.values()).most_common(1)
        if usual:
            notes["interval_seconds"] = usual[0][0]
            others = {name: text for name, text in lengths.items() if text != usual[0][0]}
            notes |= _listed("other_intervals", others)
        return notes | _listed("other_timezones", zones) | _listed("counted_repeatedly", several)

    def _interval(self, member: CountedMeter) -> str:
        lengths = member.lengths(self.start, self.until)
        return ", ".join(sorted("unknown" if each is None else str(each) for each in lengths))


class GroupQuery(Protocol):
    """A query for figures of a group."""

    @property
    def period(self) -> Period:
        """The period that is asked for."""

    @property
    def key(self) -> str:
        """A text that is equal for queries with the same result."""

    @property
    def fields(self) -> Sequence[Field]:
        """The fields of a row."""

    async def scanned(self, selection: GroupSelection) -> int:
        """Return how many readings are read, about: not those of days that are kept."""

    async def table(self, engine: ReadEngine, selection: GroupSelection) -> ResultTable:
        """Return the result for a selection; raise QueryError if there can be none."""


async def select_group(
    engine: ReadEngine, group: NamedGroup, period: Period, default_zone: str
) -> GroupSelection | None:
    """Select the members of a group in a period; None if it is empty.

    Its days are those of its members' zone if they share one, otherwise of the default zone.
    Raises QueryError if the period is too long, or of several windows.
    """
    memberships = await memberships_of(engine, group.id)
    members = await counted(engine, memberships)
    zone = await _zone_of(members, default_zone)
    if group.windows:
        # Those that are members on other days only may not show, not even in a number.
        memberships = _within(memberships, group.windows)
    first = None if period.first is None else zone.first(period.first)
    last = None
    if period.last is not None:
        last = zone.first(period.last) if period.is_exclusive else zone.after(period.last)
    lowest = highest = None
    if group.windows:
        clip = _clip(group.windows, zone, first, last)
        if clip is None:
            return None
        lowest, highest = clip
        # Of what is hidden, not even the first reading may show.
        members = await counted(engine, memberships, lowest, highest)
    if first is None or last is None:
        ends = await _ends_of_readings(GroupSelection(members, zone, 0, 0, is_clean=False))
        if ends is None:
            return None
        first = ends[0] if first is None else first
        last = ends[1] if last is None else last
    first = first if lowest is None else max(first, lowest)
    last = last if highest is None else min(last, highest)
    if last - first > MAX_PERIOD:
        raise QueryError("date", f"expected a period of at most {MAX_PERIOD // YEAR_SECONDS} years")
    if first >= last:
        return None
    return GroupSelection(members, zone, first, last, is_clean=period.is_clean)


def _within(
    memberships: Mapping[int, Sequence[Membership]], windows: Sequence[Window]
) -> dict[int, Sequence[Membership]]:
    """Return the memberships of the meters that are members on any day of some windows."""
    return {
        meter_id: some
        for meter_id, some in memberships.items()
        if any(each.days & window for each in some for window in windows)
    }


async def _zone_of(members: Sequence[CountedMeter], default: str) -> TimeZone:
    zones = {each.timezone for each in members}
    name = zones.pop() if len(zones) == 1 else default
    try:
        return await load_time_zone(name)
    except UnknownZoneError:
        raise StorageError(
            f"the time zone {name} is not known to this machine: update its time zones, such as the"
            " package tzdata"
        ) from None


async def _ends_of_readings(selection: GroupSelection) -> tuple[int, int] | None:
    """Return from when to when there are readings of members while they are counted."""
    ends: list[Segment] = []
    async for member in in_turns(selection.members):
        first, last = member.first_reading, member.last_reading
        if first is not None and last is not None:
            end = member.grid.due(last) + (member.intervals.at(last) or 1)
            ends += selection.segments(member, first, end)
    if not ends:
        return None
    return min(each.start for each in ends), max(each.end for each in ends)


def _clip(
    windows: Sequence[Window], zone: TimeZone, first: int | None, last: int | None
) -> tuple[int | None, int | None] | None:
    """Return the bounds of the days that a client may see of a period, None if there are none.

    A bound is None where the days have none. Raise QueryError if they are of several windows.
    """
    met = []
    for window in windows:
        start, end = window.bounds(zone)
        is_later = start is not None and last is not None and start >= last
        is_earlier = end is not None and first is not None and end <= first
        if not (is_later or is_earlier):
            met.append((start, end))
    if len(met) > 1:
        named = ", ".join(map(str, windows))
        raise QueryError("date", f"expected a period within one of those that you may see: {named}")
    return met[0] if met else None


def _listed(name: str, texts: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return some of the texts by public ids, and how many more there are; nothing of none."""
    if not texts:
        return {}
    some = dict(islice(texts.items(), MAX_NAMED))
    more = len(texts) - len(some)
    return {name: some | ({"...": f"{more} more"} if more else {})}

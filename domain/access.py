"""What a user may do with a meter or a group, and which days of it the user may see."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import IntEnum
from functools import cached_property
from itertools import pairwise

from domain.time.time_zone import TimeZone

_DAY = timedelta(days=1)
_DAY_EXPECTED = "a day such as 2026-01-31"
_TIME_EXPECTED = (
    "a time to come with its offset such as 2027-01-01T00:00:00+01:00, or a day such as 2027-01-01,"
    " which begins at 00:00 UTC"
)


class Permission(IntEnum):
    """What a user may do. Each one includes those before it."""

    READ = 1
    WRITE = 2
    MANAGE = 3

    @property
    def word(self) -> str:
        """How commands, requests and the database write it."""
        return self.name.lower()


PERMISSIONS = {permission.word: permission for permission in Permission}
"""All permissions by their words."""


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """Local days of a meter, from the first to the last one; both belong to it."""

    first: date = date.min
    last: date = date.max

    @property
    def is_whole(self) -> bool:
        """Whether it has all days."""
        return self.first == date.min and self.last == date.max

    def __and__(self, other: "Window") -> "Window | None":
        """Return the days of both, None if there are none."""
        first, last = max(self.first, other.first), min(self.last, other.last)
        return Window(first, last) if first <= last else None

    def bounds(self, zone: TimeZone) -> tuple[int | None, int | None]:
        """Return when its days begin, and when the day after them does; None has no bound."""
        start = end = None
        if self.first != date.min:
            start = zone.first(datetime.combine(self.first, time.min))
        if self.last != date.max:
            end = zone.first(datetime.combine(self.last + _DAY, time.min))
        return start, end

    def __str__(self) -> str:
        first = "" if self.first == date.min else f"from {self.first} "
        last = "" if self.last == date.max else f"to {self.last}"
        return f"{first}{last}".strip() or "all days"


@dataclass(frozen=True)
class Access:
    """What a user may do with a meter, on the days of some windows that do not touch."""

    permission: Permission
    windows: Sequence[Window] = (Window(),)
    until: float = float("inf")
    """When a grant expires that it is made of, in seconds since 1970."""

    @cached_property
    def is_whole(self) -> bool:
        """Whether the user may see all days."""
        return self.windows[0].is_whole

    @cached_property
    def key(self) -> str:
        """A text that is equal for equal windows; that of all days is ''."""
        return (
            "" if self.is_whole else ",".join(f"{each.first}/{each.last}" for each in self.windows)
        )


def joined(windows: Iterable[Window]) -> list[Window]:
    """Return windows that have the same days, in order, none of which touches another."""
    ordered = sorted(windows)
    done = ordered[:1]
    for _, window in pairwise(ordered):
        before = done[-1]
        if before.last == date.max or window.first <= before.last + _DAY:
            done[-1] = Window(before.first, max(before.last, window.last))
        else:
            done.append(window)
    return done


def parse_day(text: str) -> date | None:
    """Return a day, None for an empty text."""
    if not text:
        return None
    try:
        # Python also takes weeks, and days without hyphens.
        if len(text) == len("2026-01-31") and text[4] == text[7] == "-":
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise ValueError(_DAY_EXPECTED)


def parse_future(text: str, now: float) -> int | None:
    """Return when something is to end, in seconds since 1970, None for an empty text."""
    seconds = parse_time(text)
    if seconds is not None and seconds <= now:
        raise ValueError(_TIME_EXPECTED)
    return seconds


def parse_time(text: str) -> int | None:
    """Return when something ends or ended, in seconds since 1970, None for an empty text."""
    if not text:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(_TIME_EXPECTED) from None
    if instant.tzinfo is None:
        if parse_day(text[:10]) is None or len(text) > len("2026-01-31"):
            raise ValueError(_TIME_EXPECTED)
        instant = instant.replace(tzinfo=UTC)
    try:
        # An offset may lead beyond the first or the last year.
        return int(instant.astimezone(UTC).timestamp())
    except OverflowError:
        raise ValueError(_TIME_EXPECTED) from None


def window_of_days(first: date | None, last: date | None) -> Window:
    """Return the days from one to another; None is without bound."""
    window = Window(first or date.min, last or date.max)
    if window.last < window.first:
        raise ValueError(f"a last day that is not before the first one, {window.first}")
    return window

"""What a user may do with a meter or a group, and which days of it the user may see."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import IntEnum
from functools import cached_property
from itertools import pairwise

_DAY = timedelta(days=1)


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
        return self == Window()

    def __and__(self, other: "Window") -> "Window | None":
        """Return the days of both, None if there are none."""
        first, last = max(self.first, other.first), min(self.last, other.last)
        return Window(first, last) if first <= last else None

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

    @property
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

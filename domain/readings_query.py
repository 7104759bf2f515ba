"""Queries for readings, parsed from the parameters of a request."""

import re
from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Self

from domain.date_pattern import canonical_pattern, earliest_instant, latest_instant
from domain.fixed_point import distinct_in_parts

_LAST_ID = 2**31 - 1  # the column is an INT
_LAST_ID_DIGITS = len(str(_LAST_ID))
_MOST_SPELLED_IDS = 100
_FEW_IDS = 1000
PATTERN = re.compile(r"[0-9:. T%_-]{1,64}")
_IDS = re.compile(r" *[0-9]+ *(?:, *[0-9]+ *)*+")
_ZERO_FRACTION = re.compile(r"([^%.]{19})\.0{1,6}")


class QueryError(ValueError):
    """A malformed parameter: `parameter` is its name, `message` says what was expected."""

    def __init__(self, parameter: str, message: str) -> None:
        super().__init__(parameter, message)
        self.parameter = parameter
        self.message = message

    def __str__(self) -> str:
        return f"{self.parameter}: {self.message}"


@dataclass(frozen=True, slots=True)
class ReadingsQuery:
    """The readings that meet every condition that isn't None.

    `ids` are sorted and unique; if empty, no reading meets them. `like` is a LIKE pattern over the
    local time as `YYYY-MM-DD HH:MM:SS`. `first` and `last` are the earliest and the latest local
    time, whole seconds without a zone; both belong to the range. `clean` leaves out implausible
    readings.

    The order is by id, `descending` or not: those after the id `after`, none with a larger one
    than `up_to`, at most `limit` of them.
    """

    ids: tuple[int, ...] | None = None
    like: str | None = None
    first: datetime | None = None
    last: datetime | None = None
    clean: bool = False
    descending: bool = False
    after: int | None = None
    up_to: int | None = None
    limit: int | None = None

    @property
    def is_partial(self) -> bool:
        """Whether the query asks for a part of the readings that meet its conditions."""
        return not (self.after is self.up_to is self.limit is None)

    @property
    def is_whole(self) -> bool:
        """Whether the query asks for all readings, or all that are plausible."""
        conditions = (self.ids, self.like, self.first, self.last)
        return not self.is_partial and conditions == (None,) * len(conditions)

    @property
    def key(self) -> str:
        """A text that is equal for queries with the same result; that of all readings is ''."""
        ids = None if self.ids is None else _ids_key(self.ids)
        conditions = {
            "ids": ids,
            "first": self.first,
            "last": self.last,
            "like": self.like,
            "clean": self.clean or None,
            "descending": self.descending or None,
            "after": self.after,
            "up_to": self.up_to,
            "limit": self.limit,
        }
        return "&".join(
            f"{name}={value}" for name, value in conditions.items() if value is not None
        )

    @classmethod
    def by_ids(cls, text: str) -> Self:
        """Parse ids such as `5, 100`, leaving out those that cannot exist; raise QueryError."""
        parts = text.split(",")
        if not _IDS.fullmatch(text):
            number = next(part.strip(" ") for part in parts if not _IDS.fullmatch(part))
            raise QueryError("id", f"expected ids like 5 or 5,100, got {_quoted(number)}")
        # Few have more digits than can be; and Python refuses to convert very many.
        if max(map(len, parts)) > _LAST_ID_DIGITS:
            parts = [_significant(part) for part in parts]
        numbers = map(int, parts)
        ids = distinct_in_parts(numbers) if len(parts) > _FEW_IDS else sorted(set(numbers))
        return cls(ids=tuple(ids[bisect_left(ids, 1) : bisect_right(ids, _LAST_ID)]))

    @classmethod
    def by_date(cls, pattern: str) -> Self:
        """Parse a LIKE pattern of local times such as `2019-09-11%`; raise QueryError."""
        pattern = _parse_pattern("date", pattern)
        if pattern == "%":
            return cls()
        first, last = earliest_instant(pattern), latest_instant(pattern)
        if first is None:
            return cls(ids=())
        head, _, tail = pattern.partition("%")
        is_prefix = not tail and "_" not in head
        return cls(like=None if is_prefix or first == last else pattern, first=first, last=last)

    @classmethod
    def by_range(cls, date: str, end_date: str, *, end_included: bool = True) -> Self:
        """Parse the bounds of a range, such as `2019-09-11 10:45:00` and `2019-10`.

        A bound means the earliest instant that it, continued in any way, matches.
        Raise QueryError.
        """
        first = _parse_bound("date", date)
        last = _parse_bound("end_date", end_date)
        if last < first:
            raise QueryError("end_date", f"expected {first} (date) or later, got {last}")
        if end_included:
            return cls(first=first, last=last)
        if last == first:
            return cls(ids=())
        return cls(first=first, last=last - timedelta(seconds=1))


def _ids_key(ids: tuple[int, ...]) -> str:
    """Return the ids as text, or a digest of many."""
    if len(ids) <= _MOST_SPELLED_IDS:
        return ",".join(map(str, ids))
    return sha256(array("i", ids)).hexdigest()


def _significant(part: str) -> str:
    """Return the digits of an id without leading zeros, "0" if it cannot exist."""
    digits = part.strip(" ").lstrip("0")
    return digits if 0 < len(digits) <= _LAST_ID_DIGITS else "0"


def _parse_bound(parameter: str, text: str) -> datetime:
    pattern = _parse_pattern(parameter, text)
    if fraction := _ZERO_FRACTION.fullmatch(pattern):
        pattern = fraction[1]
    instant = earliest_instant(canonical_pattern(pattern + "%"))
    if instant is None:
        raise QueryError(
            parameter, f"expected a time like 2019-09-11 10:45:00 or its start, got {_quoted(text)}"
        )
    return instant


def _parse_pattern(parameter: str, text: str) -> str:
    if not PATTERN.fullmatch(text):
        raise QueryError(
            parameter,
            "expected 1 to 64 characters, each a digit, '-', ':', '.', blank, 'T', '%' or '_', "
            f"like 2019-09-11%, got {_quoted(text)}",
        )
    return canonical_pattern(text.replace("T", " "))


def _quoted(text: str) -> str:
    return ascii(text if len(text) <= 40 else text[:37] + "...")

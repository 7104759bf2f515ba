"""Queries for readings, parsed from the parameters of a request."""

import re
from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Self

from domain.access import Window
from domain.fixed_point import distinct_in_parts
from domain.time.date_pattern import canonical_pattern, earliest_instant, latest_instant

NOTHING_FOUND = "No data found"
"""The message of a result without records."""

_LAST_ID = 2**31 - 1  # the column is an INT
_LAST_ID_DIGITS = len(str(_LAST_ID))
_MOST_SPELLED_IDS = 100
_FEW_IDS = 1000
_MAX_PATTERN = 64
PATTERN = re.compile(r"[0-9:. T%_-]{1,64}")
_IDS = re.compile(r" *[0-9]+ *(?:, *[0-9]+ *)*+")
_ZERO_FRACTION = re.compile(r"([^%.]{19})\.0{1,6}")
_TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt _]([0-9]{2}:[0-9]{2}(?::[0-9]{2})?)(\.[0-9]{1,64})?"
    r"(?:([Zz])|([+ -])([0-9]{2}):?([0-9]{2})?)?"
)
"""A time as RFC 3339 and ISO 8601 write it. In a URL an unescaped + is read as a blank."""

_SECOND = timedelta(seconds=1)
_PARTIAL = timedelta(minutes=1)
_FIRST_YEAR = 1000
LAST_INSTANT = datetime(9999, 12, 30, tzinfo=UTC)
"""After it, local time could leave the calendar."""


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
    local time as `YYYY-MM-DD HH:MM:SS`. `first` and `last` are the earliest and the latest time, in
    whole seconds; both belong to the range. They are local times without a zone, or instants in
    UTC. `clean` leaves out implausible readings. `windows` are the days that the client may see,
    all of them if there are none. `note` tells what a client may not expect of the result.

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
    windows: tuple[Window, ...] = ()
    note: str = field(default="", compare=False)

    @property
    def needs_instants(self) -> bool:
        """Whether the bounds are instants rather than local times."""
        return any(bound is not None and bound.tzinfo for bound in (self.first, self.last))

    @property
    def message(self) -> str:
        """The message of a result without readings."""
        return f"{NOTHING_FOUND}: {self.note}" if self.note and self.ids == () else NOTHING_FOUND

    @property
    def is_partial(self) -> bool:
        """Whether the query asks for a part of the readings that meet its conditions."""
        return not (self.after is self.up_to is self.limit is None)

    @property
    def is_whole(self) -> bool:
        """Whether the query asks for all readings, or all that are plausible."""
        conditions = (self.ids, self.like, self.first, self.last, self.windows or None)
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
            "windows": ",".join(map(str, self.windows)) or None,
            "note": self.note if self.ids == () and self.note else None,
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
        """Parse a LIKE pattern of local times such as `2019-09-11%`, or an instant such as
        `2019-10-27T02:00:00+02:00`; raise QueryError."""
        instant = _whole_time("date", pattern)
        if instant is not None and instant.is_instant:
            if instant.last < instant.first:
                return cls(
                    ids=(), note="date is between two seconds, and readings are at whole ones"
                )
            return cls(first=instant.first, last=instant.first)
        text, pattern = pattern, _parse_pattern("date", pattern)
        if pattern == "%":
            return cls()
        first, last = earliest_instant(pattern), latest_instant(pattern)
        if first is None:
            return cls(ids=(), note="" if "%" in pattern else _no_match(text))
        head, _, tail = pattern.partition("%")
        is_prefix = not tail and "_" not in head
        return cls(like=None if is_prefix or first == last else pattern, first=first, last=last)

    @classmethod
    def by_range(cls, date: str, end_date: str, *, end_included: bool = True) -> Self:
        """Parse the bounds of a range, such as `2019-09-11 10:45:00` and `2019-10`.

        A bound means the earliest time that it, continued in any way, matches; `note` says so of a
        date, month or year. Raise QueryError.
        """
        start, end = parse_bound("date", date), parse_bound("end_date", end_date)
        if start.is_instant != end.is_instant:
            raise QueryError(
                "end_date",
                "expected a UTC offset in both date and end_date, or in neither, got"
                f" {_quoted(date)} and {_quoted(end_date)}",
            )
        # The last whole second, if a fraction of one has passed.
        first, last = start.first, min(end.first, end.last)
        if max(last, end.first) < first:
            raise QueryError("end_date", f"expected {first} (date) or later, got {last}")
        note = "; ".join(
            f"{name} was read as {bound.first}, the first time that {_quoted(text)} matches"
            for name, text, bound in (("date", date, start), ("end_date", end_date, end))
            if bound.is_partial
        )
        if not end_included:
            last = end.first - _SECOND
        return cls(first=first, last=last, note=note) if first <= last else cls(ids=())


@dataclass(frozen=True, slots=True)
class TimeBound:
    """The first and the last whole second that a bound matches: local times, or instants in UTC.

    Between two seconds, the last one is before the first.
    """

    first: datetime
    last: datetime

    @property
    def is_instant(self) -> bool:
        """Whether the bound has a UTC offset."""
        return self.first.tzinfo is not None

    @property
    def is_partial(self) -> bool:
        """Whether the bound is a minute or longer: a date, a month, a pattern."""
        return self.last - self.first >= _PARTIAL


def parse_bound(parameter: str, text: str) -> TimeBound:
    """Parse a bound: a time with or without a UTC offset, or the beginning or pattern of a local
    time; raise QueryError."""
    if (whole := _whole_time(parameter, text)) is not None:
        return whole
    pattern = _parse_pattern(parameter, text)
    if fraction_of_zero := _ZERO_FRACTION.fullmatch(pattern):
        pattern = fraction_of_zero[1]
    pattern = canonical_pattern(pattern + "%")
    first, last = earliest_instant(pattern), latest_instant(pattern)
    if first is None or last is None:
        raise _no_time(parameter, text)
    return TimeBound(first, last)


def _whole_time(parameter: str, text: str) -> TimeBound | None:
    """Return the time that a text is with its UTC offset or a fraction of a second, or None."""
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    day, clock, fraction, utc, sign, hours, minutes = match.groups()
    if fraction is not None and len(clock) != len("HH:MM:SS"):
        raise _no_time(parameter, text)
    if fraction is None and utc is None and sign is None:
        return None
    offset = ""
    if utc is not None:
        offset = "+00:00"
    elif sign is not None:
        offset = f"{'-' if sign == '-' else '+'}{hours}:{minutes or '00'}"
    try:
        first = datetime.fromisoformat(f"{day} {clock}{offset}")
        last = first.astimezone(UTC) if offset else first
        is_between = fraction is not None and fraction.strip(".0") != ""
        first = last + _SECOND * is_between
    except (ValueError, OverflowError):
        raise _no_time(parameter, text) from None
    if last.year < _FIRST_YEAR or (offset and first >= LAST_INSTANT):
        raise _no_time(parameter, text)
    return TimeBound(first, last)


def _no_time(parameter: str, text: str) -> QueryError:
    return QueryError(
        parameter, f"expected a time like 2019-09-11 10:45:00 or its start, got {_quoted(text)}"
    )


def _no_match(pattern: str) -> str:
    """Return why a pattern without % matches no time."""
    text = "date is a pattern for the whole of YYYY-MM-DD HH:MM:SS, and no time matches it"
    continued = f"{pattern}%"
    if len(continued) <= _MAX_PATTERN and earliest_instant(_parse_pattern("date", continued)):
        return f"{text} without %: did you mean {continued} ?"
    return text


def _ids_key(ids: tuple[int, ...]) -> str:
    """Return the ids as text, or a digest of many."""
    if len(ids) <= _MOST_SPELLED_IDS:
        return ",".join(map(str, ids))
    return sha256(array("i", ids)).hexdigest()


def _significant(part: str) -> str:
    """Return the digits of an id without leading zeros, "0" if it cannot exist."""
    digits = part.strip(" ").lstrip("0")
    return digits if 0 < len(digits) <= _LAST_ID_DIGITS else "0"


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

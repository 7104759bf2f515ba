"""Notations of dates and clocks, as the patterns that formats have for them."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple

from settings import EPOCH, EPOCH_MS, ISO, month_number

_LONGEST_SHORT_NAME = 4
_MAX_LENGTH = 80
"""Characters of a time."""

_PARTS = {
    "%d": "(?P<d>3[01]|[12][0-9]|0?[1-9])",
    "%m": "(?P<m>1[0-2]|0?[1-9])",
    "%Y": "(?P<Y>19[7-9][0-9]|2[01][0-9][0-9])",
    "%y": "(?P<y>[0-9][0-9])",
    "%b": r"(?P<b>[^\W\d_]{3,12}\.?)",
    "%B": r"(?P<b>[^\W\d_]{3,12}\.?)",
    "%H": "(?P<H>2[0-4]|[01]?[0-9])",
    "%I": "(?P<I>1[0-2]|0?[1-9])",
    "%M": "(?P<M>[0-5][0-9])",
    "%S": "(?P<S>[0-5][0-9])",
    "%p": r"(?P<p>[AaPp]\.?\s?[Mm]\.?)",
    "%z": r"(?P<z>[+-][0-9]{2}:?[0-9]{2}|Z|UTC|GMT)",
    "*": ".*",
}
_PIECE = re.compile(r"%[dmYybBHIMSpz]|\*|[^%*]+")
_ADJACENT = re.compile(r"%[dmYybHM](?=%[^z])")

_SEPARATED = [
    pattern.replace("|", mark)
    for mark in "./- "
    for pattern in (
        *("%d|%m|%Y", "%m|%d|%Y", "%Y|%m|%d", "%d|%m|%y", "%m|%d|%y", "%y|%m|%d"),
        *("%d|%b|%Y", "%d|%b|%y", "%Y|%b|%d", "%b|%d|%Y"),
    )
]
_DAYS = [
    *_SEPARATED,
    *("%Y%m%d", "%d%m%Y", "%d%b%Y", "%d%b%y", "%d. %b %Y", "%b %d, %Y", "%d de %b de %Y"),
]
_CLOCKS = [
    *("%H:%M:%S.*", "%H:%M:%S", "%H:%M", "%I:%M:%S %p", "%I:%M %p", "%I:%M:%S%p", "%I:%M%p"),
    *("%I %p", "%I%p", "%Hh%M", "%H.%M.%S", "%H.%M", "%H%M%S", "%H%M"),
]
_BARE_CLOCKS = ("%H.%M.%S", "%H.%M", "%H%M%S", "%H%M")
"""Clocks that look like numbers."""
_JOINTS = (" ", "T", ", ", " - ", "-", "_", ":", "")
_HALF_DAY = re.compile(r"[0-9]\s*[ap]\.?\s?m\b", re.IGNORECASE)
_RANGE = re.compile(r"(\s*(?:-|\u2013|/|bis|to|until|hasta|al?|à|au)\s*)[0-9].*")
_LITERAL_END = re.compile(r"[^\W\d_%*]{1,3}|\s[^\W\d_%*]{1,4}\.?|")

_EPOCHS = range(946684800, 4102444800)


class Moment(NamedTuple):
    """A day, or none, and the second of the day, from 0 to 86400, or none."""

    day: date | None
    second: int | None


@dataclass(frozen=True)
class WrittenTime:
    """A way to write days, clocks or both."""

    pattern: str
    """As the key `time.pattern` has it."""
    has_day: bool
    has_clock: bool

    def parse(self, text: str) -> Moment | None:
        """Return the moment that a text tells; None if it isn't written like that."""
        if self.pattern == ISO:
            return _parse_iso(text)
        if self.pattern in (EPOCH, EPOCH_MS):
            return _parse_epoch(text, 1000 if self.pattern == EPOCH_MS else 1)
        found = _compiled(self.pattern).fullmatch(text)
        return None if found is None else _moment(found.groupdict(), self)

    @property
    def is_instant(self) -> bool:
        """Whether the offset is told as well; moments are those of UTC then."""
        return self.pattern in (ISO, EPOCH, EPOCH_MS) or "%z" in self.pattern

    @property
    def is_month_first(self) -> bool:
        """Whether the number of the month stands before that of the day."""
        order = [part for part in _PIECE.findall(self.pattern) if part in ("%d", "%m", "%Y", "%y")]
        return order[:2] == ["%m", "%d"]


ISO_TIMES = WrittenTime(ISO, has_day=True, has_clock=True)
_EPOCH_TIMES = [WrittenTime(pattern, has_day=True, has_clock=True) for pattern in (EPOCH, EPOCH_MS)]


def fitting_notations(texts: Sequence[str]) -> list[WrittenTime]:
    """Return the notations in which all texts tell a time, the usual ones first."""
    if not texts or len(texts[0]) > _MAX_LENGTH:
        return []
    different = list(dict.fromkeys(texts))
    found = [ISO_TIMES, *_EPOCH_TIMES, *_notations_of(different[0])]
    return [each for each in found if all(map(each.parse, different))]


@lru_cache(maxsize=4096)
def tells_day(text: str) -> bool:
    """Return whether a text may tell a day."""
    if len(text) > _MAX_LENGTH:
        return False
    if _parse_iso(text) or any(each.parse(text) for each in _EPOCH_TIMES):
        return True
    return any(each.has_day and each.parse(text) for each in _notations_of(text))


def _notations_of(text: str) -> list[WrittenTime]:
    """Return the notations that one text may be of."""
    found: dict[str, WrittenTime] = {}
    for prefix, rest in _prefixes(text):
        for day, after in _heads(rest, _DAYS):
            if not after:
                found.setdefault(prefix + day, WrittenTime(prefix + day, True, False))
            for clock in _with_joint(after, _CLOCKS):
                found.setdefault(
                    prefix + day + clock, WrittenTime(prefix + day + clock, True, True)
                )
        for clock, after in _heads(rest, _CLOCKS):
            for end in _ends(after):
                if not prefix and not (end and clock in _BARE_CLOCKS):
                    found.setdefault(clock + end, WrittenTime(clock + end, False, True))
            for day in _with_joint(after, _DAYS):
                found.setdefault(
                    prefix + clock + day, WrittenTime(prefix + clock + day, True, True)
                )
    return list(found.values())


def _prefixes(text: str) -> Iterator[tuple[str, str]]:
    """Yield the text as it is, and without the name of a weekday."""
    yield "", text
    weekday = re.match(r"[^\W\d_]{2,10}\.?,? (?=[0-9])", text)
    if weekday:
        yield "* ", text[weekday.end() :]


def _heads(text: str, patterns: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the patterns that the text may begin with, and what comes after."""
    for pattern in patterns:
        if "%H" in pattern and _HALF_DAY.search(text):
            continue
        found = _compiled(pattern).match(text) if "*" not in pattern else None
        if found is not None:
            for named in _named_months(pattern, found):
                yield named, text[found.end() :]
        elif pattern.endswith(".*") and re.match(r"[0-9]{1,2}:[0-9]{2}:[0-9]{2}[.,][0-9]+$", text):
            yield pattern.replace(".*", text[8] + "*"), ""


def _named_months(pattern: str, found: re.Match[str]) -> Sequence[str]:
    """Return a pattern, which says whether names of months are whole."""
    if "%b" not in pattern:
        return [pattern]
    name = found["b"].rstrip(".")
    long = pattern.replace("%b", "%B")
    return [long, pattern] if len(name) > _LONGEST_SHORT_NAME else [pattern, long]


def _with_joint(text: str, patterns: Sequence[str]) -> Iterator[str]:
    """Yield what may follow the first part of a time: what joins it, the other part, an end."""
    for joint in _JOINTS:
        if joint and not text.startswith(joint):
            continue
        for pattern, after in _heads(text[len(joint) :], patterns):
            for end in _ends(after):
                yield f"{joint}{pattern}{end}"


def _ends(text: str) -> Iterator[str]:
    """Yield what a pattern may end with: the same letters everywhere, or anything."""
    if not text or (_LITERAL_END.fullmatch(text) and not _compiled("%z").fullmatch(text.lstrip())):
        yield text
    if (found := _RANGE.fullmatch(text)) and ":" in text:
        yield f"{found[1]}*"
    blank = text[: len(text) - len(text.lstrip())]
    if text and _compiled("%z").fullmatch(text.lstrip()):
        yield f"{blank}%z"
    elif text and re.fullmatch(r"\s?[^\W\d_]{1,5}", text):
        yield f"{blank}*"


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    """Return an expression for the texts of a pattern; parts side by side have all digits."""
    parts = []
    is_tight = _ADJACENT.search(pattern) is not None
    for piece in _PIECE.findall(pattern):
        part = _PARTS.get(piece, re.escape(piece) if piece != "*" else ".*")
        if is_tight and piece in ("%d", "%m", "%H", "%I"):
            part = part.replace("0?", "0").replace("[01]?", "[01]")
        parts.append(part)
    return re.compile("".join(parts))


def _moment(parts: dict[str, str | None], notation: WrittenTime) -> Moment | None:
    """Return the moment of the parts of a time; None if there is no such day."""
    day = _day(parts) if notation.has_day else None
    if notation.has_day and day is None:
        return None
    if not notation.has_clock:
        return Moment(day, None)
    hour = int(parts.get("H") or 0)
    if parts.get("I") is not None:
        half = (parts["p"] or "a")[0].casefold()
        hour = int(parts["I"] or 0) % 12 + 12 * (half == "p")
    second = 3600 * hour + 60 * int(parts.get("M") or 0) + int(parts.get("S") or 0)
    if second > 86400:
        return None
    if day is None or not notation.is_instant:
        return Moment(day, second)
    return _parse_iso(_iso_text(day, second, parts.get("z") or "Z"))


def _iso_text(day: date, second: int, offset: str) -> str:
    """Return a local time and its offset in ISO notation."""
    local = datetime.combine(day, time.min) + timedelta(seconds=second)
    return f"{local.isoformat()}{offset if offset[0] in '+-' else 'Z'}"


def _day(parts: dict[str, str | None]) -> date | None:
    """Return the day of the parts of a date."""
    year = int(parts.get("Y") or 2000 + int(parts.get("y") or 0))
    name = parts.get("b")
    month = int(parts.get("m") or 0) if name is None else _month_number(name)
    try:
        return date(year, month or 0, int(parts["d"] or 0))
    except ValueError:
        return None


def _month_number(name: str) -> int | None:
    try:
        return month_number(name)
    except KeyError:
        return None


def _parse_iso(text: str) -> Moment | None:
    if len(text) < len("2019-08-01T00:15Z"):
        return None
    try:
        moment = datetime.fromisoformat(text)
        return _utc_moment(moment) if moment.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def _parse_epoch(text: str, parts: int) -> Moment | None:
    if not (text.isascii() and text.isdigit() and 9 <= len(text) <= 13):
        return None
    seconds, rest = divmod(int(text), parts)
    if rest or seconds not in _EPOCHS:
        return None
    return _utc_moment(datetime.fromtimestamp(seconds, UTC))


def _utc_moment(moment: datetime) -> Moment:
    instant = moment.astimezone(UTC)
    second = 3600 * instant.hour + 60 * instant.minute + instant.second
    return Moment(instant.date(), second)

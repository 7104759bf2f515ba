"""The end of each row's interval, and so how long the row lasts."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta, tzinfo

from loader.formats.timestamps.notation import PatternReader, notation_of
from loader.formats.timestamps.parser import InvalidTimestamp, JoinedColumns
from settings import INSTANT_PATTERNS, TimePattern, TimeSettings

_MAX_LENGTH = timedelta(days=31)
_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)
"""What clocks change by at most."""


class RowEnds:
    """Tells how long rows last by their ends, as far as the clocks at both ends allow.

    An end without its offset may be written by the clock at the end of the interval, or by that at
    its start. On days on which clocks change, these differ: then the interval is the shorter one if
    it is at most an hour by the clock at the start; a longer one ends by the clock at its end.
    """

    def __init__(self, time: TimeSettings, names: Sequence[str], zone: tzinfo) -> None:
        assert time.end is not None, "the format has ends"
        self._columns = JoinedColumns(time.end.column, names)
        self._zone = zone
        self._clock = time.end_clock
        pattern = time.end.pattern or time.pattern
        parsed = None if pattern in INSTANT_PATTERNS else TimePattern(pattern)
        self._reader = None
        if parsed is not None and not parsed.has_date:
            self._reader = PatternReader(parsed)
        else:
            self._notation = notation_of(pattern)

    def length(self, fields: Sequence[str], start: datetime) -> timedelta | InvalidTimestamp:
        """Return how long a row lasts that starts at an instant."""
        text = self._columns.text(fields)
        local = start.astimezone(self._zone).replace(tzinfo=None)
        ends = self._parse(text, local)
        if not ends:
            expected = (
                self._notation.expected
                if self._reader is None
                else f"a time like {self._reader.example}"
            )
            return InvalidTimestamp(self._columns.label, text, expected)
        found = [length for end in ends if (length := self._after(start, local, end)) is not None]
        if not found:
            expected = f"a time after {local} at which the row begins, at most 31 days later"
            return InvalidTimestamp(self._columns.label, text, expected)
        return min(found)

    def _parse(self, text: str, local: datetime) -> Sequence[datetime]:
        """Return the times that a text may stand for: instants in UTC, or local times."""
        if self._reader is None:
            end = self._notation.parse(text)
            return [] if end is None else [end]
        parsed = self._reader.parse(text)
        if parsed is None:
            return []
        return [parsed.at(local.date() + _DAY * days) for days in (0, 1)]

    def _after(self, start: datetime, local: datetime, end: datetime) -> timedelta | None:
        """Return the time from the start to an end; None if it is none or too long."""
        if end.tzinfo is not None:
            return _valid(end - start)
        by_start = _valid(end - local)
        by_end = min(
            (length for each in self._instants(end) if (length := _valid(each - start))),
            default=None,
        )
        if self._clock is not None:
            return by_start if self._clock == "start" else by_end
        if by_start is None or by_end is None:
            return by_start or by_end
        return min(by_start, by_end) if by_start <= _HOUR else by_end

    def _instants(self, local: datetime) -> Iterator[datetime]:
        """Yield the instants at which clocks show a local time."""
        for fold in (0, 1):
            instant = local.replace(tzinfo=self._zone, fold=fold).astimezone(UTC)
            if instant.astimezone(self._zone).replace(tzinfo=None) == local:
                yield instant


def _valid(length: timedelta) -> timedelta | None:
    return length if timedelta() < length <= _MAX_LENGTH else None

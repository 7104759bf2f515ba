"""Parsing the timestamps of rows, in the notations that formats use."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import NamedTuple, Protocol

from loader.formats.timestamps.notation import TimeNotation, notation_of
from loader.rows.reader import midnight
from settings import HOURLY_INTERVAL, ColumnName, FormatSettings

_MAX_DAYS = 1000
"""Days that are remembered: rows of a day are neighbours, and meters share their days."""

_DAY = 86_400
_HOUR = re.compile(r"([0-9]{1,2})((?::00){0,2})")
_PERIOD = re.compile(r"([0-9]{1,5})()")


@dataclass(frozen=True, slots=True)
class InvalidTimestamp:
    """A timestamp that can't be parsed: its column, its text, and what was expected."""

    column: str
    value: str
    expected: str


@dataclass(frozen=True, slots=True)
class PartOfDay:
    """An hour or a period of a day whose other rows tell when it is."""

    day: datetime
    """The beginning of the day, local time."""
    count: int
    """How many it has."""
    place: int | None
    """Which one it is, from 0; None if the order of the rows tells it."""
    text: str
    """Its number in the report."""


class TimestampParser(Protocol):
    """Parses the timestamp in the fields of a row."""

    columns: "JoinedColumns"
    """The columns of the whole time, or of the day."""

    def parse(self, fields: Sequence[str]) -> datetime | PartOfDay | InvalidTimestamp:
        """Return an instant in UTC, or a naive local time if only the order of rows tells more."""


class JoinedColumns:
    """The columns of a text, joined by a blank."""

    def __init__(self, columns: Sequence[ColumnName], names: Sequence[str]) -> None:
        self.label = " + ".join(map(str, columns))
        self.fields = tuple(column.position(names) for column in columns)

    def text(self, fields: Sequence[str]) -> str:
        """Return the text in the fields of a row."""
        if len(self.fields) == 1:
            return fields[self.fields[0]]
        return " ".join([fields[field] for field in self.fields]).strip()


class Timestamps:
    """Instants, or local times."""

    def __init__(self, columns: JoinedColumns, notation: TimeNotation) -> None:
        self.columns = columns
        self._notation = notation

    def parse(self, fields: Sequence[str]) -> datetime | InvalidTimestamp:
        """Return an instant in UTC, or a local time."""
        text = self.columns.text(fields)
        return self._notation.parse(text) or InvalidTimestamp(
            self.columns.label, text, self._notation.expected
        )


class _PartedDay(NamedTuple):
    """A day of which rows are parts."""

    start: datetime
    """In UTC."""
    local: datetime
    """Its midnight, local time."""
    parts: int
    """How many it has."""
    is_told: bool
    """Whether other rows of the day tell what its parts are."""
    most: int
    """The parts that a row may be of."""


class DayParts:
    """Local days, each with the number of an hour or of another interval: some have more of them.

    The seconds of a day that clocks change differ; where rows have no number, their order tells it.
    """

    def __init__(self, settings: FormatSettings, names: Sequence[str], zone: tzinfo) -> None:
        time = settings.time
        self.columns = JoinedColumns(time.column, names)
        self._time = time
        self._zone = zone
        self._notation = notation_of(time.pattern)
        part = time.hour or time.period
        self._is_hour = time.hour is not None
        self._part = part if isinstance(part, ColumnName) else None
        self.number_field = None if self._part is None else self._part.position(names)
        """The field with the number of a part; None if order tells it."""
        self._seconds = settings.interval or HOURLY_INTERVAL
        self._first = (1 if time.marks_end else 0) if self._is_hour else time.first_period
        self._day = lru_cache(maxsize=_MAX_DAYS)(self._parse_day)

    def parse(self, fields: Sequence[str]) -> datetime | PartOfDay | InvalidTimestamp:
        """Return when a part starts, or a part that has to be seen among those of its day."""
        text = self.columns.text(fields)
        day = self._day(text)
        if day is None:
            return InvalidTimestamp(self.columns.label, text, self._notation.expected)
        if self.number_field is None:
            return PartOfDay(day.local, day.parts, None, text)
        number = fields[self.number_field]
        place = self._place(number)
        if place is None or not -1 <= place < day.most:
            return self._invalid(number, day)
        if place == -1:
            return day.start - timedelta(seconds=self._seconds)
        if day.is_told:
            return PartOfDay(day.local, day.parts, place, number)
        return day.start + timedelta(seconds=self._seconds * place)

    def usual_day(self, text: str) -> int | None:
        """Return when a day starts, in seconds since 1970; None if clocks change on it."""
        day = self._day(text)
        if day is None or day.is_told or day.parts * self._seconds != _DAY:
            return None
        return int(day.start.timestamp())

    def usual_part(self, text: str) -> int | None:
        """Return the seconds from the start of a day to a part that every usual day has."""
        place = self._place(text)
        is_usual = place is not None and -1 <= place < _DAY // self._seconds
        return place * self._seconds if place is not None and is_usual else None

    def _place(self, text: str) -> int | None:
        """Return which part of its day a number stands for, from 0; None if it is no number.

        It is -1 for 00:00, where 24:00 of the day before is written so.
        """
        match = (_HOUR if self._is_hour else _PERIOD).fullmatch(text)
        if match is None:
            return None
        place = int(match[1]) - self._first
        return place if place >= 0 or match[2] else None

    def _invalid(self, text: str, day: _PartedDay) -> InvalidTimestamp:
        what = "an hour" if self._is_hour else "a period"
        expected = f"{what} from {self._first} to {self._first + day.most - 1}"
        if self._time.hours == "counted":
            expected += ", as many as that day has"
        return InvalidTimestamp(str(self._part), text, expected)

    def _parse_day(self, text: str) -> _PartedDay | None:
        """Return a day by its text, None if it is none."""
        parsed = self._notation.parse(text)
        if parsed is None:
            return None
        day = parsed.date()
        start, end = self._midnight(day), self._midnight(day + timedelta(days=1))
        seconds = int((end - start).total_seconds())
        count, usual = seconds // self._seconds, _DAY // self._seconds
        is_told = seconds != _DAY and self._time.hours != "counted"
        most = max(count, usual) if is_told else count
        if self._time.hours == "clock":
            most = usual
        return _PartedDay(start, midnight(day), count, is_told, most)

    def _midnight(self, day: date) -> datetime:
        return midnight(day).replace(tzinfo=self._zone).astimezone(UTC)


def make_timestamp_parser(
    settings: FormatSettings, names: Sequence[str], zone: tzinfo
) -> TimestampParser:
    """Return the parser for a report whose columns have these names."""
    time = settings.time
    if time.is_of_day:
        return DayParts(settings, names, zone)
    return Timestamps(JoinedColumns(time.column, names), notation_of(time.pattern))

"""The time of a report format: how rows tell when they are of."""

import re
from datetime import timedelta, timezone, tzinfo
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainValidator,
    ValidationInfo,
    model_validator,
)

from settings.report_formats.column_name import COLUMN_EXPECTED, ColumnName
from settings.report_formats.time_pattern import (
    DIRECTIVES_EXPECTED,
    INSTANT_PATTERNS,
    PatternError,
    TimePattern,
)
from settings.section import Section

BY_ORDER = "order"
"""The period of rows whose order alone tells it."""

_PATTERN = (
    "a date pattern such as %d/%m/%Y %H:%M, or iso for times with their offset, epoch or epoch-ms"
    " for seconds or milliseconds since 1970"
)
_END_PATTERN = "a pattern of the whole time or of the clock alone, such as %H:%M"
_ZONE = "an IANA time zone such as Europe/Madrid, or an offset such as +01:00"
_MARKS = "start or end: which end of its interval a time marks"
_MAX_SHOWN = 60
_OFFSET = re.compile("([+-])([01][0-9]|2[0-3]):([0-5][0-9])")


def _parse_columns(value: object) -> tuple[ColumnName, ...]:
    """Return the columns that a value of the settings names; raise ValueError."""
    values = value if isinstance(value, list | tuple) else [value]
    if not values:
        raise ValueError(f"expected {COLUMN_EXPECTED}, or a list of these")
    return tuple(map(ColumnName.parse, values))


def _parse_period(value: object) -> ColumnName | str:
    """Return a column, or that the order of rows tells."""
    return BY_ORDER if value == BY_ORDER else ColumnName.parse(value)


def _parse_zone(value: object) -> tzinfo:
    """Return a time zone; raise ValueError."""
    if isinstance(value, tzinfo):
        return value
    text = str(value)
    if offset := _OFFSET.fullmatch(text):
        sign, hours, minutes = offset.groups()
        ahead = timedelta(hours=int(hours), minutes=int(minutes))
        return timezone(-ahead if sign == "-" else ahead)
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"expected {_ZONE}, got {text!a:.{_MAX_SHOWN}}") from None


def _parse_pattern(pattern: str) -> TimePattern | None:
    """Return a pattern; None if it is none."""
    try:
        return TimePattern(pattern)
    except PatternError:
        return None


def _check_pattern(pattern: str, info: ValidationInfo) -> str:
    """Return a pattern of the whole time, or of the day if another column tells the rest."""
    is_day = any(info.data.get(key) is not None for key in ("hour", "period"))
    if pattern in INSTANT_PATTERNS and not is_day:
        return pattern
    parsed = _parse_pattern(pattern)
    is_right = parsed is not None and parsed.has_date and not (is_day and parsed.has_clock)
    if not is_right:
        parts = "year, month and day" if is_day else "the whole time"
        raise ValueError(
            f"expected {_PATTERN}; it says {parts} with {DIRECTIVES_EXPECTED} and * for any text,"
            f" got {pattern!a:.{_MAX_SHOWN}}"
        )
    return pattern


def _check_marks(marks: str | None, info: ValidationInfo) -> str | None:
    """Return which end of its interval a time marks, unless another key says the interval."""
    other = next((key for key in ("period", "end") if info.data.get(key) is not None), "")
    if other and marks is not None:
        raise ValueError(f"expected nothing, since time.{other} says which interval a row is of")
    if not other and marks is None:
        raise ValueError(f"missing, expected {_MARKS}")
    return marks


def _check_end_pattern(pattern: str | None) -> str | None:
    """Return a pattern of a whole time or of a time of day."""
    if pattern is None or pattern in INSTANT_PATTERNS:
        return pattern
    parsed = _parse_pattern(pattern)
    if parsed is None or not (parsed.has_clock or parsed.has_date):
        raise ValueError(
            f"expected {_END_PATTERN}, with {DIRECTIVES_EXPECTED} and * for any text,"
            f" got {pattern!a:.{_MAX_SHOWN}}"
        )
    return pattern


TimeColumns = Annotated[tuple[ColumnName, ...], BeforeValidator(_parse_columns)]
_COLUMNS = f"{COLUMN_EXPECTED}, or a list of columns that are joined by a blank"


class EndSettings(Section):
    """The end of each row's interval."""

    column: TimeColumns = Field(description=f"the column with the end: {_COLUMNS}")
    pattern: Annotated[str | None, AfterValidator(_check_end_pattern)] = Field(
        None, description=f"{_END_PATTERN}, or nothing where it is that of the begin"
    )

    @model_validator(mode="before")
    @classmethod
    def _spell_out(cls, end: object) -> object:
        """Treat a column alone as one with the pattern of the begin."""
        is_section = isinstance(end, dict) and set(end) != {"matches"}
        return end if is_section else {"column": end}


class TimeSettings(Section):
    """The notation of a row's timestamp."""

    column: TimeColumns = Field(description=f"the column with the time: {_COLUMNS}")
    hour: ColumnName | None = Field(
        None, description=f"the column with the hour of the day: {COLUMN_EXPECTED}"
    )
    period: Annotated[ColumnName | Literal["order"] | None, PlainValidator(_parse_period)] = Field(
        None,
        description=f"the column with the number of the interval in its day: {COLUMN_EXPECTED}; or"
        " order, where the order of the rows tells it",
    )
    first_period: Annotated[int, Field(ge=0, le=1)] = Field(
        1, description="1 or 0: the number of the first interval of a day"
    )
    pattern: Annotated[str, AfterValidator(_check_pattern)] = Field(description=_PATTERN)
    end: EndSettings | None = Field(
        None,
        description="the column with the end of the interval, or a section with column and pattern",
    )
    hours: Literal["counted", "clock"] | None = Field(
        None,
        description="counted or clock: what time.hour or time.period counts, or nothing where rows"
        " tell",
    )
    marks: Annotated[Literal["start", "end"] | None, AfterValidator(_check_marks)] = Field(
        None, validate_default=True, description=_MARKS
    )
    end_clock: Literal["start", "end"] | None = Field(
        None,
        description="start or end: the end of an interval is written by the clock at its start, or"
        " at its end; nothing where rows tell",
    )
    states: Literal["end"] | None = Field(
        None,
        description="end: states of registers are those at the end of the interval that the time"
        " starts, or nothing where they are those at the time",
    )
    tolerance: int = Field(
        0, ge=0, le=43200, description="seconds by which times may lie beside the interval's"
    )
    timezone: Annotated[tzinfo | None, PlainValidator(_parse_zone)] = Field(
        None, description=f"{_ZONE}; or nothing where it is that of meter.timezone"
    )

    @property
    def marks_end(self) -> bool:
        """Return whether a timestamp marks the end of its interval."""
        return self.marks == "end"

    @property
    def is_of_day(self) -> bool:
        """Return whether the time is a day, of which rows are parts."""
        return self.hour is not None or self.period is not None

    def columns(self) -> tuple[ColumnName, ...]:
        """Return all columns that it is read from, each once."""
        named = [*self.column, *(self.end.column if self.end else ())]
        named += [each for each in (self.hour, self.period) if isinstance(each, ColumnName)]
        return tuple(dict.fromkeys(named))

    @model_validator(mode="after")
    def _require_consistency(self) -> "TimeSettings":
        """Check that no two keys say the same, and that one says which interval a row is of."""
        if "column" not in self.model_fields_set:
            return self
        if self.hour is not None and self.period is not None:
            raise ValueError("expected hour or period, not both")
        if self.is_of_day and self.end is not None:
            raise ValueError("expected no end, since hour or period says the interval")
        if self.first_period != 1 and not isinstance(self.period, ColumnName):
            raise ValueError("expected no first_period without a column of the period")
        if self.period == BY_ORDER and self.hours == "clock":
            raise ValueError("expected no hours, since period: order counts them")
        if self.hours is not None and not self.is_of_day:
            raise ValueError("expected no hours without hour or period")
        return self._require_ends()

    def _require_ends(self) -> "TimeSettings":
        has_ends = self.marks_end or self.end is not None
        if self.end_clock is not None and (not has_ends or self.is_of_day):
            raise ValueError("expected no end_clock, since no time is that of an end")
        if self.pattern in INSTANT_PATTERNS:
            return self
        parsed = TimePattern(self.pattern)
        if not self.is_of_day and self.marks_end and not parsed.has_clock:
            raise ValueError("expected marks: start, since the pattern says the day alone")
        return self

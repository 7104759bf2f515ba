"""The section `formats`: the report formats of other meters."""

import codecs
import re
from collections import Counter
from datetime import datetime
from decimal import Decimal
from math import gcd
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, ValidationError, ValidationInfo, model_validator

from settings.section import Section
from settings.values import MONITORING

ISO = "iso"
"""The pattern of timestamps with their offset."""

HOURLY_INTERVAL = 3600

_DAY = 24 * HOURLY_INTERVAL
_DIRECTIVES = re.compile(r"%(?![%dmyYbBjHIpMS]).?", re.DOTALL)
_EXAMPLE = datetime(2019, 10, 27, 13, 45)  # noqa: DTZ001 - the zone has no part in a pattern
_MIDNIGHT = datetime(2019, 10, 27)  # noqa: DTZ001 - as above
_PATTERN = "a date pattern such as %d/%m/%Y %H:%M, or iso for times with their offset"


def _check_delimiter(text: str) -> str:
    """Return a character that occurs in no number and no quoting."""
    if len(text) != 1 or text.isalnum() or not text.isascii() or text in '"\n\r\0-+ ':
        raise ValueError(f"expected one character such as , or ; or a tab, got {text!a:.20}")
    return text


def _check_encoding(name: str) -> str:
    """Return an encoding that is a superset of ASCII, so that lines can be split."""
    ascii_only = bytes(range(128))
    try:
        is_usable = (
            ascii_only.decode(name) == ascii_only.decode("ascii") and "a".encode(name) == b"a"
        )
        return codecs.lookup(name).name if is_usable else _wrong_encoding(name)
    except (LookupError, ValueError):
        return _wrong_encoding(name)


def _wrong_encoding(name: str) -> str:
    raise ValueError(f"expected an encoding such as utf-8, latin-1 or cp1252, got {name!a:.40}")


def _check_pattern(pattern: str, info: ValidationInfo) -> str:
    """Return a pattern that parses what it formats."""
    has_hours = info.data.get("hour") is not None
    if pattern == ISO and not has_hours:
        return pattern
    parts, whole = ("year, month and day", _MIDNIGHT) if has_hours else ("the whole time", _EXAMPLE)
    try:
        found = datetime.strptime(_EXAMPLE.strftime(pattern), pattern)  # noqa: DTZ007 - no zone in it
    except (ValueError, re.error):  # the latter where a part is named twice
        found = None
    if found != whole or _DIRECTIVES.search(pattern):
        raise ValueError(
            f"expected {_PATTERN}; it says {parts} with %d %m %b %B %j %y %Y %H %I %p %M %S,"
            f" got {pattern!a:.60}"
        )
    return pattern


ENERGIES = "energy", "reactive_energy"
"""The quantities whose columns may hold something else than the energy of each interval."""

ColumnKind = Literal["energy", "power"]


class ColumnSettings(Section):
    """The column of a quantity, and the factor that converts it to the stored unit."""

    header: str = Field(min_length=1, description="the heading of a column")
    factor: Decimal = Field(
        Decimal(1),
        allow_inf_nan=False,
        max_digits=20,
        description="a decimal other than 0, such as 0.001 for Wh",
    )
    kind: ColumnKind | None = Field(
        None,
        description="energy or power: what the column holds, of each interval the energy or the"
        " mean power",
    )

    @model_validator(mode="before")
    @classmethod
    def _spell_out(cls, column: object) -> object:
        """Treat a heading alone as a column without conversion."""
        return {"header": column} if isinstance(column, str) else column

    @model_validator(mode="after")
    def _require_factor(self) -> "ColumnSettings":
        if not self.factor:
            raise ValueError("expected a factor other than 0")
        return self


_HEADING = "the heading of its column, or a section with header, factor and kind"


class ColumnsSettings(Section):
    """The columns of the quantities, by their names in `domain.quantities`."""

    energy: ColumnSettings | None = Field(None, description=_HEADING)
    reactive_energy: ColumnSettings | None = Field(None, description=_HEADING)
    power: ColumnSettings | None = Field(None, description=_HEADING)
    maximeter: ColumnSettings | None = Field(None, description=_HEADING)
    reactive_power: ColumnSettings | None = Field(None, description=_HEADING)
    voltage: ColumnSettings | None = Field(None, description=_HEADING)
    intensity: ColumnSettings | None = Field(None, description=_HEADING)
    power_factor: ColumnSettings | None = Field(None, description=_HEADING)

    def named(self) -> dict[str, ColumnSettings]:
        """Return the columns that a report has, by quantity."""
        return {name: column for name, column in self if column is not None}

    def of_kind(self, kind: ColumnKind) -> tuple[str, ...]:
        """Return the quantities whose columns are said to be of a kind."""
        return tuple(name for name, column in self.named().items() if column.kind == kind)

    @model_validator(mode="after")
    def _require_energy(self) -> "ColumnsSettings":
        for name, column in self.named().items():
            if column.kind is not None and name not in ENERGIES:
                raise ValueError(f"{name}: expected no kind, which is for {' and '.join(ENERGIES)}")
        return self

    @model_validator(mode="after")
    def _require_one(self) -> "ColumnsSettings":
        if not self.named():
            raise ValueError(f"expected at least one of {', '.join(type(self).model_fields)}")
        return self


class TimeSettings(Section):
    """The notation of a row's timestamp."""

    column: str = Field(min_length=1, description="the heading of the column with the time")
    hour: str | None = Field(
        None, min_length=1, description="the heading of the column with the hour of the day"
    )
    pattern: Annotated[str, AfterValidator(_check_pattern)] = Field(description=_PATTERN)
    hours: Literal["counted", "clock"] | None = Field(
        None, description="counted or clock: what time.hour counts, or nothing where rows tell"
    )
    marks: Literal["start", "end"] = Field(
        description="start or end: which end of its interval a time marks"
    )
    tolerance: int = Field(
        0, ge=0, le=43200, description="seconds by which times may lie beside the interval's"
    )
    timezone: ZoneInfo | None = Field(
        None, description="an IANA time zone, or nothing where it is that of meter.timezone"
    )

    @property
    def marks_end(self) -> bool:
        """Return whether a timestamp marks the end of its interval."""
        return self.marks == "end"


def _check_interval(seconds: int | None, info: ValidationInfo) -> int | None:
    """Return the interval in seconds: known for hours, required where timestamps mark ends."""
    time = info.data.get("time")
    if time is None:
        return seconds
    if info.data.get("lengths"):
        if seconds is not None:
            raise ValueError("expected nothing, since lengths says how long rows last")
        return None
    if time.hour is not None and seconds not in (None, HOURLY_INTERVAL):
        raise ValueError(f"expected {HOURLY_INTERVAL} or nothing, since time.hour counts hours")
    if time.hour is None and seconds is None:
        if time.marks_end:
            raise ValueError("missing, expected seconds, since time.marks is end")
        columns = info.data.get("columns")
        if columns is not None and columns.of_kind("power"):
            raise ValueError("missing, expected seconds, since a column is of kind power")
    return HOURLY_INTERVAL if time.hour is not None else seconds


def _check_lengths(lengths: tuple[int, ...], info: ValidationInfo) -> tuple[int, ...]:
    """Return the lengths of rows, the shortest one first."""
    time = info.data.get("time")
    if lengths and time is not None and time.hour is not None:
        raise ValueError("expected nothing, since time.hour counts hours")
    if lengths and (len(lengths) < 2 or list(lengths) != sorted(set(lengths))):
        raise ValueError("expected two or more different seconds, the shortest first")
    return lengths


class _IntervalSettings(Section):
    """What can be said of a built-in format."""

    interval: int = Field(ge=1, le=86400)


def read_shipped_formats(formats: object) -> object:
    """Return formats, of which the built-in `monitoring` may have nothing but its interval."""
    if not isinstance(formats, dict) or MONITORING not in formats:
        return formats
    try:
        interval = _IntervalSettings.model_validate(formats[MONITORING]).interval
    except ValidationError:
        raise ValueError(
            f"{MONITORING} is the project's own format: expected nothing but its interval, in"
            " seconds from 1 to 86400, or another name"
        ) from None
    return formats | {MONITORING: FormatSettings.shipped(interval)}


class FormatSettings(Section):
    """A report format of delimited fields below a header."""

    delimiter: Annotated[str, AfterValidator(_check_delimiter)] = Field(
        ",", description="one character such as , or ; or a tab"
    )
    decimal: Literal[".", ","] = Field(".", description="the decimal mark, a point or a comma")
    encoding: Annotated[str, AfterValidator(_check_encoding)] = Field(
        "utf-8", description="an encoding such as utf-8, latin-1 or cp1252"
    )
    columns: ColumnsSettings
    time: TimeSettings
    lengths: Annotated[
        tuple[Annotated[int, Field(ge=1, le=86400)], ...], AfterValidator(_check_lengths)
    ] = Field((), description="a list of seconds from 1 to 86400")
    interval: Annotated[int | None, AfterValidator(_check_interval)] = Field(
        None, ge=1, le=86400, validate_default=True, description="seconds from 1 to 86400"
    )
    identifier: str | None = Field(
        None, min_length=1, description="the heading of the column that names the meter"
    )
    ignored: tuple[str, ...] = Field((), description="a list of headings")

    @classmethod
    def shipped(cls, interval: int) -> "FormatSettings":
        """Return the settings of a built-in format, which have nothing but its interval."""
        return cls.model_construct({"interval"}, interval=interval)

    def headers(self) -> tuple[str, ...]:
        """Return the columns that a report must have."""
        others = (self.identifier, self.time.column, self.time.hour)
        named = (column.header for column in self.columns.named().values())
        return (*(header for header in others if header is not None), *named)

    @property
    def step(self) -> int | None:
        """Return the seconds of which the lengths of all rows are multiples; None if unknown."""
        return gcd(*self.lengths) if self.lengths else self.interval

    @model_validator(mode="after")
    def _require_grid(self) -> "FormatSettings":
        """Check that a tolerance has a grid of times to move to."""
        if "time" not in self.model_fields_set or not self.time.tolerance:
            return self
        if not self.step or self.time.hour is not None or _DAY % self.step:
            raise ValueError(
                "expected no time.tolerance without an interval that divides a day, or with"
                " time.hour"
            )
        if 2 * self.time.tolerance >= self.step:
            raise ValueError("expected a time.tolerance of less than half the interval")
        return self

    @model_validator(mode="after")
    def _require_distinct_headers(self) -> "FormatSettings":
        if "columns" not in self.model_fields_set:
            return self  # a built-in format
        counts = Counter((*self.headers(), *self.ignored))
        if twice := [header for header, count in counts.items() if count > 1]:
            raise ValueError(f"expected each heading once, {twice[0]!a:.60} is named twice")
        return self

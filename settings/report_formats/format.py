"""The section `formats`: the report formats of other meters."""

import codecs
from collections import Counter
from collections.abc import Collection, Sequence
from math import gcd
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationError, ValidationInfo, model_validator

from settings.report_formats.column_name import COLUMN_EXPECTED, PATTERNS_EXPECTED, ColumnName
from settings.report_formats.columns import (
    EVERY_EXPECTED,
    ColumnsSettings,
    FieldPatterns,
    Patterns,
)
from settings.report_formats.identifier import IDENTIFIER_EXPECTED, Identifier, MeterPattern
from settings.report_formats.time import TimeSettings
from settings.section import Section
from settings.values import MONITORING

HOURLY_INTERVAL = 3600

_UTF16 = "utf-16", "utf-16-le", "utf-16-be"

MAX_TOP_LINES = 100
"""Lines in which a heading is looked for."""

METER_OF_COLUMN = "meter of column"
"""The column of the unfolded table that names the meter of what was a column."""

INTERVAL_OF_DAY = "interval of day"
"""The column of the unfolded table that numbers the intervals of a day from 1."""

_DAY = 24 * HOURLY_INTERVAL
_NO_HEADING = "none"


def _check_delimiter(text: str) -> str:
    """Return a character that occurs in no number and no quoting."""
    if len(text) != 1 or text.isalnum() or not text.isascii() or text in '"\n\r\0-+ ':
        raise ValueError(f"expected one character such as , or ; or a tab, got {text!a:.20}")
    return text


def _check_thousands(mark: str | None, info: ValidationInfo) -> str | None:
    """Return a mark that is not that of decimals; it may be the delimiter in quoted numbers."""
    if mark is not None and mark == info.data.get("decimal"):
        raise ValueError("expected another mark than that of decimals")
    return mark


def _check_encoding(name: str) -> str:
    """Return an encoding that is a superset of ASCII, so that lines can be split.

    Of UTF-16, which content tells, reports are turned into UTF-8 before.
    """
    ascii_only = bytes(range(128))
    try:
        if codecs.lookup(name).name in _UTF16:
            return "utf-8"
        is_usable = (
            ascii_only.decode(name) == ascii_only.decode("ascii") and "a".encode(name) == b"a"
        )
        return codecs.lookup(name).name if is_usable else _wrong_encoding(name)
    except (LookupError, ValueError):
        return _wrong_encoding(name)


def _wrong_encoding(name: str) -> str:
    raise ValueError(
        f"expected an encoding such as utf-8, utf-16, latin-1 or cp1252, got {name!a:.40}"
    )


def _check_interval(seconds: int | None, info: ValidationInfo) -> int | None:
    """Return the interval in seconds: known for hours, required where timestamps mark ends."""
    time = info.data.get("time")
    if time is None:
        return seconds
    if other := "lengths" if info.data.get("lengths") else "time.end" * (time.end is not None):
        if seconds is not None:
            raise ValueError(f"expected nothing, since {other} says how long rows last")
        return None
    if time.hour is not None and seconds not in (None, HOURLY_INTERVAL):
        raise ValueError(f"expected {HOURLY_INTERVAL} or nothing, since time.hour counts hours")
    if time.period is not None and (seconds is None or _DAY % seconds):
        raise ValueError("expected seconds that divide a day, since time.period counts intervals")
    if time.hour is None and seconds is None:
        if time.marks_end:
            raise ValueError("missing, expected seconds, since time.marks is end")
        columns = info.data.get("columns")
        if columns is not None and columns.need_length:
            raise ValueError(
                "missing, expected seconds, since a column holds mean power for energy, or energy"
                " for power"
            )
    return HOURLY_INTERVAL if time.hour is not None else seconds


def _check_lengths(lengths: tuple[int, ...], info: ValidationInfo) -> tuple[int, ...]:
    """Return the lengths of rows, the shortest one first."""
    time = info.data.get("time")
    if lengths and time is not None:
        if time.is_of_day:
            raise ValueError("expected nothing, since the parts of a day are equally long")
        if time.end is not None or time.end_clock is not None:
            raise ValueError("expected nothing, since the format has time.end or time.end_clock")
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


class QualityColumnSettings(Section):
    """The column that says which readings are estimated."""

    column: ColumnName | None = Field(
        None, description=f"the column that says it: {COLUMN_EXPECTED}"
    )
    first: ColumnName | None = Field(
        None, description=f"the column that says it of a day's first interval: {COLUMN_EXPECTED}"
    )
    last: ColumnName | None = Field(
        None, description=f"the column that says it of a day's last interval: {COLUMN_EXPECTED}"
    )
    every: int = Field(1, ge=1, le=50, description=EVERY_EXPECTED)
    estimated: Patterns = Field(
        description="a pattern, or a list of patterns, with * and ? that the column has in"
        " estimated readings"
    )
    optional: bool = Field(False, description="true or false: whether reports may lack the column")

    @property
    def column_names(self) -> tuple[ColumnName, ...]:
        """The columns that it is read from."""
        return tuple(name for name in (self.column, self.first, self.last) if name is not None)

    @property
    def is_day(self) -> bool:
        """Whether each interval of a day has a column that says it."""
        return self.first is not None

    @model_validator(mode="after")
    def _check(self) -> "QualityColumnSettings":
        has_both = self.first is not None and self.last is not None
        has_any = self.first is not None or self.last is not None or self.every > 1
        if has_both is not has_any or has_both is not (self.column is None):
            raise ValueError("expected column, or else first and last of the columns of a day")
        return self


class FormatSettings(Section):
    """A report format of delimited fields below a header."""

    delimiter: Annotated[str, AfterValidator(_check_delimiter)] = Field(
        ",", description="one character such as , or ; or a tab"
    )
    decimal: Literal[".", ","] = Field(".", description="the decimal mark, a point or a comma")
    thousands: Annotated[Literal[".", ",", " ", "'"] | None, AfterValidator(_check_thousands)] = (
        Field(None, description="the mark between thousands, a point, comma, blank or apostrophe")
    )
    missing: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        (), description="a list of words that stand for a missing value"
    )
    round: bool = Field(
        False, description="true or false: whether numbers are rounded to five decimals"
    )
    encoding: Annotated[str, AfterValidator(_check_encoding)] = Field(
        "utf-8", description="an encoding such as utf-8, latin-1 or cp1252"
    )
    columns: ColumnsSettings
    time: TimeSettings
    lengths: Annotated[
        tuple[Annotated[int, Field(ge=1, le=86400)], ...], AfterValidator(_check_lengths)
    ] = Field((), description="a list of seconds from 1 to 86400")
    usual_length: int | None = Field(
        None, description="one of lengths: that of rows of which those beside do not tell it"
    )
    quality: QualityColumnSettings | None = Field(
        None, description="a section with column, or first, last and every; estimated and optional"
    )
    interval: Annotated[int | None, AfterValidator(_check_interval)] = Field(
        None, ge=1, le=86400, validate_default=True, description="seconds from 1 to 86400"
    )
    identifier: Identifier | None = Field(None, description=IDENTIFIER_EXPECTED)
    heading: str | None = Field(
        None,
        min_length=1,
        description="none if there is no heading, a pattern with * and ? of the whole line, or"
        " nothing where the columns tell it",
    )
    skip: int | None = Field(
        None,
        ge=0,
        lt=MAX_TOP_LINES,
        description=f"how many lines are above the heading, under {MAX_TOP_LINES}",
    )
    rows: FieldPatterns = Field(
        {}, description=f"columns, each with {PATTERNS_EXPECTED}, of the rows that are read"
    )
    ignored_rows: Patterns | tuple[()] = Field(
        (), description=f"{PATTERNS_EXPECTED} of whole lines that are no readings"
    )
    sheet: str | None = Field(
        None, min_length=1, max_length=31, description="the name of a sheet of a workbook"
    )
    ignored: tuple[ColumnName, ...] = Field((), description="a list of columns")

    @model_validator(mode="before")
    @classmethod
    def _number_intervals(cls, keys: object) -> object:
        """Say of a day in a row what numbers its intervals: a column that unfolding adds."""
        columns = keys.get("columns") if isinstance(keys, dict) else None
        time = keys.get("time") if isinstance(keys, dict) else None
        if not isinstance(columns, dict) or not isinstance(time, dict):
            return keys
        is_folded = any(isinstance(each, dict) and "first" in each for each in columns.values())
        if not isinstance(keys, dict) or not is_folded:
            return keys
        if said := [key for key in ("hour", "period", "end", "marks") if key in time]:
            raise ValueError(
                f"expected no time.{said[0]}, since a row holds the intervals of a day"
            )
        return keys | {"time": time | {"period": ColumnName(heading=INTERVAL_OF_DAY)}}

    @classmethod
    def shipped(cls, interval: int) -> "FormatSettings":
        """Return the settings of a built-in format, which have nothing but its interval."""
        return cls.model_construct({"interval"}, interval=interval)

    def headers(self) -> tuple[ColumnName, ...]:
        """Return the columns that a report must have."""
        others = (self.identifier_column, *self.time.columns())
        columns = [column for column in self.columns.named().values() if not column.optional]
        # Several quantities may be made of the same column.
        made_of = dict.fromkeys(name for each in columns for name in each.column_names)
        names = [*(header for header in others if header is not None), *made_of]
        conditions = [header for column in columns for header in column.where]
        if self.quality is not None and not self.quality.optional:
            conditions += self.quality.column_names
        conditions += self.rows
        names += [name for name in dict.fromkeys(conditions) if name not in names]
        return tuple(
            name
            for name in names
            if name.heading != INTERVAL_OF_DAY or not self.columns.are_of_days
        )

    @property
    def is_folded(self) -> bool:
        """Whether a row of the file holds several: the intervals of a day, or several meters."""
        return self.columns.are_of_days or self.columns.are_of_meters

    def optional_headers(self) -> tuple[tuple[ColumnName, ...], ...]:
        """Return the columns that a report may have, those together that it has together."""
        columns = [column for column in self.columns.named().values() if column.optional]
        groups: list[tuple[ColumnName, ...]] = [
            (*each.column_names, *each.where) for each in columns
        ]
        if self.quality is not None and self.quality.optional:
            groups.append(self.quality.column_names)
        required = self.headers()
        own = (tuple(name for name in group if name not in required) for group in groups)
        return tuple(group for group in own if group)

    def fitted(self, names: Sequence[str]) -> "FormatSettings":
        """Return the format of reports with these columns: without what they lack."""
        optional = (column for group in self.optional_headers() for column in group)
        absent = {column for column in optional if not column.positions(names)}
        if not absent:
            return self
        kept = [
            name
            for name, column in self.columns.named().items()
            if not absent.intersection((*column.column_names, *column.where))
        ]
        has_quality = self.quality is not None and absent.isdisjoint(self.quality.column_names)
        return self.reduced(kept, has_quality=has_quality)

    def reduced(self, quantities: Collection[str], *, has_quality: bool) -> "FormatSettings":
        """Return the format with some of its quantities, and perhaps without `quality`."""
        absent = dict.fromkeys(self.columns.named().keys() - quantities)
        return self.model_copy(
            update={
                "columns": self.columns.model_copy(update=absent),
                "quality": self.quality if has_quality else None,
            }
        )

    @property
    def has_heading(self) -> bool:
        """Whether reports have a heading."""
        return self.heading != _NO_HEADING

    @property
    def heading_pattern(self) -> str | None:
        """The pattern of the line of the heading, if there is one."""
        return self.heading if self.has_heading else None

    @property
    def identifier_column(self) -> ColumnName | None:
        """The column that names the meter of each row, if there is one."""
        return self.identifier if isinstance(self.identifier, ColumnName) else None

    @property
    def meter_pattern(self) -> MeterPattern | None:
        """The pattern of the text that names the meter of all rows, if there is one."""
        return self.identifier if isinstance(self.identifier, MeterPattern) else None

    @property
    def is_named_by_place(self) -> bool:
        """Whether no column is named by its heading."""
        return all(column.place for column in self.headers())

    @property
    def step(self) -> int | None:
        """Return the seconds of which the lengths of all rows are multiples; None if unknown."""
        return gcd(*self.lengths) if self.lengths else self.interval

    @model_validator(mode="after")
    def _require_grid(self) -> "FormatSettings":
        """Check that a tolerance has a grid of times to move to."""
        if "time" not in self.model_fields_set or not self.time.tolerance:
            return self
        if not self.step or self.time.is_of_day or _DAY % self.step:
            raise ValueError(
                "expected no time.tolerance without an interval that divides a day, or with"
                " time.hour or time.period"
            )
        if 2 * self.time.tolerance >= self.step:
            raise ValueError("expected a time.tolerance of less than half the interval")
        return self

    @model_validator(mode="after")
    def _require_states(self) -> "FormatSettings":
        """Check that there are states of registers which can be those at the end of an interval."""
        if "time" not in self.model_fields_set or self.time.states is None:
            return self
        if not self.columns.of_kind("register") or self.interval is None or self.time.marks_end:
            raise ValueError(
                "expected no time.states without a register, an interval and marks: start"
            )
        return self

    @model_validator(mode="after")
    def _require_times_of_states(self) -> "FormatSettings":
        """Check that a state is that at the time of its row, which has no end beside it."""
        if "time" not in self.model_fields_set or self.time.end is None:
            return self
        if self.columns.of_kind("register"):
            raise ValueError(
                "expected no time.end with a register: time.column names the time of the state"
            )
        return self

    @model_validator(mode="after")
    def _require_folds(self) -> "FormatSettings":
        """Check that nothing but what stands in columns is said of columns."""
        if self.quality is not None and self.quality.is_day and not self.columns.are_of_days:
            raise ValueError("expected quality.column, since a row holds no day")
        if self.identifier is not None and self.columns.are_of_meters:
            raise ValueError("expected no identifier, since columns are those of meters")
        return self

    @model_validator(mode="after")
    def _require_usual_length(self) -> "FormatSettings":
        """Check that the usual length is one of the lengths."""
        usual = self.usual_length
        if usual is not None and usual not in self.lengths:
            raise ValueError(f"expected a usual_length that is one of lengths, got {usual}")
        return self

    @model_validator(mode="after")
    def _require_places(self) -> "FormatSettings":
        """Check that without a heading, columns are named by place."""
        if self.has_heading or "columns" not in self.model_fields_set:
            return self
        if named := [column for column in self.headers() if not column.place]:
            raise ValueError(
                f"expected places of columns, since there is no heading, got {named[0]!s:.60}"
            )
        if self.meter_pattern is not None and self.meter_pattern.place == "heading":
            raise ValueError("expected no identifier in a heading, since there is none")
        return self

    @model_validator(mode="after")
    def _require_one_length(self) -> "FormatSettings":
        """Check that no stage needs neighbours which another one gives to it."""
        if not self.lengths:
            return self
        if self.columns.have_conditions or self.columns.of_kind("register"):
            raise ValueError("expected no lengths with where or registers")
        return self

    @model_validator(mode="after")
    def _require_distinct_headers(self) -> "FormatSettings":
        if "columns" not in self.model_fields_set:
            return self  # a built-in format
        optional = {column for group in self.optional_headers() for column in group}
        counts = Counter((*self.headers(), *optional, *self.ignored))
        if twice := [header for header, count in counts.items() if count > 1]:
            raise ValueError(f"expected each column once, {str(twice[0])!a:.60} is named twice")
        return self

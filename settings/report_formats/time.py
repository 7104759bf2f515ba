"""The time of a report format: how rows tell when they are of."""

import re
from datetime import datetime
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, ValidationInfo

from settings.report_formats.column_name import COLUMN_EXPECTED, ColumnName
from settings.section import Section

ISO = "iso"
"""The pattern of timestamps with their offset."""

_DIRECTIVES = re.compile(r"%(?![%dmyYbBjHIpMS]).?", re.DOTALL)
_EXAMPLE = datetime(2019, 10, 27, 13, 45)  # noqa: DTZ001 - the zone has no part in a pattern
_MIDNIGHT = datetime(2019, 10, 27)  # noqa: DTZ001 - as above
_PATTERN = "a date pattern such as %d/%m/%Y %H:%M, or iso for times with their offset"


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


class TimeSettings(Section):
    """The notation of a row's timestamp."""

    column: ColumnName = Field(description=f"the column with the time: {COLUMN_EXPECTED}")
    hour: ColumnName | None = Field(
        None, description=f"the column with the hour of the day: {COLUMN_EXPECTED}"
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

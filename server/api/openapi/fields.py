"""What goes in, as the document describes it."""

from enum import Enum
from typing import Any

from marshmallow import Schema, fields

from domain.flags import FLAGS
from domain.readings_query import PATTERN
from domain.record_layout import (
    KNOWN_COLUMNS,
    MAX_LIMIT,
    QualityFilter,
    RangeEnd,
    SortOrder,
    TimeStyle,
    ValueStyle,
)
from server.formats.registry import FORMATS

PATTERN_TEXT = f"^{PATTERN.pattern}$"
"""What a date with wildcards, or a bound, is made of."""


def csv_pattern(one: str) -> str:
    """The pattern of one or several texts, separated by commas."""
    return f"^ *({one}) *(, *({one}) *)*$"


def _required(description: str, example: str, pattern: str) -> fields.String:
    return fields.String(
        required=True,
        metadata={
            "description": description,
            "x-example": example,
            "default": example,
            "pattern": pattern,
        },
    )


def _optional(description: str, **metadata: Any) -> fields.String:
    return fields.String(metadata={"description": description, **metadata})


def integer_field(description: str, least: int, most: int, example: int) -> fields.Integer:
    """A whole number, of which the document says how small and large it may be."""
    bounds = {"minimum": least, "maximum": most}
    return fields.Integer(metadata={"description": description, "x-example": example, **bounds})


def _choice(description: str, choices: type[Enum]) -> fields.String:
    """One of some choices; the first one is the default."""
    values = [choice.value for choice in choices]
    return _optional(description, enum=values, default=values[0])


_COMMON: dict[str, fields.Field[Any]] = {
    "columns": _optional(
        f"What to tell of each reading, in this order: any of {', '.join(KNOWN_COLUMNS)}. The "
        f"flags are those of {', '.join(flag.name for flag in FLAGS)} that it has, blanks "
        "between them. By default all but the flags; in CSV those of a report.",
        **{"x-example": "date,energy", "pattern": csv_pattern("|".join(KNOWN_COLUMNS))},
    ),
    "values": _choice(
        "Whether JSON has ids and quantities as texts or as numbers, exactly as stored.", ValueStyle
    ),
    "time": _choice(
        "How dates are written: in local time as 2019-10-27 02:00:00, in UTC as "
        "2019-10-27T00:00:00Z, or with their offset as 2019-10-27T02:00:00+02:00.",
        TimeStyle,
    ),
    "format": _optional(
        "The format of the answer; the header Accept has a say where this is left out.",
        enum=list(FORMATS),
        default="json",
    ),
    "quality": _choice(
        "With clean, readings that cannot be right are left out, and left_out says how many "
        "they are and how many kWh.",
        QualityFilter,
    ),
    "order": _choice("By id, from the lowest or from the highest.", SortOrder),
    "limit": integer_field(
        f"At most so many readings, 1 to {MAX_LIMIT}; next and the header Link lead on.",
        1,
        MAX_LIMIT,
        10,
    ),
    "after": _optional("Continues an answer: what its next said.", pattern="^[A-Za-z0-9_=-]*$"),
}


def _parameters(name: str, **own: fields.Field[Any]) -> type[Schema]:
    return Schema.from_dict({**own, **_COMMON}, name=name)


AllParameters = _parameters("AllParameters")

IdParameters = _parameters(
    "IdParameters",
    id=_required(
        "One or several ids, separated by commas; unknown ones are left out.",
        "5,100",
        csv_pattern("[0-9]+"),
    ),
)

DateParameters = _parameters(
    "DateParameters",
    date=_required(
        "Pattern for YYYY-MM-DD HH:MM:SS as a whole: % stands for any run of characters, "
        "_ for any one. 2019-09-11% is a day, 2019-09-11_0_:00:00 its whole hours to 9.",
        "2019-09-11_0_:00:00",
        PATTERN_TEXT,
    ),
)

RangeParameters = _parameters(
    "RangeParameters",
    date=_required(
        "Begin, included, local time. A part of a date such as 2019-09, or one with % or _, "
        "stands for the earliest instant that matches.",
        "2019-09-12 10:00:00",
        PATTERN_TEXT,
    ),
    end_date=_required(
        "RangeEnd, included, by the same rule.", "2019-09-12 10:30:00", PATTERN_TEXT
    ),
    end=_choice("Whether the end belongs to the range.", RangeEnd),
)

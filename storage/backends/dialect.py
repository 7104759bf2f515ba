"""From a Query to the text of a condition, in either database's spelling."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from domain.flags import IMPLAUSIBLE
from domain.readings_query import ReadingsQuery
from domain.record_layout import CONTRACT_LAYOUT, RecordLayout

YEAR_0_TO_1970_SECONDS = 62_167_219_200
"""Seconds from the year 0, from which databases count, to 1970."""

MAX_SECONDS = 10**12
"""More than the seconds from the year 0 to any reading."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What stands after WHERE, with the values that fill its places."""

    text: str
    args: tuple[object, ...] = ()

    def __and__(self, other: "Condition") -> "Condition":
        return Condition(f"{self.text} AND {other.text}", self.args + other.args)


DESCENDING = " DESC"

_WITH_FLAGS = " LEFT JOIN flags ON reading_id = id"

PLAUSIBLE = Condition(
    "NOT EXISTS (SELECT 1 FROM flags AS f"
    f" WHERE f.reading_id = consumpdata.id AND f.flags & {IMPLAUSIBLE.bit})"
)
"""The readings that can be right."""


def all_of(one: Condition, other: Condition | None) -> Condition:
    """What meets a condition, and another one if there is one."""
    return one & other if other else one


@dataclass(frozen=True, slots=True)
class Dialect:
    """What the two databases spell differently."""

    place: str
    """Where a value goes."""
    record: Callable[[RecordLayout], str]
    """A reading as text in a shape."""
    joined: str
    """The {record}s of many readings, each {separator} between two of them."""
    rows: str
    """The readings that {where} selects, such that `joined` meets them in the order of id, or
    against it where {descending} says so; with {flags}, what is said about them."""
    hundred_thousandths: str
    """The sum of the energy of some readings, as an integer."""
    by_id: str
    """Follows the table's name where its rows are to be read in the order of id."""
    tables: str
    """Gives the names of the tables."""
    instant: Callable[[int], object]
    """The value of the column utc for so many seconds since 1970-01-01 00:00:00 UTC."""
    seconds: str
    """Such a value, {}, in seconds since the year 0, so that no remainder is negative."""
    quotient: str
    """How often a second {} goes into a first one, which is not negative."""
    grouped: Callable[[str, Sequence[str], str], str]
    """The statement that puts readings into groups by a whole number, the first argument. It tells
    the number of each group, in order, and the second argument's aggregates; the third one is what
    stands behind FROM."""
    groups: Callable[[Sequence[Sequence[Any]]], list[list[Any]]]
    """The groups in that statement's rows: quantities as hundred-thousandths, NULL as None."""
    greatest: str
    """The greatest {value} and, as one number, the first of the {seconds} at which it was."""
    greatest_base: int
    """What that number is for zero: it exceeds it by 10^12 times the hundred-thousandths, and by
    as much as the seconds are less than 10^12."""
    original_state: str | None = None
    """Gives a text that changes with the readings of a database without a record of imports."""

    def among(self, ids: Sequence[int]) -> Condition:
        """The readings with one of these ids."""
        return Condition(f"id IN ({', '.join([self.place] * len(ids))})", tuple(ids))

    def between(self, first_id: int, last_id: int) -> Condition:
        """The readings with an id in this range, both ends included."""
        return Condition(f"id BETWEEN {self.place} AND {self.place}", (first_id, last_id))

    def page(
        self, where: Condition, shape: RecordLayout = CONTRACT_LAYOUT, *, descending: bool = False
    ) -> str:
        """The statement that gives the number of some readings and their records."""
        how = {
            "record": self.record(shape),
            "separator": shape.separator,
            "descending": DESCENDING if descending else "",
            "flags": _WITH_FLAGS if shape.has_flags else "",
            "where": where.text,
        }
        return f"SELECT COUNT(*), {self.joined.format(**how)} FROM {self.rows.format(**how)}"

    def dated(self, query: ReadingsQuery) -> Condition | None:
        """The readings whose local time the query asks for; None where it asks for any."""
        parts = [
            Condition(f"date {comparison} {self.place}", (value,))
            for comparison, value in (
                (">=", _text(query.first)),
                ("<=", _text(query.last)),
                ("LIKE", query.like),
            )
            if value is not None
        ]
        if not parts:
            return None
        condition, *others = parts
        for other in others:
            condition &= other
        return condition


def comparable(value: int | bytes) -> int | Decimal:
    """A quantity as a database gave it, to be compared with others.

    MySQL gives decimals as texts, which it would compare as floating-point numbers.
    """
    return Decimal(value.decode()) if isinstance(value, bytes) else value


def to_seconds_since_year_0(seconds: int) -> int:
    """Seconds of a database as seconds since 1970-01-01 00:00:00 UTC."""
    return seconds - YEAR_0_TO_1970_SECONDS


def _text(instant: datetime | None) -> str | None:
    return None if instant is None else instant.isoformat(" ")

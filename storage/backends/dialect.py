"""SQL conditions, and the SQL expressions that differ between the databases."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache, reduce
from operator import and_
from typing import Any, ClassVar

from domain.access import Window
from domain.quantities import ALL_QUANTITY_NAMES
from domain.readings_query import ReadingsQuery
from domain.record_layout import CONTRACT_LAYOUT, FLAGS_COLUMN, Encoding, RecordLayout, TimeStyle

YEAR_0_TO_1970_SECONDS = 62_167_219_200
"""Seconds from the year 0 to 1970."""

MAX_SECONDS = 10**12
"""More than the seconds from the year 0 to any reading."""

SPARSE_FACTOR = 4
"""Ids per reading above which an index scan is faster than a scan by id."""

DESCENDING = " DESC"

ANY_VALUE = f"COALESCE({', '.join(ALL_QUANTITY_NAMES)})"
"""NULL if a reading has no quantity at all."""


@dataclass(frozen=True, slots=True)
class Condition:
    """The text of a WHERE clause and the values of its placeholders."""

    text: str
    args: tuple[object, ...] = ()

    def __and__(self, other: "Condition") -> "Condition":
        return Condition(f"{self.text} AND {other.text}", self.args + other.args)


@dataclass(frozen=True, slots=True)
class ReadingsTable:
    """The table that holds the readings of a meter, and the condition that selects them."""

    name: str
    meter_id: int | None = None
    """None for a table that holds one meter only."""
    is_view: bool = False
    """Whether it has no indexes that could be named."""

    @property
    def condition(self) -> Condition | None:
        """Select the meter's readings; None if they are all there are."""
        if self.meter_id is None:
            return None
        return Condition(f"{self.name}.meter_id = {self.meter_id}")

    def where(self, *conditions: Condition | None) -> Condition:
        """Select the meter's readings that meet all of some conditions."""
        given = [each for each in (self.condition, *conditions) if each is not None]
        return reduce(and_, given) if given else Condition("TRUE")

    @property
    def with_flags(self) -> str:
        """The table with the flags of its readings, NULL where there are none."""
        return (
            f"{self.name} LEFT JOIN flags"
            f" ON flags.meter_id = {self.name}.meter_id AND reading_id = id"
        )

    @property
    def flagged(self) -> str:
        """The flags with their readings."""
        return (
            f"flags CROSS JOIN {self.name}"
            f" ON {self.name}.meter_id = flags.meter_id AND id = reading_id"
        )

    def without_flags(self, bits: int) -> Condition:
        """Select the readings that have none of some flags."""
        return Condition(
            f"NOT EXISTS (SELECT 1 FROM flags AS f WHERE f.meter_id = {self.name}.meter_id"
            f" AND f.reading_id = {self.name}.id AND f.flags & {bits} <> 0)"
        )


LEGACY_READINGS = ReadingsTable("consumpdata")
"""The readings of a database of the original's importer, or of an older layout."""

VIEWED_READINGS = ReadingsTable("consumpdata", is_view=True)
"""The same while a loader takes them over, or after it was stopped."""


def readings_of(meter_id: int) -> ReadingsTable:
    """Return the table of a meter's readings."""
    return ReadingsTable("readings", meter_id)


def all_of(one: Condition, other: Condition | None) -> Condition:
    """Return the conjunction of a condition and an optional one."""
    return one & other if other else one


class Dialect(ABC):
    """The SQL of one database: attributes are constant expressions, methods take their operands.

    Operands are SQL as well, unless they are numbers.
    """

    name: ClassVar[str]
    """The folder of its schema."""
    placeholder: ClassVar[str]
    by_id: ClassVar[str]
    """Follows the table's name to scan it in the order of id."""
    join_in_order: ClassVar[str]
    """Joins the rows of a table to each row of those before it."""
    energy_sum_scaled: ClassVar[str]
    """The sum of energy as an integer, scaled by 10^5."""
    schema_version: ClassVar[str]
    """Selects how many statements of the schema were applied."""
    legacy_version: ClassVar[str]
    """Selects a text that changes with the readings of a database without a table of states.

    And whether it can be relied on: another change might not show yet.
    """
    is_legacy: ClassVar[str | None] = None
    """Selects whether the readings are those of the original's importer, without instants."""
    max_with_time_zero: ClassVar[int] = 0
    """The number of `max_with_time` for a quantity of zero at the latest time."""

    @abstractmethod
    def state_mark(self, meter_id: int) -> str:
        """Return a text that names the state of a meter's data, empty if the meter was removed.

        Its end, after a hyphen, counts corrections.
        """

    def in_order_of_id(self, table: ReadingsTable) -> str:
        """Return what follows FROM to scan a table in the order of id."""
        return table.name if table.is_view else f"{table.name} {self.by_id}"

    # Records

    flag_names: ClassVar[str]
    """The names of a reading's flags, separated by blanks."""
    report_date: ClassVar[str]
    """The local time as a report writes it."""
    dates: ClassVar[Mapping[TimeStyle, str]]

    def page(
        self,
        table: ReadingsTable,
        where: Condition,
        layout: RecordLayout = CONTRACT_LAYOUT,
        *,
        order: str = "id",
        mark: str = "''",
    ) -> str:
        """Return the statement that selects the number of some readings, and their records.

        `order` follows ORDER BY.

        With the number, after a blank, comes a mark, the text of an expression such as
        `state_mark`: MySQL's driver takes long for a further column.
        """
        tables = table.with_flags if layout.has_flags else table.name
        return self._page(
            _record(self, layout),
            layout.separator,
            f"{tables} WHERE {table.where(where).text}",
            order,
            mark,
        )

    @abstractmethod
    def _page(self, record: str, separator: str, readings: str, order: str, mark: str) -> str:
        """Return the statement of a page: the count with a mark, and the records in an order."""

    @abstractmethod
    def concat(self, literals: Sequence[str], values: Sequence[str]) -> str:
        """Return the text of values, each between two of the literals; NULL is undefined."""

    @abstractmethod
    def if_complete(self, columns: Sequence[str], complete: str, otherwise: str) -> str:
        """Return the first text where no column is NULL, else the second one."""

    def value(self, column: str, layout: RecordLayout) -> str:
        """Return the expression of a record's column that is never NULL by itself."""
        if column == FLAGS_COLUMN:
            names = self.flag_names
            return names if layout.is_json else f"COALESCE(NULLIF({names}, ''), '{layout.missing}')"
        if column != "date":
            return column
        if layout.encoding is Encoding.CSV_TYPED:
            return self.unix_seconds("utc")
        if layout.encoding is Encoding.CSV_REPORT and layout.time is TimeStyle.LOCAL:
            return self.report_date
        return self.dates[layout.time]

    # Conditions

    def among(self, ids: Sequence[int]) -> Condition:
        """Select the readings with one of these ids."""
        return Condition(f"id IN ({', '.join([self.placeholder] * len(ids))})", tuple(ids))

    def between(self, first_id: int, last_id: int) -> Condition:
        """Select the readings with an id in this range, both ends included."""
        return Condition(
            f"id BETWEEN {self.placeholder} AND {self.placeholder}", (first_id, last_id)
        )

    def dated(self, query: ReadingsQuery) -> Condition | None:
        """Select the readings of a query's local times; None if it has no bound."""
        parts = [
            Condition(f"{column} {comparison} {self.placeholder}", (value,))
            for comparison, (column, value) in (
                (">=", self._bound(query.first)),
                ("<=", self._bound(query.last)),
                ("LIKE", ("date", query.like)),
            )
            if value is not None
        ]
        if query.windows:
            parts.append(self.in_windows(query.windows))
        return reduce(and_, parts) if parts else None

    def in_windows(self, windows: Sequence[Window]) -> Condition:
        """Select the readings of some local days."""
        texts, args = [], []
        for window in windows:
            texts.append(f"date BETWEEN {self.placeholder} AND {self.placeholder}")
            args += [f"{window.first} 00:00:00", f"{window.last} 23:59:59"]
        return Condition(f"({' OR '.join(texts)})", tuple(args))

    def _bound(self, bound: datetime | None) -> tuple[str, object]:
        """Return the column that a bound is compared with, and the value; None if there is none."""
        if bound is not None and bound.tzinfo is not None:
            return "utc", self.utc(int(bound.timestamp()))
        return "date", _text(bound)

    def contains(self, columns: Sequence[str], text: str) -> Condition:
        """Select the rows with a text in any of some columns, in upper or lower case."""
        condition, pattern = self._containing(text)
        return Condition(
            f"({' OR '.join(condition.format(column) for column in columns)})",
            (pattern,) * len(columns),
        )

    @abstractmethod
    def _containing(self, text: str) -> tuple[str, str]:
        """Return the condition, with `{}` for the column, and the value of its placeholder."""

    # Instants and numbers

    @abstractmethod
    def utc(self, seconds: int) -> object:
        """Return the value of the column utc for seconds since 1970-01-01 00:00:00 UTC."""

    @abstractmethod
    def quantity(self, scaled: int) -> object:
        """Return the value of a quantity's column for hundred-thousandths."""

    @abstractmethod
    def instant(self, seconds: int) -> str:
        """Return an instant as SQL, from seconds since 1970-01-01 00:00:00 UTC."""

    @abstractmethod
    def add_seconds(self, instant: str, seconds: int) -> str:
        """Return the instant so many seconds later."""

    @abstractmethod
    def elapsed(self, start: str, end: str) -> str:
        """Return the seconds from one instant to another."""

    @abstractmethod
    def unix_seconds(self, instant: str) -> str:
        """Return the seconds since 1970-01-01 00:00:00 UTC of an instant."""

    @abstractmethod
    def year_0_seconds(self, instant: str) -> str:
        """Return the seconds since the year 0 of an instant: never negative, as remainders need."""

    @abstractmethod
    def int_div(self, dividend: str, divisor: int) -> str:
        """Return an integer quotient; the dividend is not negative."""

    # Aggregates

    grouping_in_order: ClassVar[str] = ""
    """Follows SELECT where rows mostly come in the order of their groups."""

    @abstractmethod
    def group_sums(self, key: str, aggregates: Sequence[str], readings: str) -> str:
        """Return the statement that groups readings by an integer key, in its order.

        `readings` follows FROM; `parse_groups` takes the rows.
        """

    @abstractmethod
    def parse_groups(self, rows: Sequence[Sequence[Any]]) -> Iterator[list[Any]]:
        """Yield each group's key and aggregates, quantities scaled by 10^5, NULL as None."""

    @abstractmethod
    def max_with_time(self, value: str, seconds: str) -> str:
        """Return the greatest value and, in the same number, the first of the times it was at.

        The number exceeds `max_with_time_zero` by 10^12 times the scaled value, and by as much as
        the seconds are less than 10^12.
        """

    @abstractmethod
    def with_time(self, value: str, seconds: str) -> str:
        """Return one value and its time as a number of `max_with_time`."""

    @abstractmethod
    def split_max_with_time(self, number: str) -> tuple[str, str]:
        """Return the value and the instant in a number of `max_with_time` over seconds since 0."""

    @abstractmethod
    def day(self, date: str) -> str:
        """Return the day of a local time."""

    @abstractmethod
    def monday(self, day: str) -> str:
        """Return the Monday on or before a day."""

    # Writing

    def insert(self, table: str, columns: Sequence[str]) -> str:
        """Return the statement that inserts a row with values for some columns."""
        placeholders = ", ".join([self.placeholder] * len(columns))
        return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({placeholders})"

    def few(self, columns: Sequence[str]) -> str:
        """Return columns for a statement that finds few rows, see `parse_few`."""
        return ", ".join(columns)

    def parse_few(self, row: Sequence[Any]) -> Sequence[Any]:
        """Return the values of these columns: integers and texts."""
        return row

    @abstractmethod
    def delete_some(self, table: str, condition: str, limit: int) -> str:
        """Return the statement that deletes at most so many rows that meet a condition."""

    ignore_taken_user: ClassVar[str]
    """Ends an INSERT that leaves a user of the same name alone."""
    append_audit: ClassVar[str]
    """Appends an entry, its only operand, to the audit trail."""

    def call(
        self,
        procedure: str,  # noqa: ARG002 - for databases with accounts
        operands: int,  # noqa: ARG002 - so is this
    ) -> str | None:
        """Return the call of a procedure where the server's account may not use tables itself."""
        return None

    @abstractmethod
    def equal(self, one: str, other: str) -> str:
        """Return whether two values are the same, or both missing."""

    @abstractmethod
    def update_readings(self, meter_id: int, values: Mapping[str, str], condition: str) -> str:
        """Return the statement that gives columns of readings `c` values made from `incoming` `i`.

        The rows `i` are those of the same instants; the condition selects some of them.
        """

    @abstractmethod
    def exceeds(self, factor: str, allowance: int) -> str:
        """Return whether, exactly, energy > (maximeter * factor + allowance) / 360000 for `c`.

        Energy is in kWh, the maximeter in kW.
        """


@lru_cache
def _record(dialect: Dialect, layout: RecordLayout) -> str:
    """Return a reading as text; the expression without NULL is the quicker one."""
    quantities = [column for column in layout.columns if column in ALL_QUANTITY_NAMES]
    complete = _joined(dialect, layout, with_null=False)
    if not quantities:
        return complete
    return dialect.if_complete(quantities, complete, _joined(dialect, layout, with_null=True))


def _joined(dialect: Dialect, layout: RecordLayout, *, with_null: bool) -> str:
    literals, values = [], []
    before = "{" if layout.is_json else ""
    for column in layout.columns:
        before += f'"{layout.name(column)}":' if layout.is_json else ""
        quote = '"' if layout.is_json and not layout.is_number(column) else ""
        value = dialect.value(column, layout)
        if with_null and column in ALL_QUANTITY_NAMES:
            text = dialect.concat([quote, quote], [value])
            value = f"CASE WHEN {column} IS NULL THEN '{layout.missing}' ELSE {text} END"
            quote = ""
        literals.append(before + quote)
        values.append(value)
        before = f"{quote},"
    end = before.removesuffix(",") + ("}" if layout.is_json else "") + layout.end
    return dialect.concat([*literals, end], values)


def to_unix_seconds(year_0_seconds: int) -> int:
    """Return seconds since 1970-01-01 00:00:00 UTC for seconds since the year 0."""
    return year_0_seconds - YEAR_0_TO_1970_SECONDS


def _text(instant: datetime | None) -> str | None:
    return None if instant is None else instant.isoformat(" ")

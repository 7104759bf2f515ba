"""The SQL expressions of SQLite."""

import hashlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from domain.fixed_point import SCALE
from domain.flags import FLAGS
from domain.quantities import ALL_QUANTITY_NAMES, DECIMALS, INTEGER_DIGITS, MONTH_NAMES
from domain.record_layout import TimeStyle
from storage.backends.dialect import MAX_SECONDS, YEAR_0_TO_1970_SECONDS, Dialect

_MAKES_POSITIVE = 10 ** (INTEGER_DIGITS + DECIMALS)
"""Added to any scaled quantity, gives a positive number."""

_OFFSET_SECONDS = "(strftime('%s', date) - utc)"
_FLAG_NAMES = " || ".join(f"iif(flags & {flag.bit}, ' {flag.name}', '')" for flag in FLAGS)


def add_functions(connection: sqlite3.Connection) -> None:
    """Let a connection that writes use the function that SQLite lacks: sha256."""
    connection.create_function(
        "sha256", 1, lambda text: hashlib.sha256(text.encode()).hexdigest(), deterministic=True
    )


class SqliteDialect(Dialect):
    """SQLite: quantities are integers scaled by 10^5, instants seconds since 1970."""

    name = "sqlite"
    placeholder = "?"
    by_id = "NOT INDEXED"
    join_in_order = "CROSS JOIN"
    energy_sum_scaled = "COALESCE(SUM(energy), 0)"
    schema_version = "PRAGMA user_version"
    legacy_version = "SELECT CAST(COALESCE(MAX(id), 0) AS TEXT), 1 FROM consumpdata"
    max_with_time_zero = _MAKES_POSITIVE * MAX_SECONDS
    flag_names = f"ltrim({_FLAG_NAMES})"
    report_date = (
        "ltrim(substr(date, 9, 2), '0') || ' ' ||"
        f" substr('{''.join(MONTH_NAMES)}', substr(date, 6, 2) * 3 - 2, 3) ||"
        " ' ' || substr(date, 1, 4) || substr(date, 11)"
    )
    dates: ClassVar = {
        TimeStyle.LOCAL: "date",
        TimeStyle.UTC: "strftime('%Y-%m-%dT%H:%M:%SZ', utc, 'unixepoch')",
        TimeStyle.OFFSET: (
            f"replace(date, ' ', 'T') || iif({_OFFSET_SECONDS} < 0, '-', '+') ||"
            f" strftime(iif({_OFFSET_SECONDS} % 60, '%H:%M:%S', '%H:%M'),"
            f" abs({_OFFSET_SECONDS}), 'unixepoch')"
        ),
    }
    ignore_taken_user = "ON CONFLICT (user) DO NOTHING"
    append_audit = (
        "INSERT INTO audit (id, entry, hash) SELECT last + 1, ?1,"
        " sha256(hash || char(10) || (last + 1) || char(10) || ?1) FROM audit_head"
    )

    def state_mark(self, meter_id: int) -> str:
        return (
            "COALESCE((SELECT version || '-' || changes || '-' || corrections FROM states"
            f" WHERE meter_id = {meter_id}), '')"
        )

    def _page(self, record: str, separator: str, readings: str, order: str, mark: str) -> str:
        return (
            f"SELECT COUNT(*) || ' ' || {mark}, group_concat({record}, '{separator}')"
            f" FROM (SELECT * FROM {readings} ORDER BY {order})"
        )

    def concat(self, literals: Sequence[str], values: Sequence[str]) -> str:
        formats, operands = [literals[0]], []
        for value, literal in zip(values, literals[1:], strict=True):
            is_quantity = value in ALL_QUANTITY_NAMES
            formats.append((f"%.{DECIMALS}f" if is_quantity else "%s") + literal)
            operands.append(f"{value} / {SCALE}.0" if is_quantity else value)
        return f"printf('{''.join(formats)}', {', '.join(operands)})"

    def if_complete(self, columns: Sequence[str], complete: str, otherwise: str) -> str:
        return f"CASE WHEN {' + '.join(columns)} IS NOT NULL THEN {complete} ELSE {otherwise} END"

    def _containing(self, text: str) -> tuple[str, str]:
        # LIKE knows upper and lower case of ASCII only.
        return "{} GLOB ?", f"*{''.join(map(_either_case, text))}*"

    def utc(self, seconds: int) -> object:
        return seconds

    def quantity(self, scaled: int) -> object:
        return scaled

    def instant(self, seconds: int) -> str:
        return str(seconds)

    def add_seconds(self, instant: str, seconds: int) -> str:
        return f"({instant} + {seconds})"

    def elapsed(self, start: str, end: str) -> str:
        return f"({end} - {start})"

    def unix_seconds(self, instant: str) -> str:
        return instant

    def year_0_seconds(self, instant: str) -> str:
        return f"({instant} + {YEAR_0_TO_1970_SECONDS})"

    def int_div(self, dividend: str, divisor: int) -> str:
        return f"(({dividend}) / {divisor})"

    def group_sums(self, key: str, aggregates: Sequence[str], readings: str) -> str:
        return (
            f"SELECT {key} AS number, {', '.join(aggregates)}"
            f" FROM {readings} GROUP BY number ORDER BY number"
        )

    def parse_groups(self, rows: Sequence[Sequence[Any]]) -> Iterator[list[Any]]:
        return map(list, rows)

    def max_with_time(self, value: str, seconds: str) -> str:
        return f"MAX({self.with_time(value, seconds)})"

    def with_time(self, value: str, seconds: str) -> str:
        # Too long for an integer; as texts of one length they compare like numbers.
        number = f"printf('%016d%012d', {value} + {_MAKES_POSITIVE}, {MAX_SECONDS - 1} - {seconds})"
        return f"iif({value} IS NULL, NULL, {number})"

    def split_max_with_time(self, number: str) -> tuple[str, str]:
        value, rest = f"CAST(substr({number}, 1, 16) AS INTEGER)", f"substr({number}, 17)"
        latest = MAX_SECONDS - 1 - YEAR_0_TO_1970_SECONDS
        return f"{value} - {_MAKES_POSITIVE}", f"{latest} - CAST({rest} AS INTEGER)"

    def day(self, date: str) -> str:
        return f"substr({date}, 1, 10)"

    def monday(self, day: str) -> str:
        return f"date({day}, '-6 days', 'weekday 1')"

    def delete_some(self, table: str, condition: str, limit: int) -> str:
        some = f"SELECT rowid FROM {table} WHERE {condition} LIMIT {limit}"
        return f"DELETE FROM {table} WHERE rowid IN ({some})"

    def equal(self, one: str, other: str) -> str:
        return f"{one} IS {other}"

    def update_readings(self, meter_id: int, values: Mapping[str, str], condition: str) -> str:
        assignments = ", ".join(f"{column} = {value}" for column, value in values.items())
        return (
            f"UPDATE readings AS c SET {assignments} FROM incoming AS i"
            f" WHERE c.meter_id = {meter_id} AND c.utc = i.utc AND {condition}"
        )

    def exceeds(self, factor: str, allowance: int) -> str:
        # An integer that grows too large becomes a real, which is not exact: so the maximeter is
        # taken apart, and what may still grow too large is far from what it is compared with.
        return (
            f"(c.energy - c.maximeter / 360000 * ({factor})) * 360000"
            f" > c.maximeter % 360000 * ({factor}) + {allowance} * {SCALE}"
        )


def _either_case(character: str) -> str:
    """Return the GLOB pattern of a character in upper or lower case."""
    forms = {each for each in (character, character.lower(), character.upper()) if len(each) == 1}
    if character in "*?[" or len(forms) > 1:
        return f"[{''.join(sorted(forms))}]"
    return character

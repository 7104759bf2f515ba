"""The SQL expressions of MySQL and MariaDB."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

from domain.fixed_point import SCALE, format_scaled
from domain.flags import FLAGS
from domain.quantities import MONTH_NAMES
from domain.record_layout import TimeStyle
from storage.backends.dialect import MAX_SECONDS, YEAR_0_TO_1970_SECONDS, Condition, Dialect

_OFFSET_SECONDS = "TIMESTAMPDIFF(SECOND, utc, date)"
_OFFSET = f"SEC_TO_TIME(ABS({_OFFSET_SECONDS}))"
_FLAG_NAMES = ", ".join(f"IF(flags & {flag.bit}, '{flag.name}', NULL)" for flag in FLAGS)


class MysqlDialect(Dialect):
    """MySQL and MariaDB: quantities are decimals, instants datetimes."""

    name = "mysql"
    placeholder = "%s"
    by_id = "FORCE INDEX (PRIMARY)"
    join_in_order = "STRAIGHT_JOIN"
    energy_sum_scaled = f"CAST(COALESCE(SUM(energy), 0) * {SCALE} AS SIGNED)"
    schema_version = "SELECT COALESCE(MAX(statements), 0) FROM schema_version"
    # The time of the last change is in whole seconds.
    legacy_version = (
        "SELECT CONCAT_WS('-', (SELECT MAX(id) FROM consumpdata), update_time),"
        " COALESCE(update_time < SYSDATE() - INTERVAL 2 SECOND, table_type <> 'VIEW')"
        " FROM information_schema.tables"
        " WHERE table_schema = DATABASE() AND table_name = 'consumpdata'"
    )
    is_legacy = (
        "SELECT COUNT(*) = 0 FROM information_schema.columns WHERE table_schema = DATABASE()"
        " AND table_name = 'consumpdata' AND column_name = 'utc'"
    )
    flag_names = f"CONCAT_WS(' ', {_FLAG_NAMES})"
    # Dates are arguments of CONCAT.
    report_date = (
        f"DAYOFMONTH(date), ' ', ELT(MONTH(date), {str(MONTH_NAMES)[1:-1]}), ' ', YEAR(date), ' ',"
        " TIME(date)"
    )
    dates: ClassVar = {
        TimeStyle.LOCAL: "date",
        TimeStyle.UTC: "REPLACE(utc, ' ', 'T'), 'Z'",
        TimeStyle.OFFSET: (
            f"REPLACE(date, ' ', 'T'), IF(utc > date, '-', '+'),"
            f" LEFT({_OFFSET}, IF({_OFFSET_SECONDS} MOD 60, 8, 5))"
        ),
    }
    grouping_in_order = "SQL_BIG_RESULT"
    ignore_taken_user = "ON DUPLICATE KEY UPDATE id = id"
    append_audit = "UPDATE audit_head SET entry = %s"

    def state_mark(self, meter_id: int) -> str:
        return (
            "COALESCE((SELECT CONCAT_WS('-', version, changes, corrections) FROM states"
            f" WHERE meter_id = {meter_id}), '')"
        )

    def _page(self, record: str, separator: str, readings: str, order: str, mark: str) -> str:
        joined = f"GROUP_CONCAT({record} ORDER BY {order} SEPARATOR '{separator}')"
        return f"SELECT CONCAT(COUNT(*), ' ', {mark}), {joined} FROM {readings}"

    def concat(self, literals: Sequence[str], values: Sequence[str]) -> str:
        first, *others = (f"'{literal}'" for literal in literals)
        parts = [part for pair in zip(values, others, strict=True) for part in pair]
        return f"CONCAT({', '.join([first, *parts])})"

    def if_complete(
        self,
        columns: Sequence[str],  # noqa: ARG002 - CONCAT is NULL if any of them is
        complete: str,
        otherwise: str,
    ) -> str:
        return f"COALESCE({complete}, {otherwise})"

    def among(self, ids: Sequence[int]) -> Condition:
        # The driver would write them into the text as well, but one by one.
        return Condition(f"id IN ({','.join(map(str, ids))})")

    def _containing(self, text: str) -> tuple[str, str]:
        # By its bytes: other collations differ between servers, and take accents for nothing. Of a
        # literal in the connection's own character set, LOWER changes nothing.
        condition = "LOWER({}) COLLATE utf8mb4_bin LIKE LOWER(_utf8mb4 %s) ESCAPE '!'"
        escaped = re.sub("[!%_]", r"!\g<0>", text)
        return condition, f"%{escaped}%"

    def utc(self, seconds: int) -> object:
        return str(datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None))

    def quantity(self, scaled: int) -> object:
        return format_scaled(scaled)

    def instant(self, seconds: int) -> str:
        return self.add_seconds("TIMESTAMP'1970-01-01 00:00:00'", seconds)

    def add_seconds(self, instant: str, seconds: int) -> str:
        return f"({instant} + INTERVAL {seconds} SECOND)"

    def elapsed(self, start: str, end: str) -> str:
        return f"TIMESTAMPDIFF(SECOND, {start}, {end})"

    def unix_seconds(self, instant: str) -> str:
        return self.elapsed("'1970-01-01'", instant)

    def year_0_seconds(self, instant: str) -> str:
        return f"TO_SECONDS({instant})"

    def int_div(self, dividend: str, divisor: int) -> str:
        return f"(({dividend}) DIV {divisor})"

    def group_sums(self, key: str, aggregates: Sequence[str], readings: str) -> str:
        # One text for all groups: the driver takes longer for their rows than the server.
        texts = ", ".join(f"IFNULL({value}, '')" for value in aggregates)
        # Readings come in the order of time, and are quickly sorted; a temporary table is slow.
        return (
            "SELECT GROUP_CONCAT(number, ',', line ORDER BY number SEPARATOR ';') FROM"
            f" (SELECT SQL_BIG_RESULT {key} AS number, CONCAT_WS(',', {texts}) AS line"
            f" FROM {readings} GROUP BY number) AS found"
        )

    def parse_groups(self, rows: Sequence[Sequence[Any]]) -> Iterator[list[Any]]:
        text = rows[0][0]
        if text is not None:
            for line in text.replace(b".", b"").split(b";"):
                yield [int(value) if value else None for value in line.split(b",")]

    def max_with_time(self, value: str, seconds: str) -> str:
        number = f"MAX({value} * {SCALE * MAX_SECONDS} - {seconds}) + {MAX_SECONDS - 1}"
        return f"CAST({number} AS DECIMAL(40))"

    def with_time(self, value: str, seconds: str) -> str:
        number = f"{value} * {SCALE * MAX_SECONDS} - {seconds} + {MAX_SECONDS - 1}"
        return f"CAST({number} AS DECIMAL(40))"

    def split_max_with_time(self, number: str) -> tuple[str, str]:
        value = f"FLOOR({number} / {MAX_SECONDS})"
        seconds = (
            f"{MAX_SECONDS - 1 - YEAR_0_TO_1970_SECONDS} - ({number} - {value} * {MAX_SECONDS})"
        )
        # A quotient has few decimals, a product as many as its factors.
        return f"{value} * 0.00001", f"TIMESTAMP'1970-01-01 00:00:00' + INTERVAL ({seconds}) SECOND"

    def day(self, date: str) -> str:
        return f"DATE({date})"

    def monday(self, day: str) -> str:
        return f"({day} - INTERVAL WEEKDAY({day}) DAY)"

    def call(self, procedure: str, operands: int) -> str:
        return f"CALL {procedure}({', '.join(['%s'] * operands)})"

    def few(self, columns: Sequence[str]) -> str:
        # To read the description of a column takes the driver longer than the rows.
        return f"JSON_ARRAY({', '.join(columns)})"

    def parse_few(self, row: Sequence[Any]) -> Sequence[Any]:
        values: list[Any] = json.loads(row[0])
        return values

    def delete_some(self, table: str, condition: str, limit: int) -> str:
        return f"DELETE FROM {table} WHERE {condition} LIMIT {limit}"

    def equal(self, one: str, other: str) -> str:
        return f"{one} <=> {other}"

    def update_readings(self, meter_id: int, values: Mapping[str, str], condition: str) -> str:
        assignments = ", ".join(f"c.{column} = {value}" for column, value in values.items())
        return (
            f"UPDATE readings c JOIN incoming i ON c.meter_id = {meter_id} AND c.utc = i.utc"
            f" SET {assignments} WHERE {condition}"
        )

    def exceeds(self, factor: str, allowance: int) -> str:
        return f"c.energy * 360000 > c.maximeter * ({factor}) + {allowance}"

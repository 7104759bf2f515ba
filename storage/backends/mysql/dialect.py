"""The SQL expressions of MySQL and MariaDB."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from domain.fixed_point import SCALE
from domain.flags import FLAGS
from domain.quantities import MONTH_NAMES, QUANTITY_NAMES
from domain.record_layout import FLAGS_COLUMN, Encoding, RecordLayout, TimeStyle
from storage.backends.dialect import MAX_SECONDS, Dialect

_SECONDS_AHEAD = "TIMESTAMPDIFF(SECOND, utc, date)"


_AHEAD = f"SEC_TO_TIME(ABS({_SECONDS_AHEAD}))"


_DATES = {
    TimeStyle.LOCAL: "date",
    TimeStyle.UTC: "REPLACE(utc, ' ', 'T'), 'Z'",
    TimeStyle.OFFSET: (
        f"REPLACE(date, ' ', 'T'), IF(utc > date, '-', '+'),"
        f" LEFT({_AHEAD}, IF({_SECONDS_AHEAD} MOD 60, 8, 5))"
    ),
}


_REPORTED = (
    f"DAYOFMONTH(date), ' ', ELT(MONTH(date), {str(MONTH_NAMES)[1:-1]}), ' ', YEAR(date), ' ',"
    " TIME(date)"
)


_SECONDS = "TIMESTAMPDIFF(SECOND, '1970-01-01', utc)"


_EACH_FLAG = [f"IF(flags & {flag.bit}, '{flag.name}', NULL)" for flag in FLAGS]


_FLAGS = f"CONCAT_WS(' ', {', '.join(_EACH_FLAG)})"


@lru_cache
def _record(shape: RecordLayout) -> str:
    """A reading as text; the form without NULL is the quicker one."""
    is_json = shape.is_json

    def joined(*, with_null: bool) -> str:
        parts = []
        before = "{" if is_json else ""
        for column in shape.columns:
            value = _value(column, shape)
            before += f'"{column}":' if is_json else ""
            quote = '"' if is_json and not shape.is_number(column) else ""
            if with_null and column in QUANTITY_NAMES:
                value = f"IFNULL(CONCAT('{quote}', {value}, '{quote}'), '{shape.missing}')"
                quote = ""
            parts += [f"'{before}{quote}'", value]
            before = f"{quote},"
        end = before.removesuffix(",") + ("}" if is_json else "") + shape.end
        return f"CONCAT({', '.join(parts)}, '{end}')"

    whole = joined(with_null=False)
    if set(QUANTITY_NAMES).isdisjoint(shape.columns):
        return whole
    return f"COALESCE({whole}, {joined(with_null=True)})"


def _value(column: str, shape: RecordLayout) -> str:
    """What to concatenate for a column."""
    if column == "date":
        if shape.form is Encoding.CELLS:
            return _SECONDS
        if shape.form is Encoding.ROWS and shape.time is TimeStyle.LOCAL:
            return _REPORTED
        return _DATES[shape.time]
    if column == FLAGS_COLUMN:
        return _FLAGS if shape.is_json else f"IFNULL(NULLIF({_FLAGS}, ''), '{shape.missing}')"
    return column


def _grouped(key: str, values: Sequence[str], readings: str) -> str:
    """One text for all groups: the driver takes longer for their rows than the server."""
    texts = ", ".join(f"IFNULL({value}, '')" for value in values)
    # Readings come in the order of time, and are quickly sorted; a temporary table is slow.
    return (
        "SELECT GROUP_CONCAT(number, ',', line ORDER BY number SEPARATOR ';') FROM"
        f" (SELECT SQL_BIG_RESULT {key} AS number, CONCAT_WS(',', {texts}) AS line"
        f" FROM {readings} GROUP BY number) AS found"
    )


def _groups(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    text = rows[0][0]
    if text is None:
        return []
    return [
        [int(value) if value else None for value in line.split(b",")]
        for line in text.replace(b".", b"").split(b";")
    ]


DIALECT = Dialect(
    place="%s",
    record=_record,
    joined="GROUP_CONCAT({record} ORDER BY id{descending} SEPARATOR '{separator}')",
    rows="consumpdata{flags} WHERE {where}",
    hundred_thousandths=f"CAST(COALESCE(SUM(energy), 0) * {SCALE} AS SIGNED)",
    by_id="FORCE INDEX (PRIMARY)",
    tables="SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()",
    instant=lambda seconds: str(datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)),
    seconds="TO_SECONDS({})",
    quotient="(({}) DIV {})",
    grouped=_grouped,
    groups=_groups,
    greatest=(
        f"CAST(MAX({{value}} * {SCALE * MAX_SECONDS} - {{seconds}}) + {MAX_SECONDS - 1}"
        " AS DECIMAL(40))"
    ),
    greatest_base=0,
    original_state=(
        "SELECT CONCAT_WS('-', (SELECT MAX(id) FROM consumpdata), update_time)"
        " FROM information_schema.tables"
        " WHERE table_schema = DATABASE() AND table_name = 'consumpdata'"
    ),
)

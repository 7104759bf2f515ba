"""The SQL expressions of SQLite."""

from collections.abc import Sequence
from functools import lru_cache

from domain.fixed_point import SCALE
from domain.flags import FLAGS
from domain.quantities import DECIMALS, INTEGER_DIGITS, MONTH_NAMES, QUANTITY_NAMES
from domain.record_layout import FLAGS_COLUMN, Encoding, RecordLayout, TimeStyle
from storage.backends.dialect import MAX_SECONDS, YEAR_0_TO_1970_SECONDS, Dialect

_ABOVE_LEAST = 10 ** (INTEGER_DIGITS + DECIMALS)
"""Makes any quantity positive."""


_SECONDS_AHEAD = "(strftime('%s', date) - utc)"


_DATES = {
    TimeStyle.LOCAL: "date",
    TimeStyle.UTC: "strftime('%Y-%m-%dT%H:%M:%SZ', utc, 'unixepoch')",
    TimeStyle.OFFSET: (
        f"replace(date, ' ', 'T') || iif({_SECONDS_AHEAD} < 0, '-', '+') ||"
        f" strftime(iif({_SECONDS_AHEAD} % 60, '%H:%M:%S', '%H:%M'),"
        f" abs({_SECONDS_AHEAD}), 'unixepoch')"
    ),
}


_REPORTED = (
    "ltrim(substr(date, 9, 2), '0') || ' ' ||"
    f" substr('{''.join(MONTH_NAMES)}', substr(date, 6, 2) * 3 - 2, 3) ||"
    " ' ' || substr(date, 1, 4) || substr(date, 11)"
)


_EACH_FLAG = [f"iif(flags & {flag.bit}, ' {flag.name}', '')" for flag in FLAGS]


_FLAGS = f"ltrim({' || '.join(_EACH_FLAG)})"


@lru_cache
def _record(shape: RecordLayout) -> str:
    """A reading as text; the form without NULL is the quicker one."""
    is_json = shape.is_json

    def printed(*, with_null: bool) -> str:
        text, values = "", []
        before = "{" if is_json else ""
        for column in shape.columns:
            form, value = f"%.{DECIMALS}f", f"{column} / {SCALE}.0"
            if column not in QUANTITY_NAMES:
                form, value = "%s", _value(column, shape)
            if is_json and not shape.is_number(column):
                form = f'"{form}"'
            if with_null and column in QUANTITY_NAMES:
                value = f"iif({column} IS NULL, '{shape.missing}', printf('{form}', {value}))"
                form = "%s"
            text += f'{before}"{column}":{form}' if is_json else f"{before}{form}"
            values.append(value)
            before = ","
        return f"printf('{text}{'}' if is_json else ''}{shape.end}', {', '.join(values)})"

    quantities = [column for column in shape.columns if column in QUANTITY_NAMES]
    if not quantities:
        return printed(with_null=False)
    return (
        f"CASE WHEN {' + '.join(quantities)} IS NOT NULL"
        f" THEN {printed(with_null=False)} ELSE {printed(with_null=True)} END"
    )


def _value(column: str, shape: RecordLayout) -> str:
    """What to print for a column that is no quantity."""
    if column == "date":
        if shape.form is Encoding.CELLS:
            return "utc"
        if shape.form is Encoding.ROWS and shape.time is TimeStyle.LOCAL:
            return _REPORTED
        return _DATES[shape.time]
    if column == FLAGS_COLUMN:
        return _FLAGS if shape.is_json else f"ifnull(nullif({_FLAGS}, ''), '{shape.missing}')"
    return column


def _grouped(key: str, values: Sequence[str], readings: str) -> str:
    return (
        f"SELECT {key} AS number, {', '.join(values)}"
        f" FROM {readings} GROUP BY number ORDER BY number"
    )


DIALECT = Dialect(
    place="?",
    record=_record,
    joined="group_concat({record}, '{separator}')",
    rows="(SELECT * FROM consumpdata{flags} WHERE {where} ORDER BY id{descending})",
    hundred_thousandths="COALESCE(SUM(energy), 0)",
    by_id="NOT INDEXED",
    tables="SELECT name FROM sqlite_master WHERE type = 'table'",
    instant=int,
    seconds=f"({{}} + {YEAR_0_TO_1970_SECONDS})",
    quotient="(({}) / {})",
    grouped=_grouped,
    groups=lambda rows: [list(row) for row in rows],
    # Too long for an integer; as texts of one length they compare like numbers.
    greatest=(
        "MAX(iif({value} IS NULL, NULL, printf('%016d%012d',"
        f" {{value}} + {_ABOVE_LEAST}, {MAX_SECONDS - 1} - {{seconds}})))"
    ),
    greatest_base=_ABOVE_LEAST * MAX_SECONDS,
)

"""Column-wise formatting of figures: half the time of formatting row by row."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import encode_basestring_ascii

from domain.fixed_point import format_scaled
from domain.record_layout import TimeStyle
from domain.time.time_zone import TimeZone
from server.formats.base import TableOptions
from storage.common.turns import PIECE_ROWS
from storage.figures.result import Field, FieldType, ResultTable, Row, Value

Texts = Sequence[str | None]
"""The values of a column as texts, None for missing ones."""

ColumnWriter = Callable[[Sequence[Value]], Texts]


def instant_formatter(style: TimeStyle, zone: TimeZone | None) -> Callable[[int], str]:
    """Return the function that formats seconds since 1970 in a style."""
    if style is TimeStyle.UTC or zone is None:
        return lambda instant: f"{datetime.fromtimestamp(instant, UTC):%Y-%m-%dT%H:%M:%SZ}"
    if style is TimeStyle.OFFSET:
        return lambda instant: zone.at(instant).isoformat()
    return lambda instant: str(zone.at(instant).replace(tzinfo=None))


def column_writers(
    fields: Sequence[Field], format_instant: Callable[[int], str]
) -> list[ColumnWriter]:
    """Return the function that formats the values of each field."""
    # The end of a record is the start of the next one.
    cached_instant = lru_cache(2 * PIECE_ROWS)(format_instant)

    def writer(kind: FieldType) -> ColumnWriter:
        if kind is FieldType.INSTANT:
            return lambda values: [
                None if value is None else cached_instant(int(value)) for value in values
            ]
        if kind is FieldType.QUANTITY:
            return lambda values: [
                None if value is None else format_scaled(int(value)) for value in values
            ]
        return lambda values: [None if value is None else str(value) for value in values]

    return [writer(field.kind) for field in fields]


def json_writer(table: ResultTable, options: TableOptions) -> Callable[[Sequence[Row]], list[str]]:
    """Return the function that formats rows as JSON objects."""

    def literals(field: Field, write: ColumnWriter) -> ColumnWriter:
        if field.kind is FieldType.TEXT:
            # As json.dumps writes it, without a look at what it may be.
            return lambda values: [
                "null" if text is None else encode_basestring_ascii(text) for text in write(values)
            ]
        if options.numbers and field.kind in (FieldType.QUANTITY, FieldType.COUNT):
            return lambda values: [text or "null" for text in write(values)]
        return lambda values: ["null" if text is None else f'"{text}"' for text in write(values)]

    writers = column_writers(table.fields, instant_formatter(options.time, table.zone))
    columns = [literals(*each) for each in zip(table.fields, writers, strict=True)]
    template = "{" + ",".join(f'"{field.name}":%s' for field in table.fields) + "}"
    return lambda rows: [template % values for values in formatted_rows(rows, columns)]


def formatted_rows(
    rows: Sequence[Row], writers: Sequence[ColumnWriter]
) -> Iterator[tuple[str | None, ...]]:
    """Return rows of texts, formatted column by column."""
    columns = zip(*rows, strict=True)
    return zip(
        *(write(values) for write, values in zip(writers, columns, strict=True)), strict=True
    )

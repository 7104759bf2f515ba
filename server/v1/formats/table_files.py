"""CSV for programs and for spreadsheets, and Parquet."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from domain.record_layout import FLAGS_COLUMN, Encoding, TimeStyle
from server.formats.cells import comma_pieces, quantity_pieces
from server.formats.columns import (
    ColumnWriter,
    cell_writers,
    column_writers,
    instant_cells,
    instant_formatter,
)
from server.formats.csv import csv_rows, csv_text, neutralize_formula
from server.formats.parquet import Parquet, readings_file
from server.transport.content_coding import Chunk
from server.v1.formats.base import (
    METER_COLUMN,
    RFC_4180,
    TABLE_OPTIONS,
    CsvDialect,
    Envelope,
    Readings,
    V1Format,
    WriteOptions,
)
from storage.common.deflate import DeflateBlock
from storage.figures.result import Field, FieldType, ResultTable

_BYTE_ORDER_MARK = "\ufeff".encode()
_TYPES = {
    METER_COLUMN: FieldType.TEXT,
    "id": FieldType.COUNT,
    "start": FieldType.INSTANT,
    FLAGS_COLUMN: FieldType.TEXT,
}
"""The types of a reading's columns that are not quantities."""


class CsvTable(V1Format):
    """Rows below a header of field names."""

    name = "csv"
    media_type = "text/csv"
    encoding = Encoding.CSV_FIELDS
    is_file = True
    max_records = None

    async def readings(
        self,
        readings: Readings,
        document: Envelope,  # noqa: ARG002 - CSV has room for records only
        options: WriteOptions,
    ) -> AsyncGenerator[Chunk]:
        """Yield a header and pages of rows."""
        dialect = options.dialect
        heading = dialect.separator.join(readings.columns).encode() + b"\r\n"
        yield (_BYTE_ORDER_MARK if dialect.for_spreadsheets else b"") + heading
        async with aclosing(csv_pages(readings, dialect)) as pages:
            async for page in pages:
                yield page

    async def table(
        self,
        table: ResultTable,
        document: Envelope,  # noqa: ARG002 - see above
        options: WriteOptions,
    ) -> AsyncGenerator[Chunk]:
        """Yield rows below a header; texts are never formulas."""
        dialect = options.dialect
        style = TimeStyle.LOCAL if dialect.for_spreadsheets else TimeStyle.OFFSET
        writers = column_writers(table.fields, instant_formatter(style, table.zone))
        written = [
            _cell_writer(field, write, dialect)
            for field, write in zip(table.fields, writers, strict=True)
        ]
        quantities = comma_pieces if dialect.decimal_comma else quantity_pieces
        cells = cell_writers(table.fields, instant_cells(style, table.zone), quantities)
        heading = csv_text([[field.name for field in table.fields]], dialect.separator)
        yield (_BYTE_ORDER_MARK if dialect.for_spreadsheets else b"") + heading
        async with aclosing(csv_rows(table, written, cells, dialect.separator)) as chunks:
            async for chunk in chunks:
                yield chunk


class ParquetTable(V1Format):
    """A file of typed columns; instants have the zone of the meter, those of several have UTC."""

    name = "parquet"
    media_type = Parquet.media_type
    encoding = Encoding.CSV_TYPED
    is_file = True
    max_records = None

    def __init__(self) -> None:
        self._parquet = Parquet()

    async def readings(
        self,
        readings: Readings,
        document: Envelope,
        options: WriteOptions,  # noqa: ARG002 - there are none for Parquet
    ) -> AsyncGenerator[Chunk]:
        """Yield a file."""
        columns = {name: _TYPES.get(name, FieldType.QUANTITY) for name in readings.columns}
        zone = "UTC" if readings.has_meter_column else str(document.meta["timezone"])
        async with aclosing(readings_file(columns, zone, csv_pages(readings))) as chunks:
            async for chunk in chunks:
                yield chunk

    async def table(
        self,
        table: ResultTable,
        document: Envelope,  # noqa: ARG002 - the file has the types
        options: WriteOptions,  # noqa: ARG002 - there are none for Parquet
    ) -> AsyncGenerator[Chunk]:
        """Yield a file."""
        async with aclosing(self._parquet.table(table, TABLE_OPTIONS)) as chunks:
            async for chunk in chunks:
                yield chunk


async def csv_pages(readings: Readings, dialect: CsvDialect = RFC_4180) -> AsyncGenerator[Chunk]:
    """Yield the pages of readings, whose rows begin with the meter if there may be several."""
    end = readings.layout.end.encode()
    async with aclosing(readings.meters) as meters:
        async for each in meters:
            name = b"" if each.meter is None else f"{each.meter}{dialect.separator}".encode()
            async with aclosing(each.result.pages) as pages:
                async for page in pages:
                    yield _rewritten(page, name, end, dialect)


def _rewritten(page: Chunk, name: bytes, end: bytes, dialect: CsvDialect) -> Chunk:
    """Return rows in a dialect, each behind a name; they hold numbers, times and flags only."""
    if not name and not dialect.decimal_comma:
        return page
    plain = page.plain() if isinstance(page, DeflateBlock) else page
    if dialect.decimal_comma:
        plain = plain.translate(bytes.maketrans(b".,", f",{dialect.separator}".encode()))
    if name:
        plain = name + plain.removesuffix(end).replace(end, end + name) + end
    return plain


def _cell_writer(field: Field, write: ColumnWriter, dialect: CsvDialect) -> ColumnWriter:
    change: Callable[[str], str] | None = None
    if field.kind is FieldType.TEXT:
        change = neutralize_formula
    elif field.kind is FieldType.QUANTITY and dialect.decimal_comma:
        change = _with_comma
    if change is None:
        return write
    changed = change
    return lambda values: [text and changed(text) for text in write(values)]


def _with_comma(number: str) -> str:
    return number.replace(".", ",")

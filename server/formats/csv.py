"""CSV: readings as in a report, and figures for spreadsheets."""

import csv
import io
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing

from domain.quantities import QUANTITY_NAMES
from domain.record_layout import Encoding
from server.formats.base import Format, ReadingsOptions, TableOptions
from server.formats.cells import CellWriter
from server.formats.columns import (
    ColumnWriter,
    cell_writers,
    column_writers,
    formatted_rows,
    instant_cells,
    instant_formatter,
    separated_rows,
    written,
)
from server.transport.content_coding import Chunk
from storage.figures.result import ColumnRows, FieldType, ResultTable, Row
from storage.readings.reader import ReadingsResult

_FORMULA_STARTS = tuple("=+-@\uff1d\uff0b\uff0d\uff20")


class Csv(Format):
    """Rows below a header."""

    name = "csv"
    media_type = "text/csv"
    encoding = Encoding.CSV_REPORT
    default_columns = ("date", *QUANTITY_NAMES)
    is_file = True

    async def readings(
        self, result: ReadingsResult, options: ReadingsOptions
    ) -> AsyncGenerator[Chunk]:
        """Yield a report that the loader can read."""
        yield options.layout.heading.encode()
        async with aclosing(result.pages) as pages:
            async for page in pages:
                yield page

    async def table(self, table: ResultTable, options: TableOptions) -> AsyncGenerator[Chunk]:
        """Yield rows below a header; texts are never formulas."""
        writers = column_writers(table.fields, instant_formatter(options.time, table.zone))
        safe = [
            _without_formulas(write) if field.kind is FieldType.TEXT else write
            for field, write in zip(table.fields, writers, strict=True)
        ]
        cells = cell_writers(table.fields, instant_cells(options.time, table.zone))
        yield csv_text([[field.name for field in table.fields]])
        async with aclosing(csv_rows(table, safe, cells)) as chunks:
            async for chunk in chunks:
                yield chunk


async def csv_rows(
    table: ResultTable,
    writers: Sequence[ColumnWriter],
    cells: Sequence[CellWriter],
    separator: str = ",",
) -> AsyncGenerator[bytes]:
    """Yield the rows of a table as CSV, without a header."""

    def write(rows: Sequence[Row]) -> bytes:
        if isinstance(rows, ColumnRows):
            return separated_rows(rows.columns, cells, separator)
        return csv_text(formatted_rows(rows, writers), separator)

    async with aclosing(table.rows) as chunks:
        async for rows in chunks:
            yield await written(write, rows)


def csv_text(rows: Iterable[Sequence[str | None]], separator: str = ",") -> bytes:
    """Return rows of texts as CSV."""
    text = io.StringIO()
    csv.writer(text, delimiter=separator).writerows(rows)
    return text.getvalue().encode()


def neutralize_formula(text: str) -> str:
    """Return a text for a cell, quoted if a spreadsheet would take it for a formula."""
    return f"'{text}" if text.lstrip()[:1] in _FORMULA_STARTS else text


def _without_formulas(write: ColumnWriter) -> ColumnWriter:
    return lambda values: [text and neutralize_formula(text) for text in write(values)]

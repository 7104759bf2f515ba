"""XLSX: a sheet of records and one of what is said beside them.

A workbook is written to files without names, row by row, and sent when it is complete: however long
it is, it takes little memory, and a failure comes before the first byte.
"""

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime
from decimal import Decimal
from typing import IO, TYPE_CHECKING, Any

from domain.fixed_point import format_scaled
from domain.quantities import ALL_QUANTITY_NAMES
from domain.record_layout import Encoding
from domain.time.time_zone import TimeZone
from server.errors import ParameterError
from server.transport.content_coding import Chunk
from server.v1.formats.base import Envelope, MeterReadings, Readings, V1Format, WriteOptions
from storage.common.deflate import DeflateBlock
from storage.common.turns import in_thread
from storage.figures.result import FieldType, ResultTable

if TYPE_CHECKING:
    from xlsxwriter.workbook import Workbook

MAX_SHEET_ROWS = 2**20
"""Rows of a sheet, the header included."""

_SENT_BYTES = 2**18
_PIECE_ROWS = 500
"""Rows that are written in one piece: about 20 milliseconds."""

_CREATED = datetime(2000, 1, 1)  # noqa: DTZ001 - equal answers have equal bytes
_FIRST_TIME = 1900
"""Years before it are no times for a spreadsheet."""

_TIME_FORMAT = "yyyy-mm-dd hh:mm:ss"
_MAX_DIGITS = 15
"""Digits that a number of a spreadsheet keeps."""

Cell = str | int | Decimal | datetime | None


class Xlsx(V1Format):
    """A workbook; times are local, as spreadsheets know no other."""

    name = "xlsx"
    media_type = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    encoding = Encoding.CSV_TYPED
    is_file = True
    max_records = MAX_SHEET_ROWS - 1

    async def readings(
        self,
        readings: Readings,
        document: Envelope,
        options: WriteOptions,  # noqa: ARG002 - there are none for workbooks
    ) -> AsyncGenerator[Chunk]:
        """Yield a workbook of readings."""
        require_room(readings.count)

        async def rows() -> AsyncGenerator[list[list[Cell]]]:
            async with aclosing(readings.meters) as meters:
                async for each in meters:
                    async with aclosing(each.result.pages) as pages:
                        async for page in pages:
                            lines = _plain(page).splitlines()
                            for at in range(0, len(lines), _PIECE_ROWS):
                                some = lines[at : at + _PIECE_ROWS]
                                yield await in_thread(_cells_of_lines, some, each, readings)

        async with aclosing(_file(readings.columns, rows(), document)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def table(
        self,
        table: ResultTable,
        document: Envelope,
        options: WriteOptions,  # noqa: ARG002 - see above
    ) -> AsyncGenerator[Chunk]:
        """Yield a workbook of figures."""
        require_room(table.count)

        async def rows() -> AsyncGenerator[list[list[Cell]]]:
            async with aclosing(table.rows) as chunks:
                async for chunk in chunks:
                    yield [_cells(table, row) for row in chunk]

        columns = [field.name for field in table.fields]
        async with aclosing(_file(columns, rows(), document)) as chunks:
            async for chunk in chunks:
                yield chunk


def require_room(count: int) -> None:
    """Raise ParameterError for more records than a sheet has rows."""
    if count >= MAX_SHEET_ROWS:
        raise ParameterError(
            f"format: a sheet has room for {MAX_SHEET_ROWS - 1:,} records, and this would be"
            f" {count:,}: choose csv or parquet, or a shorter time with from and to"
        )


async def _file(
    columns: Sequence[str], rows: AsyncGenerator[list[list[Cell]]], document: Envelope
) -> AsyncGenerator[bytes]:
    """Yield the bytes of a workbook, once all rows are written."""
    writer = await asyncio.to_thread(_Writer, columns)
    try:
        async with aclosing(rows):
            async for some in rows:
                await in_thread(writer.add, some)
        await asyncio.to_thread(writer.finish, document)
        while chunk := await asyncio.to_thread(writer.file.read, _SENT_BYTES):
            yield chunk
    finally:
        await asyncio.to_thread(writer.close)


class _Writer:
    """Writes a workbook to a file without a name."""

    def __init__(self, columns: Sequence[str]) -> None:
        self.file = tempfile.TemporaryFile()  # noqa: SIM115 - `close` closes it
        self._workbook = _workbook(self.file)
        self._workbook.set_properties({"created": _CREATED})
        self._sheet = self._workbook.add_worksheet("data")
        self._sheet.freeze_panes(1, 0)
        self._time = self._workbook.add_format({"num_format": _TIME_FORMAT})
        self._row = 0
        self._widths(columns)
        self.add([list(columns)])

    def add(self, rows: Sequence[Sequence[Cell]]) -> None:
        """Write rows below the others."""
        for row in rows:
            for column, value in enumerate(row):
                match value:
                    case None:
                        pass
                    case datetime():
                        self._sheet.write_datetime(self._row, column, value, self._time)
                    case str():
                        self._sheet.write_string(self._row, column, value)
                    case _:
                        self._sheet.write_number(self._row, column, value)
            self._row += 1

    def finish(self, document: Envelope) -> None:
        """Write the sheet of what is said beside the records; the file can be read then."""
        about = self._workbook.add_worksheet("about")
        about.set_column(0, 1, 24)
        for number, (name, value) in enumerate(_flat(document.meta)):
            about.write_string(number, 0, name)
            about.write_string(number, 1, value)
        self._workbook.close()
        self.file.seek(0)

    def close(self) -> None:
        """Remove the file, and that of the rows."""
        if not self._workbook.fileclosed:
            self._workbook.close()
        self.file.close()

    def _widths(self, columns: Sequence[str]) -> None:
        for number, name in enumerate(columns):
            self._sheet.set_column(number, number, max(20, len(name) + 2))


def _workbook(file: IO[bytes]) -> "Workbook":
    # Loading it costs time and memory: only clients that ask for a workbook should pay for it.
    from xlsxwriter.workbook import Workbook  # noqa: PLC0415 - see above

    return Workbook(file, {"constant_memory": True})


def _plain(page: Chunk) -> str:
    return (page.plain() if isinstance(page, DeflateBlock) else page).decode()


def _cells_of_lines(
    lines: Sequence[str], each: MeterReadings, readings: Readings
) -> list[list[Cell]]:
    columns = readings.layout.columns
    before: list[Cell] = [] if each.meter is None else [each.meter]
    return [
        before
        + [
            _reading_cell(column, text, each.zone)
            for column, text in zip(columns, line.split(","), strict=True)
        ]
        for line in lines
    ]


def _reading_cell(column: str, text: str, zone: TimeZone) -> Cell:
    if not text:
        return None
    if column == "date":
        return _time(int(text), zone)
    if column in ALL_QUANTITY_NAMES:
        return Decimal(text)
    return int(text) if column == "id" else text


def _cells(table: ResultTable, row: Sequence[int | str | None]) -> list[Cell]:
    cells: list[Cell] = []
    for field, value in zip(table.fields, row, strict=True):
        if value is None or isinstance(value, str):
            cells.append(value)
        elif field.kind is FieldType.INSTANT:
            assert table.zone is not None
            cells.append(_time(value, table.zone))
        elif field.kind is FieldType.QUANTITY:
            text = format_scaled(value)
            is_exact = len(text.strip("-").replace(".", "")) <= _MAX_DIGITS
            cells.append(Decimal(text) if is_exact else text)
        else:
            cells.append(value)
    return cells


def _time(instant: int, zone: TimeZone) -> Cell:
    local = zone.at(instant).replace(tzinfo=None)
    return local if local.year >= _FIRST_TIME else str(local)


def _flat(meta: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    for name, value in meta.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        elif value is not None:
            yield f"{before}{name}", str(value)

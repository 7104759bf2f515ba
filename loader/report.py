"""A report: its file, its detected format, and its rows in batches."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any
from zoneinfo import ZoneInfo

from domain.report_source import RowBatch
from loader.formats.registry import SHIPPED_FORMATS, DetectedFormat, ReportFormat, detect_format
from loader.rows.errors import FaultyRowsError, ReportError, RowError
from loader.rows.file_reader import ChunkedFile, check_row_length
from loader.rows.reader import ParseContext, RowReader


class Report:
    """A report to import: `batches` reads it once, and the counts are complete after that.

    `on_errors` is called with the errors of a row and its raw text. After an invalid row, further
    batches are only checked, unless bad rows are to be skipped.
    """

    def __init__(
        self,
        path: str,
        zone: ZoneInfo,
        *,
        skip_bad_rows: bool,
        on_errors: Callable[[list[RowError], bytes], None],
        on_progress: Callable[[int], None] = lambda _: None,
        formats: Sequence[ReportFormat] = SHIPPED_FORMATS,
    ) -> None:
        self.path = path
        self._file = ChunkedFile(path, on_progress)
        self.span: tuple[str, str] | None = None
        self.name = self._file.name
        self.detected: DetectedFormat | None = None
        self.interval: int | None = None
        self._context = ParseContext(path, zone, skip_bad_rows, on_errors)
        self._formats = formats
        self._rows: RowReader[Any] | None = None
        self._chunks: Iterator[bytes] | None = None

    @property
    def sha256(self) -> str:
        """The digest of the uncompressed content, in hex."""
        return self._file.sha256

    @property
    def readings(self) -> int:
        """The number of valid rows."""
        return self._rows.readings if self._rows else 0

    @property
    def missing(self) -> int:
        """The number of missing values."""
        return self._rows.missing if self._rows else 0

    @property
    def rejected(self) -> int:
        """The number of invalid rows."""
        return self._rows.rejected if self._rows else 0

    @property
    def identifier(self) -> str | None:
        """The meter's name in the report, if it has one."""
        return self._rows.identifier if self._rows else None

    @property
    def zone(self) -> ZoneInfo:
        """The time zone of the readings, to be set before `batches`."""
        return self._context.zone

    @zone.setter
    def zone(self, zone: ZoneInfo) -> None:
        self._context = replace(self._context, zone=zone)

    def read_identifier(self) -> str | None:
        """Read the beginning of the report, before `batches`; return the meter's name in it.

        Raises ReportError if the file can't be read or isn't a report.
        """
        chunks = self._file.chunks()
        first = next(chunks, b"")
        self._chunks = chain((first,) if first else (), chunks)
        header, _, body = first.partition(b"\n")
        if not first or not self._detect(header).format.has_identifier:
            return None
        context = replace(self._context, skip_bad_rows=True, on_errors=lambda _errors, _raw: None)
        rows = self._row_reader(header, context)
        for row in body.splitlines(keepends=True):
            rows.read(row, 2)
            if rows.identifier is not None:
                break
        return rows.identifier

    def batches(self) -> Iterator[RowBatch]:
        """Yield the checked rows.

        Raises ReportError if the file can't be read or isn't a report, and FaultyRowsError at its
        end if rows were invalid and bad rows are not to be skipped.
        """
        line = 1
        rows: RowReader[Any] | None = None
        for chunk in self._chunks or self._file.chunks():
            body = chunk
            count = chunk.count(b"\n")
            if rows is None:
                header, _, body = chunk.partition(b"\n")
                self._rows = rows = self._row_reader(header, self._context)
            rows.read(body, line + count - body.count(b"\n"))
            yield from self._ready(rows)
            line += count
        if rows is None:
            raise ReportError(f"{self.path}: expected a report, the file is empty")
        rows.flush()
        yield from self._ready(rows)
        if rows.rejected and not self._context.skip_bad_rows:
            raise FaultyRowsError(f"{self.path}: {rows.rejected} rows are wrong")
        if not rows.readings:
            raise ReportError(f"{self.path}: expected at least one reading below the heading")
        self.interval = self._checked_interval(rows)

    def _detect(self, raw: bytes) -> DetectedFormat:
        if self.detected is None:
            check_row_length(self.path, 1, raw)
            self.detected = detect_format(self._formats, self.path, raw)
        return self.detected

    def _row_reader(self, raw: bytes, context: ParseContext) -> RowReader[Any]:
        """Return a reader of the rows below a header."""
        detected = self._detect(raw)
        return detected.format.row_reader(detected.header, context)

    def _ready(self, rows: RowReader[Any]) -> Iterator[RowBatch]:
        """Yield the rows that became ready, unless they are only checked."""
        for batch in rows.batches():
            earliest, latest = self.span or (batch.first, batch.last)
            self.span = min(batch.first, earliest), max(batch.last, latest)
            if self._context.skip_bad_rows or not rows.rejected:
                yield batch

    def _checked_interval(self, rows: RowReader[Any]) -> int | None:
        """Return the format's interval, or else that of the rows unless they are rejected ones.

        Raises ReportError if both are known and differ.
        """
        assert self.detected is not None
        report_format, header = self.detected
        defined = report_format.interval
        if header.has_reasons:
            return defined
        found = rows.interval()
        if defined is not None and found not in (None, defined):
            raise ReportError(
                f"{self.path}: readings are {found} seconds apart: expected {defined}, as the "
                f"format {report_format.name} says"
            )
        return defined or found

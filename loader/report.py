"""A report on its way in: its format is found by its heading, its rows go on as batches."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from domain.report_source import RowBatch
from loader.formats.registry import SHIPPED_FORMATS, DetectedFormat, ReportFormat, detect_format
from loader.rows.errors import FaultyRowsError, ReportError, RowError
from loader.rows.file_reader import ChunkedFile, check_row_length
from loader.rows.reader import ParseContext, RowReader


class Report:
    """A report on its way in: `batches` reads it once, and the counts are right after that.

    `on_faults` is told what is wrong in a row and the row's own text. Once a row was wrong,
    further batches are only checked, unless bad rows are to be skipped.
    """

    def __init__(
        self,
        path: str,
        zone: ZoneInfo,
        *,
        skip_bad_rows: bool,
        on_faults: Callable[[list[RowError], bytes], None],
        on_progress: Callable[[int], None] = lambda _: None,
        layouts: Sequence[ReportFormat] = SHIPPED_FORMATS,
    ) -> None:
        self.path = path
        self._slices = ChunkedFile(path, on_progress)
        self.span: tuple[str, str] | None = None
        self.name = self._slices.name
        self.fitting: DetectedFormat | None = None
        self.interval: int | None = None
        self._around = ParseContext(path, zone, skip_bad_rows, on_faults)
        self._layouts = layouts
        self._rows: RowReader[Any] | None = None

    @property
    def sha256(self) -> str:
        """The digest of what was read, uncompressed, in hex."""
        return self._slices.sha256

    @property
    def readings(self) -> int:
        """RowReader that are right."""
        return self._rows.readings if self._rows else 0

    @property
    def missing(self) -> int:
        """Values that rows leave out."""
        return self._rows.missing if self._rows else 0

    @property
    def rejected(self) -> int:
        """RowReader that are wrong."""
        return self._rows.rejected if self._rows else 0

    @property
    def identifier(self) -> str | None:
        """What the report calls the meter, if it does."""
        return self._rows.identifier if self._rows else None

    def batches(self) -> Iterator[RowBatch]:
        """The checked rows.

        Raises ReportError where the file can't be read or isn't a report, and FaultyRowsError
        at its end where rows were wrong and none are to be skipped.
        """
        line = 1
        rows: RowReader[Any] | None = None
        for part in self._slices.parts():
            body = part
            count = part.count(b"\n")
            if rows is None:
                heading, _, body = part.partition(b"\n")
                self._rows = rows = self._below(heading)
            rows.take(body, line + count - body.count(b"\n"))
            yield from self._ready(rows)
            line += count
        if rows is None:
            raise ReportError(f"{self.path}: expected a report, the file is empty")
        rows.settle()
        yield from self._ready(rows)
        if rows.rejected and not self._around.skip_bad_rows:
            raise FaultyRowsError(f"{self.path}: {rows.rejected} rows are wrong")
        if not rows.readings:
            raise ReportError(f"{self.path}: expected at least one reading below the heading")
        self.interval = self._checked_interval(rows)

    def _below(self, raw: bytes) -> RowReader[Any]:
        """The rows that come below a heading."""
        check_row_length(self.path, 1, raw)
        self.fitting = detect_format(self._layouts, self.path, raw)
        return self.fitting.layout.rows(self.fitting.heading, self._around)

    def _ready(self, rows: RowReader[Any]) -> Iterator[RowBatch]:
        """The rows that became ready, unless they are only checked."""
        for block in rows.block():
            earliest, latest = self.span or (block.first, block.last)
            self.span = min(block.first, earliest), max(block.last, latest)
            if self._around.skip_bad_rows or not rows.rejected:
                yield block

    def _checked_interval(self, rows: RowReader[Any]) -> int | None:
        """The interval that the format says, or else the rows, unless they are what is left over.

        Raises ReportError where both say one and they differ.
        """
        assert self.fitting is not None
        layout, heading = self.fitting
        said = layout.interval
        if heading.has_reasons:
            return said
        found = rows.interval()
        if said is not None and found not in (None, said):
            raise ReportError(
                f"{self.path}: readings are {found} seconds apart: expected {said}, as the format "
                f"{layout.name} says"
            )
        return said or found

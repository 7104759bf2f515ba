"""Finding the table of a report in its file: the one with the heading of a known format."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from loader.formats.detection import DetectedFormat, detect_format
from loader.formats.registry import KnownFormats
from loader.formats.report_format import ReportFormat
from loader.rows.errors import AmbiguousHeadingError, ReportError, UnknownHeadingError
from loader.rows.file_reader import check_row_length
from loader.rows.header import RowDialect
from loader.rows.sorted_rows import NumberedRows
from loader.sources.source_file import SourceFile, SourceTable
from settings import MAX_TOP_LINES


@dataclass(frozen=True, slots=True)
class FoundTable:
    """The rows below a heading, and its format."""

    detected: DetectedFormat
    rows: Iterator[NumberedRows]
    tables: Iterator[SourceTable]
    """What keeps the file open while the rows are read."""
    unread: Sequence[str]
    """What of the file is not in the rows."""


def find_table(source: SourceFile, formats: Sequence[ReportFormat]) -> FoundTable:
    """Find the first table that has the heading of a format, of a workbook's sheets.

    Raises ReportError if no table has one, or if one fits several formats.
    """
    unknown: UnknownHeadingError | None = None
    tables = source.tables(known.dialect for known in formats)
    for table in tables:
        found = []
        for dialect, rows in table.variants:
            top = _Top(source.path, rows, has_gaps=table.sheet is not None)
            fitting = _fitting(formats, table, dialect)
            if not top.read or not fitting:
                continue
            try:
                detected = detect_format(fitting, source.path, top.lines)
            except UnknownHeadingError as error:
                unknown = unknown or error
                continue
            found.append((detected, chain(top.below(detected), rows)))
        if len(found) > 1:
            names = [detected.format.name for detected, _ in found]
            raise AmbiguousHeadingError(
                f"{source.path}: the heading fits several formats: say which with --format:"
                f" {', '.join(names)}",
                names,
            )
        if found:
            ((detected, below),) = found
            return FoundTable(detected, below, tables, table.unread)
    raise unknown or ReportError(f"{source.path}: expected a report, the file is empty")


class _Top:
    """The first lines of a table."""

    def __init__(self, path: str, rows: Iterable[NumberedRows], *, has_gaps: bool) -> None:
        """Read them; where lines are missing between others, these are empty ones."""
        self.read: list[NumberedRows] = []
        self.lines: list[bytes] = []
        self._has_gaps = has_gaps
        for each in rows:
            self.read.append(each)
            raws = each.content.split(b"\n", MAX_TOP_LINES)[:-1]
            for raw, number in zip(raws, each.lines, strict=False):
                gap = min(number - 1, MAX_TOP_LINES) - len(self.lines) if has_gaps else 0
                self.lines += [b""] * gap
                self.lines.append(raw)
            if len(self.lines) >= MAX_TOP_LINES:
                break
        del self.lines[MAX_TOP_LINES:]
        for number, line in enumerate(self.lines, 1):
            check_row_length(path, number, line)

    def below(self, detected: DetectedFormat) -> Iterator[NumberedRows]:
        """Yield what was read below the heading."""
        above = 0 if detected.found is None else detected.found.rows_at
        if self._has_gaps:
            above = sum(number <= above for each in self.read for number in each.lines)
        for content, lines in self.read:
            if above < len(lines):
                yield NumberedRows(content.split(b"\n", above)[-1], lines[above:])
            above = max(above - len(lines), 0)


def _fitting(
    formats: Sequence[ReportFormat], table: SourceTable, dialect: RowDialect | None
) -> Sequence[ReportFormat]:
    """Return the formats that a table may have."""

    def fitted(known: ReportFormat) -> ReportFormat | None:
        if dialect not in (None, known.dialect):
            return None
        if table.sheet is not None and known.sheet not in (None, table.sheet):
            return None
        return known if table.encoding is None else known.in_utf8()

    if isinstance(formats, KnownFormats):
        return formats.each(fitted)
    return [each for known in formats if (each := fitted(known)) is not None]

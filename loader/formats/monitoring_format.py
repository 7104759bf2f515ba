"""The project's own format, as a report format."""

from collections.abc import Sequence
from typing import Any

from domain.quantities import QUANTITY_NAMES
from loader.formats.monitoring import MONITORING_HEADER, MonitoringRows
from loader.formats.report_format import ReportFormat
from loader.rows.header import Header, RowDialect
from loader.rows.reader import ParseContext, RowReader
from loader.table.heading import FoundHeading, Likeness
from loader.table.row_filter import RowFilter
from loader.table.top import TopOfFile
from settings import MONITORING, ColumnName


class MonitoringFormat:
    """The project's own format."""

    name = MONITORING
    identifier: ColumnName | None = None
    quantities: Sequence[str] = QUANTITY_NAMES
    energies: Sequence[str] = ()
    tells_estimated = False
    has_lengths = False
    may_vary = False
    dialect = RowDialect(",", ".")
    sheet: str | None = None

    def __init__(self, interval: int | None = None, *, is_interval_asked_for: bool = False) -> None:
        self.interval = interval
        self.is_interval_asked_for = is_interval_asked_for

    def find_heading(self, top: TopOfFile, *, is_only: bool) -> FoundHeading | None:
        """Return the heading of a report; None if it is not of this format."""
        del is_only
        for at in range(top.first, len(top.lines)):
            header = top.header(at, ",", "utf-8")
            if header.names == MONITORING_HEADER:
                return FoundHeading(header, at + 1, (), header)
        return None

    def nearest_heading(self, top: TopOfFile) -> Likeness | None:
        """Return the line that is most like a heading of this format; None if none is at all."""
        nearest = None
        for at in range(top.first, len(top.lines)):
            names = top.header(at, ",", "utf-8").names
            missing = tuple(name for name in MONITORING_HEADER if name not in names)
            additional = tuple(name for name in names if name not in MONITORING_HEADER)
            found = len(MONITORING_HEADER) - len(missing)
            each = Likeness(at, missing, (), additional, found)
            if found and (nearest is None or each.rank < nearest.rank):
                nearest = each
        return nearest

    def fitted(self, header: Header) -> ReportFormat:
        """Return the format of reports with this header: there is but one."""
        del header
        return self

    def is_row(self, header: Header, raw: bytes) -> bool:
        """Return whether a line has the fields of a row."""
        return isinstance(header.split(0, raw), list)

    def row_filter(self, found: FoundHeading) -> RowFilter | None:
        """Return what passes over lines below a heading; None if all are rows."""
        del found
        return None

    def in_utf8(self) -> ReportFormat:
        """Return the same format of reports that are in UTF-8."""
        return self

    def row_reader(self, header: Header, context: ParseContext) -> RowReader[Any]:
        """Return a reader of the rows below a header."""
        return MonitoringRows(context, header)

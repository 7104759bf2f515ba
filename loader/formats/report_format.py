"""What a report format has and does."""

from collections.abc import Sequence
from typing import Any, Protocol

from loader.rows.header import Header, RowDialect
from loader.rows.reader import ParseContext, RowReader
from loader.table.heading import FoundHeading, Likeness
from loader.table.row_filter import RowFilter
from loader.table.top import TopOfFile
from settings import ColumnName


class ReportFormat(Protocol):
    """A format that a report may have."""

    name: str
    interval: int | None
    """Seconds from one reading to the next, if the format defines them."""
    has_lengths: bool
    """Whether rows tell how long they last, each one."""
    may_vary: bool
    """Whether a row after a gap may be a longer one, although the format says one interval."""
    is_interval_asked_for: bool
    """Whether the command says so, not the format."""
    identifier: ColumnName | None
    """The column that names the meter of each row, if there is one."""
    quantities: Sequence[str]
    """The names of the quantities that it has columns for."""
    energies: Sequence[str]
    """Of these, the ones whose columns are said to be no registers."""
    tells_estimated: bool
    """Whether a column says which readings were estimated."""

    dialect: RowDialect
    """How its rows are written."""
    sheet: str | None
    """The sheet of a workbook that it is in; any if there is none."""

    def find_heading(self, top: TopOfFile, *, is_only: bool) -> FoundHeading | None:
        """Return the heading of a report; None if it is not of this format.

        Less is asked of it if this is the only format that comes into question.
        """

    def nearest_heading(self, top: TopOfFile) -> Likeness | None:
        """Return the line that is most like a heading of this format; None if none is at all."""

    def fitted(self, header: Header) -> "ReportFormat":
        """Return the format of reports with this header, without the columns that they lack."""

    def is_row(self, header: Header, raw: bytes) -> bool:
        """Return whether a line is a valid row below a header."""

    def row_filter(self, found: FoundHeading) -> RowFilter | None:
        """Return what passes over lines below a heading; None if all are rows."""

    def in_utf8(self) -> "ReportFormat":
        """Return the same format of reports that are in UTF-8."""

    def row_reader(self, header: Header, context: ParseContext) -> RowReader[Any]:
        """Return a reader of the rows below a header."""

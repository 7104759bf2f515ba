"""Reports as sources of rows for the database."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from domain.quantities import QUANTITY_NAMES
from domain.sampling_interval import Differences, IntervalSpan

BATCH_FIELDS = ("number", "date", "seconds_ahead", *QUANTITY_NAMES)
"""The fields of a row, separated by commas.

`number` counts the rows of the report from 1, `date` is the local time as `YYYY-MM-DD HH:MM:SS`,
`seconds_ahead` is its UTC offset; no instant occurs twice. A quantity has
exactly as many decimals as are stored, no superfluous zero before and no sign at zero; it is empty
where it is missing.
"""


@dataclass(frozen=True, slots=True)
class RowBatch:
    """Some rows, one a line, and the earliest and latest local time in them."""

    rows: bytes
    count: int
    first: str
    last: str


class ReportSource(Protocol):
    """A report that is being imported."""

    name: str

    def batches(self) -> Iterable[RowBatch]:
        """Return the valid rows, in the order of the report; all else is known after that."""

    @property
    def sha256(self) -> str:
        """The SHA-256 of what was read, in hex."""

    @property
    def rejected(self) -> int:
        """Rows left out."""

    @property
    def missing(self) -> int:
        """Values that are missing in the columns that it has."""

    @property
    def quantities(self) -> Sequence[str]:
        """The names of the quantities that it has columns for."""

    @property
    def format(self) -> str:
        """The name of its format."""

    @property
    def span(self) -> tuple[str, str] | None:
        """The earliest and the latest local time of the valid rows."""

    @property
    def said_spans(self) -> Sequence[IntervalSpan]:
        """The intervals from the first reading on, in order of time; none if only readings tell."""

    @property
    def differences(self) -> Differences:
        """The differences between the starts of the valid rows' readings."""

    @property
    def identifier(self) -> str | None:
        """The meter's name in the report, if it has one."""

"""What a report must offer to be written."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from domain.quantities import QUANTITY_NAMES

BATCH_FIELDS = ("number", "date", "seconds_ahead", *QUANTITY_NAMES)
"""The fields of a row on its way in, separated by commas.

`number` counts the rows of the report from 1, `date` is the local time as `YYYY-MM-DD HH:MM:SS`,
`seconds_ahead` is how far local time is ahead of UTC then; no instant stands twice. A quantity has
exactly as many decimals as are stored, no superfluous zero before and no sign at zero; it is empty
where it is missing.
"""


@dataclass(frozen=True, slots=True)
class RowBatch:
    """Some rows, a line each, and the earliest and latest local time in them."""

    rows: bytes
    count: int
    first: str
    last: str


class ReportSource(Protocol):
    """A report on its way in."""

    name: str

    def batches(self) -> Iterable[RowBatch]:
        """Its checked rows, in the order of the report."""

    @property
    def sha256(self) -> str:
        """The digest of what was read, in hex."""

    @property
    def rejected(self) -> int:
        """Rows left out."""

    @property
    def span(self) -> tuple[str, str] | None:
        """The earliest and the latest local time of the rows given."""

    @property
    def interval(self) -> int | None:
        """Seconds from one reading to the next; None where too few tell."""

    @property
    def identifier(self) -> str | None:
        """What the report calls the meter; None where it doesn't say."""

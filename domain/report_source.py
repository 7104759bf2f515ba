"""Reports as sources of rows for the database."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Protocol

import numpy as np

from domain.columns import MISSING_VALUE, Column, Columns, Integers
from domain.flags import ESTIMATED
from domain.quantities import ALL_QUANTITY_NAMES, EXPORTED_QUANTITIES, QUANTITY_NAMES
from domain.row_text import local_texts, rows_text
from domain.time.sampling_interval import Differences, IntervalSpan

BATCH_FIELDS = ("number", "date", "seconds_ahead", *QUANTITY_NAMES)
"""The fields of a row, separated by commas.

`number` counts the rows of the report from 1, `date` is the local time as `YYYY-MM-DD HH:MM:SS`,
`seconds_ahead` is its UTC offset; no instant occurs twice. A quantity has
exactly as many decimals as are stored, no superfluous zero before and no sign at zero; it is empty
where it is missing.

All rows of a report have these fields, or all have FULL_BATCH_FIELDS and their batches say so with
`is_full`: then exported_energy and exported_reactive_energy follow, written alike, and `estimated`
is 1 for an estimated reading and empty for any other. An empty `estimated` says that the reading is
real only if the report `tells_estimated`.
"""

ESTIMATED_FIELD = "estimated"
FULL_BATCH_FIELDS = (
    *BATCH_FIELDS,
    *(quantity.name for quantity in EXPORTED_QUANTITIES),
    ESTIMATED_FIELD,
)
"""The fields of a row of a report that has exported quantities or tells what was estimated."""


_MIDNIGHT_1970 = datetime(1970, 1, 1)  # noqa: DTZ001 - a local time
_PLAIN = bytes.maketrans(b"\n", b",")
_BEFORE_EMPTY = re.compile(b",(?=,)")
_DATE = np.arange(1, 20)
"""The places of a date after the comma before it."""
_DATE_SIGNS = np.array([5, 8, 11, 14, 17])
"""The places of what is not a digit in a date."""


@dataclass(frozen=True)
class RowBatch:
    """Some rows, at least one, and the earliest and latest local time in them."""

    rows: bytes
    """One a line."""
    count: int
    first: str
    last: str
    is_full: bool = False
    """Whether the rows have FULL_BATCH_FIELDS, as all of the report have then."""

    @classmethod
    def of(cls, columns: Columns, ahead: Integers, *, is_full: bool = False) -> "RowBatch":
        """Return rows that are arrays; their text is made once it is asked for."""
        return _ArrayBatch(columns, ahead, is_full=is_full)

    @property
    def columns(self) -> Columns:
        """The rows as arrays, whose ids are their numbers; no flags but of what is estimated."""
        return self._arrays[0]

    @property
    def ahead(self) -> Integers:
        """The UTC offsets, in seconds."""
        return self._arrays[1]

    def parse(self) -> None:
        """Make the arrays now rather than when they are asked for."""
        assert len(self.columns) == self.count

    @property
    def dates(self) -> Sequence[str]:
        """The local times, as in the rows."""
        return local_texts(self.columns.utc + self.ahead)

    @cached_property
    def _arrays(self) -> tuple[Columns, Integers]:
        names = FULL_BATCH_FIELDS if self.is_full else BATCH_FIELDS
        # All decimals are there: the digits alone are the number of hundred-thousandths.
        text = _BEFORE_EMPTY.sub(b",%d" % MISSING_VALUE, self.rows.translate(_PLAIN, b"."))
        letters = np.frombuffer(text, np.uint8)
        before = np.flatnonzero(letters == ord(","))[:: len(names), np.newaxis]
        local = letters[before + _DATE].view("S19").ravel().astype("datetime64[s]")
        is_number = np.ones(len(letters), bool)
        is_number[before + _DATE_SIGNS] = False
        numbers = np.fromstring(letters[is_number].tobytes(), np.int64, sep=",")
        fields = dict(zip(names, numbers.reshape(-1, len(names)).T, strict=True))
        flags = np.zeros(len(local), np.uint8)
        if self.is_full:
            flags[fields[ESTIMATED_FIELD] == 1] = ESTIMATED.bit
        quantities = ALL_QUANTITY_NAMES if self.is_full else QUANTITY_NAMES
        ahead = fields["seconds_ahead"]
        columns = Columns(
            fields["number"],
            local.astype(np.int64) - ahead,
            {name: Column.of(fields[name]) for name in quantities},
            flags,
        )
        return columns, ahead


class _ArrayBatch(RowBatch):
    """Rows that were read as arrays."""

    def __init__(self, columns: Columns, ahead: Integers, *, is_full: bool) -> None:
        local = columns.utc + ahead
        first, last = (
            _MIDNIGHT_1970 + timedelta(seconds=int(at)) for at in (local.min(), local.max())
        )
        known = {
            "count": len(local),
            "first": str(first),
            "last": str(last),
            "is_full": is_full,
            "_arrays": (columns, ahead),
        }
        self.__dict__.update(known)

    @cached_property
    def rows(self) -> bytes:
        """One a line."""
        names = ALL_QUANTITY_NAMES if self.is_full else QUANTITY_NAMES
        return rows_text(self.columns, self.ahead, names, is_full=self.is_full)


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
        """The names of the quantities that it has columns for, in the order of ALL_QUANTITIES."""

    @property
    def tells_estimated(self) -> bool:
        """Whether it says of each reading if it was estimated."""

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

"""Joining the rows of one time into one reading, whatever their order, in bounded memory."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from loader.rows.sorted_rows import SortedRows, split_rows
from loader.rows.spool import Spool
from loader.values.row_values import RowQuantities

_DAY_SECONDS = 86_400
_HELD_ROWS = 10_000


class CollectedRow(NamedTuple):
    """A row that is placed on the time line: its start, seconds since 1970, and what it has."""

    start: int
    line: int
    seconds: int | None
    """How long it lasts, if each row says so."""
    rounded: int
    """How many of its values were rounded."""
    series: int
    estimated: str
    cells: Sequence[str]
    raw: bytes


class JoinedReading(NamedTuple):
    """What the rows of one time have together."""

    start: int
    estimated: str
    cells: Sequence[str]
    seconds: int | None = None


class RowJoiner:
    """Collects rows, and joins those of one time."""

    def __init__(
        self, spool: Spool, on_conflict: Callable[[CollectedRow, int | None, str], None]
    ) -> None:
        """Take what is called with a row that contradicts an earlier one of its time.

        It is told which cell differs, or None if the length does, and what the earlier row has.
        """
        self._rows = SortedRows(spool)
        self._keys: list[str] = []
        self._held: list[bytes] = []
        self._lines: list[int] = []
        self._on_conflict = on_conflict
        self.repeated = 0
        """Rows that have nothing that an earlier row of their time does not have."""
        self.rounded = 0
        """The rounded values of the other rows."""

    def add(
        self, start: int, line: int, seconds: int | None, values: RowQuantities, raw: bytes
    ) -> None:
        """Add a row, what it has as `CollectedValues` returns it."""
        self._keys.append(f"{start // _DAY_SECONDS + 1:07}")
        length = b"" if seconds is None else b"%d" % seconds
        told = (start, line, length, values.rounded, values.text.encode(), raw)
        self._held.append(b"%d,%d,%b,%d,%b;%b" % told)
        self._lines.append(line)
        if len(self._keys) >= _HELD_ROWS:
            self._pass_on()

    def joined(self) -> Iterator[JoinedReading]:
        """Yield the readings in order of time."""
        self._pass_on()
        for _, chunks in self._rows.take():
            rows = [_parsed(raw) for chunk in chunks for raw in split_rows(chunk.content)]
            rows.sort(key=lambda row: (row.start, row.line))
            for start, same in groupby(rows, key=lambda row: row.start):
                yield self._join(start, same)

    def _pass_on(self) -> None:
        self._rows.add(self._keys, self._held, self._lines)
        self._keys, self._held, self._lines = [], [], []

    def _join(self, start: int, rows: Iterator[CollectedRow]) -> JoinedReading:
        """Return the reading of rows of one time."""
        first = next(rows)
        cells, estimated, seen = list(first.cells), first.estimated, {first.series}
        self.rounded += first.rounded
        for row in rows:
            if row.seconds != first.seconds:
                self._on_conflict(row, None, str(first.seconds))
                continue
            pairs = enumerate(zip(cells, row.cells, strict=True))
            differing = next(
                (at for at, (earlier, cell) in pairs if earlier and cell and earlier != cell), None
            )
            if differing is not None:
                self._on_conflict(row, differing, cells[differing])
                continue
            merged = [earlier or cell for earlier, cell in zip(cells, row.cells, strict=True)]
            is_repeated = merged == cells and row.series in seen
            self.repeated += is_repeated
            self.rounded += 0 if is_repeated else row.rounded
            cells, estimated = merged, estimated or row.estimated
            seen.add(row.series)
        return JoinedReading(start, estimated, cells, first.seconds)


def _parsed(record: bytes) -> CollectedRow:
    values, _, raw = record.partition(b";")
    start, line, seconds, rounded, series, estimated, *cells = values.decode("ascii").split(",")
    length = int(seconds) if seconds else None
    numbers = int(start), int(line), length, int(rounded), int(series)
    return CollectedRow(*numbers, estimated, cells, raw)

"""Sorting the rows of a report in bounded memory."""

import heapq
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from struct import Struct
from typing import NamedTuple

from loader.rows.file_reader import CHUNK_BYTES
from loader.rows.spool import Spool

MAX_HELD_BYTES = 2**25
"""Rows that take more memory are written to a temporary file."""
_ROW_BYTES = 80
"""What a row takes in memory beside its text."""
_KEY_BYTES = 400
"""What a key takes in memory beside its rows."""

_HEAD = Struct("=HIQ")
"""The lengths of the three parts of a record: the key, the line numbers, and the rows."""
_MAX_KEY_BYTES = 256


class NumberedRows(NamedTuple):
    """Whole rows, and the numbers of their lines in the report.

    No content with one line stands for a row that can't be assigned to a meter.
    """

    content: bytes
    lines: Sequence[int]


class _Record(NamedTuple):
    """The place of rows in the temporary file."""

    key: str
    offset: int
    lines_size: int
    rows_size: int


class SortedRows:
    """Rows sorted by a key of at most 64 characters; rows of equal keys keep their order.

    They are held in memory, and once there are many in sorted runs in a temporary file.
    """

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._held: defaultdict[str, tuple[list[bytes], list[int]]] = defaultdict(lambda: ([], []))
        self._held_bytes = 0
        self._runs: list[tuple[int, int]] = []
        """The offset and the end of each run."""

    def add(self, keys: Sequence[str], rows: Sequence[bytes], lines: Iterable[int]) -> None:
        """Add rows without their ends, each with its key and its line.

        Raises ReportError if there is no room in the temporary file.
        """
        if self._held_bytes > MAX_HELD_BYTES:
            self._spill()
        held = self._held
        before = len(held)
        for key, row, line in zip(keys, rows, lines, strict=True):
            rows_of_key, lines_of_key = held[key]
            rows_of_key.append(row)
            lines_of_key.append(line)
        self._held_bytes += _size(rows) + _KEY_BYTES * (len(held) - before)

    def pop(self, key: str) -> tuple[list[bytes], list[int]]:
        """Return and forget the rows of a key that were added last."""
        if key not in self._held:
            return [], []
        rows, lines = self._held.pop(key)
        self._held_bytes -= _size(rows) + _KEY_BYTES
        return rows, lines

    def take(self) -> Iterator[tuple[str, Iterator[NumberedRows]]]:
        """Yield the keys in order, each with its rows.

        The rows can be read once, at any time until the temporary file is closed.
        """
        if self._runs:
            self._spill()
            for key, records in groupby(self._merge(), lambda record: record.key):
                yield key, self._read(list(records))
        for key in sorted(self._held):
            yield key, _chunks(*self._held.pop(key))

    def _spill(self) -> None:
        """Write the rows in memory to the temporary file."""
        begin = self._spool.size
        block = bytearray()
        for key in sorted(self._held):
            name = key.encode("utf-8", "surrogatepass")
            for content, lines in _chunks(*self._held.pop(key)):
                numbers = array("Q", lines).tobytes()
                block += _HEAD.pack(len(name), len(numbers), len(content))
                block += name
                block += numbers
                block += content
                if len(block) > CHUNK_BYTES:
                    self._spool.append(block)
                    block.clear()
        self._spool.append(block)
        self._runs.append((begin, self._spool.size))
        self._held_bytes = 0

    def _merge(self) -> Iterator[_Record]:
        """Return the records in the order of their keys, and in the temporary file's for each."""
        return heapq.merge(*(self._records(begin, end) for begin, end in self._runs))

    def _records(self, begin: int, end: int) -> Iterator[_Record]:
        """Yield the records of a run."""
        while begin < end:
            head = self._spool.read(begin, _HEAD.size + _MAX_KEY_BYTES)
            key_size, lines_size, rows_size = _HEAD.unpack_from(head)
            key = head[_HEAD.size : _HEAD.size + key_size].decode("utf-8", "surrogatepass")
            begin += _HEAD.size + key_size
            yield _Record(key, begin, lines_size, rows_size)
            begin += lines_size + rows_size

    def _read(self, records: list[_Record]) -> Iterator[NumberedRows]:
        for record in records:
            content = self._spool.read(record.offset, record.lines_size + record.rows_size)
            lines = array("Q", content[: record.lines_size])
            yield NumberedRows(content[record.lines_size :], lines)


def split_rows(content: bytes) -> list[bytes]:
    """Return whole rows without their ends."""
    return content.removesuffix(b"\n").split(b"\n")


def join_rows(rows: Iterable[bytes]) -> bytes:
    """Return rows with their ends."""
    return b"\n".join([*rows, b""])


def _size(rows: Sequence[bytes]) -> int:
    return sum(map(len, rows)) + _ROW_BYTES * len(rows)


def _chunks(rows: Sequence[bytes], lines: Sequence[int]) -> Iterator[NumberedRows]:
    """Yield rows in chunks of little more than usual ones of a file."""
    begin = size = 0
    for end, row in enumerate(rows, 1):
        size += len(row) + 1
        if size >= CHUNK_BYTES or end == len(rows):
            yield NumberedRows(join_rows(rows[begin:end]), lines[begin:end])
            begin, size = end, 0

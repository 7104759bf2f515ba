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
_ROW_BYTES = 100
"""What a row takes in memory beside its text."""

_HEAD = Struct("=HII")
"""The lengths of the three parts of a record: the key, the line numbers, and the rows."""
_LINE_NUMBER = "Q"
_BLOCK_BYTES = 2**16
"""What is read of a run at a time; the rows of longer records are read when they are needed."""


class NumberedRows(NamedTuple):
    """Whole rows, and the numbers of their lines in the report.

    No content with one line stands for a row that can't be assigned to a meter.
    """

    content: bytes
    lines: Sequence[int]


class _Record(NamedTuple):
    """Rows of a key in the temporary file."""

    key: bytes
    offset: int
    lines_size: int
    rows_size: int
    content: bytes | None
    """The line numbers and the rows, if there are few."""


class SortedRows:
    """Rows sorted by a key, of which those of equal keys keep their order.

    They are held in memory, and once there are many in sorted runs in a temporary file.
    """

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._runs: list[tuple[int, int]] = []
        """The offset and the end of each run."""
        self._clear()

    def add(self, keys: Sequence[str], rows: Sequence[bytes], lines: Iterable[int]) -> None:
        """Add rows without their ends, each with its key and its line.

        Raises ReportError if there is no room in the temporary file.
        """
        self._keys += keys
        self._rows += rows
        self._lines.extend(lines)
        self._held_bytes += sum(map(len, rows)) + _ROW_BYTES * len(rows)
        if self._held_bytes > MAX_HELD_BYTES:
            self._spill()

    def take(self) -> Iterator[tuple[str, Iterator[NumberedRows]]]:
        """Yield the keys in order, each with its rows.

        The rows can be read once, at any time until the temporary file is closed.
        """
        if not self._runs:
            for key, rows, lines in self._grouped():
                yield key, _chunks(rows, lines)
            return
        self._spill()
        for name, records in groupby(self._merge(), lambda record: record.key):
            yield name.decode("utf-8", "surrogatepass"), self._read(list(records))

    def _clear(self) -> None:
        self._keys: list[str] = []
        self._rows: list[bytes] = []
        self._lines = array(_LINE_NUMBER)
        self._held_bytes = 0

    def _grouped(self) -> Iterator[tuple[str, list[bytes], list[int]]]:
        """Yield the keys of the rows in memory in order, each with its rows and their lines."""
        rows, lines = self._rows, self._lines
        places = defaultdict[str, list[int]](list)
        for place, key in enumerate(self._keys):
            places[key].append(place)
        self._clear()
        for key in sorted(places):
            found = places.pop(key)
            yield key, [rows[place] for place in found], [lines[place] for place in found]

    def _spill(self) -> None:
        """Write the rows in memory to the temporary file."""
        begin = self._spool.size
        block = bytearray()
        for key, rows_of_key, lines_of_key in self._grouped():
            name = key.encode("utf-8", "surrogatepass")
            for content, lines in _chunks(rows_of_key, lines_of_key):
                numbers = array(_LINE_NUMBER, lines).tobytes()
                block += _HEAD.pack(len(name), len(numbers), len(content))
                block += name
                block += numbers
                block += content
                if len(block) > CHUNK_BYTES:
                    self._spool.append(block)
                    block.clear()
        self._spool.append(block)
        self._runs.append((begin, self._spool.size))

    def _merge(self) -> Iterator[_Record]:
        """Return the records in the order of their keys, and in the temporary file's for each."""
        return heapq.merge(*(self._records(begin, end) for begin, end in self._runs))

    def _records(self, begin: int, end: int) -> Iterator[_Record]:
        """Yield the records of a run."""
        block, start = b"", begin
        while begin < end:
            at = begin - start
            if at + _HEAD.size > len(block):
                block, start, at = self._spool.read(begin, _BLOCK_BYTES), begin, 0
            key_size, lines_size, rows_size = _HEAD.unpack_from(block, at)
            size = _HEAD.size + key_size + lines_size + rows_size
            if at and at + size > len(block):
                block, start, at = self._spool.read(begin, _BLOCK_BYTES), begin, 0
            content_at = at + _HEAD.size + key_size
            content = block[content_at : at + size] if at + size <= len(block) else None
            key = block[at + _HEAD.size : content_at]
            yield _Record(key, start + content_at, lines_size, rows_size, content)
            begin += size

    def _read(self, records: list[_Record]) -> Iterator[NumberedRows]:
        """Yield the rows of records."""
        lines, rows, size = array(_LINE_NUMBER), list[bytes](), 0
        for record in records:
            lines_size, rows_size = record.lines_size, record.rows_size
            content = record.content or self._spool.read(record.offset, lines_size + rows_size)
            lines.frombytes(content[:lines_size])
            rows.append(content[lines_size:])
            size += rows_size
            if size >= CHUNK_BYTES:
                yield NumberedRows(b"".join(rows), lines)
                lines, rows, size = array(_LINE_NUMBER), [], 0
        if rows:
            yield NumberedRows(b"".join(rows), lines)


def split_rows(content: bytes) -> list[bytes]:
    """Return whole rows without their ends."""
    return content.removesuffix(b"\n").split(b"\n")


def join_rows(rows: Iterable[bytes]) -> bytes:
    """Return rows with their ends."""
    return b"\n".join([*rows, b""])


def _chunks(rows: Sequence[bytes], lines: Sequence[int]) -> Iterator[NumberedRows]:
    """Yield rows in chunks of little more than usual ones of a file."""
    begin = size = 0
    for end, row in enumerate(rows, 1):
        size += len(row) + 1
        if size >= CHUNK_BYTES or end == len(rows):
            yield NumberedRows(join_rows(rows[begin:end]), lines[begin:end])
            begin, size = end, 0

"""The marks of a report's readings by days, in bounded memory."""

from array import array
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from loader.rows.spool import Spool

MAX_MARK_BYTES = 2**23
"""Marks that take more memory are written to a temporary file."""

_MARK, _INDEX = "q", "u4"
_MARK_BYTES, _INDEX_BYTES = 8, 4
_DAY_BYTES = 200
"""What a day takes in memory beside its marks."""


class _Kept(NamedTuple):
    """Where the marks of a day are in the temporary file."""

    offset: int
    room: int
    """How many marks have room there."""
    marks: int


class DayMarks:
    """A mark for each time of day of each local day, 0 where there is none.

    A day has those of one offset from UTC. Those of the last days are held in memory.
    """

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._held: dict[tuple[int, int], array[int]] = {}
        self._kept: dict[tuple[int, int], _Kept] = {}
        self._held_bytes = 0
        self._last: array[int] = array(_MARK)
        self._last_size = 0
        """How many marks the last day had room for when it was asked for."""

    def of(self, number: int, offset: int) -> "array[int]":
        """Return the marks of a day, to be read and changed until the next day is asked for."""
        self._held_bytes += (len(self._last) - self._last_size) * _MARK_BYTES
        marks = self._held.get((number, offset))
        if marks is None:
            if self._held_bytes > MAX_MARK_BYTES:
                self._spill()
            marks = self._held[number, offset] = self._read((number, offset))
            self._held_bytes += _DAY_BYTES + len(marks) * _MARK_BYTES
        self._last, self._last_size = marks, len(marks)
        return marks

    def ordered(self) -> Sequence[tuple[int, int]]:
        """Return the days with their offsets, in order."""
        return sorted({*self._held, *self._kept})

    def seen(self, number: int, offset: int) -> bytes:
        """Return for each time of a day whether it has a mark."""
        marks = self._held.get((number, offset))
        return bytes(map(bool, self._read((number, offset)) if marks is None else marks))

    def _read(self, key: tuple[int, int]) -> "array[int]":
        """Return the marks of a day that is not held; none if it is new."""
        marks = array(_MARK)
        kept = self._kept.get(key)
        if kept is not None and kept.marks:
            data = self._spool.read(kept.offset, kept.marks * (_INDEX_BYTES + _MARK_BYTES))
            places = np.frombuffer(data, _INDEX, kept.marks)
            found = np.zeros(int(places[-1]) + 1, _MARK)
            found[places] = np.frombuffer(data, _MARK, offset=kept.marks * _INDEX_BYTES)
            marks.frombytes(found.tobytes())
        return marks

    def _spill(self) -> None:
        """Write the days that are held to the temporary file, each over what was there of it."""
        block = bytearray()
        begin = self._spool.size
        for key, marks in self._held.items():
            values = np.frombuffer(marks, _MARK)
            places = values.nonzero()[0]
            data = places.astype(_INDEX).tobytes() + values[places].tobytes()
            kept = self._kept.get(key)
            if kept is not None and len(places) <= kept.room:
                self._spool.write(kept.offset, data)
                self._kept[key] = kept._replace(marks=len(places))
                continue
            # Days that grow again and again are not written anew each time.
            room = len(places) if kept is None else 2 * len(places)
            self._kept[key] = _Kept(begin + len(block), room, len(places))
            block += data.ljust(room * (_INDEX_BYTES + _MARK_BYTES), b"\0")
        self._spool.append(block)
        self._held.clear()
        self._held_bytes = 0

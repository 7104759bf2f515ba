"""The marks of a report's readings by days, in bounded memory."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from domain.columns import Truths
from loader.rows.spool import Spool

Marks = NDArray[np.uint64] | NDArray[np.uint8]
"""What tells readings from others of their times: numbers other than 0."""

MAX_MARK_BYTES = 2**23
"""Marks that take more memory are written to a temporary file."""

_INDEX = np.dtype("u4")
_DAY_BYTES = 300
"""What a day takes in memory beside its marks."""


class _Kept(NamedTuple):
    """Where the marks of a day are in the temporary file."""

    offset: int
    room: int
    """How many marks have room there."""
    marks: int


class DayMarks:
    """A mark for each time of day of each local day, 0 where there is none.

    A day is its number and its offset from UTC. The marks of the last days are held in memory.
    """

    def __init__(self, marks: DTypeLike, spool: Spool) -> None:
        """Take the type of the marks, and where those go that are not held."""
        self._type = np.dtype(marks)
        self._spool = spool
        self._held: dict[tuple[int, int], Marks] = {}
        self._kept: dict[tuple[int, int], _Kept] = {}
        self._held_bytes = 0

    def of(self, day: tuple[int, int], index: int) -> Marks:
        """Return the marks of a day, which have an index.

        They are to be read and changed until the next day is asked for.
        """
        marks = self._held.get(day)
        if marks is None:
            if self._held_bytes > MAX_MARK_BYTES:
                self._spill()
            marks = self._held[day] = self._read(day)
            self._held_bytes += _DAY_BYTES + marks.nbytes
        if index >= len(marks):
            more = np.zeros(index + 1, self._type)
            more[: len(marks)] = marks
            self._held_bytes += more.nbytes - marks.nbytes
            self._held[day] = marks = more
        return marks

    def ordered(self) -> Sequence[tuple[int, int]]:
        """Return the days that have marks, in order."""
        return sorted({*self._held, *self._kept})

    def seen(self, day: tuple[int, int]) -> Truths:
        """Return for each time of a day whether it has a mark."""
        marks = self._held.get(day)
        found: Truths = (self._read(day) if marks is None else marks) != 0
        return found

    def _read(self, day: tuple[int, int]) -> Marks:
        """Return the marks of a day that is not held; none if it is new."""
        kept = self._kept.get(day)
        if kept is None:
            return np.zeros(0, self._type)
        data = self._spool.read(kept.offset, kept.marks * self._mark_bytes)
        places = np.frombuffer(data, _INDEX, kept.marks)
        marks: Marks = np.zeros(int(places[-1]) + 1, self._type)
        marks[places] = np.frombuffer(data, self._type, offset=places.nbytes)
        return marks

    def _spill(self) -> None:
        """Write the days that are held to the temporary file, each over what was there of it."""
        block = bytearray()
        begin = self._spool.size
        for day, marks in self._held.items():
            places = marks.nonzero()[0]
            data = places.astype(_INDEX).tobytes() + marks[places].tobytes()
            kept = self._kept.get(day)
            if kept is not None and len(places) <= kept.room:
                self._spool.write(kept.offset, data)
                self._kept[day] = kept._replace(marks=len(places))
                continue
            # Days that grow again and again are not written anew each time.
            room = len(places) if kept is None else 2 * len(places)
            self._kept[day] = _Kept(begin + len(block), room, len(places))
            block += data.ljust(room * self._mark_bytes, b"\0")
        self._spool.append(block)
        self._held.clear()
        self._held_bytes = 0

    @property
    def _mark_bytes(self) -> int:
        """What a mark takes in the temporary file."""
        return _INDEX.itemsize + self._type.itemsize

"""The fields of whole lines, found by numpy."""

import re
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from domain.columns import Integers, Truths

Words = NDArray[np.uint64]
"""Eight characters each, the first one in the lowest byte."""

_SLICE_BYTES = 2**18
"""Lines that are read at once, so that what is worked out stays in the processor's cache."""
_MARGIN = 16
"""Bytes before the lines, so that there are some before every field."""
_LONGEST = 10_000
"""Bytes of a line that is read by numpy; longer ones are checked."""
_BLANKS = 16
"""Blanks around a field that are passed over by numpy."""
_BYTEWISE = re.compile(r"utf-8|ascii|iso8859-\d+|cp125\d")
"""Encodings in which the bytes of ASCII are those of its characters, and of no others."""

_IS_BLANK = np.zeros(256, bool)
_IS_BLANK[[ord(" "), ord("\t")]] = True

_WORD = 8
_LAST = np.array([0, *(~0 << (64 - 8 * kept) & ~(~0 << 64) for kept in range(1, 9))], np.uint64)
"""What keeps so many of the last characters of a word."""


def is_bytewise(encoding: str) -> bool:
    """Return whether the bytes of ASCII characters stand for these alone."""
    return _BYTEWISE.fullmatch(encoding) is not None


def slices(content: bytes) -> Iterator[bytes]:
    """Yield whole lines in slices."""
    begin = 0
    while begin < len(content):
        end = content.rfind(b"\n", begin, begin + _SLICE_BYTES) + 1
        end = end or content.find(b"\n", begin + _SLICE_BYTES) + 1 or len(content)
        yield content[begin:end]
        begin = end


class FieldTable:
    """The fields of whole lines: where they start and end, by columns.

    A line `is_plain` if it has as many fields as there are columns, none of which is quoted. The
    fields of other lines are empty.
    """

    def __init__(self, content: bytes, delimiter: str, width: int, encoding: str) -> None:
        padding = bytes(_MARGIN - len(content) % _WORD)
        self._content = b"\n" * _MARGIN + content + padding
        self._encoding = encoding
        self.letters = np.frombuffer(self._content, np.uint8)
        self._words = self.letters.view("<u8")
        within = self.letters[_MARGIN : _MARGIN + len(content)]
        are_separators = (within == ord(delimiter)) | (within == ord("\n"))
        separators = np.flatnonzero(are_separators) + _MARGIN
        last = np.flatnonzero(self.letters[separators] == ord("\n"))
        self._line_ends = separators[last]
        self._line_starts = np.concatenate(([_MARGIN], self._line_ends[:-1] + 1))
        self.is_plain: Truths = np.diff(last, prepend=-1) == width
        if self.is_plain.sum() * 2 < len(last):
            # Many short lines would take much memory.
            self.is_plain[:] = False
            return
        at = np.maximum(last - (width - 1), 0) + np.arange(width)[:, np.newaxis]
        self.ends = separators[np.minimum(at, len(separators) - 1)]
        self.starts = np.concatenate(([self._line_starts], self.ends[:-1] + 1))
        if b"\r" in content:
            self._pass_over_returns()
        self._leave_out_odd_lines(content)
        if _has_blanks(within, are_separators):
            self._pass_over_blanks()
        if not self.is_plain.all():
            self.starts[:, ~self.is_plain] = self.ends[:, ~self.is_plain] = _MARGIN

    def __len__(self) -> int:
        return len(self._line_ends)

    def line(self, number: int) -> bytes:
        """Return a line, counted from 0, without its end."""
        return self._content[self._line_starts[number] : self._line_ends[number]]

    def lines(self, begin: int, end: int) -> bytes:
        """Return neighbouring lines, with their ends."""
        return self._content[self._line_starts[begin] : self._line_ends[end - 1] + 1]

    def texts(self, field: int, lines: Sequence[int] | Integers) -> list[str]:
        """Return the texts of a field in some lines, without blanks around them."""
        starts, ends = self.starts[field][lines].tolist(), self.ends[field][lines].tolist()
        content, encoding = self._content, self._encoding
        return [
            content[start:end].decode(encoding).strip()
            for start, end in zip(starts, ends, strict=True)
        ]

    def text(self, start: int, end: int) -> str:
        """Return the text between two places."""
        return self._content[start:end].decode(self._encoding)

    def parted(
        self, starts: Integers, ends: Integers, mark: bytes, *, at_last: bool
    ) -> tuple[Integers, Truths]:
        """Return where the first or last mark in fields is, and which fields have one."""
        letters, size = self.letters, len(mark)
        are_marks = letters == mark[0]
        for place, letter in enumerate(mark[1:], 1):
            are_marks[:-place] &= letters[place:] == letter
        places = np.flatnonzero(are_marks)
        if not len(places):
            return starts, np.zeros(len(starts), bool)
        if at_last:
            found = places[np.maximum(np.searchsorted(places, ends - size, "right") - 1, 0)]
        else:
            found = places[np.minimum(np.searchsorted(places, starts), len(places) - 1)]
        return found, (starts <= found) & (found + size <= ends)

    def tails(self, starts: Integers, ends: Integers, skipped: int = 0) -> Words:
        """Return the last eight characters of fields, the first ones 0 in shorter fields.

        Some words of eight characters may be skipped.
        """
        ends = ends - _WORD * skipped if skipped else ends
        at = np.maximum(ends, _WORD) - _WORD
        word, shift = at >> 3, ((at & 7) << 3).astype(np.uint64)
        # A shift by all 64 bits gives 0.
        found = self._words.take(word) >> shift
        found |= self._words.take(word + 1) << (np.uint64(64) - shift)
        found &= _LAST.take(np.maximum(np.minimum(ends - starts, _WORD), 0))
        return found

    def _pass_over_returns(self) -> None:
        """Let lines end before the carriage return before their ends; leave out those of others."""
        returns = np.flatnonzero(self.letters == ord("\r"))
        others = returns[self.letters[returns + 1] != ord("\n")]
        self._leave_out(others)
        self.ends[-1] -= self.letters[self.ends[-1] - 1] == ord("\r")

    def _leave_out_odd_lines(self, content: bytes) -> None:
        """Leave lines to others that have quotes, wrong bytes or other oddities."""
        letters = self.letters[: _MARGIN + len(content)]
        for sign in b'"\0':
            if sign in content:
                self._leave_out(np.flatnonzero(letters == sign))
        if not content.isascii() and not self._is_text(content):
            self._leave_out(np.flatnonzero(letters > 127))
        self.is_plain &= self._line_ends - self._line_starts < _LONGEST

    def _leave_out(self, places: Integers) -> None:
        """Leave the lines that have some places to others."""
        self.is_plain[np.searchsorted(self._line_ends, places)] = False

    def _is_text(self, content: bytes) -> bool:
        try:
            return "\ufffd" not in content.decode(self._encoding)
        except UnicodeDecodeError:
            return False

    def _pass_over_blanks(self) -> None:
        """Let fields start after the blanks before them, and end before those behind them."""
        letters = self.letters
        for _ in range(_BLANKS):
            before = (self.starts < self.ends) & _IS_BLANK[letters[self.starts]]
            self.starts += before
            behind = (self.starts < self.ends) & _IS_BLANK[letters[self.ends - 1]]
            self.ends -= behind
            if not before.any() and not behind.any():
                return
        self.is_plain[:] = False


def _has_blanks(letters: NDArray[np.uint8], are_separators: Truths) -> bool:
    """Return whether blanks are around fields."""
    are_blank = (letters == ord(" ")) | (letters == ord("\t"))
    are_edges = are_separators | (letters == ord("\r"))
    return bool(
        are_blank[0]
        or (are_blank[1:] & are_separators[:-1]).any()
        or (are_blank[:-1] & are_edges[1:]).any()
    )

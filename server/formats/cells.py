"""Text of whole columns by numpy, byte for byte that of single values but many times as fast.

Each column of a chunk is written as cells of one size, with NULs where a text is shorter. A cell is
made of pieces, elements of arrays that are a few bytes each; a row is made of its cells and of what
stands between them. At last, the NULs are taken out.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from domain.columns import Column, Integers, Truths
from domain.fixed_point import SCALE, format_scaled
from domain.quantities import DECIMALS
from domain.record_layout import TimeStyle
from domain.time.time_zone import DAY_SECONDS, TimeZone

Piece = NDArray[Any]
"""An element of one size for each row, whose bytes are a part of its text."""

Pieces = Sequence[Piece | bytes]
"""Pieces that follow each other, some of which may be the same for all rows."""

CellWriter = Callable[[Integers], Pieces]
"""Writes values as text."""

_GROUP = 4
_GROUPED = 10**_GROUP
_MINUTES = DAY_SECONDS // 60
_MINUS = ord("-")
_YEAR_1000 = -30_610_224_000
"""Earlier years have fewer digits in some styles."""


def _letters(texts: Iterator[str], size: int) -> Piece:
    """Return texts as integers of a size, whose bytes are the text and NULs behind it."""
    padded = b"".join(text.encode().ljust(size, b"\0") for text in texts)
    return np.frombuffer(padded, f"u{size}")


_PLAIN = _letters((str(number) for number in range(_GROUPED)), _GROUP)
_PADDED = _letters((f"{number:0{_GROUP}}" for number in range(_GROUPED)), _GROUP)
_DIGITS = np.concatenate((_PLAIN, _PADDED))
"""Four digits, and behind these the same with zeros before them."""
_HIGHER_DIGITS = np.concatenate((np.zeros(1, "u4"), _DIGITS[1:]))
"""The same, with nothing for a zero."""
_FRACTIONS = _letters((f".{number:0{DECIMALS}}" for number in range(SCALE)), 8)
_TIMES = _letters((f"{at // 60:02}:{at % 60:02}:" for at in range(_MINUTES)), 8)
_SECONDS = _letters((f"{second:02}" for second in range(60)), 2)


def count_pieces(values: Integers) -> Pieces:
    """Return whole numbers as text."""
    if values.dtype == object:
        return [_texts(values, str)]
    return [*_sign(values), *_digits(abs(values))]


def quantity_pieces(values: Integers) -> Pieces:
    """Return scaled quantities as text, with all their decimals."""
    if values.dtype == object:
        return [_texts(values, format_scaled)]
    amounts = abs(values)
    whole = amounts // SCALE
    return [*_sign(values), *_digits(whole), _FRACTIONS[amounts - whole * SCALE]]


def comma_pieces(values: Integers) -> Pieces:
    """Return the same with a decimal comma."""
    if values.dtype == object:
        return [_texts(values, lambda value: format_scaled(value).replace(".", ","))]
    *whole, fractions = quantity_pieces(values)
    assert not isinstance(fractions, bytes)
    letters = fractions.view(np.uint8).reshape(-1, fractions.itemsize).copy()
    letters[:, 0] = ord(",")
    return [*whole, letters.view(fractions.dtype).ravel()]


def instant_writer(
    style: TimeStyle, zone: TimeZone | None, format_instant: Callable[[int], str]
) -> CellWriter:
    """Return what writes seconds since 1970 in a style, as a function does with single ones."""

    def pieces(values: Integers) -> Pieces:
        if len(values) and values.min() < _YEAR_1000:
            return [_texts(values, format_instant)]
        if style is TimeStyle.UTC or zone is None:
            return [*_local(values, b"T"), b"Z"]
        offsets = zone.offsets(values)
        if style is TimeStyle.OFFSET:
            return [*_local(values + offsets, b"T"), _offset_texts(offsets)]
        return _local(values + offsets, b" ")

    return pieces


def nullable(column: Column, write: CellWriter, null: bytes, quote: bytes = b"") -> Pieces:
    """Return a column as text, with another one where a value is missing, in quotes elsewhere."""
    known = column.known
    if known is None or known.all():
        return [quote, *write(column.values), quote]
    if not known.any():
        return [null]
    pieces = [_where(known, piece) for piece in (quote, *write(column.values), quote)]
    return [*pieces, np.where(known, b"", null)]


def joined_rows(parts: Sequence[bytes | Pieces], count: int) -> bytes:
    """Return so many rows, each of which is what is given, from left to right."""
    template: list[bytes] = []
    written: list[tuple[int, Piece]] = []
    size = 0
    for part in parts:
        for piece in (part,) if isinstance(part, bytes) else part:
            if isinstance(piece, bytes):
                literal = piece
            elif (piece == piece[0]).all():
                literal = piece[:1].tobytes()
            else:
                literal = bytes(piece.itemsize)
                written.append((size, piece))
            template.append(literal)
            size += len(literal)
    letters = np.empty((count, size), np.uint8)
    letters[:] = np.frombuffer(b"".join(template), np.uint8)
    layout = np.dtype(
        {
            "names": [str(number) for number in range(len(written))],
            "formats": [piece.dtype for _, piece in written],
            "offsets": [offset for offset, _ in written],
            "itemsize": size,
        }
    )
    cells = letters.view(layout).ravel()
    for number, (_, piece) in enumerate(written):
        cells[str(number)] = piece
    flat = letters.ravel()
    text: bytes = flat[flat != 0].tobytes()
    return text


def _sign(values: Integers) -> Pieces:
    is_negative = values < 0
    return [np.where(is_negative, np.uint8(_MINUS), np.uint8(0))] if is_negative.any() else []


def _digits(values: Integers) -> Pieces:
    """Return numbers that are not negative."""
    pieces: list[Piece] = []
    while True:
        rest = values // _GROUPED
        table = _HIGHER_DIGITS if pieces else _DIGITS
        places = values - rest * _GROUPED
        is_last = not rest.any()
        pieces.insert(0, table[places if is_last else places + _GROUPED * (rest > 0)])
        if is_last:
            return pieces
        values = rest


def _local(values: Integers, separator: bytes) -> Pieces:
    """Return dates and times."""
    days = values // DAY_SECONDS
    seconds = values - days * DAY_SECONDS
    minutes = seconds // 60
    first = int(days.min()) if len(days) else 0
    if len(days) and days.max() - first < 2 * len(days):
        different, which = np.arange(first, int(days.max()) + 1), days - first
    else:
        different, which = np.unique(days, return_inverse=True)
    dates = np.datetime_as_string(different.astype("datetime64[D]")).astype("S10")
    return [
        dates[which],
        separator,
        _TIMES[minutes],
        _SECONDS[seconds - minutes * 60],
    ]


def _offset_texts(offsets: Integers) -> Piece | bytes:
    if len(offsets) and (offsets == offsets[0]).all():
        return _offset_text(int(offsets[0])).encode()
    different, which = np.unique(offsets, return_inverse=True)
    return np.array([_offset_text(offset) for offset in different.tolist()], "S")[which]


def _offset_text(offset: int) -> str:
    """Return a UTC offset as ISO 8601 writes it."""
    minutes, seconds = divmod(abs(offset), 60)
    text = f"{'-' if offset < 0 else '+'}{minutes // 60:02}:{minutes % 60:02}"
    return f"{text}:{seconds:02}" if seconds else text


def _texts(values: Integers, write: Callable[[int], str]) -> Piece:
    return np.array([write(value) for value in values.tolist()], "S")


def _where(known: Truths, piece: Piece | bytes) -> Piece | bytes:
    if isinstance(piece, bytes):
        return np.where(known, piece, b"") if piece else piece
    return np.where(known, piece, np.zeros(1, piece.dtype))

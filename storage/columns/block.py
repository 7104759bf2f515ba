"""Blocks: the columns of a run of readings as compressed bytes.

Each column is coded by itself, so that one can be read without the others: of the values that there
are, the first is taken away, then the greatest common divisor is divided out; what is left, or how
each differs from the one before if that is smaller, is written with the sign in the lowest bit, all
lowest bytes first, then all second ones and so on, and compressed. Before them comes a bit for each
reading that says whether it has a value, unless all have.

A quantity that no reading has is left out. A block begins with its version, the number of its
columns and of its readings, and the CRC-32 of what follows up to the columns: an entry for each of
them with the CRC-32 of its bytes.
"""

import struct
import zlib
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from domain.columns import Column, Columns, Integers
from domain.quantities import ALL_QUANTITY_NAMES
from storage.common.zstandard import zstd

BLOCK_VERSION = 1
"""Another one makes readers take the rows instead; a new quantity needs that, too."""

_LEVEL = 3
_HEADER = struct.Struct("<BBHI")
_ENTRY = struct.Struct("<BBBBIIqq")
_UTC = 0
_NUMBERS = {name: number for number, name in enumerate(ALL_QUANTITY_NAMES, 1)}
"""By which a block knows a quantity: they stay."""

_Words = NDArray[np.uint64]


class DamagedBlockError(ValueError):
    """A block is not as it was written, or of a later version."""


class _ColumnEntry(NamedTuple):
    """How a column is coded."""

    number: int
    width: int
    """Bytes of a value."""
    is_delta: int
    has_missing: int
    size: int
    crc: int
    first: int
    factor: int


def block_of(columns: Columns) -> bytes:
    """Return readings as a block, without their ids and flags."""
    coded = [_coded(_UTC, Column(columns.utc))]
    coded += [
        _coded(_NUMBERS[name], column)
        for name, column in columns.quantities.items()
        if column.known is None or column.known.any()
    ]
    index = b"".join(_ENTRY.pack(*entry) for entry, _ in coded)
    header = _HEADER.pack(BLOCK_VERSION, len(coded), len(columns), zlib.crc32(index))
    return b"".join([header, index, *(part for _, part in coded)])


def read_block(block: bytes, ids: range, names: Iterable[str]) -> Columns:
    """Return some quantities of the readings of a block, without their flags.

    A quantity that the block has no column of is missing. Raises DamagedBlockError.
    """
    found = _parts(block, len(ids))
    if _UTC not in found:
        raise DamagedBlockError
    quantities = {}
    for name in names:
        part = found.get(_NUMBERS[name])
        quantities[name] = _missing(len(ids)) if part is None else _column(*part, len(ids))
    utc = _column(*found[_UTC], len(ids)).values
    flags = np.zeros(len(ids), np.uint8)
    return Columns(np.arange(ids.start, ids.stop, dtype=np.int64), utc, quantities, flags)


def _coded(number: int, column: Column) -> tuple[_ColumnEntry, bytes]:
    has_missing = column.known is not None and not column.known.all()
    values = column.only_known
    mask = np.packbits(column.present).tobytes() if has_missing else b""
    first = values[0]
    rest = values - first
    factor = int(np.gcd.reduce(rest)) or 1
    rest //= factor
    plain, deltas = _unsigned(rest), _unsigned(np.diff(rest))
    is_delta = bool(deltas.sum(dtype=float) < plain.sum(dtype=float))
    words = deltas if is_delta else plain
    width = (int(words.max(initial=0)).bit_length() + 7) // 8
    planes = words.view(np.uint8).reshape(-1, 8)[:, :width].T.tobytes()
    part = zstd.compress(mask + planes, _LEVEL) if mask or planes else b""
    entry = _ColumnEntry(
        *(number, width, is_delta, has_missing, len(part), zlib.crc32(part), int(first), factor)
    )
    return entry, part


def _unsigned(values: Integers) -> _Words:
    """Return integers with the sign in the lowest bit."""
    return ((values << 1) ^ (values >> 63)).view(np.uint64)


def _signed(words: _Words) -> Integers:
    return ((words >> np.uint64(1)) ^ -(words & np.uint64(1))).view(np.int64)


def _parts(block: bytes, count: int) -> Mapping[int, tuple[_ColumnEntry, bytes]]:
    """Return the entries and the bytes of the columns, by their numbers."""
    try:
        version, columns, readings, crc = _HEADER.unpack_from(block)
        start = _HEADER.size
        place = start + columns * _ENTRY.size
        index = block[start:place]
        if version != BLOCK_VERSION or readings != count or zlib.crc32(index) != crc:
            raise DamagedBlockError
        found = {}
        for entry in map(_ColumnEntry._make, _ENTRY.iter_unpack(index)):
            found[entry.number] = entry, block[place : place + entry.size]
            place += entry.size
    except struct.error:
        raise DamagedBlockError from None
    return found


def _column(entry: _ColumnEntry, part: bytes, count: int) -> Column:
    if zlib.crc32(part) != entry.crc:
        raise DamagedBlockError
    mask_size = (count + 7) // 8 if entry.has_missing else 0
    plain = _decompressed(part, mask_size + entry.width * count)
    if not entry.has_missing:
        return Column(_values(entry, plain, count))
    known = np.unpackbits(np.frombuffer(plain[:mask_size], np.uint8), count=count).view(bool)
    values = np.zeros(count, np.int64)
    values[known] = _values(entry, plain[mask_size:], int(np.count_nonzero(known)))
    return Column(values, known)


def _missing(count: int) -> Column:
    return Column(np.zeros(count, np.int64), np.zeros(count, bool))


def _decompressed(part: bytes, most: int) -> bytes:
    """Return the plain bytes of a column, which are not more than so many."""
    if not part:
        return b""
    try:
        plain = zstd.ZstdDecompressor().decompress(part, most + 1)
    except zstd.ZstdError:
        raise DamagedBlockError from None
    if len(plain) > most:
        raise DamagedBlockError
    return plain


def _values(entry: _ColumnEntry, planes: bytes, count: int) -> Integers:
    size = count - 1 if entry.is_delta else count
    if entry.width > 8 or len(planes) != entry.width * size:
        raise DamagedBlockError
    letters = np.zeros((size, 8), np.uint8)
    for place in range(entry.width):
        letters[:, place] = np.frombuffer(planes, np.uint8, size, place * size)
    values = _signed(letters.view(np.uint64).ravel())
    if entry.is_delta:
        values = np.concatenate((np.zeros(1, np.int64), values)).cumsum()
    values *= entry.factor
    values += entry.first
    return values

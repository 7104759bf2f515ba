"""Entries of a cache that others can write to: only what was stored under a key is believed."""

import struct
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.cache.entry import CacheEntry
from server.cache.sealing import EntrySealer, UntrustedEntryError
from storage.common.deflate import DeflateBlock, GzipJoiner, deflate_block

METADATA = {"X-Next": "AAAAAAAAAAUdNw==", "X-Left-Out-Energy": "-1.5"}
ENTRY = CacheEntry.of([deflate_block(b"an answer"), deflate_block(b" in two parts")], METADATA)
SEALER = EntrySealer(b"a key")
SEALED = SEALER.seal("name", ENTRY)
MIB = 2**20

HEADERS = st.dictionaries(
    st.sampled_from(["X-Next", "X-Left-Out-Readings", "X-Left-Out-Energy"]),
    st.text("aZ09_=.-", min_size=1, max_size=50),
)


@given(st.lists(st.binary(min_size=1, max_size=3000), min_size=1, max_size=4), HEADERS)
def test_sealed_entry_is_opened_as_it_was(parts: list[bytes], metadata: dict[str, str]) -> None:
    entry = CacheEntry.of([deflate_block(part) for part in parts], metadata)
    opened = SEALER.open("name", SEALER.seal("name", entry))
    assert opened == entry
    assert opened.plain == b"".join(parts)


def test_entry_that_differs_in_any_byte_or_in_length_is_refused() -> None:
    for position, byte in enumerate(SEALED):
        before, after = SEALED[:position], SEALED[position + 1 :]
        for changed in (before, after, before + after, before + bytes([byte ^ 1]) + after):
            with pytest.raises(UntrustedEntryError, match="authentication code"):
                SEALER.open("name", changed)
    with pytest.raises(UntrustedEntryError, match="authentication code"):
        SEALER.open("name", SEALED + b"x")


@given(st.text(max_size=5), st.binary(max_size=5))
def test_entry_of_another_name_or_key_is_refused(name: str, key: bytes) -> None:
    with pytest.raises(UntrustedEntryError, match="authentication code"):
        SEALER.open(name, SEALED)
    with pytest.raises(UntrustedEntryError, match="authentication code"):
        EntrySealer(key).open("name", SEALED)


def test_names_and_contents_are_not_taken_for_one_another() -> None:
    """Authenticated as one text, they could be cut at another place."""
    content = ENTRY.dump()
    code = SEALED.removesuffix(content)
    for place in (1, 4):
        with pytest.raises(UntrustedEntryError, match="authentication code"):
            SEALER.open("name" + content[:place].decode(), code + content[place:])


# What an entry may hold, were it authenticated all the same


def dumped(metadata: bytes, *blocks: DeflateBlock) -> bytes:
    table = b"".join(struct.pack("<III", len(b.deflated), b.size, b.crc) for b in blocks)
    head = struct.pack("<II", len(metadata), len(blocks))
    joined = GzipJoiner()
    return b"".join([head, metadata, table, *map(joined.add, blocks), joined.end()])


@pytest.mark.parametrize(
    "metadata",
    [
        '{"Set-Cookie": "a=b"}',
        '{"Access-Control-Allow-Origin": "x"}',
        '{"X-Next": "a\\r\\nSet-Cookie: b"}',
        '{"X-Next": "a b"}',
        '{"X-Next": ""}',
        '{"X-Next": 5}',
        '["X-Next"]',
        "5",
        "{",
        '{"X-Next": "' + "a" * 2000 + '"}',
    ],
)
def test_forged_headers_do_not_pass(metadata: str) -> None:
    block = deflate_block(b"an answer")
    assert CacheEntry.load(dumped(b"{}", block)).plain == b"an answer"
    with pytest.raises(ValueError, match=r"."):
        CacheEntry.load(dumped(metadata.encode(), block))


def test_small_entry_does_not_swell() -> None:
    """A megabyte that inflates to a gibibyte, said to be small."""
    part = deflate_block(bytes(MIB))
    deflated = bytes(part.deflated) * 1024
    bomb = DeflateBlock(deflated, 100, part.crc)
    text = dumped(b"{}", bomb)
    assert len(text) < 8 * MIB
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="another size"):
            CacheEntry.load(text)
        assert tracemalloc.get_traced_memory()[1] < 3 * len(text) + MIB
    finally:
        tracemalloc.stop()


def test_block_that_ends_too_early_ends() -> None:
    short = deflate_block(b"an answer")._replace(size=2**20)
    with pytest.raises(ValueError, match="another size"):
        list(short.slices(100))
    with pytest.raises(ValueError, match="another size"):
        short.plain()


@given(st.binary(max_size=200), st.integers(0, 40), st.integers(0, 40))
def test_other_bytes_are_no_entry(text: bytes, length: int, count: int) -> None:
    for dump in (text, struct.pack("<II", length, count) + text):
        with pytest.raises(ValueError, match=r"."):
            CacheEntry.load(dump)

"""Blocks of columns: what is read from them is what the rows tell, whoever writes the rows."""

import random
import tracemalloc
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.columns import Column, Columns
from domain.quantities import ALL_QUANTITY_NAMES, QUANTITY_NAMES
from storage.backends.dialect import ANY_VALUE
from storage.columns import reader as columns_reader
from storage.columns.block import DamagedBlockError, block_of, read_block
from storage.columns.block_builder import built_block
from storage.columns.reader import read_columns
from storage.columns.row_source import SEGMENT_READINGS, ReadingIds, RowSource
from storage.common.deflate import deflate_block
from storage.common.errors import Outdated
from storage.factory import WritableDatabase
from storage.figures.summary import Summary
from storage.imports.merging import MergeOptions
from storage.meters import MAIN_METER
from tests.storage.test_merging import START, Rows, Values, prepared
from tests.support.databases import DatabaseFixture, MariadbDatabase
from tests.support.legacy_database import make_older
from tests.support.loop_time import longest_callback
from tests.support.mariadb import MariaDB
from tests.support.paths import SAMPLE

EVER = (0, 2**33)
FIRST = int(START.timestamp())
MIB = 2**20
CONFIRMED = MergeOptions(is_confirmed=True)
NUMBERS = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-(10**15), 10**15),
    st.integers(-300, 300).map(lambda number: number * 1000),
)


def columns_of(utc: Sequence[int], **quantities: Sequence[int | None]) -> Columns:
    """Readings with ids from 1 on."""
    count = len(utc)
    columns = {
        name: Column(
            np.array([value or 0 for value in values], np.int64),
            np.array([value is not None for value in values], bool),
        )
        for name, values in quantities.items()
    }
    ids = np.arange(1, count + 1)
    return Columns(ids, np.array(utc, np.int64), columns, np.zeros(count, np.uint8))


def values_of(column: Column) -> list[int | None]:
    known = zip(column.values.tolist(), column.present.tolist(), strict=True)
    return [value if is_known else None for value, is_known in known]


@given(st.data())
def test_block_has_the_values_that_were_put_in(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 30))
    utc = data.draw(st.lists(st.integers(-(2**40), 2**40), min_size=count, max_size=count))
    names = data.draw(st.lists(st.sampled_from(ALL_QUANTITY_NAMES), unique=True))
    one = st.lists(NUMBERS, min_size=count, max_size=count)
    every = {name: data.draw(one) for name in names}

    block = block_of(columns_of(utc, **every))
    found = read_block(block, range(1, count + 1), (*ALL_QUANTITY_NAMES, ANY_VALUE))

    assert found.ids.tolist() == [*range(1, count + 1)]
    assert found.utc.tolist() == utc
    for name in ALL_QUANTITY_NAMES:
        assert values_of(found.quantities[name]) == every.get(name, [None] * count)
    is_there = [
        any(values[place] is not None for values in every.values()) for place in range(count)
    ]
    assert found.quantities[ANY_VALUE].present.tolist() == is_there


def test_column_is_read_without_the_others() -> None:
    numbers = random.Random(5).choices(range(10**6), k=500)  # noqa: S311 - test data
    block = bytearray(block_of(columns_of(range(500), energy=numbers, voltage=numbers)))
    block[-100:] = bytes(100)  # of the voltage

    found = read_block(bytes(block), range(1, 501), ["energy"])

    assert found.quantities["energy"].values.tolist() == numbers
    with pytest.raises(DamagedBlockError):
        read_block(bytes(block), range(1, 501), ["voltage"])


def test_any_damaged_byte_is_noticed() -> None:
    block = block_of(columns_of([5, 7, 9, 2], energy=[3, None, 80_000, 3], voltage=[1, 1, 1, 1]))
    for place, bit in ((place, bit) for place in range(len(block)) for bit in range(8)):
        damaged = bytearray(block)
        damaged[place] ^= 1 << bit
        with pytest.raises(DamagedBlockError):
            read_block(bytes(damaged), range(1, 5), ["energy", "voltage"])


@pytest.mark.parametrize("size", [0, 1, 7, 30, -1])
def test_block_that_was_cut_short_is_noticed(size: int) -> None:
    block = block_of(columns_of([5, 7, 9, 2], energy=[3, None, 80_000, 3]))
    with pytest.raises(DamagedBlockError):
        read_block(block[:size], range(1, 5), ["energy"])


@pytest.mark.promise("Bad nights", by_test=True)
@pytest.mark.one_database
async def test_blocks_of_the_sample_are_small(database: DatabaseFixture) -> None:
    await database.load(SAMPLE)
    ((size, count),) = await database.rows("SELECT SUM(LENGTH(columns)), COUNT(*) FROM blocks")
    assert count == 2
    assert size < 14 * count * SEGMENT_READINGS


@dataclass
class Reading:
    """What is read from a database, and which ids were read from rows."""

    columns: Columns
    from_rows: list[tuple[int, int]] = field(default_factory=list)

    def table(self) -> list[tuple[int | None, ...]]:
        """The id, the time and the quantities of each reading, in order."""
        columns = self.columns
        quantities = map(values_of, columns.quantities.values())
        return [*zip(columns.ids.tolist(), columns.utc.tolist(), *quantities, strict=True)]


async def read(
    database: DatabaseFixture,
    names: Sequence[str] = ALL_QUANTITY_NAMES,
    period: tuple[int, int] = EVER,
) -> Reading:
    from_rows = []
    plain = RowSource.read

    async def recorded(
        self: RowSource, ranges: Sequence[ReadingIds], names: Sequence[str]
    ) -> list[Columns]:
        found = await plain(self, ranges, names)
        for ids, columns in zip(ranges, found, strict=True):
            if len(columns):
                from_rows.append((ids.first_id, ids.last_id))
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RowSource, "read", recorded)
        async with database.reader() as reader:
            found = [part async for part in read_columns(reader._engine, 1, *period, names)]
    nothing = columns_of([], **{name: [] for name in names})
    return Reading(Columns.joined(found or [nothing]), from_rows)


async def told(
    database: DatabaseFixture,
    names: Sequence[str] = ALL_QUANTITY_NAMES,
    period: tuple[int, int] = EVER,
) -> list[tuple[int | None, ...]]:
    """The same by SQL."""
    is_mariadb = database.kind == "mariadb"
    utc = "TIMESTAMPDIFF(SECOND, '1970-01-01', utc)" if is_mariadb else "utc"
    factor = 10**5 if is_mariadb else 1
    rows = await database.rows(
        f"SELECT id, {utc}, {', '.join(names)} FROM readings"
        f" WHERE {utc} >= {period[0]} AND {utc} < {period[1]} ORDER BY utc"
    )
    return [
        (*row[:2], *(None if value is None else int(value * factor) for value in row[2:]))
        for row in rows
    ]


def some_values(chance: random.Random, *, is_full: bool) -> Values:
    values = [
        None if chance.random() < 0.05 else chance.choice([chance.randrange(10**12), 500_000])
        for _ in ALL_QUANTITY_NAMES
    ]
    if not is_full:
        values[len(QUANTITY_NAMES) :] = [None, None]
    return (*values, None)


def rows(chance: random.Random, quarter_hours: Sequence[int], *, is_full: bool = False) -> Rows:
    names = ALL_QUANTITY_NAMES if is_full else QUANTITY_NAMES
    return Rows([(number, some_values(chance, is_full=is_full)) for number in quarter_hours], names)


async def add(writer: WritableDatabase, *reports: Rows) -> None:
    """Import into the only meter."""
    await writer.engine.begin()
    meter = await writer.meters.find(MAIN_METER)
    meter = meter or await writer.meters.register(MAIN_METER, "UTC")
    for each in reports:
        await writer.imports.load(each, meter, CONFIRMED)
    await writer.engine.commit()


@asynccontextmanager
async def filled(database: DatabaseFixture, count: int) -> AsyncIterator[WritableDatabase]:
    """A database with readings."""
    writer = await prepared(database)
    try:
        await writer.engine.admit_reader()
        await add(writer, rows(random.Random(3), range(count)))  # noqa: S311 - test data
        yield writer
    finally:
        await writer.engine.close()


async def test_blocks_tell_what_rows_tell_whatever_was_imported_or_changed(
    database: DatabaseFixture,
) -> None:
    chance = random.Random(1)  # noqa: S311 - test data
    there: set[int] = set()
    async with filled(database, 1) as writer:
        for number, kind in enumerate(chance.sample(["later", "late", "corrected", "hand"] * 2, 8)):
            if kind == "hand" and there:
                reading = chance.randrange(1, len(there))
                change = chance.choice(["UPDATE readings SET energy = 7", "DELETE FROM readings"])
                await database.rows(f"{change} WHERE id = {reading}")
                # What was deleted comes again.
                there = {((utc or 0) - FIRST) // 900 for _, utc, *_ in await told(database)}
            else:
                most = max(there, default=0)
                new = range(most + 1, most + 1 + chance.randrange(3000, 7000))
                absent = [*{*range(most)} - there]
                some = {
                    "later": chance.sample(new, len(new) * 9 // 10),
                    "late": chance.sample(absent, len(absent) // 2),
                    "corrected": chance.sample([*there], min(20, len(there))),
                }[kind if there else "later"]
                if some:
                    is_full = chance.random() < 0.5
                    await add(writer, rows(chance, sorted(some), is_full=is_full))
                there |= {*some}
            start = FIRST + chance.randrange(max(there, default=0) + 1) * 900
            for period in (EVER, (start, start + 40 * 86400)):
                names = chance.sample(ALL_QUANTITY_NAMES, 3)
                found = (await read(database, names, period)).table()
                assert found == await told(database, names, period), (number, kind)
        await add(writer, rows(chance, [max(there) + 100]))
        await require_right(database)


@pytest.mark.promise("Bad nights", by_test=True)
@pytest.mark.one_database
async def test_only_readings_without_a_block_are_read_from_rows(database: DatabaseFixture) -> None:
    async with filled(database, 3 * SEGMENT_READINGS + 5):
        whole = await read(database)
        day = await read(database, ["energy"], (FIRST + 86400, FIRST + 2 * 86400))

    assert whole.table() == await told(database)
    assert whole.from_rows == [(3 * SEGMENT_READINGS + 1, 4 * SEGMENT_READINGS)]
    assert len(day.columns) == 96
    assert day.from_rows == []


@pytest.mark.promise("Bad nights", by_test=True)
@pytest.mark.one_database
async def test_damaged_block_is_replaced_by_the_rows(database: DatabaseFixture) -> None:
    async with filled(database, 2 * SEGMENT_READINGS):
        await database.rows("UPDATE blocks SET columns = x'0102' WHERE first_id = 1")
        found = await read(database)

    assert found.table() == await told(database)
    assert found.from_rows == [(1, SEGMENT_READINGS)]


Change = str | tuple[int, int]
"""A statement, or the id and the quarter of an hour of a reading that is put there."""

EARLIER = "CREATE TABLE earlier AS SELECT * FROM pages"


def statement(database: DatabaseFixture, change: Change) -> str:
    is_mariadb = database.kind == "mariadb"
    number, quarter = (0, 4) if isinstance(change, str) else change
    utc = FIRST + quarter * 900
    instant = f"'1970-01-01' + INTERVAL {utc} SECOND" if is_mariadb else str(utc)
    if isinstance(change, str):
        old, new = ("OR REPLACE", "IGNORE") if is_mariadb else ("TRUNCATE", "DELETE FROM")
        return change.replace(old, new).format(instant=instant)
    return (
        "REPLACE INTO readings (meter_id, id, date, utc, energy)"
        f" VALUES (1, {number}, '2030-01-01 00:00:00', {instant}, 7)"
    )


async def require_right(database: DatabaseFixture) -> None:
    """Compare what is read with the rows; require blocks of all runs that are whole."""
    found = await read(database)
    assert found.table() == await told(database)
    div = "DIV" if database.kind == "mariadb" else "/"
    whole = await database.rows(
        f"SELECT (id - 1) {div} {SEGMENT_READINGS} AS run FROM readings"
        f" GROUP BY run HAVING COUNT(*) = {SEGMENT_READINGS}"
    )
    from_rows = {(first - 1) // SEGMENT_READINGS for first, _ in found.from_rows}
    assert not from_rows & {run for (run,) in whole}


@pytest.mark.parametrize(
    "changes",
    [
        ["UPDATE readings SET voltage = 9 WHERE id = 4000"],
        ["UPDATE readings SET id = 12345 WHERE id = 1"],
        ["DELETE FROM readings WHERE id = 4000"],
        [(17, 99_999)],
        [(99_999, 17)],
        ["UPDATE OR REPLACE readings SET utc = {instant} WHERE id = 4050"],
        ["TRUNCATE readings", (4017, 16)],
        ["TRUNCATE pages", "UPDATE readings SET voltage = 9 WHERE id = 1"],
        ["TRUNCATE pages", "TRUNCATE readings", (1, 16)],
        [
            *(EARLIER, "DELETE FROM readings WHERE id = 4000", "DELETE FROM pages"),
            "INSERT INTO pages SELECT * FROM earlier",
        ],
        ["DELETE FROM blocks"],
    ],
    ids=lambda changes: "; ".join(map(str, changes))[:60],
)
async def test_block_does_not_outlive_what_it_tells(
    database: DatabaseFixture, changes: Sequence[Change]
) -> None:
    """And the next import makes it anew if its readings are there."""
    async with filled(database, SEGMENT_READINGS + 100) as writer:
        for change in changes:
            await database.rows(statement(database, change))
        assert (await read(database)).table() == await told(database)
        if "TRUNCATE" not in str(changes):
            assert not await database.rows(
                "SELECT first_id FROM blocks AS b"
                " WHERE NOT EXISTS (SELECT 1 FROM pages AS p WHERE p.first_id = b.first_id)"
            )

        chance = random.Random(4)  # noqa: S311 - test data
        await add(writer, rows(chance, [500, *range(5000, 5010)]))
        await require_right(database)


@pytest.mark.promise("Bad nights", by_test=True)
@pytest.mark.one_database
async def test_block_does_not_outlive_its_page_when_an_older_loader_writes(
    database: DatabaseFixture,
) -> None:
    """After TRUNCATE, it deletes the pages that are left and adds some, but knows no blocks."""
    chance = random.Random(4)  # noqa: S311 - test data
    count = 2 * SEGMENT_READINGS
    async with filled(database, count) as writer:
        engine = writer.engine
        await database.rows(statement(database, "TRUNCATE pages"))
        pages = await engine.fetch("SELECT COUNT(*) FROM pages")
        assert pages[0][0] == 0
        await engine.begin(keeps_triggers=True)
        await engine.execute("DELETE FROM readings")
        new = rows(chance, range(count))
        assert await engine.append(new.batches(), 1, 2, 0) == count
        for first_id in (1, SEGMENT_READINGS + 1):
            await engine.store_page(1, first_id, deflate_block(b"{}"))
        await engine.commit()

        assert (await read(database)).table() == await told(database)
        await add(writer, rows(chance, range(count)))
        await require_right(database)


async def test_block_does_not_outlive_its_readings_while_a_first_import_counts_no_others(
    mariadb: MariaDB, tmp_path: Path
) -> None:
    """The trigger that notices what other programs insert is away meanwhile."""
    with MariadbDatabase(tmp_path, mariadb) as database:
        async with filled(database, SEGMENT_READINGS):
            await database.rows("TRUNCATE readings")
        writer = await prepared(database)
        try:
            await writer.engine.begin()
            await database.rows(statement(database, (1, 16)))
            assert (await read(database)).table() == await told(database)
            await writer.engine.rollback()
        finally:
            await writer.engine.close()


async def test_import_that_is_rolled_back_leaves_no_block(database: DatabaseFixture) -> None:
    async with filled(database, 10) as writer:
        await writer.engine.begin()
        meter = await writer.meters.find(MAIN_METER)
        assert meter is not None
        chance = random.Random(4)  # noqa: S311 - test data
        await writer.imports.load(rows(chance, range(2 * SEGMENT_READINGS)), meter, CONFIRMED)
        assert (await writer.engine.fetch("SELECT COUNT(*) FROM blocks"))[0][0] == 2
        await writer.engine.rollback()

        await require_right(database)


async def test_database_without_blocks_gets_them_at_the_next_import(
    database: DatabaseFixture,
) -> None:
    await database.load(SAMPLE)
    make_older(database, "CREATE TABLE blocks")
    async with database.reader() as reader:
        state = await reader.state()
        with pytest.raises(Outdated, match="run the loader"):
            await reader.figures(Summary.of({}), state)

    await database.load(SAMPLE)

    await require_right(database)
    assert (await database.rows("SELECT COUNT(*) FROM blocks"))[0][0] == 2


@pytest.mark.promise("Bad nights", by_test=True)
@pytest.mark.one_database
async def test_readings_come_in_order_and_few_wait_where_all_blocks_overlap(
    database: DatabaseFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = []
    split = columns_reader._split

    def watched(parts: Sequence[Columns], *times: int) -> tuple[Columns, Columns]:
        together.append(sum(map(len, parts)))
        return split(parts, *times)

    monkeypatch.setattr(columns_reader, "_split", watched)
    monkeypatch.setattr(columns_reader, "READINGS_AT_ONCE", 1)
    monkeypatch.setattr(columns_reader, "MOST_WAITING", 5000)
    chance = random.Random(4)  # noqa: S311 - test data
    async with filled(database, 1) as writer:
        for place in range(1, 4):
            await add(writer, rows(chance, range(place, 3 * SEGMENT_READINGS, 3)))
        found = await read(database)

    assert found.table() == await told(database)
    assert max(together) <= 5000 + SEGMENT_READINGS
    assert (await database.rows("SELECT COUNT(*) FROM blocks"))[0][0] == 3


async def test_million_readings_take_little_memory_and_hold_no_loop(
    database: DatabaseFixture,
) -> None:
    """Their rows are left out but for those that blocks are held against."""
    count = 250
    chance = np.random.default_rng(1)
    size = (count, SEGMENT_READINGS)
    known = chance.random(size) < 0.95
    values = np.where(known, chance.integers(0, 10**7, size), 0)
    async with filled(database, 1) as writer:
        engine = writer.engine
        await engine.begin(keeps_triggers=True)
        await engine.execute("DELETE FROM readings")
        for place in range(count):
            utc = 900 * np.arange(place * SEGMENT_READINGS, (place + 1) * SEGMENT_READINGS)
            column = Column(values[place], known[place])
            quantities = dict.fromkeys(QUANTITY_NAMES, column)
            columns = Columns(utc, utc, quantities, np.zeros(SEGMENT_READINGS, np.uint8))
            first_id = place * SEGMENT_READINGS + 1
            await engine.store_page(1, first_id, deflate_block(b"{}"))
            block = built_block(first_id, columns)
            await engine.store_block(1, first_id, (block.first_utc, block.last_utc), block.columns)
            utc_value = engine.dialect.utc(int(utc[0]))
            await engine.execute(
                "INSERT INTO readings (meter_id, id, date, utc)"
                f" VALUES (1, {first_id}, '1970-01-01 00:00:00', '{utc_value}')"
            )
        await engine.commit()

    found = summed = 0
    async with database.reader() as reader:
        tracemalloc.start()
        with longest_callback() as longest:
            async for part in read_columns(reader._engine, 1, *EVER, QUANTITY_NAMES):
                found += len(part)
                summed += int(part.quantities["voltage"].values.sum())
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()

    assert found == count * SEGMENT_READINGS
    assert summed == int(values.sum())
    assert peak < 40 * MIB
    assert longest.seconds < 0.02, longest.name

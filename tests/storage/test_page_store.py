"""Pages of records that are kept ready: right, forgotten and made anew."""

import gzip
import json
import struct
from pathlib import Path

import pytest

from domain.readings_query import ReadingsQuery
from domain.record_layout import CONTRACT_LAYOUT, CONTRACT_NDJSON_LAYOUT, Encoding, RecordLayout
from domain.report_source import RowBatch
from loader.sample import IMPLAUSIBLE_READINGS
from storage.common.deflate import DeflateBlock, GzipJoiner, deflate_block
from storage.common.errors import Inconsistent
from storage.imports.runs import AppendedRuns, Run
from storage.readings.page_store import PAGE_READINGS, built_page
from storage.readings.pager import MIN_PAGE_STORE_ROWS
from tests.support.app_client import Api
from tests.support.databases import DatabaseFixture, MariadbDatabase
from tests.support.mariadb import MariaDB
from tests.support.report_factory import numbered, quarters, report

TWO_PAGES = report(*numbered(quarters("2019-08-01", 2 * PAGE_READINGS + 5)))
FORMATTER = "GROUP_CONCAT"
KEPT = "SELECT first_id FROM pages ORDER BY first_id"


async def formatted(database: DatabaseFixture, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """All records, as the database itself writes them."""

    async def none_kept(*_: object) -> None:
        return None

    with monkeypatch.context() as patch:
        patch.setattr("storage.readings.pager.Pager._stored", none_kept)
        return [*await database.records()]


async def test_stored_pages_equal_what_the_database_formats(
    database: DatabaseFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = "1 Jan 2020 00:00:00,-0.000,,0007,-9999999999.99999,9999999999.99999,0.5,1,\n"
    await database.load(report(odd, *numbered(quarters("2020-01-02", PAGE_READINGS))))
    assert [row[0] for row in await database.rows(KEPT)] == [1]
    async with database.reader() as reader:
        answer = await reader.readings(ReadingsQuery(), await reader.state())
        assert isinstance(await anext(answer.pages), DeflateBlock)
        await answer.pages.aclose()
    assert await database.records() == await formatted(database, monkeypatch)


async def test_second_report_completes_the_page_that_the_first_began(
    database: DatabaseFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    await database.load(report(*numbered(quarters("2019-08-01", 96 * 3))))
    assert not await database.rows(KEPT)
    await database.load(report(*numbered(quarters("2019-08-04", 2 * PAGE_READINGS))))
    assert [row[0] for row in await database.rows(KEPT)] == [1, PAGE_READINGS + 1]
    assert await database.records() == await formatted(database, monkeypatch)


@pytest.mark.parametrize(
    ("change", "kept", "ids"),
    [
        (
            f"UPDATE readings SET voltage = 0 WHERE id = {PAGE_READINGS}",
            [1, PAGE_READINGS + 1],
            [*range(1, 2 * PAGE_READINGS + 6)],
        ),
        (
            f"DELETE FROM readings WHERE id = {PAGE_READINGS}",
            [PAGE_READINGS + 1],
            [*range(1, PAGE_READINGS), *range(PAGE_READINGS + 1, 2 * PAGE_READINGS + 7)],
        ),
    ],
)
async def test_page_of_a_reading_changed_by_hand_is_forgotten_until_it_is_whole(
    database: DatabaseFixture, change: str, kept: list[int], ids: list[int]
) -> None:
    await database.load(TWO_PAGES)
    await database.rows(change)
    assert [row[0] for row in await database.rows(KEPT)] == [PAGE_READINGS + 1]
    await database.load(TWO_PAGES)
    assert [row[0] for row in await database.rows(KEPT)] == kept
    assert [int(record["id"] or 0) for record in await database.records()] == ids


async def test_corrected_reading_is_in_its_page(
    database: DatabaseFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    await database.load(TWO_PAGES)
    corrected = TWO_PAGES.splitlines(keepends=True)
    corrected[17] = corrected[17].split(",")[0] + ",123.45,,,,,,,\n"
    await database.load("".join(corrected))
    assert [row[0] for row in await database.rows(KEPT)] == [1, PAGE_READINGS + 1]
    records = await database.records()
    assert records[16]["energy"] == "123.45000"
    assert records == await formatted(database, monkeypatch)


async def test_lost_pages_are_made_at_the_next_import(database: DatabaseFixture) -> None:
    await database.load(TWO_PAGES)
    await database.rows("DELETE FROM pages")
    before = await database.records()
    await database.load(TWO_PAGES)
    assert [row[0] for row in await database.rows(KEPT)] == [1, PAGE_READINGS + 1]
    assert await database.records() == before


async def test_pages_of_a_table_that_was_emptied_are_forgotten(database: DatabaseFixture) -> None:
    await database.load(TWO_PAGES)
    await database.rows("CREATE TABLE earlier AS SELECT * FROM pages")
    await database.rows("DELETE FROM readings")
    await database.rows("INSERT INTO pages SELECT * FROM earlier")
    await database.load(report(*numbered(quarters("2021-01-01", PAGE_READINGS))))
    records = await database.records()
    assert [row[0] for row in await database.rows(KEPT)] == [1]
    assert len(records) == PAGE_READINGS
    assert records[0]["date"] == "2021-01-01 00:00:00"


@pytest.mark.parametrize(
    ("coding", "shape"), [("gzip", {}), ("identity", {}), ("identity", {"format": "ndjson"})]
)
@pytest.mark.parametrize(
    ("first", "last", "formatted"),
    [
        (1, MIN_PAGE_STORE_ROWS, 0),
        (1000, 1000 + MIN_PAGE_STORE_ROWS, 0),
        (1, PAGE_READINGS, 0),
        (PAGE_READINGS - MIN_PAGE_STORE_ROWS, PAGE_READINGS + MIN_PAGE_STORE_ROWS, 0),
        (PAGE_READINGS - 9, 2 * PAGE_READINGS, 1),
        (1000, 999 + MIN_PAGE_STORE_ROWS - 1, 1),
        (2 * PAGE_READINGS - MIN_PAGE_STORE_ROWS, 2 * PAGE_READINGS + 9, 1),
    ],
)
async def test_parts_of_stored_pages_are_sliced_from_them(
    api: Api, first: int, last: int, formatted: int, coding: str, shape: dict[str, str]
) -> None:
    everything = await api.records("getData")
    wanted = everything[first - 1 : last]
    span = {"date": str(wanted[0]["date"]), "end_date": str(wanted[-1]["date"])}
    headers = {"Accept-Encoding": coding, "Cache-Control": "no-cache"}
    api.engine.statements.clear()
    async with await api.request("getDataByRange", span | shape, headers=headers) as response:
        text = await response.text()
    statements = [statement.upper() for statement in api.engine.statements]
    assert sum(FORMATTER in statement for statement in statements) == formatted
    if shape:
        assert [json.loads(line) for line in text.splitlines()[:-1]] == wanted
    else:
        assert json.loads(text)["values"] == {"numrecs": len(wanted), "records": wanted}


@pytest.mark.parametrize("coding", ["gzip", "identity"])
async def test_stored_pages_as_ndjson_are_the_same_records(api: Api, coding: str) -> None:
    records = await api.records("getData")
    api.engine.statements.clear()
    headers = {"Accept-Encoding": coding}
    async with await api.request("getData", {"format": "ndjson"}, headers=headers) as response:
        lines = (await response.text()).splitlines()
    assert [json.loads(line) for line in lines] == [*records, {"numrecs": len(records)}]
    assert any("FROM pages" in statement for statement in api.engine.statements)


async def test_clean_result_is_not_made_of_stored_pages(api: Api) -> None:
    records = await api.records("getData")
    doubtful = {str(number) for number in IMPLAUSIBLE_READINGS}
    clean = await api.records("getData", quality="clean")
    assert clean == [record for record in records if record["id"] not in doubtful]


@pytest.mark.filterwarnings("ignore:.* was cut by")  # as the test wants it
@pytest.mark.parametrize(
    "shape", [CONTRACT_LAYOUT, CONTRACT_NDJSON_LAYOUT, RecordLayout(encoding=Encoding.CSV_REPORT)]
)
async def test_records_that_the_database_cut_short_are_refused(
    mariadb: MariaDB, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: RecordLayout
) -> None:
    """Were it only by the last byte."""
    with MariadbDatabase(tmp_path, mariadb) as database:
        await database.load(report(*numbered(quarters("2019-08-01", 3))))
        async with database.reader() as reader:
            answer = await reader.readings(ReadingsQuery(), await reader.state(), shape)
            size = sum([len(page) async for page in answer.pages if isinstance(page, bytes)])
        for longest, is_whole in ((size, True), (size - 1, False), (size // 2, False)):
            monkeypatch.setattr("storage.backends.mysql.engine.MAX_PAGE_BYTES", longest)
            async with database.reader() as reader:
                state = await reader.state()
                if is_whole:
                    assert (await reader.readings(ReadingsQuery(), state, shape)).count == 3
                    continue
                with pytest.raises(Inconsistent, match="cut a page short: raise its max_allowed"):
                    await reader.readings(ReadingsQuery(), state, shape)


@pytest.mark.filterwarnings("ignore:.* was cut by")  # as the test wants it
async def test_page_that_the_database_truncated_is_not_stored(
    mariadb: MariaDB, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with MariadbDatabase(tmp_path, mariadb) as database:
        await database.load(TWO_PAGES)
        ((size,),) = await database.rows("SELECT MIN(size) FROM pages")
        await database.rows("DELETE FROM pages")
        monkeypatch.setattr("storage.backends.mysql.session.MAX_PAGE_BYTES", size - 1)
        await database.load(TWO_PAGES)
        assert not await database.rows(KEPT)


@pytest.mark.parametrize(
    "last_id", [0, 1, PAGE_READINGS - 2, PAGE_READINGS - 1, PAGE_READINGS, PAGE_READINGS + 1]
)
def test_pages_begin_where_a_page_begins(last_id: int) -> None:
    runs = AppendedRuns(last_id)
    row = b"1,2019-08-01 00:00:00,7200" + b",1.00000" * 8 + b"\n"

    def added(count: int) -> list[Run]:
        batch = RowBatch(row * count, count, "", "")
        return [*runs.add(batch.columns, batch.ahead)]

    assert not added(1)
    (run,) = added(2 * PAGE_READINGS - 2)
    page, first_id = built_page(*run), run.first_id
    records = json.loads(b"[" + page.plain() + b"]")
    assert first_id == -(-last_id // PAGE_READINGS) * PAGE_READINGS + 1
    assert [int(record["id"]) for record in records] == [*range(first_id, first_id + PAGE_READINGS)]


@pytest.mark.parametrize("size", [1, 1000, 10**6])
def test_slices_of_a_block_are_its_bytes(size: int) -> None:
    plain = bytes(range(256)) * 40
    slices = [*deflate_block(plain).slices(size)]
    assert b"".join(slices) == plain
    assert max(map(len, slices)) <= size


def test_blocks_join_into_one_gzip_stream() -> None:
    parts = [b"a", b"", b"b" * 10**6, bytes(range(256)) * 99]
    joined = GzipJoiner()
    stream = b"".join(joined.add(deflate_block(part)) for part in parts) + joined.end()
    assert gzip.decompress(stream) == b"".join(parts)


def test_gzip_stream_of_more_than_4_gib_tells_its_size_modulo_4_gib() -> None:
    part, joined = deflate_block(bytes(2**20)), GzipJoiner()
    for _ in range(4097):
        joined.add(part)
    (size,) = struct.unpack("<I", joined.end()[-4:])
    assert size == 2**20

"""Removing a meter: all that is its own and nothing else, however often that is interrupted."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientPayloadError

from storage import meter_removal
from storage.common.errors import Conflict, Unreachable
from storage.factory import WritableDatabase
from storage.meters import MeterRecord
from tests.support.app_client import Api, Serve, about_readings
from tests.support.databases import DatabaseFixture, MariadbDatabase, SqliteDatabase
from tests.support.mariadb import MariaDB
from tests.support.paths import ROOT
from tests.support.report_factory import numbered, quarters, report

pytestmark = pytest.mark.promise("Bad nights")

DAY = report(*numbered(quarters("2019-08-01", 96)))
LATER = report(*numbered(quarters("2019-09-01", 96)))
LONG = report(*numbered(quarters("2019-08-01", 11_000)))
MAX_ROWS = 10_000
"""Rows that a transaction may delete."""

Rows = list[dict[str, Any]]


async def fill(database: DatabaseFixture, *meters: str, text: str = DAY) -> None:
    """Load a report into each of some meters."""
    for meter in meters:
        await database.load(text, meter=meter, register=True)


def tables(database: DatabaseFixture) -> dict[str, list[str]]:
    """The columns of the tables whose rows belong to meters, which number them."""
    if isinstance(database, SqliteDatabase):
        names = database.run("SELECT name FROM sqlite_master WHERE type = 'table'")
        found = {
            name: [
                column
                for (column,) in database.run(f"SELECT name FROM pragma_table_info('{name}')")
            ]
            for (name,) in names
        }
    else:
        found = {}
        for name, column in database.run(
            "SELECT c.table_name, c.column_name FROM information_schema.columns c"
            " JOIN information_schema.tables t USING (table_schema, table_name)"
            " WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE'"
            " ORDER BY c.ordinal_position"
        ):
            found.setdefault(name, []).append(column)
    # Nobody ever sees a row of the table loading.
    return {
        name: columns
        for name, columns in found.items()
        if name == "meters" or (name != "loading" and "meter_id" in columns)
    }


def of_meters(database: DatabaseFixture, condition: str) -> dict[str, Rows]:
    """The rows of each table that belong to meters whose numbers meet a condition."""
    found = {}
    for name, columns in tables(database).items():
        key = "id" if name == "meters" else "meter_id"
        rows = database.run(f"SELECT {', '.join(columns)} FROM {name} WHERE {key} {condition}")
        found[name] = [dict(zip(columns, row, strict=True)) for row in rows]
    return found


def fill_other_tables(database: DatabaseFixture, meter: int) -> None:
    """Give a meter a row in each table that has none."""
    texts = {"day": "2019-08-01", "first_day": "2019-08-01", "last_day": "2019-08-01"}
    # A new page has no block yet.
    for name, columns in sorted(tables(database).items(), key=lambda table: table[0] != "pages"):
        if not of_meters(database, f"= {meter}")[name]:
            values = {column: texts.get(column, 0) for column in columns} | {"meter_id": meter}
            if "group_id" in columns or name == "grants":
                values["id"] = meter
            if not isinstance(database, SqliteDatabase):
                times = ("utc", "installed", "removed")
                values |= {each: "2019-08-01" for each in columns if each.endswith(times)}
            shown = ", ".join(map(repr, values.values()))
            database.run(f"INSERT INTO {name} ({', '.join(values)}) VALUES ({shown})")


async def withdraw(writer: WritableDatabase, name: str) -> MeterRecord:
    """Begin to remove a meter."""
    assert await writer.engine.is_prepared()
    meter = await writer.meters.find(name)
    assert meter is not None
    async with writer.audit.recorded(lambda: "{}"):
        await writer.removals.begin(meter)
    return meter


async def remove(database: DatabaseFixture, name: str) -> None:
    async with database.writer() as writer:
        await writer.removals.finish(await withdraw(writer, name))


def watch(
    monkeypatch: pytest.MonkeyPatch,
    writer: WritableDatabase,
    reached: Callable[[str, int], Awaitable[None]],
) -> None:
    """Call a function after each statement, with the number of rows that it wrote."""
    execute, fetch = writer.engine.execute, writer.engine.fetch

    async def executed(sql: str, args: Sequence[object] = ()) -> int:
        rows = await execute(sql, args)
        await reached(sql, rows)
        return rows

    async def fetched(sql: str, args: Sequence[object] = ()) -> Any:
        rows = await fetch(sql, args)
        await reached(sql, 0)
        return rows

    monkeypatch.setattr(writer.engine, "execute", executed)
    monkeypatch.setattr(writer.engine, "fetch", fetched)


async def test_removal_deletes_all_of_a_meter_and_nothing_of_others(
    database: DatabaseFixture,
) -> None:
    await fill(database, "a", "b", "c")
    for meter in (1, 2, 3):
        await asyncio.to_thread(fill_other_tables, database, meter)
    database.run("UPDATE meters SET replaced_by = 2 WHERE id = 1")
    database.run("UPDATE states SET changes = 0")
    assert all(of_meters(database, "= 2").values())
    before = of_meters(database, "<> 2")
    await remove(database, "b")
    assert not any(of_meters(database, "= 2").values())
    after = of_meters(database, "<> 2")
    # That it named the other as what took its place was a property, no reading.
    assert before["meters"][0].pop("replaced_by") == 2
    assert after["meters"][0].pop("replaced_by") is None
    assert before["states"][0].pop("version") != after["states"][0].pop("version")
    assert after == before


async def test_each_transaction_deletes_few_rows_and_the_meter_is_not_served_meanwhile(
    database: DatabaseFixture, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(database, "a", "b", text=LONG)
    api = await serve(database)
    routes = ("getData", "getDataById?id=5", "getAggregate?interval=month", "getSummary")
    whole = {(route, meter): await answer(api, route, meter) for route in routes for meter in "ab"}
    assert {status for status, _ in whole.values()} == {200}
    deleted, transactions = 0, []

    async def reached(sql: str, rows: int) -> None:
        nonlocal deleted
        deleted += rows if sql.startswith("DELETE") else 0
        if sql == "COMMIT":
            transactions.append(deleted)
            deleted = 0
            for route in routes:
                gone = (404, "meter: there is no meter a")
                assert await asyncio.create_task(answer(api, route, "a")) == gone
                assert await asyncio.create_task(answer(api, route, "b")) == whole[route, "b"]

    async with database.writer() as writer:
        assert await writer.engine.is_prepared()
        watch(monkeypatch, writer, reached)
        await writer.removals.finish(await withdraw(writer, "a"))
    assert len(transactions) > 4
    assert sum(transactions) > 11_000
    assert max(transactions) <= MAX_ROWS


async def answer(api: Api, route: str, meter: str) -> tuple[int, Any]:
    """The status and the content of an answer about a meter."""
    path = f"{route}{'&' if '?' in route else '?'}meter={meter}"
    status, body = await api.get(path)
    return status, body["values"] if status == 200 else body["message"]


async def test_answer_that_a_removal_overtakes_is_a_404_or_cut(
    database: DatabaseFixture, serve: Serve
) -> None:
    await fill(database, "a", "b", "c", text=LONG)
    api = await serve(database, ELECDATA_CACHE__TTL="0")

    def removing(meter: str, statement: int) -> None:
        """Remove a meter before the statement of readings with this number."""
        asked = 0

        async def step_in(sql: str) -> str:
            nonlocal asked
            asked += about_readings(sql)
            if asked == statement:
                api.engine.step_in = None
                await asyncio.create_task(remove(database, meter))
            return sql

        api.engine.step_in = step_in

    removing("a", 1)
    assert await answer(api, "getData", "a") == (404, "meter: there is no meter a")
    removing("b", 3)
    response = await api.request("getData?meter=b")
    assert response.status == 200
    with pytest.raises(ClientPayloadError):
        await response.read()
    assert (await answer(api, "getData", "c"))[0] == 200


async def test_removal_that_is_interrupted_anywhere_can_be_finished(
    database: DatabaseFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = tuple(replace(table, most=40) for table in meter_removal._TABLES)
    monkeypatch.setattr(meter_removal, "_TABLES", small)
    await fill(database, "a", "b")
    await asyncio.to_thread(fill_other_tables, database, 1)
    others = of_meters(database, "<> 1")
    left = 0

    async def reached(_sql: str, _rows: int) -> None:
        nonlocal left
        left -= 1
        if not left:
            raise Unreachable("interrupted")

    states = []
    for statement in range(1, 1000):
        async with database.writer() as writer:
            assert await writer.engine.is_prepared()
            left = statement
            with monkeypatch.context() as patched, suppress(Unreachable):
                watch(patched, writer, reached)
                await writer.removals.finish(await withdraw(writer, "a"))
        if not of_meters(database, "= 1")["meters"]:
            break
        states.append(await check_what_is_left(database))
    assert states == sorted(states)
    assert set(states) == {"served", "withdrawn"}
    assert not any(of_meters(database, "= 1").values())
    assert of_meters(database, "<> 1") == others


async def check_what_is_left(database: DatabaseFixture) -> str:
    """Whether a meter is served as before, or withdrawn for good."""
    async with database.writer() as writer, database.reader() as reader:
        assert await writer.engine.is_prepared()
        (a, _) = [meter async for meter in writer.directory.listings()]
        state = await reader.state("a")
        if not a.is_being_removed:
            assert (a.readings, state.meter) == (96, "a")
            return "served"
        assert (state.table, state.span) == (None, None)
        assert await reader.count_meters() == 1
        assert (await reader.state()).meter == "b"
    with pytest.raises(Conflict, match="the meter a is being removed: finish that with"):
        await database.load(LATER, meter="a", register=True)
    return "withdrawn"


@pytest.mark.trust
async def test_removal_that_is_killed_or_stopped_can_be_finished(
    database: DatabaseFixture,
) -> None:
    await fill(database, "a", "b", text=LONG)
    others = of_meters(database, "<> 1")
    options = ["meters", "--config", str(database.config), "remove", "a", "--yes"]
    interrupting = """if True:
        import os
        from tests.support.interrupted_loader import stop_before
        is_last = lambda sql: sql.startswith("DELETE FROM imports")
        stop_before(lambda sql: is_last(sql) and os.kill(os.getpid(), {}))
    """

    def run(code: str) -> tuple[int, str]:
        command = [sys.executable, "-c", f"{code}\nfrom elecdata import main; main()", *options]
        environ = {k: v for k, v in os.environ.items() if not k.startswith("ELECDATA_")}
        done = subprocess.run(  # noqa: S603 - this project's own program
            command, check=False, cwd=ROOT, env=environ, capture_output=True, text=True
        )
        return done.returncode, (done.stderr.splitlines() or [""])[-1]

    killed, _ = await asyncio.to_thread(run, interrupting.format(int(signal.SIGKILL)))
    assert killed == -signal.SIGKILL
    assert await check_what_is_left(database) == "withdrawn"
    stopped = await asyncio.to_thread(run, interrupting.format(int(signal.SIGINT)))
    assert stopped == (130, "Stopped; a is being removed: remove it once more")
    assert (await asyncio.to_thread(run, ""))[0] == 0
    assert not any(of_meters(database, "= 1").values())
    assert of_meters(database, "<> 1") == others


async def test_removal_of_a_meter_that_is_gone_spares_the_next_one_of_its_number(
    database: DatabaseFixture,
) -> None:
    """Two are removing a meter; before the slower one ends, another one is registered."""
    await fill(database, "a", "b")
    async with database.writer() as slow:
        meter = await withdraw(slow, "b")
        await remove(database, "b")
        await fill(database, "c")
        rows = of_meters(database, f"= {meter.id}")
        assert [row["public_id"] for row in rows["meters"]] == ["c"]
        await slow.removals.finish(meter)
    assert of_meters(database, f"= {meter.id}") == rows


async def test_other_meters_are_loaded_within_a_transaction_of_a_removal(
    mariadb: MariaDB, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No lock of it is on anything but the meter, not even on what would follow its rows."""
    with MariadbDatabase(tmp_path, mariadb) as database:
        await fill(database, "a", "b")
        loaded: list[str] = []

        async def reached(sql: str, _rows: int) -> None:
            if sql.startswith("DELETE FROM"):
                name = f"m{len(loaded)}"
                async with asyncio.timeout(20):
                    await asyncio.create_task(fill(database, "a", name))
                loaded.append(name)

        async with database.writer() as writer:
            meter = await withdraw(writer, "b")
            watch(monkeypatch, writer, reached)
            await writer.removals.finish(meter)
        assert len(loaded) >= 5


async def test_view_never_shows_another_meter_than_the_default(database: DatabaseFixture) -> None:
    """The next meter has the number of one that was removed."""
    view = "SELECT meter_id, COUNT(*) FROM consumpdata GROUP BY 1"
    await fill(database, "a", "b")
    database.configure(meter={"default": "b"})
    await fill(database, "b")
    assert list(database.run(view)) == [(2, 96)]
    await remove(database, "b")
    await fill(database, "c")
    assert list(database.run("SELECT id FROM meters WHERE public_id = 'c'")) == [(2,)]
    assert list(database.run(view)) == []
    database.configure(meter={"default": "c"})
    await fill(database, "c")
    assert list(database.run(view)) == [(2, 96)]


async def test_removal_waits_for_an_import_of_the_meter(database: DatabaseFixture) -> None:
    await fill(database, "a")
    async with database.writer() as importing, database.writer() as removing:
        assert await importing.engine.is_prepared()
        await importing.engine.begin()
        await importing.meters.lock(1)
        waits = asyncio.Event()
        removing.engine.on_wait = waits.set
        withdrawing = asyncio.create_task(withdraw(removing, "a"))
        await waits.wait()
        assert not withdrawing.done()
        await importing.engine.commit()
        await removing.removals.finish(await withdrawing)
    assert not any(of_meters(database, "= 1").values())

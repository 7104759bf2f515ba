"""The pool of connections while the database's host does not answer new ones."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from storage.backends.pool import ConnectionPool
from storage.common.errors import StorageError, Unreachable
from tests.support.databases import MariadbDatabase
from tests.support.mariadb import MariaDB
from tests.support.report_factory import numbered, quarters, report

TIMEOUT = 5.0
"""Seconds for what needs no new connection; to open one takes twice as long to fail."""


class Proxy:
    """Forwards connections to a server; once it hangs, accepts new ones and says nothing."""

    def __init__(self, server: MariaDB) -> None:
        self._server = server
        self._tasks: set[asyncio.Task[None]] = set()
        self.is_hanging = False
        self.hung = asyncio.Semaphore(0)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        async with await asyncio.start_server(self._accept, "127.0.0.1", 0) as listener:
            yield listener.sockets[0].getsockname()[1]
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, ours: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if self.is_hanging:
                self.hung.release()
                await ours.read()
                return
            theirs, server = await asyncio.open_connection(self._server.host, self._server.port)
            try:
                await asyncio.gather(self._copy(ours, server), self._copy(theirs, client))
            finally:
                server.close()
        finally:
            client.close()

    async def _copy(self, source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            to.write(data)
        to.close()


async def test_released_connection_is_used_at_once_while_another_one_hangs_in_connecting(
    mariadb: MariaDB, tmp_path: Path
) -> None:
    with MariadbDatabase(tmp_path, mariadb) as database:
        await database.load(report(*numbered(quarters("2019-08-01", 4))))
        proxy = Proxy(mariadb)
        async with proxy.listening() as port:
            url = f"mysql://127.0.0.1:{port}/{database.name}"
            database.configure(database=database.section() | {"url": url, "connections": 2})
            async with database.reader() as reader:
                await reader.meters.count()
                busy = asyncio.create_task(sleep(reader._engine.fetch))
                while not await statement_of(database):
                    await asyncio.sleep(0)
                proxy.is_hanging = True
                waiting = [asyncio.create_task(reader.meters.count()) for _ in range(4)]
                async with asyncio.timeout(TIMEOUT):
                    await proxy.hung.acquire()
                    await database.rows(f"KILL QUERY {await statement_of(database)}")
                    await busy
                    found = await asyncio.gather(*waiting)
                assert set(found) == {1}


async def sleep(fetch: Callable[[str], Awaitable[object]]) -> None:
    """Keep a connection busy until its statement is killed."""
    with suppress(StorageError):
        await fetch("SET STATEMENT max_statement_time = 0 FOR SELECT SLEEP(600)")


async def statement_of(database: MariadbDatabase) -> int:
    """Return the thread that sleeps, 0 if there is none."""
    rows = await database.rows(
        "SELECT id FROM information_schema.processlist"
        f" WHERE user = '{database.reader_user}' AND info LIKE '%SLEEP(600)%'"
    )
    return rows[0][0] if rows else 0


class Memory(sqlite3.Connection):
    """A connection that counts those which are open."""

    is_usable = True
    opened = 0

    def __init__(self) -> None:
        super().__init__(":memory:")
        Memory.opened += 1

    def close(self) -> None:
        super().close()
        Memory.opened -= 1


@pytest.mark.parametrize("turns", range(8))
async def test_client_that_leaves_while_connecting_costs_no_connection(turns: int) -> None:
    """However far it got: before, while or after it was handed its connection."""

    async def connect() -> Memory:
        await asyncio.sleep(0)
        return Memory()

    pool = ConnectionPool(connect, 1, TIMEOUT)
    leaving = asyncio.create_task(pool.acquire())
    for _ in range(turns):
        await asyncio.sleep(0)
    if leaving.cancel():
        with pytest.raises(asyncio.CancelledError):
            await leaving
    else:
        pool.release(leaving.result())
    async with asyncio.timeout(TIMEOUT):
        connection = await pool.acquire()
    assert Memory.opened == 1
    pool.release(connection)
    await pool.close()
    assert Memory.opened == 0


async def test_connection_that_cannot_be_opened_is_the_error_of_whoever_waits_for_it() -> None:
    failures = [OSError("first"), OSError("second")]

    async def connect() -> Memory:
        await asyncio.sleep(0)
        if failures:
            raise failures.pop(0)
        return Memory()

    pool = ConnectionPool(connect, 2, TIMEOUT)
    errors = await asyncio.gather(pool.acquire(), pool.acquire(), return_exceptions=True)
    assert [str(error) for error in errors] == ["first", "second"]
    connection = await pool.acquire()
    pool.release(connection)
    await pool.close()


async def test_new_connection_that_is_closed_at_once_is_an_error_for_whoever_waits() -> None:
    class HungUp(Memory):
        is_usable = False

    connections: list[type[Memory]] = [HungUp, Memory]

    async def connect() -> Memory:
        await asyncio.sleep(0)
        return connections.pop(0)()

    pool = ConnectionPool(connect, 1, TIMEOUT)
    async with asyncio.timeout(TIMEOUT):
        with pytest.raises(Unreachable, match="closed a new connection"):
            await pool.acquire()
        pool.release(await pool.acquire())
    await pool.close()
    assert Memory.opened == 0


async def test_closing_ends_abandoned_statements_first_and_then_all_waits() -> None:
    opened, ended = asyncio.Event(), []

    async def connect() -> Memory:
        await opened.wait()
        return Memory()

    pool = ConnectionPool(connect, 1, TIMEOUT)

    async def end_statement() -> None:
        connection = await pool.take()
        ended.append(True)
        pool.put(connection)

    async with asyncio.timeout(TIMEOUT):
        abandoned = asyncio.create_task(pool.acquire())
        await asyncio.sleep(0)
        opened.set()
        connection = await abandoned
        connection.is_usable = False
        pool.clean_up(connection, end_statement())
        pool.put(connection)
        waiting = asyncio.create_task(pool.take())
        await asyncio.sleep(0)
        opened.clear()
        closing = asyncio.create_task(pool.close())
        await asyncio.sleep(0)
        opened.set()
        await closing
        assert ended
        await asyncio.wait([waiting])
        with pytest.raises(Unreachable, match="connections were ended"):
            await pool.take()
    assert Memory.opened == 0

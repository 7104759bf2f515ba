"""The accounts that the loader makes: published passwords are for this machine only."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

import loader.__main__
from storage.common.errors import Refused
from tests.support.databases import MariadbDatabase, SqliteDatabase
from tests.support.mariadb import MariaDB
from tests.support.report_factory import numbered, quarters, report

ELSEWHERE = "mysql://database.example.invalid/elecprod"
REPORT = report(*numbered(quarters("2019-08-01", 4)))


@pytest.mark.parametrize(
    ("section", "replaced"),
    [
        ({"reader": {"user": "blue", "password": "blue21"}}, "database.reader.password (point"),
        ({"reader": {"user": "blue", "password": "own"}}, "api_users.rick (replace all users"),
    ],
)
def test_published_accounts_are_not_made_on_another_machine(
    tmp_path: Path, section: dict[str, object], replaced: str
) -> None:
    database = SqliteDatabase(tmp_path)
    account = {"admin": {"user": "root", "password": ""}}
    users = {"rick": "morty"} if "api_users" in replaced else {}
    database.configure(database={"url": ELSEWHERE, **account, **section}, api_users=users)
    file = database.file(REPORT)
    done = CliRunner().invoke(loader.__main__.main, ["--config", str(database.config), file])
    assert done.exit_code == 1
    (line,) = done.output.splitlines()
    assert line.startswith("ERROR - database.url: database.example.invalid is another machine")
    assert f"replace them: {replaced}" in line


@asynccontextmanager
async def seen_as(address: str, server: MariaDB) -> AsyncIterator[int]:
    """A port of this machine that leads to a server, which sees its clients at an address."""

    tasks: set[asyncio.Task[object]] = set()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while part := await reader.read(65536):
                writer.write(part)
        finally:
            writer.close()

    async def lead(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        answers, requests = await asyncio.open_connection(server.host, server.port)
        requests.write(f"PROXY TCP4 {address} {server.host} 50000 {server.port}\r\n".encode())
        await asyncio.gather(forward(reader, requests), forward(answers, writer))

    async with await asyncio.start_server(lead, "127.0.0.1", 0) as tunnel:
        yield tunnel.sockets[0].getsockname()[1]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_published_account_is_not_made_at_the_end_of_a_tunnel(
    mariadb: MariaDB, tmp_path: Path
) -> None:
    """Such as the port of a container, which leads there from other machines as well."""
    with MariadbDatabase(tmp_path, mariadb) as database:
        await database.load(REPORT)
        await database.rows("SET GLOBAL proxy_protocol_networks = '127.0.0.1'")
        try:
            async with seen_as("192.0.2.7", mariadb) as port:
                section = {**database.section(), "url": f"mysql://127.0.0.1:{port}/{database.name}"}
                database.configure(
                    database={**section, "reader": {"user": "blue", "password": "blue21"}}
                )
                with pytest.raises(Refused, match=r"knows this machine as .*reader\.password$"):
                    await database.load(REPORT)
                assert database.run("SELECT * FROM mysql.user WHERE user = 'blue'") == ()
                database.configure(database=section)
                await database.load(REPORT)
                assert len(await database.records()) == 4
        finally:
            await database.rows("SET GLOBAL proxy_protocol_networks = ''")


async def test_server_reads_what_corrections_replaced_after_the_next_load(
    mariadb: MariaDB, tmp_path: Path
) -> None:
    """Also where an earlier loader has given its account the rights of that time."""
    replaced = "SELECT reading_id, energy FROM replaced_values"
    with MariadbDatabase(tmp_path, mariadb) as database:
        await database.load(REPORT)
        account = f"'{database.reader_user}'@'localhost'"
        await database.rows(f"REVOKE SELECT ON {database.name}.replaced_values FROM {account}")
        await database.load(report(*numbered(quarters("2019-08-01", 1), 7)))
        async with database.reader() as reader:
            rows = await reader._engine.fetch(replaced)
        assert [(number, float(energy)) for number, energy in rows] == [(1, 1.0)]

"""A server that is not the database: it gets no password in plain text, and no file."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pymysql.constants import CLIENT

from settings import MysqlUrl, load_settings
from storage.backends.mysql.backup import MysqlBackup
from storage.backends.mysql.writer import MysqlWriteEngine
from storage.common.errors import Refused, StorageError, Unreachable
from storage.factory import open_backup, open_diagnostics, open_importer
from tests.support.databases import MariadbDatabase
from tests.support.hostile_mysql import CAPABILITIES, HostileMysql, listening
from tests.support.mariadb import MariaDB
from tests.support.report_factory import numbered, quarters, report

pytestmark = pytest.mark.promise("Getting in")

PASSWORD = "correct horse battery staple"

METHODS: dict[str, dict[str, Any]] = {
    "plain": {"switches_to": "mysql_clear_password"},
    "plain at once": {"greets_with": "mysql_clear_password"},
    "dialog": {"switches_to": "dialog", "question": b"\x04Password: "},
    "old": {"switches_to": "mysql_old_password", "question": b"saltsalt\0"},
    "old server": {"switches_to": "", "capabilities": CAPABILITIES & ~CLIENT.PLUGIN_AUTH},
}
SIDES: dict[str, Callable[..., Any]] = {
    "server": open_diagnostics,
    "loader": open_importer,
    "worker process": partial(open_importer, turns=0),
}


@asynccontextmanager
async def misled(kind: str, folder: Path, port: int) -> AsyncIterator[Any]:
    """The engine of a side of the database that goes to a port."""
    account = {"user": "morgan", "password": PASSWORD}
    section = {
        "url": f"mysql://127.0.0.1:{port}/elecprod",
        "reader": account,
        "admin": account,
    }
    config = folder / "config.yaml"
    config.write_text(json.dumps({"database": section}))
    side: Any = SIDES[kind](load_settings(config, {}))
    engine = side._engine if kind == "server" else side.engine
    try:
        if kind != "server":
            await engine.open()
        yield engine
    finally:
        await engine.close()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", SIDES)
async def test_password_is_not_given_in_a_form_that_can_be_read_without_tls(
    tmp_path: Path, kind: str, method: str
) -> None:
    async with listening(HostileMysql(**METHODS[method])) as hostile:
        with pytest.raises(Refused, match=r"access denied: the server asks for") as told:
            async with misled(kind, tmp_path, hostile.port) as engine:
                await engine.fetch("SELECT 1")
    assert PASSWORD not in str(told.value)
    assert PASSWORD.encode() not in hostile.received
    assert hostile.logins == []


@pytest.mark.parametrize("kind", SIDES)
async def test_file_is_not_sent_to_a_server_that_asks_for_one(tmp_path: Path, kind: str) -> None:
    secret = tmp_path / "secret"
    secret.write_text("a secret of this machine")
    async with listening(HostileMysql(file=str(secret))) as hostile:
        with suppress(StorageError):
            async with misled(kind, tmp_path, hostile.port) as engine:
                await engine.fetch("SELECT 1")
    assert hostile.statements
    assert b"a secret" not in hostile.received


@asynccontextmanager
async def copier(database: MariadbDatabase, port: int) -> AsyncIterator[MysqlBackup]:
    """Backs up a database; its programs go to another server than its own connection."""
    settings = database.settings.database
    assert settings.admin is not None
    assert isinstance(settings.location, MysqlUrl)
    zone = database.settings.meter.timezone
    engine = MysqlWriteEngine(settings.location, settings.admin, None, zone, ca=None)
    try:
        elsewhere = MysqlUrl("127.0.0.1", port, database.name)
        yield MysqlBackup(elsewhere, settings.admin, engine, ca=None)
    finally:
        await engine.close()


@pytest.fixture
async def loaded(mariadb: MariaDB, tmp_path: Path) -> AsyncIterator[MariadbDatabase]:
    with MariadbDatabase(tmp_path / "db", mariadb) as database:
        await database.load(report(*numbered(quarters("2019-08-01", 4))))
        yield database


@pytest.mark.parametrize("method", [name for name in METHODS if name != "old"])
async def test_programs_of_the_database_do_not_give_the_password_either(
    loaded: MariadbDatabase, tmp_path: Path, method: str
) -> None:
    sound = tmp_path / "sound"
    async with open_backup(loaded.settings) as driver:
        await driver.backup(sound)
    async with (
        listening(HostileMysql(**METHODS[method])) as hostile,
        copier(loaded, hostile.port) as driver,
    ):
        with pytest.raises(Unreachable, match="mariadb-dump failed: "):
            await driver.backup(tmp_path / "copy")
        loaded.run(f"DROP DATABASE {loaded.name}")
        with pytest.raises(Unreachable, match="mariadb failed: "):
            await driver.restore(sound)
    assert loaded.server.root_password.encode() not in hostile.received
    # Some answer, with nothing.
    assert not any(hostile.logins)


async def test_programs_of_the_database_send_no_file_to_a_server_that_asks_for_one(
    loaded: MariadbDatabase, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("a secret of this machine")
    async with (
        listening(HostileMysql(file=str(secret))) as hostile,
        copier(loaded, hostile.port) as driver,
    ):
        with pytest.raises(Unreachable, match="mariadb-dump failed: "):
            await driver.backup(tmp_path / "copy")
    assert hostile.statements
    assert b"a secret" not in hostile.received

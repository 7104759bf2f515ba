"""From settings to a storage: the only place that knows which engines there are."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from settings import Settings, SettingsError, SqliteUrl
from storage.copying import Copier
from storage.engine import Engine
from storage.inspection import Inspector, MysqlInspector, SqliteInspector
from storage.mysql import MysqlEngine
from storage.mysql_copy import MysqlCopier
from storage.mysql_writer import MysqlWriteEngine
from storage.reader import Reader
from storage.sqlite import SqliteEngine
from storage.sqlite_copy import SqliteCopier
from storage.sqlite_writer import SqliteWriteEngine
from storage.writer import Writer


def open_reader(settings: Settings) -> Reader:
    """The server's side of the configured database; connections are made when first needed."""
    return Reader(_engine(settings))


def open_inspector(settings: Settings) -> Inspector:
    """The same side, to be looked at."""
    engine = _engine(settings)
    location = settings.database.location
    if isinstance(location, SqliteUrl):
        return SqliteInspector(engine)
    return MysqlInspector(engine, location.name)


def open_writer(settings: Settings) -> Writer:
    """The loader's side of the configured database; its connection is made when first needed."""
    database = settings.database
    location = database.location
    if isinstance(location, SqliteUrl):
        return Writer(SqliteWriteEngine(location.path), settings.quality)
    if database.admin is None:
        raise SettingsError("database.admin: expected the loader's user and password")
    return Writer(
        MysqlWriteEngine(
            location,
            database.admin,
            database.reader,
            settings.meter.timezone,
            ca=database.tls.ca,
        ),
        settings.quality,
    )


@asynccontextmanager
async def open_copier(settings: Settings) -> AsyncIterator[Copier]:
    """The configured database, to be copied with the rights of the loader's account."""
    database = settings.database
    location = database.location
    if isinstance(location, SqliteUrl):
        yield SqliteCopier(location.path)
        return
    if database.admin is None:
        raise SettingsError("database.admin: expected the loader's user and password")
    ca = database.tls.ca
    engine = MysqlWriteEngine(location, database.admin, None, settings.meter.timezone, ca=ca)
    try:
        yield MysqlCopier(location, database.admin, engine, ca=ca)
    finally:
        await engine.close()


def _engine(settings: Settings) -> Engine:
    database = settings.database
    location = database.location
    if isinstance(location, SqliteUrl):
        return SqliteEngine(
            location.path,
            connections=database.connections,
            statement_timeout=database.statement_timeout,
        )
    if database.reader is None:
        raise SettingsError("database.reader: expected the server's user and password")
    return MysqlEngine(
        location,
        database.reader,
        ca=database.tls.ca,
        connections=database.connections,
        statement_timeout=database.statement_timeout,
    )

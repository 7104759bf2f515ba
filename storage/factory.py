"""From settings to a storage: the only place that knows which engines there are."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from settings import Settings, SettingsError, SqliteUrl
from storage.backends.backup import BackupDriver
from storage.backends.base import ReadEngine
from storage.backends.diagnostics import Diagnostics
from storage.backends.mysql.backup import MysqlBackup
from storage.backends.mysql.diagnostics import MysqlDiagnostics
from storage.backends.mysql.engine import MysqlEngine
from storage.backends.mysql.writer import MysqlWriteEngine
from storage.backends.sqlite.backup import SqliteBackup
from storage.backends.sqlite.diagnostics import SqliteDiagnostics
from storage.backends.sqlite.engine import SqliteEngine
from storage.backends.sqlite.writer import SqliteWriteEngine
from storage.database import Database
from storage.imports.import_writer import ImportWriter


def open_database(settings: Settings) -> Database:
    """The server's side of the configured database; connections are made when first needed."""
    return Database(_engine(settings))


def open_diagnostics(settings: Settings) -> Diagnostics:
    """The same side, to be looked at."""
    engine = _engine(settings)
    location = settings.database.location
    if isinstance(location, SqliteUrl):
        return SqliteDiagnostics(engine)
    return MysqlDiagnostics(engine, location.name)


def open_importer(settings: Settings) -> ImportWriter:
    """The loader's side of the configured database; its connection is made when first needed."""
    database = settings.database
    location = database.location
    if isinstance(location, SqliteUrl):
        return ImportWriter(SqliteWriteEngine(location.path), settings.quality)
    if database.admin is None:
        raise SettingsError("database.admin: expected the loader's user and password")
    return ImportWriter(
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
async def open_backup(settings: Settings) -> AsyncIterator[BackupDriver]:
    """The configured database, to be copied with the rights of the loader's account."""
    database = settings.database
    location = database.location
    if isinstance(location, SqliteUrl):
        yield SqliteBackup(location.path)
        return
    if database.admin is None:
        raise SettingsError("database.admin: expected the loader's user and password")
    ca = database.tls.ca
    engine = MysqlWriteEngine(location, database.admin, None, settings.meter.timezone, ca=ca)
    try:
        yield MysqlBackup(location, database.admin, engine, ca=ca)
    finally:
        await engine.close()


def _engine(settings: Settings) -> ReadEngine:
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

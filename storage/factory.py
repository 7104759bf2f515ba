"""Databases from settings: the only module that chooses between the engines."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from settings import MysqlUrl, QualitySettings, Settings, SettingsError, SqliteUrl
from storage.access.api_keys import KeyAdmin
from storage.access.grant_admin import GrantAdmin
from storage.access.groups import GroupAdmin
from storage.audit import AuditAdmin
from storage.backends.backup import BackupDriver
from storage.backends.base import ReadEngine, WriteEngine
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
from storage.meter_directory import MeterDirectory
from storage.meter_removal import MeterRemoval
from storage.meters import MeterAdmin
from storage.readings.export import ReadingsExport
from storage.users import UserAdmin


class WritableDatabase:
    """The loader's side of a database: what it writes, through one engine."""

    def __init__(self, engine: WriteEngine, quality: QualitySettings) -> None:
        self.engine = engine
        self.imports = ImportWriter(engine, quality)
        self.users = UserAdmin(engine)
        self.meters = MeterAdmin(engine)
        self.directory = MeterDirectory(engine)
        self.removals = MeterRemoval(engine)
        self.exports = ReadingsExport(engine)
        self.audit = AuditAdmin(engine)
        self.grants = GrantAdmin(engine)
        self.groups = GroupAdmin(engine)
        self.api_keys = KeyAdmin(engine)


def open_database(settings: Settings) -> Database:
    """Return the server's side of the configured database; it connects when first needed."""
    meter = settings.meter
    return Database(_engine(settings), meter.default, meter.timezone.key)


def open_diagnostics(settings: Settings) -> Diagnostics:
    """Return the diagnostics of the configured database."""
    engine = _engine(settings)
    location = settings.database.location
    if isinstance(location, SqliteUrl):
        return SqliteDiagnostics(engine)
    return MysqlDiagnostics(engine, location.name, changes_passwords=settings.has_own_passwords)


def open_importer(settings: Settings, *, turns: int | None = None) -> WritableDatabase:
    """Return the loader's side of the configured database; it connects when first needed.

    If several processes import many reports, `turns` is the descriptor of a file that they share;
    what they have written is safe once `sync` was called.
    """
    location = settings.database.location
    engine: WriteEngine
    if isinstance(location, SqliteUrl):
        engine = SqliteWriteEngine(location.path, settings.meter.timezone, turns)
    else:
        engine = _mysql_write_engine(settings, location, is_one_of_several=turns is not None)
    return WritableDatabase(engine, settings.quality)


@asynccontextmanager
async def open_backup(settings: Settings) -> AsyncIterator[BackupDriver]:
    """Return the backup driver of the configured database, with the loader's rights."""
    database = settings.database
    location = database.location
    if isinstance(location, SqliteUrl):
        yield SqliteBackup(location.path)
        return
    engine = _mysql_write_engine(settings, location)
    assert database.admin is not None
    try:
        yield MysqlBackup(location, database.admin, engine, ca=database.tls.ca)
    finally:
        await engine.close()


def _mysql_write_engine(
    settings: Settings, location: MysqlUrl, *, is_one_of_several: bool = False
) -> MysqlWriteEngine:
    database = settings.database
    if database.admin is None:
        raise SettingsError("database.admin: expected the loader's user and password")
    return MysqlWriteEngine(
        location,
        database.admin,
        database.reader,
        settings.meter.timezone,
        ca=database.tls.ca,
        changes_passwords=settings.has_own_passwords,
        is_one_of_several=is_one_of_several,
    )


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

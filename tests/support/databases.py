"""Temporary databases for tests, of each engine, with direct access to their rows."""

import asyncio
import json
import secrets
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Self

import pymysql

from domain.readings_query import ReadingsQuery
from loader.importer import Importer, ImportListener
from loader.imports.outcome import ImportSummary
from settings import Settings, load_settings
from storage.access.groups import GroupProperties, MemberProperties
from storage.access.targets import Target
from storage.common.deflate import DeflateBlock
from storage.common.passwords import hash_password
from storage.database import Database
from storage.factory import WritableDatabase, open_database, open_importer
from tests.support.mariadb import MariaDB

BUILDING = "building"
"""The group in the examples."""

Record = dict[str, str | None]

_hashed = cache(hash_password)
"""A hash takes a fifth of a second."""

SILENT = ImportListener(
    on_step=lambda _: None, on_wait=lambda: None, on_progress=lambda _report, _size: None
)


class DatabaseFixture(ABC):
    """A database that does not exist yet, and the config.yaml that names it.

    As a context manager it is dropped on exit. It has no API users unless some are configured.
    """

    kind: ClassVar[str]

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.name = name
        self.config = folder / "config.yaml"
        folder.mkdir(exist_ok=True)
        self.configure()

    @property
    def settings(self) -> Settings:
        """The settings in config.yaml."""
        return load_settings(self.config, {})

    def configure(self, **sections: object) -> None:
        """Write config.yaml: these sections and the database's own."""
        self.config.write_text(json.dumps({"database": self.section(), **sections}))

    @abstractmethod
    def section(self) -> dict[str, object]:
        """Return the keys of the section `database`."""

    def file(self, report: str | bytes, name: str = "report.csv") -> str:
        """Write a report to a new file; return its path."""
        path = self.folder / name
        path.write_bytes(report.encode() if isinstance(report, str) else report)
        return str(path)

    async def load(
        self,
        *reports: str | Path,
        skip_bad_rows: bool = False,
        listener: ImportListener = SILENT,
        meter: str | None = None,
        register: bool = False,
        empty_erases: bool = False,
        allow_corrections: bool = False,
        interval: int | None = None,
    ) -> list[ImportSummary]:
        """Import files, or texts, as the loader does."""
        paths = [
            self.file(report, f"report-{number}.csv") if "\n" in str(report) else str(report)
            for number, report in enumerate(map(str, reports))
        ]
        async with self.writer() as writer:
            importer = Importer(
                *(self.settings, writer, listener),
                meter_name=meter,
                register=register,
                interval=interval,
            )
            await importer.prepare()
            return await importer.run(
                paths,
                skip_bad_rows=skip_bad_rows,
                empty_erases=empty_erases,
                allow_corrections=allow_corrections,
            )

    @asynccontextmanager
    async def writer(self) -> AsyncIterator[WritableDatabase]:
        """Open the database for the loader."""
        writer = open_importer(self.settings)
        try:
            yield writer
        finally:
            await writer.engine.close()

    @asynccontextmanager
    async def reader(self) -> AsyncIterator[Database]:
        """Open the database for the server."""
        reader = open_database(self.settings)
        try:
            yield reader
        finally:
            await reader.close()

    async def records(self, query: ReadingsQuery | None = None) -> list[Record]:
        """Return the records that the server would return; by default all."""
        async with self.reader() as reader:
            answer = await reader.readings(query or ReadingsQuery(), await reader.state())
            pages = [
                page.plain() if isinstance(page, DeflateBlock) else page
                async for page in answer.pages
            ]
        records: list[Record] = json.loads(b"[" + b",".join(pages) + b"]")
        return records

    async def add_group(self, group: str, *meters: str) -> None:
        """Add a group of meters to a database that is there."""
        async with self.writer() as writer:
            assert await writer.engine.is_prepared()
            await writer.engine.begin_change()
            await writer.groups.add(GroupProperties(group))
            for meter in meters:
                await writer.groups.add_member(group, MemberProperties(Target(meter)))
            await writer.engine.commit()

    async def admit(self, user: str) -> None:
        """Add a user whose password is the user's name, unless there are users already."""
        if not self.exists():
            return
        async with self.writer() as writer:
            if await writer.engine.is_prepared() and not await writer.users.users():
                await writer.users.add(user, _hashed(user))

    async def rows(self, sql: str) -> Sequence[tuple[Any, ...]]:
        """Return the rows of a statement, run with all rights."""
        return await asyncio.to_thread(self.run, sql)

    @abstractmethod
    def run(self, sql: str) -> Sequence[tuple[Any, ...]]:
        """Run a statement with all rights."""

    @abstractmethod
    def exists(self) -> bool:
        """Return whether the database exists."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.drop()

    @abstractmethod
    def drop(self) -> None:
        """Drop the database and everything created for it."""


class SqliteDatabase(DatabaseFixture):
    """A database in one file."""

    kind = "sqlite"

    def __init__(self, folder: Path) -> None:
        self.path = folder / "data" / "elecprod.db"
        super().__init__(folder, "elecprod")

    def section(self) -> dict[str, object]:
        return {"url": f"sqlite:///{self.path}"}

    def run(self, sql: str) -> Sequence[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.path)) as connection, connection:
            return connection.execute(sql).fetchall()

    def exists(self) -> bool:
        return self.path.parent.exists()

    def drop(self) -> None:
        pass  # the folder goes with everything in it


class MariadbDatabase(DatabaseFixture):
    """A database on a server that other tests use too, read by an account of its own."""

    kind = "mariadb"

    def __init__(self, folder: Path, server: MariaDB) -> None:
        self.server = server
        token = secrets.token_hex(4)
        self.reader_user = f"reader_{token}"
        super().__init__(folder, f"elecprod_{token}")

    def section(self) -> dict[str, object]:
        admin: Mapping[str, str] = {
            "user": self.server.root_user,
            "password": self.server.root_password,
        }
        return {
            "url": f"mysql://{self.server.host}:{self.server.port}/{self.name}",
            "reader": {"user": self.reader_user, "password": "reads only"},
            "admin": admin,
        }

    def run(self, sql: str) -> Sequence[tuple[Any, ...]]:
        return self._run(sql, self.name)

    def exists(self) -> bool:
        return bool(self._run(f"SHOW DATABASES LIKE '{self.name}'"))

    def drop(self) -> None:
        self._run(f"DROP DATABASE IF EXISTS {self.name}")
        hosts = self._run(f"SELECT host FROM mysql.user WHERE user = '{self.reader_user}'")
        for (host,) in hosts:
            self._run(f"DROP USER '{self.reader_user}'@'{host}'")

    def _run(self, sql: str, database: str | None = None) -> Sequence[tuple[Any, ...]]:
        with (
            closing(
                pymysql.connect(
                    # Its socket counts as secure where the server refuses what is not.
                    unix_socket=str(self.server.socket),
                    user=self.server.root_user,
                    password=self.server.root_password,
                    database=database,
                    autocommit=True,
                    # To prepare TLS takes a twentieth of a second, each time.
                    ssl_disabled=True,
                )
            ) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(sql)
            return cursor.fetchall()

"""Imports of a report, and unchecked imports by the databases' own tools."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass

from bench.contenders.columnar import TITLES, ColumnarImport, table_of
from bench.contenders.limits import client, password
from bench.datasets import Dataset
from bench.measure import Contender, Sample
from bench.paths import program
from bench.process import timed
from bench.workspace import ENGINES, Engine, Workspace

FIRST = {"mariadb": "this loader, MariaDB", "sqlite": "this loader, SQLite"}
AGAIN = {engine: f"{name}, the same again" for engine, name in FIRST.items()}
LOAD_DATA = "LOAD DATA, unchecked"
SHELL_IMPORT = "sqlite3 .import, unchecked"


@dataclass(frozen=True, slots=True)
class Import:
    """The loader, from the start of its process to the end."""

    workspace: Workspace
    engine: Engine
    dataset: Dataset
    again: bool = False

    @property
    def name(self) -> str:
        """The name in the tables."""
        return (AGAIN if self.again else FIRST)[self.engine]

    def run(self) -> Sample:
        """Import into an empty database, or again into a full one."""
        if not self.again:
            self.workspace.clear(self.engine, self.dataset)
        seconds, peak = self.workspace.load(self.engine, self.dataset)
        return Sample(seconds, peak=peak)


@dataclass(frozen=True, slots=True)
class LoadData:
    """LOAD DATA LOCAL of a file of the table's own rows into a table like it, indexes and all."""

    workspace: Workspace
    dataset: Dataset
    name: str = LOAD_DATA

    def run(self) -> Sample:
        """Load into an empty table."""
        rows = self.dataset.folder / "rows.tsv"
        rows.unlink(missing_ok=True)
        table = f"{self.dataset.schema}.readings"
        database = self.workspace.mariadb
        database.query(f"SELECT * FROM {table} ORDER BY meter_id, id INTO OUTFILE '{rows}'")
        database.query("DROP DATABASE IF EXISTS unchecked")
        database.query("CREATE DATABASE unchecked")
        database.query(f"CREATE TABLE unchecked.readings LIKE {table}")
        load = f"LOAD DATA LOCAL INFILE '{rows}' INTO TABLE readings"
        command = [*client(self.workspace), "--local-infile=1", "unchecked", "-e", load]
        seconds, _ = timed(command, changes=password(self.workspace))
        database.query("DROP DATABASE unchecked")
        rows.unlink()
        return Sample(seconds)


@dataclass(frozen=True, slots=True)
class ShellImport:
    """The shell's .import of a file of the table's own rows into a table like it."""

    dataset: Dataset
    name: str = SHELL_IMPORT

    def run(self) -> Sample:
        """Import into an empty table."""
        rows = self.dataset.folder / "rows.csv"
        database = self.dataset.folder / "unchecked.db"
        database.unlink(missing_ok=True)
        shell = [program("sqlite3"), "-batch"]
        script = f".mode csv\n.output {rows}\nSELECT * FROM readings ORDER BY meter_id, id;\n"
        timed([*shell, str(self.dataset.sqlite)], stdin=script)
        with (
            closing(sqlite3.connect(self.dataset.sqlite)) as source,
            closing(sqlite3.connect(database)) as target,
        ):
            made = source.execute(
                "SELECT sql FROM sqlite_master"
                " WHERE tbl_name = 'readings' AND sql IS NOT NULL AND type <> 'trigger'"
                " ORDER BY type DESC"
            )
            for (statement,) in made.fetchall():
                target.execute(statement)
        seconds, _ = timed([*shell, str(database)], stdin=f".mode csv\n.import {rows} readings\n")
        rows.unlink()
        database.unlink()
        return Sample(seconds)


def contenders(workspace: Workspace, dataset: Dataset) -> list[Contender]:
    """Return all imports, each engine's first one before those that need its rows."""
    return [*first_imports(workspace, dataset), *repeated_imports(workspace, dataset)]


def first_imports(workspace: Workspace, dataset: Dataset) -> list[Contender]:
    """Return the imports into empty tables."""
    return [
        Import(workspace, "mariadb", dataset),
        LoadData(workspace, dataset),
        Import(workspace, "sqlite", dataset),
        ShellImport(dataset),
        *(ColumnarImport(table_of(engine, dataset)) for engine in TITLES),
    ]


def repeated_imports(workspace: Workspace, dataset: Dataset) -> list[Import]:
    """Return the imports into tables that contain the same readings."""
    return [Import(workspace, engine, dataset, again=True) for engine in ENGINES]

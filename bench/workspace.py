"""The databases and datasets of a run."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Protocol

from bench.database import BenchMariaDB
from bench.datasets import Dataset
from bench.fleets import FILE_NAME, Copies, Fleet
from bench.paths import SERVICE_PYTHON, MissingError
from bench.process import timed
from tests.support.mariadb import find_mariadb

Engine = Literal["mariadb", "sqlite"]
ENGINES: tuple[Engine, ...] = ("mariadb", "sqlite")

ORIGINAL_USER = ("original", "the-original-password")


class Location(Protocol):
    """Where a database is, on either engine."""

    @property
    def sqlite(self) -> Path:
        """The file."""

    @property
    def schema(self) -> str:
        """The database on MariaDB."""


class Workspace:
    """Datasets on a MariaDB server and in SQLite files."""

    def __init__(self, mariadb: BenchMariaDB, middlewares: int) -> None:
        self.mariadb = mariadb
        self.middlewares = middlewares
        """Empty middlewares of the bare handler that the service is compared with."""
        self._imported: set[tuple[Engine, str]] = set()

    def settings(self, engine: Engine, location: Location) -> dict[str, str]:
        """Return the environment that points the service and its loader to a database."""
        server = self.mariadb
        urls = {
            "mariadb": f"mariadb://{server.host}:{server.port}/{location.schema}",
            "sqlite": f"sqlite:///{location.sqlite}",
        }
        return {
            "ELECDATA_DATABASE__URL": urls[engine],
            "ELECDATA_DATABASE__ADMIN__USER": server.root_user,
            "ELECDATA_DATABASE__ADMIN__PASSWORD": server.root_password,
            # One user at one address is all the load: it is counted, and never put off.
            "ELECDATA_LIMITS__REQUESTS_PER_USER": "1000000000",
            "ELECDATA_LIMITS__REQUESTS_PER_ADDRESS": "1000000000",
        }

    def load(self, engine: Engine, dataset: Dataset) -> tuple[float, float]:
        """Run the loader; return its seconds and its peak memory in MiB."""
        dataset.make_report()
        measured = timed(
            [str(SERVICE_PYTHON), "-m", "loader", str(dataset.report)],
            changes=self.settings(engine, dataset),
        )
        self._imported.add((engine, dataset.schema))
        return measured

    def register(self, engine: Engine, fleet: Fleet) -> None:
        """Create a database with the meters of a fleet, which have no readings yet."""
        fleet.make_reports()
        self.clear(engine, fleet)
        timed(
            [str(SERVICE_PYTHON), "-m", "bench.registration", str(fleet.list_of_meters)],
            changes=self.settings(engine, fleet),
        )

    def deliver(
        self, engine: Engine, fleet: Fleet | Copies, location: Location, *options: str
    ) -> tuple[float, float]:
        """Load a fleet's reports into a database; return seconds and peak memory in MiB."""
        fleet.make_reports()
        return timed(
            [str(SERVICE_PYTHON), "-m", "loader", *options, *map(str, fleet.reports)],
            changes={**self.settings(engine, location), "ELECDATA_METER__FILE_NAME": FILE_NAME},
        )

    def grant(self, engine: Engine, location: Location, users: Sequence[str]) -> None:
        """Grant each meter of a database to some users, meter by meter, and nothing else."""
        timed(
            [str(SERVICE_PYTHON), "-m", "bench.granting", *users],
            changes=self.settings(engine, location),
        )

    def clear(self, engine: Engine, location: Location) -> None:
        """Drop a database."""
        if engine == "mariadb":
            self.mariadb.query(f"DROP DATABASE IF EXISTS {location.schema}")
        else:
            for ending in ("", "-wal", "-shm", "-journal"):
                location.sqlite.with_name(location.sqlite.name + ending).unlink(missing_ok=True)
        self._imported.discard((engine, location.schema))

    def require(self, engine: Engine, dataset: Dataset) -> None:
        """Import the readings into a database, unless they are there."""
        if (engine, dataset.schema) not in self._imported:
            self.clear(engine, dataset)
            self.load(engine, dataset)

    def add_original_user(self, dataset: Dataset) -> None:
        """Add a user with the original's kind of password hash, made by the table's trigger."""
        self.mariadb.query(
            f"INSERT IGNORE INTO {dataset.schema}.users (user, password) VALUES (%s, %s)",
            ORIGINAL_USER,
        )


@contextmanager
def open_workspace(middlewares: int) -> Iterator[Workspace]:
    """Yield a workspace with a database server that runs until its end."""
    program = find_mariadb()
    if program is None:
        raise MissingError("mariadbd is not installed: `make test` installs it")
    with BenchMariaDB(program) as mariadb:
        yield Workspace(mariadb, middlewares)

"""The lower limits: the databases' own clients, and bytes sent from memory."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.contenders.http import HttpContender
from bench.datasets import KEYS, Dataset
from bench.measure import Sample
from bench.paths import BENCH_PYTHON, program
from bench.process import Server, timed
from bench.workspace import Workspace

DUMP = "mariadb --quick --batch"
SHELL = "sqlite3 -csv"
BARE = "the same bytes from memory"
WRAPPED = "the same bytes behind empty middlewares"
_COLUMNS = ", ".join(KEYS)


@dataclass(frozen=True, slots=True)
class MariadbDump:
    """MariaDB's client, which writes the columns of the response to /dev/null."""

    workspace: Workspace
    dataset: Dataset
    name: str = DUMP

    def run(self) -> Sample:
        """Write all readings."""
        select = f"SELECT {_COLUMNS} FROM consumpdata ORDER BY id"
        options = ["--quick", "--batch", self.dataset.schema, "-e", select]
        seconds, _ = timed([*client(self.workspace), *options], changes=password(self.workspace))
        return Sample(seconds)


@dataclass(frozen=True, slots=True)
class SqliteDump:
    """SQLite's shell, which writes the same columns, as stored, to /dev/null."""

    dataset: Dataset
    name: str = SHELL

    def run(self) -> Sample:
        """Write all readings."""
        select = f"SELECT {_COLUMNS} FROM consumpdata ORDER BY id"
        seconds, _ = timed([program("sqlite3"), "-csv", str(self.dataset.sqlite), select])
        return Sample(seconds)


class BareHandler(Server):
    """An aiohttp handler that sends a file's bytes from memory."""

    name = "bare"

    def __init__(self, file: str, *, middlewares: int, chunked: bool, encoding: str = "") -> None:
        super().__init__()
        self._options = ["--middlewares", str(middlewares)]
        if chunked:
            self._options.append("--chunked")
        if encoding:
            self._options += ["--encoding", encoding]
        self._options.append(file)

    def command(self) -> Sequence[str]:
        return [
            *(str(BENCH_PYTHON), "-m", "bench.baselines.bare_handler"),
            *("--port", str(self.port), *self._options),
        ]


def contenders(
    workspace: Workspace, dataset: Dataset
) -> list[MariadbDump | SqliteDump | HttpContender]:
    """Return the contenders that are limits of getData."""

    def bare(count: int) -> BareHandler:
        return BareHandler(str(dataset.answer), middlewares=count, chunked=True)

    return [
        MariadbDump(workspace, dataset),
        SqliteDump(dataset),
        HttpContender(BARE, lambda: bare(0), "/", dataset.readings, counts_memory=False),
        HttpContender(
            WRAPPED, lambda: bare(workspace.middlewares), "/", dataset.readings, counts_memory=False
        ),
    ]


def client(workspace: Workspace) -> list[str]:
    """Return the command of MariaDB's client, connected as the service is."""
    server = workspace.mariadb
    return [
        *(program("mariadb"), "--no-defaults", "--protocol=tcp", f"--host={server.host}"),
        *(f"--port={server.port}", f"--user={server.root_user}"),
        "--skip-ssl",  # which the server does not speak, and newer clients demand
    ]


def password(workspace: Workspace) -> dict[str, str]:
    """Return the environment with the client's password."""
    return {"MYSQL_PWD": workspace.mariadb.root_password}

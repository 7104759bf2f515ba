"""The baselines as contenders: the original service, and the usual way to stream."""

from collections.abc import Sequence

from bench.contenders.http import HttpContender
from bench.contenders.service import ALL
from bench.datasets import Dataset
from bench.http_client import token
from bench.paths import BENCH_PYTHON
from bench.process import Server, environment
from bench.workspace import ORIGINAL_USER, Workspace

ORIGINAL = "the original (Flask)"
PLAIN = "aiohttp, aiomysql SSCursor"


class Script(Server):
    """A module of bench.baselines with a database on MariaDB."""

    def __init__(self, module: str, workspace: Workspace, dataset: Dataset) -> None:
        super().__init__()
        self.name = module.rpartition(".")[2]
        self._module = module
        self._database = {
            "DATABASE_HOST": workspace.mariadb.host,
            "DATABASE_PORT": str(workspace.mariadb.port),
            "DATABASE_NAME": dataset.schema,
            "DATABASE_USER": workspace.mariadb.root_user,
            "DATABASE_PASSWORD": workspace.mariadb.root_password,
        }

    def command(self) -> Sequence[str]:
        return [str(BENCH_PYTHON), "-m", self._module, "--port", str(self.port)]

    def environment(self) -> dict[str, str]:
        return environment(self._database)


class Original(Script):
    """The original service, with a token."""

    def prepare(self) -> None:
        self.headers = {"SESSION": token(self.port, *ORIGINAL_USER)}


def original(workspace: Workspace, dataset: Dataset) -> HttpContender:
    """Return the contender for all readings from the original."""

    def start() -> Original:
        workspace.add_original_user(dataset)
        return Original("bench.baselines.original_flask", workspace, dataset)

    return HttpContender(ORIGINAL, start, ALL, dataset.readings)


def plain(workspace: Workspace, dataset: Dataset) -> HttpContender:
    """Return the contender for all readings through a cursor."""

    def start() -> Script:
        return Script("bench.baselines.plain_aiomysql", workspace, dataset)

    return HttpContender(PLAIN, start, ALL, dataset.readings)

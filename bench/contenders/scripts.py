"""The peers that are written here: the original as it was, and the usual way to stream."""

from collections.abc import Sequence

from bench.contenders.http import HttpSide
from bench.contenders.service import ALL
from bench.datasets import Dataset
from bench.http_client import token
from bench.paths import BENCH_PYTHON
from bench.process import Server, environment
from bench.workspace import ORIGINAL_USER, Lab

ORIGINAL = "the original (Flask)"
PLAIN = "aiohttp, aiomysql SSCursor"


class Script(Server):
    """A module of this folder over a database on MariaDB."""

    def __init__(self, module: str, lab: Lab, dataset: Dataset) -> None:
        super().__init__()
        self.name = module.rpartition(".")[2]
        self._module = module
        self._database = {
            "DATABASE_HOST": lab.mariadb.host,
            "DATABASE_PORT": str(lab.mariadb.port),
            "DATABASE_NAME": dataset.schema,
            "DATABASE_USER": lab.mariadb.root_user,
            "DATABASE_PASSWORD": lab.mariadb.root_password,
        }

    def command(self) -> Sequence[str]:
        return [str(BENCH_PYTHON), "-m", self._module, "--port", str(self.port)]

    def environment(self) -> dict[str, str]:
        return environment(self._database)


class Original(Script):
    """The original, logged in to."""

    def prepare(self) -> None:
        self.headers = {"SESSION": token(self.port, *ORIGINAL_USER)}


def original(lab: Lab, dataset: Dataset) -> HttpSide:
    """All readings from the original."""

    def start() -> Original:
        lab.add_original_user(dataset)
        return Original("bench.baselines.original_flask", lab, dataset)

    return HttpSide(ORIGINAL, start, ALL, dataset.readings)


def plain(lab: Lab, dataset: Dataset) -> HttpSide:
    """All readings through a cursor."""

    def start() -> Script:
        return Script("bench.baselines.plain_aiomysql", lab, dataset)

    return HttpSide(PLAIN, start, ALL, dataset.readings)

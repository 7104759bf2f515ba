"""This service as a contender."""

import subprocess
from collections.abc import Sequence

from bench.contenders.http import HttpContender
from bench.datasets import Dataset
from bench.http_client import token
from bench.paths import ROOT, SERVICE_PYTHON
from bench.process import Server, environment
from bench.workspace import Engine, Location, Workspace

ALL = "/apielec/getData"
ONE = "/apielec/getDataById?id=5"
UNCACHED = {"Cache-Control": "no-cache"}
GZIP = {"Accept-Encoding": "gzip"}
FORMATS = {"ndjson": "NDJSON", "csv": "CSV", "parquet": "Parquet"}
TITLES = {"mariadb": "this service, MariaDB", "sqlite": "this service, SQLite"}
USER = "rick"
_LOGIN = (USER, "morty")  # the demonstration's, good on this machine only

_COUNT_MIDDLEWARES = """
from server.app import make_app
from server.security.signing_keys import SigningKeys
from settings import load_settings
from storage.factory import open_database
settings = load_settings()
keys = SigningKeys.single("-" * 32)
app = make_app(settings=settings, database=open_database(settings), signing_keys=keys)
print(len(app.middlewares))
"""


class Service(Server):
    """The service with one database and the settings of config.yaml."""

    def __init__(
        self, workspace: Workspace, engine: Engine, location: Location, workers: int = 1
    ) -> None:
        super().__init__()
        self.name = f"service-{engine}"
        self._settings = workspace.settings(engine, location)
        self._settings["ELECDATA_SERVER__PORT"] = str(self.port)
        # All of the load generator's connections come from one address.
        for limit in ("CONNECTIONS", "CONNECTIONS_PER_ADDRESS"):
            self._settings[f"ELECDATA_LIMITS__{limit}"] = "100000"
        if workers > 1:
            self._settings["ELECDATA_SERVER__WORKERS"] = str(workers)

    def command(self) -> Sequence[str]:
        return [str(SERVICE_PYTHON), "-m", "server"]

    def environment(self) -> dict[str, str]:
        return environment(self._settings)

    def prepare(self) -> None:
        self.headers = {"SESSION": token(self.port, *_LOGIN)}


def contenders(workspace: Workspace, engine: Engine, dataset: Dataset) -> list[HttpContender]:
    """Return the contenders for all readings: cached or not, compressed or not, in all formats."""

    def start() -> Service:
        return Service(workspace, engine, dataset)

    title = TITLES[engine]
    return [
        HttpContender(title, start, ALL, dataset.readings, UNCACHED, warm=(ONE,)),
        HttpContender(f"{title}, gzip", start, ALL, dataset.readings, UNCACHED | GZIP, warm=(ONE,)),
        HttpContender(f"{title}, cached", start, ALL, dataset.readings, warm=(ALL,)),
        HttpContender(f"{title}, cached, gzip", start, ALL, dataset.readings, GZIP, warm=(ALL,)),
        *(
            HttpContender(
                f"{title}, {name}",
                start,
                f"{ALL}?format={parameter}",
                dataset.readings,
                UNCACHED,
                warm=(f"{ONE}&format={parameter}",),
            )
            for parameter, name in FORMATS.items()
        ),
    ]


def count_middlewares() -> int:
    """Return the number of middlewares that a request passes through in the service."""
    process = subprocess.run(
        [str(SERVICE_PYTHON), "-c", _COUNT_MIDDLEWARES],
        cwd=ROOT,
        env=environment(),
        check=True,
        capture_output=True,
        text=True,
    )
    return int(process.stdout)

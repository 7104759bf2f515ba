"""roapi over a CSV file of texts, which it reads at its start."""

import json
from collections.abc import Sequence

from bench.contenders.http import HttpContender
from bench.datasets import KEYS, Dataset
from bench.paths import program
from bench.process import HOST, Server
from tests.support.live_server import free_port

ROAPI = "roapi"


class Roapi(Server):
    """roapi with all columns as texts."""

    name = "roapi"

    def __init__(self, dataset: Dataset) -> None:
        super().__init__()
        self._config = dataset.folder / "roapi.yaml"
        columns = [{"name": name, "data_type": "Utf8", "nullable": True} for name in KEYS]
        config = {
            "addr": {
                "http": f"{HOST}:{self.port}",
                "postgres": f"{HOST}:{free_port(HOST)}",
                "flight_sql": f"{HOST}:{free_port(HOST)}",
            },
            "tables": [
                {
                    "name": "consumpdata",
                    "uri": str(dataset.table),
                    "option": {"format": "csv", "has_header": True, "delimiter": ","},
                    "schema": {"columns": columns},
                }
            ],
        }
        # JSON is YAML as well.
        self._config.write_text(json.dumps(config))

    def command(self) -> Sequence[str]:
        return [program("roapi"), "--config", str(self._config)]


def contender(dataset: Dataset) -> HttpContender:
    """Return the contender for all readings."""
    return HttpContender(ROAPI, lambda: Roapi(dataset), "/api/tables/consumpdata", dataset.readings)

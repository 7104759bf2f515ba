"""Datasette over an SQLite file with decimal texts, since the service's holds scaled integers."""

from collections.abc import Sequence

from bench.contenders.http import HttpContender
from bench.datasets import Dataset
from bench.paths import program
from bench.process import Server

JSON = "Datasette, JSON in one page"
CSV = "Datasette, CSV stream"
_UNLIMITED = {
    "max_returned_rows": 10**9,
    "sql_time_limit_ms": 10**7,
    "max_csv_mb": 0,
    "suggest_facets": 0,
}


class Datasette(Server):
    """Datasette with its limits raised."""

    name = "datasette"

    def __init__(self, dataset: Dataset) -> None:
        super().__init__()
        self._file = str(dataset.texts)

    def command(self) -> Sequence[str]:
        settings = [
            word for name, value in _UNLIMITED.items() for word in ("--setting", name, str(value))
        ]
        return [program("datasette"), "serve", self._file, "--port", str(self.port), *settings]


def contenders(dataset: Dataset) -> list[HttpContender]:
    """Return the contenders for all readings: one page of JSON, and a stream of CSV."""

    def start() -> Datasette:
        return Datasette(dataset)

    count = dataset.readings
    table = f"/{dataset.texts.stem}/consumpdata"
    return [
        HttpContender(
            JSON, start, f"{table}.json?_size=max&_shape=objects&_nocount=1&_nofacet=1", count
        ),
        HttpContender(CSV, start, f"{table}.csv?_stream=on&_size=max", count),
    ]

"""A columnar engine in process, behind an aiohttp handler that only passes its answers on.

`python -m bench.baselines.columnar_engine load chdb FOLDER report.csv` fills a typed table, without
further checks; `serve chdb FOLDER --port 8000` answers QUESTIONS, with all sums that the service's
answers have. The same with `duckdb`.
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import ClassVar

import chdb.session
import click
import duckdb
import uvloop
from aiohttp import web

ZONE = "Europe/Madrid"
CHUNK = 512 * 1024
PERCENTS = (5, 25, 50, 75, 95)
LEVELS = ("power", "reactive_power", "voltage", "intensity")
QUANTITIES = ("energy", "reactive_energy", "power", "maximeter", *LEVELS[1:], "power_factor")

_SUMS = ", ".join(
    (
        *("COUNT(*) AS present", "SUM(energy) AS energy"),
        "SUM(reactive_energy) AS reactive_energy",
        *(
            f"{function}({level}) AS {level}_{name}"
            for level in LEVELS
            for function, name in (("AVG", "mean"), ("MIN", "min"), ("MAX", "max"))
        ),
        *("MAX(maximeter) AS highest", "{arg_max}(date, maximeter) AS highest_date"),
        "AVG(power_factor) AS power_factor_mean",
        *(
            f"SUM(CASE WHEN reactive_power {sign} 0 THEN reactive_power ELSE 0 END) AS {name}"
            for sign, name in ((">", "inductive"), ("<", "capacitive"))
        ),
    )
)
_DAY_TYPE = "CASE WHEN {weekday} > 5 THEN {weekday} ELSE 1 END"

QUESTIONS = {
    "readings": "SELECT {all} FROM readings ORDER BY id",
    "by-day": f"SELECT {{day}} AS day, {_SUMS} FROM readings GROUP BY day ORDER BY day",
    "by-hour": (
        f"SELECT {{hour}} AS hour, {_SUMS} FROM readings WHERE date < '2011-01-01 00:00:00'"
        " GROUP BY hour ORDER BY hour"
    ),
    "group-by-day": (
        "SELECT {day} AS day, COUNT(energy) AS present, SUM(energy) AS total,"
        " SUM(reactive_energy) AS reactive FROM readings GROUP BY day ORDER BY day"
    ),
    "profile": (
        f"SELECT {_DAY_TYPE} AS day_type, {{time}} AS time, COUNT(power) AS readings,"
        " AVG(power) AS mean, MIN(power) AS least, MAX(power) AS most, {percentiles} AS percentiles"
        " FROM readings GROUP BY day_type, time ORDER BY day_type, time"
    ),
    "peaks": "SELECT date, maximeter FROM readings ORDER BY maximeter DESC, date LIMIT 10",
    "summary": (
        f"SELECT MIN(date) AS first, MAX(date) AS last, {_SUMS}, {{base_load}} FROM readings"
    ),
}
"""Statements, with what differs between the engines in braces."""


class Engine(ABC):
    """An engine and its table `readings`."""

    words: ClassVar[Mapping[str, str]]

    @abstractmethod
    def __init__(self, folder: Path) -> None:
        """Open the tables in a folder, which may be new."""

    @abstractmethod
    def load(self, report: Path, meters: int) -> None:
        """Fill the table with a report, as that of each of so many meters."""

    @abstractmethod
    def answer(self, sql: str, form: str) -> bytes:
        """Return the rows of a statement as json, csv or parquet."""


class Chdb(Engine):
    """ClickHouse in process: a MergeTree table in a folder."""

    words: ClassVar[Mapping[str, str]] = {
        "all": "* EXCEPT meter",
        "arg_max": "argMax",
        "day": "toStartOfDay(date)",
        "hour": "toStartOfHour(date)",
        "time": "formatDateTime(date, '%H:%i')",
        "weekday": "toDayOfWeek(date)",
        "percentiles": f"quantilesExact({', '.join(str(p / 100) for p in PERCENTS)})(power)",
        "base_load": "quantileExact(0.05)(power) AS base_load",
    }
    _forms: ClassVar = {"json": "JSONEachRow", "csv": "CSVWithNames", "parquet": "Parquet"}

    def __init__(self, folder: Path) -> None:
        self._session = chdb.session.Session(str(folder))
        self._session.query("CREATE DATABASE IF NOT EXISTS bench ENGINE = Atomic")
        self._session.query("USE bench")

    def load(self, report: Path, meters: int) -> None:
        quantities = ", ".join(f"{name} Nullable(Decimal64(5))" for name in QUANTITIES)
        texts = ", ".join(f"{name} Nullable(Decimal64(5))" for name in QUANTITIES)
        self._session.query(
            f"CREATE TABLE readings (meter UInt32, id UInt32, date DateTime('{ZONE}'),"
            f" {quantities}) ENGINE = MergeTree ORDER BY (meter, id)"
        )
        self._session.query(
            f"INSERT INTO readings SELECT arrayJoin(range(1, {meters + 1})),"
            " rowNumberInAllBlocks() + 1,"
            f" parseDateTimeInJodaSyntax(text, 'd MMM yyyy HH:mm:ss', '{ZONE}'),"
            f" {', '.join(QUANTITIES)}"
            f" FROM file('{report}', 'CSV', 'text String, {texts}')"
            " SETTINGS input_format_csv_skip_first_lines = 1, max_threads = 1"
        )

    def answer(self, sql: str, form: str) -> bytes:
        result: bytes = self._session.query(sql, self._forms[form]).bytes()
        return result


class DuckDB(Engine):
    """DuckDB and its file."""

    words: ClassVar[Mapping[str, str]] = {
        "all": "* EXCLUDE meter",
        "arg_max": "arg_max",
        "day": "date_trunc('day', date)",
        "hour": "date_trunc('hour', date)",
        "time": "strftime(date, '%H:%M')",
        "weekday": "isodow(date)",
        "percentiles": f"quantile_disc(power, {[p / 100 for p in PERCENTS]})",
        "base_load": "quantile_disc(power, 0.05) AS base_load",
    }
    _forms: ClassVar = {
        "json": "(FORMAT json)",
        "csv": "(FORMAT csv)",
        "parquet": "(FORMAT parquet)",
    }

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._connection = duckdb.connect(str(folder / "bench.duckdb"))

    def load(self, report: Path, meters: int) -> None:
        columns = {"text": "VARCHAR", **dict.fromkeys(QUANTITIES, "DECIMAL(15,5)")}
        self._connection.execute(
            "CREATE TABLE readings AS SELECT meter, row_number() OVER () AS id,"
            f" strptime(text, '%d %b %Y %H:%M:%S') AS date, {', '.join(QUANTITIES)}"
            f" FROM range(1, {meters + 1}) AS meters (meter),"
            f" read_csv('{report}', header = true, columns = {columns})"
        )

    def answer(self, sql: str, form: str) -> bytes:
        with NamedTemporaryFile(dir=self._folder) as file:
            self._connection.cursor().execute(f"COPY ({sql}) TO '{file.name}' {self._forms[form]}")
            return Path(file.name).read_bytes()


ENGINES: dict[str, type[Engine]] = {"chdb": Chdb, "duckdb": DuckDB}


@click.group()
def main() -> None:
    """Fill a table of a columnar engine, and serve it."""


@main.command()
@click.argument("engine", type=click.Choice([*ENGINES]))
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("report", type=click.Path(path_type=Path))
@click.option("--meters", type=int, default=1)
def load(engine: str, folder: Path, report: Path, meters: int) -> None:
    """Load a report, as that of each of some meters."""
    ENGINES[engine](folder).load(report, meters)


@main.command()
@click.argument("engine", type=click.Choice([*ENGINES]))
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--port", type=int, required=True)
def serve(engine: str, folder: Path, port: int) -> None:
    """Answer /QUESTION?form=json, csv or parquet."""
    opened = ENGINES[engine](folder)

    async def answer(request: web.Request) -> web.StreamResponse:
        sql = QUESTIONS[request.match_info["question"]].format(**opened.words)
        form = request.query.get("form", "json")
        started = time.perf_counter()
        body = memoryview(await asyncio.to_thread(opened.answer, sql, form))
        took = (time.perf_counter() - started) * 1000
        response = web.StreamResponse(headers={"Server-Timing": f"engine;dur={took:.3f}"})
        await response.prepare(request)
        for at in range(0, len(body), CHUNK):
            await response.write(body[at : at + CHUNK])
        await response.write_eof()
        return response

    app = web.Application()
    app.router.add_get("/{question}", answer)
    uvloop.install()
    web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None)


if __name__ == "__main__":
    main()

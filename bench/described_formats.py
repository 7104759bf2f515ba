"""Reads a report in several formats: `python -m bench.described_formats monitoring.csv`.

The report is one that `sample` writes with a reading every 15 minutes. Prints the processor time of
reading it in each format, in seconds as JSON. Nothing is stored.
"""

import csv
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from domain.quantities import QUANTITIES
from loader.formats.configured_format import ConfiguredFormat
from loader.formats.registry import SHIPPED_FORMATS, format_by_name
from loader.formats.report_format import ReportFormat
from loader.report import Report
from settings import FormatSettings

ROUNDS = 5
OWN = "monitoring"

_ZONE = ZoneInfo("Europe/Madrid")
_FIRST = datetime(1999, 12, 31, 23, tzinfo=UTC)
_QUARTER, _HOUR = timedelta(minutes=15), timedelta(hours=1)
_TIME = "%d/%m/%Y %H:%M"
_ENERGY = {"energy": "energy"}
_ALL = {quantity.name: quantity.name for quantity in QUANTITIES}

_Row = Callable[[int, Sequence[str]], Sequence[str]]
"""Makes a row of a reading's number and its quantities."""


def _described(columns: dict[str, str], **changes: str) -> ReportFormat:
    """Return a format as config.yaml may describe one."""
    described = {
        "delimiter": ";",
        "decimal": ",",
        "columns": columns,
        "time": {"column": "time", "pattern": _TIME, "marks": "start", **changes},
        "interval": int(_QUARTER.total_seconds()),
    }
    return ConfiguredFormat("described", FormatSettings.model_validate(described))


def _row(number: int, values: Sequence[str]) -> Sequence[str]:
    return [f"{(_FIRST + number * _QUARTER).astimezone(_ZONE):{_TIME}}", *values]


def _row_by_end(number: int, values: Sequence[str]) -> Sequence[str]:
    return _row(number + 1, values)


def _row_in_iso(number: int, values: Sequence[str]) -> Sequence[str]:
    return [(_FIRST + number * _QUARTER).astimezone(_ZONE).isoformat(), *values]


def _row_of_hour(number: int, values: Sequence[str]) -> Sequence[str]:
    start = (_FIRST + number * _HOUR).astimezone(_ZONE)
    midnight = start.replace(hour=0, fold=0).astimezone(UTC)
    hour = (start.astimezone(UTC) - midnight) // _HOUR + 1
    return ["ES0021000000000001JN", f"{start:%d/%m/%Y}", f"{hour}", *values, "R"]


_DISTRIBUTOR = "distributor-hourly"
_FORMATS: dict[str, tuple[ReportFormat, str, _Row]] = {
    "one quantity": (_described(_ENERGY), "time;energy", _row),
    "one quantity, marks: end": (_described(_ENERGY, marks="end"), "time;energy", _row_by_end),
    "one quantity, iso": (_described(_ENERGY, pattern="iso"), "time;energy", _row_in_iso),
    "eight quantities": (_described(_ALL), ";".join(["time", *_ALL]), _row),
    "eight quantities, marks: end": (
        _described(_ALL, marks="end"),
        ";".join(["time", *_ALL]),
        _row_by_end,
    ),
    _DISTRIBUTOR: (
        format_by_name(SHIPPED_FORMATS, _DISTRIBUTOR),
        "CUPS;Fecha;Hora;Consumo_kWh;Metodo_obtencion",
        _row_of_hour,
    ),
}


def seconds_by_format(report: Path, folder: Path) -> dict[str, float]:
    """Return the least processor time of reading each format, as files of a folder."""
    with report.open(newline="", encoding="utf-8") as file:
        quantities = [[value.replace(".", ",") for value in row[1:]] for row in csv.reader(file)]
    del quantities[0]
    runs = {OWN: (format_by_name(SHIPPED_FORMATS, OWN), report)}
    for name, (known, heading, row) in _FORMATS.items():
        count = 8 if name.startswith("eight") else 1
        path = folder / f"{name}.csv"
        lines = (";".join(row(at, values[:count])) for at, values in enumerate(quantities))
        path.write_text("\n".join([heading, *lines, ""]), encoding="utf-8")
        runs[name] = known, path
    del quantities
    seconds = dict.fromkeys(runs, float("inf"))
    for _ in range(ROUNDS):
        for name, (known, path) in runs.items():
            seconds[name] = min(seconds[name], _seconds(known, path))
    return seconds


def _seconds(known: ReportFormat, path: Path) -> float:
    """Return the processor time of reading a report, none of whose rows may be wrong."""
    started = time.process_time()
    report = Report(
        str(path), _ZONE, skip_bad_rows=False, on_errors=lambda *_: None, formats=[known]
    )
    for _ in report.batches():
        pass
    return time.process_time() - started


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        print(json.dumps(seconds_by_format(Path(sys.argv[1]), Path(made))))

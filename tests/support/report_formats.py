"""Reports in configured formats, and the results of reading them."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from domain.quantities import QUANTITY_NAMES
from loader.formats.configured_format import ConfiguredFormat
from loader.formats.registry import SHIPPED_FORMATS
from loader.formats.report_format import ReportFormat
from loader.report import Report
from loader.rows.errors import ReportError, RowError
from settings import FormatSettings
from tests.support.report_factory import MADRID

CUPS = "ES0000000000000001AA"
DISTRIBUTOR = "CUPS;Fecha;Hora;Consumo_kWh;Metodo_obtencion\n"

AUTUMN, SPRING, SUMMER = "27/10/2019", "31/03/2019", "01/08/2019"


def hourly(day: str, *hours: int, cups: str = CUPS) -> list[str]:
    """Return a distributor's rows, each with its hour as its energy."""
    return [f"{cups};{day};{hour};{hour},5;R\n" for hour in hours]


WORKSHOP: dict[str, Any] = {
    "delimiter": ";",
    "decimal": ",",
    "encoding": "latin-1",
    "columns": {
        "energy": {"header": "Energía (Wh)", "factor": "0.001"},
        "voltage": "Tensión (V)",
    },
    "time": {"column": "Hasta", "pattern": "%d.%m.%y %H:%M", "marks": "end"},
    "interval": "900",
    "ignored": ["Estado"],
}
WORKSHOP_HEADING = "Hasta;Tensión (V);Energía (Wh);Estado\n"


def workshop(**changes: Any) -> ReportFormat:
    """Return the workshop's format with changed settings."""
    return ConfiguredFormat("workshop", FormatSettings.model_validate(WORKSHOP | changes))


class ReportResult:
    """The result of reading a report."""

    def __init__(self, path: Path, formats: Sequence[ReportFormat], *, skip_bad_rows: bool) -> None:
        self.row_errors: list[str] = []
        self.rejected: list[bytes] = []
        self.error = ""
        self.report = Report(
            str(path),
            MADRID,
            skip_bad_rows=skip_bad_rows,
            on_errors=self._on_errors,
            formats=formats,
        )
        self.rows: list[list[str]] = []
        try:
            for batch in self.report.batches():
                self.rows += [line.split(",") for line in batch.rows.decode().splitlines()]
        except ReportError as error:
            self.error = str(error).removeprefix(f"{path}:")

    def _on_errors(self, errors: list[RowError], raw: bytes) -> None:
        self.row_errors += map(str, errors)
        self.rejected.append(raw)

    @property
    def times(self) -> list[tuple[str, int]]:
        """The local times, each with its UTC offset in hours."""
        return [(row[1], int(row[2]) // 3600) for row in self.rows]

    @property
    def instants(self) -> list[datetime]:
        return [
            datetime.fromisoformat(f"{row[1]}Z") - timedelta(seconds=int(row[2]))
            for row in self.rows
        ]

    def quantities(self, name: str) -> list[str]:
        return [row[3 + QUANTITY_NAMES.index(name)] for row in self.rows]


Reading = Callable[..., ReportResult]


def reading(folder: Path) -> Reading:
    """Return a function that reads a report's text, by default in any shipped format."""

    def read(
        content: str | bytes,
        *named: ReportFormat,
        skip_bad_rows: bool = False,
        encoding: str = "utf-8",
        formats: Sequence[ReportFormat] = SHIPPED_FORMATS,
    ) -> ReportResult:
        path = folder / "report.csv"
        path.write_bytes(content.encode(encoding) if isinstance(content, str) else content)
        return ReportResult(path, named or formats, skip_bad_rows=skip_bad_rows)

    return read

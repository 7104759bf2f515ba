"""The command `elecdata inspect`: what it says of a file, and the entry that it writes."""

import gzip
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from elecdata import main
from loader.formats.registry import format_by_name, known_formats
from settings import load_settings
from tests.support.report_factory import MADRID
from tests.support.report_formats import ReportResult


class Inspected:
    """A file, what the command says of it, and the file as its entry reads it."""

    def __init__(
        self, folder: Path, content: str | bytes, *, name: str = "report.csv", config: str = ""
    ) -> None:
        self.path = folder / name
        self.path.write_bytes(content if isinstance(content, bytes) else content.encode())
        self.config = folder / "config.yaml"
        self.config.write_text(
            f"database: {{url: 'sqlite:///{folder}/none.db'}}\n"
            f"meter: {{timezone: Europe/Madrid}}\n{config}"
        )
        self.result = self.run("--json")
        self.found: dict[str, Any] = json.loads(self.result.stdout)

    def run(self, *args: str) -> Result:
        return CliRunner().invoke(
            main, ["inspect", "--config", str(self.config), *args, str(self.path)]
        )

    @property
    def entry(self) -> str:
        """The text of the entry."""
        entry = self.found["entry"]
        assert entry is not None, self.result.output
        assert entry["works"], (entry["text"], self.found["errors"])
        text: str = entry["text"]
        return text

    def read(self) -> ReportResult:
        """Return the file as it is read with the entry in the configuration."""
        self.config.write_text(self.config.read_text() + self.entry)
        formats = known_formats(load_settings(self.config, {}))
        chosen = format_by_name(formats, self.found["entry"]["name"])
        done = ReportResult(self.path, [chosen], skip_bad_rows=False)
        assert not done.error
        return done


# Layouts


class Reading(NamedTuple):
    """A reading: when it starts, how many seconds it lasts, and its energy in Wh."""

    start: datetime
    seconds: int
    energy: int

    @property
    def end(self) -> datetime:
        return self.start + timedelta(seconds=self.seconds)


class Words(NamedTuple):
    """The headings of a language."""

    time: str
    start: str
    end: str
    day: str
    clock: str
    energy: str
    meter: str
    status: str


LANGUAGES = [
    Words("Time", "Start", "End", "Date", "Time", "Consumption", "Meter", "Status"),
    Words("Fecha y hora", "Desde", "Hasta", "Fecha", "Hora", "Consumo", "CUPS", "Estado"),
    Words("Horodate", "Début", "Fin", "Date", "Heure", "Consommation", "PRM", "Statut"),
    Words("Zeitstempel", "Von", "Bis", "Datum", "Uhrzeit", "Verbrauch", "Zählpunkt", "Status"),
    Words("Data e ora", "Inizio", "Fine", "Data", "Ora", "Consumo", "POD", "Stato"),
    Words("Tijdstip", "Van", "Tot", "Datum", "Tijd", "Verbruik", "EAN", "Status"),
    Words("Data e hora", "Início", "Fim", "Data", "Hora", "Consumo", "Contador", "Estado"),
]
DAYS = ["%d/%m/%Y", "%d.%m.%Y", "%Y-%m-%d", "%d-%m-%y", "%Y%m%d", "%m/%d/%Y"]
CLOCKS = ["%H:%M", "%H:%M:%S"]
UNITS = {"kWh": 1000, "Wh": 1, "MWh": 1_000_000}


class Layout(NamedTuple):
    """How a file is written."""

    words: Words
    delimiter: str
    decimal: str
    encoding: str
    day: str
    clock: str
    columns: str
    """The columns of the time: one, two, both (start and end) or iso."""
    unit: str
    is_newest_first: bool
    has_meter: bool
    above: Sequence[str]
    below: Sequence[str]
    line_end: str

    def written(self, readings: Sequence[Reading]) -> bytes:
        """Return the file of readings, oldest first."""
        head = [f"{self.words.energy} ({self.unit})"]
        head = [*self._time_heading(), *head]
        if self.has_meter:
            head = [self.words.meter, *head]
        rows = [self._row(reading) for reading in readings]
        if self.is_newest_first:
            rows.reverse()
        lines = [self.delimiter.join(fields) for fields in [head, *rows]]
        text = self.line_end.join([*self.above, *lines, *self.below]) + self.line_end
        return text.encode(self.encoding)

    def _time_heading(self) -> list[str]:
        words = self.words
        return {
            "one": [words.time],
            "iso": [words.time],
            "two": [words.day, words.clock],
            "both": [words.start, words.end],
        }[self.columns]

    def _row(self, reading: Reading) -> list[str]:
        start, end = (each.astimezone(MADRID) for each in (reading.start, reading.end))
        pattern = f"{self.day} {self.clock}"
        fields = {
            "one": [start.strftime(pattern)],
            "iso": [start.isoformat()],
            "two": [start.strftime(self.day), start.strftime(self.clock)],
            "both": [start.strftime(pattern), end.strftime(pattern)],
        }[self.columns]
        decimals = {"kWh": 3, "Wh": 0, "MWh": 5}[self.unit]
        number = f"{reading.energy / UNITS[self.unit]:.{decimals}f}"
        fields.append(number.replace(".", self.decimal))
        return ["ES0021000000000001AA", *fields] if self.has_meter else fields


layouts = st.builds(
    Layout,
    words=st.sampled_from(LANGUAGES),
    delimiter=st.sampled_from(";\t|"),
    decimal=st.sampled_from(".,"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "cp1252", "utf-16"]),
    day=st.sampled_from(DAYS),
    clock=st.sampled_from(CLOCKS),
    columns=st.sampled_from(["one", "two", "both", "iso"]),
    unit=st.sampled_from(sorted(UNITS)),
    is_newest_first=st.booleans(),
    has_meter=st.booleans(),
    above=st.sampled_from([[], ["sep=;"], ["Export", ""], ["A;B;C", "1;2;3"]]),
    below=st.sampled_from([[], ["Summe;12"]]),
    line_end=st.sampled_from(["\n", "\r\n"]),
).map(
    lambda layout: layout._replace(above=[]) if layout.delimiter != ";" else layout
)


def day_of(first: datetime, days: int, seconds: int, energies: Sequence[int]) -> list[Reading]:
    """Return the readings of whole local days, whose energies come again and again."""
    begin = first.replace(tzinfo=MADRID)
    end = (first + timedelta(days=days)).replace(tzinfo=MADRID)
    count = int((end.astimezone(UTC) - begin.astimezone(UTC)).total_seconds()) // seconds
    instants = (begin.astimezone(UTC) + timedelta(seconds=seconds * n) for n in range(count))
    return [
        Reading(instant, seconds, energies[number % len(energies)])
        for number, instant in enumerate(instants)
    ]


@given(
    layout=layouts,
    first=st.sampled_from([datetime(2024, 3, 30), datetime(2023, 10, 28), datetime(2024, 12, 30)]),
    seconds=st.sampled_from([900, 1800, 3600]),
    energies=st.lists(st.integers(0, 99_990).map(lambda n: n * 10), min_size=5, max_size=50),
)
def test_entry_reads_what_was_written_in_any_layout(
    tmp_path_factory: pytest.TempPathFactory,
    layout: Layout,
    first: datetime,
    seconds: int,
    energies: list[int],
) -> None:
    """Over both changes of clocks."""
    readings = day_of(first, 3, seconds, energies)
    content = layout.written(readings)
    done = Inspected(tmp_path_factory.mktemp("any"), content).read()
    stored = sorted(zip(done.instants, done.quantities("energy"), strict=True))
    expected = [(reading.start, f"{reading.energy / 1000:.5f}") for reading in readings]
    assert stored == expected


ZONE = ZoneInfo("Europe/Madrid")

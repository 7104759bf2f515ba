"""The command `elecdata inspect`: what it says of a file, and the entry that it writes."""

import io
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import ZipFile

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from xlsxwriter import Workbook

from elecdata import main
from loader.formats.registry import format_by_name, known_formats
from loader.report_file import ReportFile
from settings import load_settings
from tests.support.report_factory import MADRID, numbered, quarters, report
from tests.support.report_formats import CUPS, ReportResult


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
).map(lambda layout: layout._replace(above=[]) if layout.delimiter != ";" else layout)


def readings_of(first: date, days: int, seconds: int, energies: Sequence[int]) -> list[Reading]:
    """Return the readings of whole local days, whose energies come again and again."""
    begin, end = (
        datetime.combine(day, time.min, MADRID).astimezone(UTC)
        for day in (first, first + timedelta(days=days))
    )
    count = int((end - begin).total_seconds()) // seconds
    instants = (begin + timedelta(seconds=seconds * number) for number in range(count))
    return [
        Reading(instant, seconds, energies[number % len(energies)])
        for number, instant in enumerate(instants)
    ]


@settings(max_examples=20)
@given(
    layout=layouts,
    first=st.sampled_from(["2024-03-30", "2023-10-28", "2024-12-31"]).map(date.fromisoformat),
    seconds=st.sampled_from([900, 1800, 3600]),
    energies=st.lists(st.integers(0, 99_990).map(lambda n: n * 10), min_size=5, max_size=50),
)
def test_entry_reads_what_was_written_in_any_layout(
    tmp_path_factory: pytest.TempPathFactory,
    layout: Layout,
    first: date,
    seconds: int,
    energies: list[int],
) -> None:
    """Over both changes of clocks."""
    readings = readings_of(first, 2, seconds, energies)
    content = layout.written(readings)
    done = Inspected(tmp_path_factory.mktemp("any"), content).read()
    stored = sorted(zip(done.instants, done.quantities("energy"), strict=True))
    expected = [(reading.start, f"{reading.energy / 1000:.5f}") for reading in readings]
    assert stored == expected


# Shapes


def _hours(readings: Sequence[Reading]) -> list[str]:
    """A day and the number of its hour, counted from 1."""
    rows, counts = ["CUPS;Fecha;Hora;Consumo (Wh)"], Counter[date]()
    for start, _, energy in readings:
        day = start.astimezone(MADRID).date()
        counts[day] += 1
        rows.append(f"ES0021000000000001AA;{day:%d/%m/%Y};{counts[day]};{energy}")
    return rows


def _days(readings: Sequence[Reading]) -> list[str]:
    """A day in a row, in as many columns as the longest day has intervals."""
    days = defaultdict[date, list[int]](list)
    for start, _, energy in readings:
        days[start.astimezone(MADRID).date()].append(energy)
    most = 25 * 3600 // readings[0].seconds
    names = [f"I{number} (Wh)" for number in range(1, most + 1)]
    rows = [
        [f"{day:%d.%m.%Y}", *map(str, energies), *[""] * (most - len(energies))]
        for day, energies in days.items()
    ]
    return [";".join(["Tag", *names]), *(";".join(row) for row in rows)]


def _flagged_days(readings: Sequence[Reading]) -> list[str]:
    """A day in a row, with a flag behind each interval."""
    heading, *rows = (row.split(";") for row in _days(readings))
    names = [";".join([name, f"F{number}"]) for number, name in enumerate(heading[1:], 1)]
    flagged = [
        [
            f"{value};{('E' if number == 3 else 'R') if value else ''}"
            for number, value in enumerate(row[1:], 1)
        ]
        for row in rows
    ]
    days = [row[0] for row in rows]
    return [
        ";".join(["Tag", *names]),
        *(";".join([day, *fields]) for day, fields in zip(days, flagged, strict=True)),
    ]


def _states(readings: Sequence[Reading]) -> list[str]:
    """The states of two registers in kWh, of which one rises, at the ends of intervals."""
    total, rows = 48_000_000, ["Tijd;Meterstand laag (kWh);Meterstand hoog (kWh)"]
    for instant, _, energy in [readings[0]._replace(energy=0, seconds=0), *readings]:
        total += energy
        at = instant if len(rows) == 1 else instant + timedelta(seconds=readings[0].seconds)
        local = f"{at.astimezone(MADRID):%Y-%m-%d %H:%M}"
        rows.append(f"{local};{total / 1000:.3f};512,25".replace(".", ","))
    return rows


def _powers(readings: Sequence[Reading]) -> list[str]:
    """The mean power of each interval in W, which ends at the time."""
    rows = ["Fin;Puissance moyenne (W)"]
    for reading in readings:
        watt = reading.energy * 3600 // reading.seconds
        rows.append(f"{reading.end.astimezone(MADRID):%d/%m/%Y %H:%M:%S};{watt}")
    return rows


def _directions(readings: Sequence[Reading]) -> list[str]:
    """Rows of consumption and of injection, newest first."""
    rows = ["From,To,Register,Volume (kWh)"]
    for reading in reversed(readings):
        start, end = (at.astimezone(MADRID).isoformat() for at in (reading.start, reading.end))
        rows.append(f"{start},{end},Injection Night,0.5")
        rows.append(f"{start},{end},Offtake Night,{reading.energy / 1000:.3f}")
    return rows


def _tariffs(readings: Sequence[Reading]) -> list[str]:
    """Two columns to be added up, and one of exported energy."""
    rows = ["Timestamp,Low tariff (kWh),High tariff (kWh),Export (kWh),Cost (EUR)"]
    for start, _, energy in readings:
        parts = f"{energy / 1000:.3f},0" if energy % 20 else f"0,{energy / 1000:.3f}"
        rows.append(f"{int(start.timestamp())},{parts},0.25,0.10")
    return rows


SHAPES: dict[str, tuple[Callable[[Sequence[Reading]], list[str]], Sequence[int]]] = {
    "hours": (_hours, [3600]),
    "days": (_days, [900, 1800, 3600]),
    "days with flags": (_flagged_days, [900, 1800, 3600]),
    "states": (_states, [900, 3600]),
    "powers": (_powers, [900, 1800]),
    "directions": (_directions, [900, 3600]),
    "tariffs": (_tariffs, [900, 1800, 3600]),
}


@settings(max_examples=4)
@pytest.mark.parametrize("shape", SHAPES)
@given(data=st.data())
def test_entry_reads_what_was_written_in_any_shape(
    tmp_path_factory: pytest.TempPathFactory, shape: str, data: st.DataObject
) -> None:
    """Over both changes of clocks."""
    write, lengths = SHAPES[shape]
    first = data.draw(st.sampled_from(["2024-03-30", "2023-10-28", "2024-12-31"]))
    energy = st.integers(100, 2000).map(lambda n: n * 10)
    energies = data.draw(st.lists(energy, min_size=20, max_size=40))
    readings = readings_of(
        date.fromisoformat(first), 3, data.draw(st.sampled_from(lengths)), energies
    )
    content = "\n".join(write(readings)) + "\n"
    done = Inspected(tmp_path_factory.mktemp(shape), content).read()
    stored = sorted(zip(done.instants, done.quantities("energy"), strict=True))
    expected = [(reading.start, f"{reading.energy / 1000:.5f}") for reading in readings]
    assert stored == expected


# Files of single kinds


def quarter_rows(row: str, *values: object, day: str = "2024-05-14") -> str:
    """Return a row for each value: its time from midnight on, in strftime's directives, and {}."""
    begin = datetime.fromisoformat(f"{day}T00:00")
    times = (begin + timedelta(minutes=15 * number) for number in range(len(values)))
    return "".join(
        f"{time.strftime(row)}\n".replace("{}", str(value))
        for time, value in zip(times, values, strict=True)
    )


SINES = [f"{0.5 + (n * 7 % 13) / 20:.3f}" for n in range(96)]
KINDS = {
    "with a sum below": (
        "Zeit;kWh\n" + quarter_rows("%d.%m.%Y %H:%M;{}", *SINES) + "Summe;12,3\n",
        ("2024-05-14 00:00:00", {"energy": "0.50000"}),
    ),
    "with units below the heading": (
        "Zeit;Verbrauch\n;Wh\n" + quarter_rows("%d.%m.%Y %H:%M;{}", *range(100, 196)),
        ("2024-05-14 00:00:00", {"energy": "0.10000"}),
    ),
    "with a word for missing": (
        "Fecha;Consumo (kWh)\n"
        + quarter_rows("%d/%m/%Y %H:%M;{}", "sin dato", *SINES[1:]).replace(".", ","),
        ("2024-05-14 00:00:00", {}),
    ),
    "of mean power": (
        "Horodate;Puissance (W)\n" + quarter_rows("%Y-%m-%d %H:%M;{}", *range(400, 496)),
        ("2024-05-14 00:00:00", {"energy": "0.10000", "power": "0.40000"}),
    ),
    "of registers": (
        "time,Import T1 kWh,Import T2 kWh\n"
        + quarter_rows(
            "%Y-%m-%d %H:%M,{},300.5", *(f"{8350.1 + n * n / 9:.3f}" for n in range(96))
        ),
        ("2024-05-14 00:00:00", {"energy": "0.11100"}),
    ),
    "of registers, with the ends of intervals of two lengths": (
        "From,To,Import kWh\n"
        + "".join(
            f"2024-05-14 {n // 4:02}:{n % 4 * 15:02},2024-05-14 {end // 4:02}:{end % 4 * 15:02},"
            f"{8000.5 + n}\n"
            for n, end in ((n, n + 1 + n % 3) for n in range(94) if n % 3 < 2)
        ),
        ("2024-05-14 00:00:00", {"energy": "1.00000"}),
    ),
    "of two tariffs": (
        "time,Low (kWh),High (kWh)\n" + quarter_rows("%Y-%m-%d %H:%M,{},1.5", *SINES),
        ("2024-05-14 00:00:00", {"energy": "2.00000"}),
    ),
    "of both directions in rows of their own": (
        "From,Register,Volume (kWh)\n"
        + quarter_rows("%d/%m/%Y %H:%M,Offtake Day,{}\n%d/%m/%Y %H:%M,Injection Day,7", *SINES),
        ("2024-05-14 00:00:00", {"energy": "0.50000", "exported_energy": "7.00000"}),
    ),
    "with thousands": (
        "Zeit;Wirkarbeit (Wh)\n"
        + quarter_rows("%d.%m.%Y %H:%M;{}", *(f"1.{n:03}" for n in range(100, 196))),
        ("2024-05-14 00:00:00", {"energy": "1.10000"}),
    ),
    "with thousands in quotes": (
        "Time,Usage (Wh)\n"
        + quarter_rows('%m/%d/%Y %I:%M %p,"{}"', *(f"1,{n:03}" for n in range(100, 196))),
        ("2024-05-14 00:00:00", {"energy": "1.10000"}),
    ),
    "of ends that are clocks of the next day": (
        "Day,From,To,kW\n"
        + "".join(
            f"13/05/2024,{row}\n"
            for row in ("21:00,22:00,0.3", "22:00,23:00,0.3", "23:00,23:30,0.5", "23:30,00:00,0.5")
        ),
        ("2024-05-13 21:00:00", {"energy": "0.30000", "power": "0.30000"}),
    ),
    "of a day in a row, with its sum": (
        "Giorno;" + ";".join(f"{n:02}:00" for n in range(24)) + ";Totale giorno\n"
        "13/05/2024;" + ";".join(SINES[:24]) + ";9\n14/05/2024;" + ";".join(SINES[:24]) + ";9\n",
        ("2024-05-13 00:00:00", {"energy": "0.50000"}),
    ),
    "of months, the last days of which tell the order": (
        "Desde;Hasta;kWh\n01/03/2024;31/03/2024;7\n01/02/2024;29/02/2024;8\n01/01/2024;31/01/2024;9\n",
        ("2024-03-01 00:00:00", {"energy": "7.00000"}),
    ),
    "with blanks before quotes": (
        'Time, "Usage (kWh)"\n' + quarter_rows('%Y-%m-%d %H:%M, "0,{}"', *range(100, 196)),
        ("2024-05-14 00:00:00", {"energy": "0.10000"}),
    ),
    "without a heading": (
        quarter_rows("%Y-%m-%d %H:%M;{}", *SINES),
        ("2024-05-14 00:00:00", {"energy": "0.50000"}),
    ),
    "of American times": (
        "Time,Usage (kWh)\n" + quarter_rows("%m/%d/%Y %I:%M %p,{}", *SINES),
        ("2024-05-14 00:00:00", {"energy": "0.50000"}),
    ),
    "of ends, the last of which is 24:00": (
        "Day,Until,kWh\n"
        + quarter_rows("%d/%m/%Y,%H:%M,{}", *SINES).partition("\n")[2]
        + "14/05/2024,24:00,0.5\n",
        ("2024-05-14 00:00:00", {"energy": "0.85000"}),
    ),
    "of seconds since 1970": (
        "time,kWh\n" + "".join(f"{1715637600 + 900 * n},{v}\n" for n, v in enumerate(SINES)),
        ("2024-05-14 00:00:00", {"energy": "0.50000"}),
    ),
    "of a day in a row": (
        "Giorno;" + ";".join(f"{n // 4:02}:{n % 4 * 15:02}" for n in range(96)) + "\n"
        "13/05/2024;" + ";".join(SINES).replace(".", ",") + "\n"
        "14/05/2024;" + ";".join(SINES).replace(".", ",") + "\n",
        ("2024-05-13 00:00:00", {"energy": "0.50000"}),
    ),
    "of numbered half hours": (
        "Date,Period,kWh\n" + "".join(f"2024-05-14,{n + 1},{SINES[n]}\n" for n in range(48)),
        ("2024-05-14 00:00:00", {"energy": "0.50000"}),
    ),
    "of days told by order": (
        "Date,kWh\n" + "".join(f"2024-05-14,{each}\n" for each in SINES),
        ("2024-05-14 00:00:00", {"energy": "0.50000"}),
    ),
    "of standard time all year": (
        "t,kWh\n" + quarter_rows("%Y-%m-%d %H:%M,{}", *SINES, day="2024-03-31"),
        ("2024-03-31 00:00:00", {"energy": "0.50000"}),
    ),
    "of Spanish months": (
        "Fecha;kWh\n" + quarter_rows("%d-may-%Y %H:%M;{}", *SINES),
        ("2024-05-14 00:00:00", {"energy": "0.50000"}),
    ),
    "with more than five decimals": (
        "t,kWh\n" + quarter_rows("%Y-%m-%d %H:%M,{}", *(f"{each}0000001" for each in SINES)),
        ("2024-05-14 00:00:00", {"energy": "0.50000"}),
    ),
    "with a line about the columns below their names": (
        "Datum und Zeit;Bezug;Einspeisung\n[dd.MM.yyyy HH:mm];[Wh];[Wh]\n"
        + quarter_rows("%d.%m.%Y %H:%M;{};0", *range(100, 196)),
        ("2024-05-14 00:00:00", {"energy": "0.10000", "exported_energy": "0.00000"}),
    ),
    "of times in UTC beside local ones": (
        "local,utc,price (EUR/kWh),kWh\n"
        + "".join(
            f"2024-05-14 {hour + 2:02}:00,2024-05-14 {hour:02}:00,0.1,{hour}\n"
            for hour in range(20)
        ),
        ("2024-05-14 02:00:00", {"energy": "0.00000"}),
    ),
    "of ranges": (
        "Period,kWh\n"
        + quarter_rows("%Y-%m-%d %H:%M - later,{}", *SINES).replace("later", "09:00"),
        ("2024-05-14 00:00:00", {"energy": "0.50000"}),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_file_is_read_with_its_entry(tmp_path: Path, kind: str) -> None:
    content, (start, quantities) = KINDS[kind]
    inspected = Inspected(tmp_path, content)
    inspected.entry  # noqa: B018 - it works
    first = inspected.found["first_readings"][0]
    shown = {name: text for name, text in first.items() if name != "start"}
    assert (first["start"][:19], shown) == (start, quantities)
    assert inspected.read().rows[0][1] == start


# What only later lines show


def long_rows(row: str, count: int) -> str:
    """Return rows of quarters over more than a month, whose values come again and again."""
    begin = datetime.fromisoformat("2024-04-05T00:00")
    times = (begin + timedelta(minutes=15 * number) for number in range(count))
    return "".join(
        time.strftime(row).replace("{}", SINES[n % 96]) + "\n" for n, time in enumerate(times)
    )


LATER = {
    "a sum": ("t;kWh\n" + long_rows("%d/%m/%Y %H:%M;{}", 2100) + "Total;99,9\n", "utf-8"),
    "a word for missing": (
        "t;kWh\n" + long_rows("%d/%m/%Y %H:%M;{}", 2100) + "01/05/2024 00:00;ohne Wert\n",
        "utf-8",
    ),
    "a letter that is not of UTF-8": (
        "t;kWh;Anmerkung\n"
        + long_rows(f"%d/%m/%Y %H:%M;{{}};{'x' * 1500}", 2100)
        + "01/05/2024 00:00;1;geschätzt\n",
        "cp1252",
    ),
}


def test_later_days_tell_the_order_of_day_and_month(tmp_path: Path) -> None:
    """The first 2,000 rows are all of days that may be months."""
    begin = datetime.fromisoformat("2024-01-01T00:00")
    minutes = (begin + timedelta(days=n // 200 * 31, minutes=n % 200) for n in range(2000))
    rows = [*minutes, datetime.fromisoformat("2024-12-25T00:00")]
    text = "t,kWh\n" + "".join(f"{time:%m/%d/%Y %H:%M},1\n" for time in sorted(rows))
    inspected = Inspected(tmp_path, text)
    assert "%m/%d/%Y" in inspected.entry
    assert not any("may be either" in asked for asked in inspected.found["entry"]["confirm"])


@pytest.mark.parametrize("what", LATER)
def test_entry_knows_what_only_later_lines_show(tmp_path: Path, what: str) -> None:
    content, encoding = LATER[what]
    inspected = Inspected(tmp_path, content.encode(encoding))
    assert inspected.entry
    assert inspected.read().report.readings == content.count("\n") - 1 - (what == "a sum")


def test_register_that_rises_only_later_is_one(tmp_path: Path) -> None:
    states = [5000.0] * 2010 + [5000 + 0.1 * n * n for n in range(40)]
    begin = datetime.fromisoformat("2024-04-05T00:00")
    rows = (
        f"{begin + timedelta(minutes=15 * n):%Y-%m-%d %H:%M},{state:.1f}\n"
        for n, state in enumerate(states)
    )
    inspected = Inspected(tmp_path, "t,kWh\n" + "".join(rows))
    assert "kind: register" in inspected.entry


def test_hours_that_rows_do_not_tell_are_asked_for(tmp_path: Path) -> None:
    """The file ends in the middle of a day on which clocks change."""
    days = [("26/10/2019", 24), ("27/10/2019", 12)]
    rows = [f"{day};{hour + 1};0,{hour:02}" for day, last in days for hour in range(last)]
    inspected = Inspected(tmp_path, "\n".join(["Fecha;Hora;kWh", *rows, ""]))
    assert inspected.read().report.readings == 36
    assert any("hours are" in text for text in inspected.found["entry"]["confirm"])


def test_gap_in_a_load_curve_is_no_row_of_another_length(tmp_path: Path) -> None:
    watts = (400 + n * 37 % 90 for n in range(96))
    rows = quarter_rows("%Y-%m-%d %H:%M;{}", *watts).splitlines(keepends=True)
    kept = [row for number, row in enumerate(rows) if number not in (9, 30, 31, 32, 33)]
    inspected = Inspected(tmp_path, "Ende;Leistung (W)\n" + "".join(kept))
    done = inspected.read()
    assert (done.report.readings, set(done.report.intervals)) == (91, {900})


# What is said


def test_known_format_is_named_and_needs_no_entry(tmp_path: Path) -> None:
    inspected = Inspected(tmp_path, report(*numbered(quarters("2019-10-27", 100))))
    found = inspected.found
    assert (found["ok"], found["formats"], found["entry"]) == (True, ["monitoring"], None)
    assert found["clock_changes"] == [{"day": "2019-10-27", "readings": 100}]
    assert (found["readings"], found["intervals"], found["gaps"]) == (100, [900], 0)


def test_rows_that_a_known_format_does_not_read_are_shown(tmp_path: Path) -> None:
    rows = "".join(f"{CUPS};01/08/2019;{hour};0,5;R\n" for hour in range(1, 25))
    content = "CUPS;Fecha;Hora;Consumo_kWh;Metodo_obtencion\n" + rows + f"{CUPS};01/08/2019;3;7;R\n"
    inspected = Inspected(tmp_path, content)
    assert (inspected.found["ok"], inspected.found["entry"]) == (False, None)
    assert "What distributor-hourly does not read:" in inspected.run().output


def test_rows_of_a_kind_that_is_not_read_are_counted(tmp_path: Path) -> None:
    rows = quarter_rows("%Y-%m-%d %H:%M,{},A1\n%Y-%m-%d %H:%M,7,A2", *SINES)
    inspected = Inspected(tmp_path, "t,kWh,Channel\n" + rows)
    assert (inspected.found["readings"], inspected.found["unread_rows"]) == (96, 96)
    assert any("rows of A1 are read" in text for text in inspected.found["entry"]["confirm"])


def test_nearest_format_is_named_with_what_differs(tmp_path: Path) -> None:
    rows = "".join(f"{CUPS};27/10/2019;{hour};0,5;R\n" for hour in range(1, 26))
    found = Inspected(tmp_path, "CUPS;Fecha;Hora;Gasto_kWh;Metodo_obtencion\n" + rows).found
    assert found["nearest"] == {
        "format": "distributor-hourly",
        "missing": ["Consumo_kWh"],
        "additional": ["Gasto_kWh"],
    }


def test_configured_format_is_known(tmp_path: Path) -> None:
    config = "formats: {mine: {columns: {energy: kWh}, time: {column: t, pattern: iso, marks: end}"
    content = "t,kWh\n2024-05-14T01:00Z,1\n2024-05-14T02:00Z,2\n"
    found = Inspected(tmp_path, content, config=f"{config}, interval: 3600}}}}\n").found
    assert (found["formats"], found["entry"]) == (["mine"], None)


@pytest.mark.parametrize(
    ("content", "asked"),
    [
        ("t,kWh\n" + quarter_rows("%d/%m/%Y %H:%M,{}", *SINES, day="2024-05-04"), "day before"),
        (
            "t,kWh\n" + "".join(f"2024-05-14 {hour}:00,{hour}\n" for hour in range(10, 19)),
            "the end",
        ),
        ("t,x\n" + quarter_rows("%Y-%m-%d %H:%M,{}", *SINES), "kWh?"),
        ("t,kWh\n" + "".join(f"{month:02}/01/2024,9\n" for month in range(1, 13)), "may be either"),
        ("t,kW\n" + quarter_rows("%Y-%m-%d %H:%M,{}", *SINES), "mean power?"),
        ("t,kWh\n" + quarter_rows("%Y-%m-%d %H:%M,{}", *SINES), "local times of Europe/Madrid"),
        ("t;kWh\n" + quarter_rows("%Y-%m-%d %H:%M;{}", *["1.234"] * 96), "'.' is the decimal"),
    ],
    ids=[
        *("order of day and month", "end of the interval", "unit", "order of days or months"),
        *("power", "zone", "thousands"),
    ],
)
def test_what_the_file_does_not_tell_is_asked(tmp_path: Path, content: str, asked: str) -> None:
    entry = Inspected(tmp_path, content).found["entry"]
    assert any(asked in text for text in entry["confirm"]), entry["confirm"]


def test_nothing_is_asked_where_the_file_tells_all(tmp_path: Path) -> None:
    rows = quarter_rows("%d/%m/%Y %H:%M;{}", *SINES, day="2024-03-31").splitlines(keepends=True)
    content = "Start;kWh\n" + "".join(row for row in rows if " 02:" not in row)
    assert Inspected(tmp_path, content).found["entry"]["confirm"] == []


def test_file_that_no_entry_reads_is_shown_with_its_errors(tmp_path: Path) -> None:
    content = "t,kWh\n" + quarter_rows("%Y-%m-%d %H:%M,{}", *SINES) + "2024-05-14 01:00,77\n"
    inspected = Inspected(tmp_path, content)
    result = inspected.run()
    assert (result.exit_code, inspected.found["ok"], inspected.found["rejected"]) == (1, False, 1)
    assert "No entry was found that loads all of it" in result.output
    assert f"{inspected.path}:98: t: 2024-05-14 01:00: expected" in result.output


def test_hours_with_other_columns_between_them_are_not_added_up(tmp_path: Path) -> None:
    heading = ",".join(f"H{hour},F{hour},N{hour}" for hour in range(1, 25))
    rows = "".join(f"2024-05-{day},{','.join(['0.5,R,x'] * 24)}\n" for day in range(10, 20))
    found = Inspected(tmp_path, f"Date,{heading}\n{rows}").found
    assert (found["ok"], found["entry"]) == (False, None)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "none: no rows with a date"),
        (b"Dear customer,\nplease find enclosed\n", "none: no rows with a date"),
        (b"%PDF-1.7\n", "this is a PDF document"),
    ],
    ids=["empty", "a letter", "PDF"],
)
def test_file_without_readings_is_named_for_what_it_is(
    tmp_path: Path, content: bytes, said: str
) -> None:
    path = tmp_path / "file.csv"
    path.write_bytes(content)
    config = tmp_path / "config.yaml"
    config.write_text(f"database: {{url: 'sqlite:///{tmp_path}/none.db'}}\n")
    result = CliRunner().invoke(main, ["inspect", "--config", str(config), str(path)])
    assert (result.exit_code, said in result.output) == (1, True), result.output


def test_reports_of_each_kind_in_an_archive_are_inspected_once(tmp_path: Path) -> None:
    file = io.BytesIO()
    with ZipFile(file, "w") as archive:
        for number, name in enumerate("abc"):
            rows = quarter_rows("%Y-%m-%d %H:%M,{}", *SINES)
            archive.writestr(f"{name}.csv", f"t,kWh\n{rows}")
            archive.writestr(f"{name}/a.csv", f"Zeit;Wh;Summe {number}\n{rows.replace(',', ';1;')}")
    inspected = Inspected(tmp_path, file.getvalue(), name="both.zip")
    found, (other,) = inspected.found, inspected.found["others"]
    assert (found["readings"], other["readings"]) == (96, 96)
    assert [len(each["alike"]) for each in (found, other)] == [2, 2]
    assert found["entry"]["name"] != other["entry"]["name"]
    output = inspected.run().output
    assert output.count("a.csv and 2 more like this one\n") == 2


def test_unknown_heading_is_looked_for_once_among_all_formats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[object] = []
    init = ReportFile.__init__

    def counting(self: ReportFile, *args: Any, **options: Any) -> None:
        opened.append(options["formats"])
        init(self, *args, **options)

    monkeypatch.setattr(ReportFile, "__init__", counting)
    Inspected(tmp_path, "t,kWh\n" + quarter_rows("%Y-%m-%d %H:%M,{}", *SINES))
    assert len(opened) <= 3


def test_sheet_of_a_workbook_gets_an_entry(tmp_path: Path) -> None:
    path = tmp_path / "book.xlsx"
    book = Workbook(path)
    book.add_worksheet("Notes").write_row(0, 0, ["made for", "you"])
    sheet = book.add_worksheet("Readings")
    sheet.write_row(0, 0, ["Time", "Consumption (kWh)"])
    for number, energy in enumerate(SINES):
        time = datetime.fromisoformat("2024-05-14T00:00") + timedelta(minutes=15 * number)
        sheet.write_datetime(number + 1, 0, time, book.add_format({"num_format": "yyyy-mm-dd h:m"}))
        sheet.write_number(number + 1, 1, float(energy))
    book.close()
    inspected = Inspected(tmp_path, path.read_bytes(), name="book.xlsx")
    assert "sheet: Readings" in inspected.entry
    assert inspected.read().quantities("energy") == [f"{each}00" for each in SINES]


snippets = st.sampled_from(
    [
        *(
            "t,kWh",
            "Fecha;Hora;kWh",
            "14/05/2024 00:00,1.5",
            "2024-05-14;1;2",
            "2024-05-14T00:00Z,1",
        ),
        *("\n", ";", ",", '"', "\t", "12:00 AM", "1.234,5", "kWh", "Summe", "", "99"),
        *("2024-05-14T00:00Z,1", "13/13/2024"),
    ]
)


@settings(max_examples=40)
@given(lines=st.lists(st.lists(snippets, max_size=6).map("".join), max_size=20))
def test_whatever_is_inspected_gives_an_answer(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str]
) -> None:
    inspected = Inspected(tmp_path_factory.mktemp("scraps"), "\n".join(lines))
    assert inspected.result.exit_code == 1 - inspected.found["ok"]
    assert not isinstance(inspected.result.exception, Exception)

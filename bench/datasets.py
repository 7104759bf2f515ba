"""The datasets: a report of generated readings, and its copies for the contenders."""

from dataclasses import dataclass
from pathlib import Path

from bench.paths import SERVICE_PYTHON, WORK, program
from bench.process import timed

START = "2000-01-01"
INTERVAL = 60
DAY = "2000-01-03"
"""A whole day of readings, the third; the smallest report has it too."""
PER_DAY = 24 * 3600 // INTERVAL

QUANTITIES = (
    "energy",
    "reactive_energy",
    "power",
    "maximeter",
    "reactive_power",
    "voltage",
    "intensity",
    "power_factor",
)
KEYS = ("id", "date", *QUANTITIES)
SCALE = 100_000
"""The service's SQLite file stores quantities as integers, scaled by this factor."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """A number of readings and their files; those that no import creates stay between runs."""

    readings: int
    interval: int = INTERVAL
    """Seconds of a reading."""

    @property
    def folder(self) -> Path:
        """The folder of the files."""
        return WORK / f"{self.readings}{self._suffix}"

    @property
    def _suffix(self) -> str:
        return "" if self.interval == INTERVAL else f"_{self.interval}"

    @property
    def report(self) -> Path:
        """The report as a meter's software writes it."""
        return self.folder / "report.csv"

    @property
    def sqlite(self) -> Path:
        """The service's database in one file."""
        return self.folder / "service.db"

    @property
    def schema(self) -> str:
        """The service's database on MariaDB."""
        return f"readings_{self.readings}{self._suffix}"

    @property
    def texts(self) -> Path:
        """An SQLite file with a table of the response's columns, quantities as decimal texts."""
        return self.folder / "texts.db"

    @property
    def table(self) -> Path:
        """The same as CSV."""
        return self.folder / "table.csv"

    @property
    def answer(self) -> Path:
        """The service's response with all readings."""
        return self.folder / "answer.json"

    def make_report(self) -> None:
        """Write the report, unless it exists."""
        if self.report.exists():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        draft = self.report.with_suffix(".draft")
        with draft.open("wb") as file:
            timed(
                [
                    *(str(SERVICE_PYTHON), "-m", "loader.sample"),
                    *("--readings", str(self.readings)),
                    *("--interval", str(self.interval), "--start", START),
                ],
                stdout=file,
            )
        draft.replace(self.report)

    def make_texts(self) -> None:
        """Create the tables of texts from the service's SQLite file, unless they exist."""
        if self.texts.exists() and self.table.exists():
            return
        for old in (self.texts, self.table):
            old.unlink(missing_ok=True)
        as_texts = ", ".join(
            f"CASE WHEN {name} IS NOT NULL THEN printf('%.5f', {name} / {SCALE}.0) END AS {name}"
            for name in QUANTITIES
        )
        columns = ", ".join(f"{name} TEXT" for name in ("date", *QUANTITIES))
        draft = self.table.with_suffix(".draft")
        script = (
            f"ATTACH '{self.sqlite}' AS service;\n"
            f"CREATE TABLE consumpdata (id INTEGER PRIMARY KEY, {columns});\n"
            f"INSERT INTO consumpdata SELECT id, date, {as_texts}"
            " FROM service.consumpdata ORDER BY id;\n"
            ".mode csv\n.headers on\n.separator , \\n\n"
            f".output {draft}\n"
            "SELECT * FROM consumpdata ORDER BY id;\n"
        )
        timed([program("sqlite3"), "-batch", str(self.texts)], stdin=script)
        draft.replace(self.table)

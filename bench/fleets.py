"""Fleets of meters: their reports, from `elecdata sample`."""

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from bench.paths import SERVICE_PYTHON, WORK
from bench.process import FailedError, timed

START = date(2020, 1, 1)
"""The first day of every fleet, in a leap year."""
FIRST_METER = "m000001"
"""Is in every fleet, and has the same readings in all: four an hour."""
FILE_NAME = "{meter}_*.csv"
"""The names of reports, see the setting meter.file_name."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """A number of meters and days, and their files; reports stay between runs."""

    name: str
    """Of the databases."""
    meters: int
    days: int
    in_one_file: bool = False
    """One report of all meters, with the energy of each hour; otherwise a report of each."""

    @property
    def folder(self) -> Path:
        """The folder of the files."""
        form = "one_file" if self.in_one_file else "files"
        return WORK / "fleets" / f"{self.meters}_x_{self.days}_{form}"

    @property
    def reports(self) -> Sequence[Path]:
        """The reports."""
        return sorted((self.folder / "reports").iterdir())

    @property
    def list_of_meters(self) -> Path:
        """The table of the meters: public ids, identifiers, time zones."""
        return self.folder / "meters.csv"

    @property
    def readings(self) -> int:
        """The number of readings in the reports."""
        said = self._said.read_text()
        found = re.search(r"(\d+) readings", said)
        if found is None:
            raise FailedError(f"the sample's summary tells no readings: {said}")
        return int(found[1])

    @property
    def sqlite(self) -> Path:
        """The service's database in one file."""
        return WORK / "fleets" / f"{self.name}.db"

    @property
    def schema(self) -> str:
        """The service's database on MariaDB."""
        return f"fleet_{self.name}"

    def make_reports(self) -> None:
        """Write the reports, unless they exist."""
        if self.folder.exists():
            return
        draft = self.folder.with_suffix(".draft")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        with self._said.open("wb") as file:
            timed(
                [
                    *(str(SERVICE_PYTHON), "-m", "loader.sample", "--output", str(draft)),
                    *("--meters", str(self.meters), "--days", str(self.days)),
                    *("--start", f"{START}"),
                    *(["--one-file"] if self.in_one_file else []),
                ],
                stdout=file,
            )
        draft.replace(self.folder)

    @property
    def _said(self) -> Path:
        return self.folder.with_suffix(".txt")


@dataclass(frozen=True, slots=True)
class Copies:
    """Meters that all have the same readings: a value of every quantity each hour."""

    name: str
    """Of the databases."""
    meters: int
    days: int

    @property
    def folder(self) -> Path:
        """The folder of the reports."""
        return WORK / "fleets" / f"{self.meters}_x_{self.days}_copies"

    @property
    def reports(self) -> Sequence[Path]:
        """The reports, all of them names of one file."""
        return sorted(self.folder.iterdir())

    @property
    def sqlite(self) -> Path:
        """The service's database in one file."""
        return WORK / "fleets" / f"{self.name}.db"

    @property
    def schema(self) -> str:
        """The service's database on MariaDB."""
        return f"fleet_{self.name}"

    def make_reports(self) -> None:
        """Write the reports, unless they exist."""
        if self.folder.exists():
            return
        draft = self.folder.with_suffix(".draft")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        first, *others = (
            draft / FILE_NAME.format(meter=f"m{number:06}").replace("*", f"{START}")
            for number in range(1, self.meters + 1)
        )
        with first.open("wb") as file:
            timed(
                [
                    *(str(SERVICE_PYTHON), "-m", "loader.sample", "--start", f"{START}"),
                    *("--readings", str(24 * self.days), "--interval", "3600"),
                ],
                stdout=file,
            )
        for other in others:
            other.hardlink_to(first)
        draft.replace(self.folder)


def day_after(days: int) -> str:
    """Return the date so many days after the first one."""
    return f"{START + timedelta(days=days)}"

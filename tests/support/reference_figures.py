"""Meters with random readings, and their figures computed in plain Python."""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from domain.columns import Columns
from domain.fixed_point import SCALE
from domain.flags import CATCH_UP, IMPLAUSIBLE, MISSING, REPEATED_HOUR, ZERO_VOLTAGE
from domain.quantities import QUANTITY_NAMES
from storage.columns.reader import read_columns
from storage.figures.result import FigureQuery, ResultTable, Row
from tests.support.databases import DatabaseFixture
from tests.support.report_factory import report, row, written

STEP = 900
"""Every clock change, and every bound of a bucket, falls on a multiple of it."""

DOUBTFUL = CATCH_UP.bit | IMPLAUSIBLE.bit | ZERO_VOLTAGE.bit

BITS = (MISSING.bit, CATCH_UP.bit, IMPLAUSIBLE.bit, ZERO_VOLTAGE.bit, REPEATED_HOUR.bit)


@dataclass(frozen=True, slots=True)
class Case:
    """A meter's zone, interval, and local time of the first reading."""

    zone: str
    interval: int
    first: str
    readings: int
    """The number of expected readings."""
    demands: tuple[int, int] = (3, 9)
    """From how many to before how many halves of a kW."""
    late: int = 0
    """Seconds by which the first reading is late."""
    later: tuple[int, int] | None = None
    """How many readings are expected before the meter changes its interval, and to what."""

    @property
    def start(self) -> int:
        return int(datetime.fromisoformat(self.first).replace(tzinfo=self.info).timestamp())

    @property
    def end(self) -> int:
        return self.due(self.readings)

    @property
    def change(self) -> int | None:
        """When the meter changes its interval."""
        return None if self.later is None else self.start + self.later[0] * self.interval

    def due(self, place: int) -> int:
        """Return when a reading is expected, by its place among them."""
        if self.later is None or place <= self.later[0]:
            return self.start + place * self.interval
        number, interval = self.later
        return self.start + number * self.interval + (place - number) * interval

    def seconds(self, at: int) -> int:
        """Return how long a reading lasts that starts at an instant."""
        if self.later is None or self.change is None or at < self.change:
            return self.interval
        return self.later[1]

    def shifted(self, at: int, seconds: int) -> int:
        """Return a shifted instant, unless its local time is ambiguous."""
        here = aware(at, self.zone)
        return (
            at if here.replace(fold=not here.fold).utcoffset() != here.utcoffset() else at + seconds
        )

    @property
    def info(self) -> ZoneInfo:
        return ZoneInfo(self.zone)


CASES = {
    "autumn": Case("Europe/Madrid", 900, "2019-10-25 22:30", 320),
    "spring": Case("Europe/Madrid", 900, "2019-03-29 23:00", 300),
    "half an hour back": Case("Australia/Lord_Howe", 900, "2019-04-06 00:00", 250),
    "hours, 45 minutes off": Case("Asia/Kathmandu", 3600, "2019-12-28 00:00", 150, (-6, 1)),
    "hours over a change": Case("Europe/Madrid", 3600, "2019-10-21 05:00", 300),
    "half hours over a year's end": Case(
        "America/St_Johns", 1800, "2019-12-29 00:00", 200, (-9, -2), 7
    ),
    "hours, then quarters from within a day": Case(
        "Europe/Madrid", 3600, "2019-10-25 05:00", 300, late=7, later=(80, 900)
    ),
}


@dataclass(frozen=True, slots=True)
class Reading:
    """A reading: quantities in hundred-thousandths, missing ones None."""

    id: int
    at: int
    values: dict[str, int | None]
    flags: int
    seconds: int
    """How long it lasts."""

    @property
    def is_present(self) -> bool:
        return any(value is not None for value in self.values.values())


class Metered:
    """A loaded meter and its readings, in chronological order."""

    def __init__(self, case: Case, database: DatabaseFixture, readings: Sequence[Reading]) -> None:
        self.case = case
        self.database = database
        self.readings = readings

    def local(self, at: int, zone: str | None = None) -> datetime:
        """Return the local time of an instant."""
        return local(at, zone or self.case.zone)

    def bounds(
        self, date: datetime | None, end_date: datetime | None, end: str, zone: str | None = None
    ) -> tuple[int, int]:
        """Return the first instant of a period, and the first one after it."""
        margin = 3 * 86400
        steps = range(self.case.start - margin, self.case.end + margin, STEP)
        steps = range(steps.start // STEP * STEP, steps.stop, STEP)
        start = self.readings[0].at
        if date is not None:
            start = next(at for at in steps if self.local(at, zone) >= date)
        last = self.readings[-1].at
        until = self.due(last) + self.case.seconds(last)
        if end_date is not None and end == "exclusive":
            until = next(at for at in steps if self.local(at, zone) >= end_date)
        elif end_date is not None:
            until = max(at for at in steps if self.local(at, zone) <= end_date) + 1
        return start, max(start, until)

    def due(self, at: int) -> int:
        """Return the start of the expected reading that is nearest to an instant."""
        seconds, change = self.case.seconds(at), self.case.change
        around = at - seconds // 2
        if change is not None and around <= change <= at:
            return change
        return self.following(around)

    def following(self, at: int) -> int:
        """Return the first expected start of a reading at or after an instant."""
        anchor, seconds, change = self._grid(at)
        due = anchor - (anchor - at) // seconds * seconds
        return due if change is None or at > change else min(due, change)

    def preceding(self, at: int) -> int:
        """Return the last expected start of a reading before an instant."""
        anchor, seconds, _ = self._grid(at - 1)
        return anchor + (at - 1 - anchor) // seconds * seconds

    def expected(self, start: int, end: int) -> int:
        """Return the number of readings expected to start between two instants."""
        number, at = 0, self.following(start)
        while at < end:
            number, at = number + 1, self.following(at + 1)
        return number

    def _grid(self, at: int) -> tuple[int, int, int | None]:
        """Return an expected start, the seconds between these, and when that changes."""
        change = self.case.change
        anchor = self.readings[0].at if change is None or at < change else change
        return anchor, self.case.seconds(at), change

    def within(self, start: int, until: int, without: int = 0) -> list[Reading]:
        """Return the readings between two instants that have none of some flags."""
        return [r for r in self.readings if start <= r.at < until and not r.flags & without]

    def ask(self, question: FigureQuery) -> tuple[ResultTable, list[Row]]:
        """Return the rows of a figure query."""

        async def answer() -> tuple[ResultTable, list[Row]]:
            async with self.database.reader() as reader:
                table = await reader.figures(question, await reader.state())
                return table, [row async for rows in table.rows for row in rows]

        table, rows = asyncio.run(answer())
        assert table.count == len(rows)
        assert all(len(row) == len(table.fields) for row in rows)
        return table, rows


def read_in_pieces(monkeypatch: pytest.MonkeyPatch, readings: int) -> None:
    """Let figures take in at most so many readings at once."""

    async def pieces(*args: Any) -> AsyncGenerator[Columns]:
        async for columns in read_columns(*args):
            for at in range(0, len(columns), readings):
                yield columns[at : at + readings]

    monkeypatch.setattr("storage.figures.scan.read_columns", pieces)


def read_spans_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let figures that ask for some spans of time get no other readings."""

    async def only_spans(*args: Any) -> AsyncGenerator[Columns]:
        *_, spans = args
        async for columns in read_columns(*args):
            if spans is None:
                yield columns
                continue
            within = [
                (first <= columns.utc) & (columns.utc <= last)
                for first, last in zip(*spans, strict=True)
            ]
            yield columns[np.logical_or.reduce(within)]

    monkeypatch.setattr("storage.figures.scan.read_columns", only_spans)


def local(at: int, zone: str) -> datetime:
    return datetime.fromtimestamp(at, ZoneInfo(zone)).replace(tzinfo=None)


def made(case: Case, seed: int) -> list[Reading]:
    """Readings of a meter: some are absent, some have no value, some lack one or have flags.

    Some come early or late, and some are followed by another one before the next is due.
    """
    chance = random.Random(seed)  # noqa: S311 - test data
    readings: list[Reading] = []
    for place in range(case.readings):
        if 0 < place < case.readings - 1 and chance.random() < 0.06:
            continue
        due = case.due(place)
        instants = {due if place else due + case.late}
        if place and chance.random() < 0.15:
            instants = {case.shifted(due, chance.choice([-410, -7, 7, 410]))}
        if chance.random() < 0.05:
            instants.add(case.shifted(due, 300))
        for at in sorted(instants):
            is_empty = chance.random() < 0.08
            values = {
                name: None if is_empty or chance.random() < 0.05 else quantity(chance, name, case)
                for name in QUANTITY_NAMES
            }
            flags = sum(bit for bit in BITS if chance.random() < 0.04)
            readings.append(Reading(0, at, values, flags, case.seconds(at)))
    # The later half was imported first, and came with the newest reading first.
    days = [local(reading.at, case.zone).date() for reading in readings]
    middle = len(days) // 2
    half = days.index(days[middle]) or middle
    later = len(readings) - half
    return [
        replace(reading, id=later + place + 1 if place < half else len(readings) - place)
        for place, reading in enumerate(readings)
    ]


def quantity(chance: random.Random, name: str, case: Case) -> int:
    """A strategy for few distinct demands, so that several readings share the maximum."""
    if name == "maximeter":
        return chance.randrange(*case.demands) * 50_000
    if name in ("energy", "reactive_energy"):
        return max(0, chance.randrange(-5 * SCALE, 20 * SCALE))
    return chance.randrange(-(10**7), 10**8)


def loaded(case: Case, database: DatabaseFixture, seed: int = 1) -> Metered:
    """Load a meter into a database of its own."""
    readings = made(case, seed)
    database.configure(meter={"timezone": case.zone})
    rows = {r.id: line(r, case.zone) for r in readings}
    in_order = [rows[number] for number in sorted(rows)]
    first = readings[0].id - 1
    asyncio.run(database.load(*(report(*part) for part in (in_order[:first], in_order[first:]))))
    set_intervals(case, database)
    database.run("DELETE FROM flags")
    flags = [f"(1, {r.id}, {r.flags})" for r in readings if r.flags]
    database.run(f"INSERT INTO flags (meter_id, reading_id, flags) VALUES {', '.join(flags)}")
    return Metered(case, database, readings)


def set_intervals(case: Case, database: DatabaseFixture) -> None:
    """Record how long the readings of a meter last, whatever they tell."""
    if case.later is None:
        database.run(f"UPDATE meters SET interval_seconds = {case.interval}")
        return
    assert case.change is not None
    database.run("UPDATE meters SET interval_seconds = NULL")
    database.run("DELETE FROM intervals")
    spans = [(case.start - 86400, case.interval), (case.change, case.later[1])]
    for first, seconds in spans:
        at = str(first)
        if database.kind == "mariadb":
            at = f"'{datetime.fromtimestamp(first, UTC):%Y-%m-%d %H:%M:%S}'"
        database.run(
            "INSERT INTO intervals (meter_id, first_utc, seconds, said)"
            f" VALUES (1, {at}, {seconds}, 1)"
        )


def line(reading: Reading, zone: str) -> str:
    """Return a reading as a row of a report."""
    return row(written(local(reading.at, zone)), *map(decimal, reading.values.values()))


def decimal(value: int | None) -> str:
    if value is None:
        return ""
    return f"{'-' if value < 0 else ''}{abs(value) // SCALE}.{abs(value) % SCALE:05}"


def rounded(value: Fraction) -> int:
    """Return a number in hundred-thousandths, halves rounded away from zero."""
    up = int(abs(value) + Fraction(1, 2))
    return up if value >= 0 else -up


def total(values: Sequence[int | None]) -> int | None:
    """Return the sum of the values that are not None, or None if there are none."""
    there = [value for value in values if value is not None]
    return sum(there) if there else None


def is_power(reading: Reading) -> bool:
    """Whether a reading has a power, measured or of its energy."""
    is_derived = reading.values["energy"] is not None and not reading.flags & CATCH_UP.bit
    return reading.values["power"] is not None or is_derived


def powers(readings: Sequence[Reading]) -> list[Fraction]:
    """Return the measured powers, and else the energies over the hours of the intervals."""
    return [
        Fraction((reading.values["energy"] or 0) * 3600, reading.seconds)
        if power is None
        else Fraction(power)
        for reading in readings
        if is_power(reading)
        for power in [reading.values["power"]]
    ]


def mean_over_time(readings: Sequence[Reading], values: Sequence[int | Fraction]) -> int | None:
    """Return the mean of values, of a reading each, weighed by how long the readings last."""
    if not readings:
        return None
    weighed = sum(
        (
            Fraction(value) * reading.seconds
            for reading, value in zip(readings, values, strict=True)
        ),
        Fraction(),
    )
    return rounded(weighed / sum(reading.seconds for reading in readings))


def reactive_energies(readings: Sequence[Reading]) -> list[int | None]:
    """Return the inductive and the capacitive energy of reactive powers."""
    values = [
        value * Fraction(r.seconds, 3600)
        for r in readings
        if (value := r.values["reactive_power"]) is not None and (r.values["power"] or 0) >= 0
    ]
    if not values:
        return [None, None]
    inductive = sum((value for value in values if value > 0), Fraction())
    capacitive = -sum((value for value in values if value < 0), Fraction())
    return [rounded(inductive), rounded(capacitive)]


def factor(active: int | None, reactive: int | None) -> int | None:
    """The whole number k for which k - ½ ≤ factor < k + ½, found without a root."""
    if active is None or reactive is None or not (active or reactive):
        return None
    apparent_squared = active**2 + reactive**2
    low, high = 0, SCALE + 1
    while high - low > 1:
        middle = (low + high) // 2
        if Fraction(2 * middle - 1, 2) ** 2 * apparent_squared <= (active * SCALE) ** 2:
            low = middle
        else:
            high = middle
    return low


def labelled(
    start: int, end: int, zone: str, label: Callable[[datetime], object]
) -> Iterator[tuple[int, int]]:
    """Yield the runs of instants whose local times have the same label."""
    begun = start
    for at in range(start // STEP * STEP + STEP, end, STEP):
        if at > begun and label(aware(at, zone)) != label(aware(at - STEP, zone)):
            yield begun, at
            begun = at
    if begun < end:
        yield begun, end


def aware(at: int, zone: str) -> datetime:
    return datetime.fromtimestamp(at, UTC).astimezone(ZoneInfo(zone))

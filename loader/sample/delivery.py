"""Writing the reports of a sample fleet to a folder.

- `meters.csv`: the meters, so that they can be registered.
- `reports/`: a report of each meter, whose name is the public id, `_` and the first day; or one
  report of all meters, hour by hour, as distributors send it.
- `late/`: the same for what is delivered late, newest day first.

Reports are written one after the other and day by day, so memory does not grow with their number or
length; one report of all meters takes 120 bytes of memory for each meter.
"""

import csv
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from random import Random
from typing import NamedTuple
from zoneinfo import ZoneInfo

from loader.sample.fleet import HOUR, IDENTIFIER_LENGTH, Fleet, SampleMeter
from loader.sample.late_data import first_delivery, late_hours, second_delivery
from loader.sample.local_days import hours_in_day, iso_times, local_times
from loader.sample.meter_day import ABSENT, EMPTY, DayReadings, hourly_energies, simulate_day
from loader.sample.rows import EMPTY_VALUES, HEADER_LINE, ROW

METERS_HEADER = ("public_id", "identifier", "name", "kind", "timezone", "interval_seconds")
HOURLY_HEADER_LINE = "CUPS;Fecha;Hora;Consumo_kWh;Metodo_obtencion\n"
ALL_METERS = "all-meters.csv"

_BLOCK_METERS = 1000
"""Meters whose rows of an hour are written together."""


class DeliveredReadings(NamedTuple):
    """Numbers of readings: those that come in time, and those of the late delivery."""

    in_time: int
    late: int


@dataclass(frozen=True, slots=True)
class _Delivery:
    """A delivery: its folder, what it contains of a meter's day, and in which order."""

    folder: str
    contents: Callable[[SampleMeter, date], DayReadings]
    is_late: bool = False


def write_fleet(
    folder: Path, fleet: Fleet, days: Sequence[date], *, with_late_data: bool, in_one_file: bool
) -> DeliveredReadings:
    """Write a fleet's reports of these days, and the list of its meters, to an empty folder."""
    _write_meters(folder / "meters.csv", fleet, HOUR if in_one_file else None)
    write = _write_one_report if in_one_file else _write_reports
    contents = _first if with_late_data else _all
    in_time = write(folder, fleet, days, _Delivery("reports", contents))
    late = 0
    if with_late_data:
        late = write(folder, fleet, days[::-1], _Delivery("late", _second, is_late=True))
    return DeliveredReadings(in_time, late)


def _all(meter: SampleMeter, day: date) -> DayReadings:
    return simulate_day(meter, day, local_times(day, ZoneInfo(meter.timezone), meter.interval))


def _first(meter: SampleMeter, day: date) -> DayReadings:
    late = late_hours(meter, day)
    readings = _all(meter, day)
    return readings if late is None else first_delivery(readings, late, meter.interval)


def _second(meter: SampleMeter, day: date) -> DayReadings:
    late = late_hours(meter, day)
    return [] if late is None else second_delivery(_all(meter, day), late, meter.interval)


def _write_meters(path: Path, fleet: Fleet, interval: int | None) -> None:
    """Write the list of the meters, whose readings are all at one interval if one is given."""
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(METERS_HEADER)
        for meter in fleet:
            who = (meter.public_id, meter.identifier, meter.name, meter.kind.name)
            rows.writerow((*who, meter.timezone, interval or meter.interval))


def _write_reports(folder: Path, fleet: Fleet, days: Sequence[date], delivery: _Delivery) -> int:
    """Write a report of each meter that has readings; return their number."""
    reports = folder / delivery.folder
    reports.mkdir()
    first = min(days)
    return sum(
        _write_report(
            reports / f"{meter.public_id}_{first}.csv",
            HEADER_LINE,
            (_report_rows(meter, day, delivery) for day in days),
        )
        for meter in fleet
    )


def _report_rows(meter: SampleMeter, day: date, delivery: _Delivery) -> list[str]:
    """Return the rows of a day; late ones have UTC offsets, since they are in no order."""
    readings = delivery.contents(meter, day)
    if not readings:
        return []
    zone = ZoneInfo(meter.timezone)
    times = (
        iso_times(day, zone, meter.interval)
        if delivery.is_late
        else [text for text, _ in local_times(day, zone, meter.interval)]
    )
    rows = [
        ROW % (time, *values) if values else f"{time}{EMPTY_VALUES}"
        for time, values in zip(times, readings, strict=True)
        if values is not None
    ]
    if delivery.is_late:
        random = Random(day.toordinal()).random  # noqa: S311 - not for secrets
        rows.sort(key=lambda _: random())
    return rows


def _write_one_report(folder: Path, fleet: Fleet, days: Sequence[date], delivery: _Delivery) -> int:
    """Write a report of all meters; return the number of its readings."""
    (folder / delivery.folder).mkdir()
    identifiers = "".join(meter.identifier for meter in fleet)
    return _write_report(
        folder / delivery.folder / ALL_METERS,
        HOURLY_HEADER_LINE,
        (rows for day in days for rows in _hourly_rows(fleet, identifiers, day, delivery)),
    )


def _hourly_rows(
    fleet: Fleet, identifiers: str, day: date, delivery: _Delivery
) -> Iterator[list[str]]:
    """Yield the rows of a day by the hour, those of all meters in turn; late ones in reverse."""
    hours = range(max(hours_in_day(day, ZoneInfo(name)) for name in fleet.timezones))
    absent = array("i", [ABSENT] * len(hours))
    energies = array("i")
    for meter in fleet:
        of_meter = hourly_energies(delivery.contents(meter, day), meter.interval)
        energies.extend(of_meter)
        energies.extend(absent[len(of_meter) :])
    date_text = f"{day:%d/%m/%Y}"
    for hour in reversed(hours) if delivery.is_late else hours:
        for block in range(0, fleet.meters, _BLOCK_METERS):
            rows = []
            for index in range(block, min(block + _BLOCK_METERS, fleet.meters)):
                energy = energies[index * len(hours) + hour]
                if energy != ABSENT:
                    start = index * IDENTIFIER_LENGTH
                    identifier = identifiers[start : start + IDENTIFIER_LENGTH]
                    text = "" if energy == EMPTY else f"{energy // 1000},{energy % 1000:03}"
                    rows.append(f"{identifier};{date_text};{hour + 1};{text};R\n")
            yield rows


def _write_report(path: Path, header: str, blocks: Iterable[list[str]]) -> int:
    """Write a report of blocks of rows, unless there are none; return the number of rows."""
    count = 0
    with ExitStack() as files:
        for rows in blocks:
            if not rows:
                continue
            if not count:
                file = files.enter_context(path.open("w", encoding="utf-8", newline=""))
                file.write(header)
            file.write("".join(rows))
            count += len(rows)
    return count

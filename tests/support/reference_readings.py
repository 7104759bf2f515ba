"""Readings of some days, and the expected responses, computed in plain Python."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow.parquet

from domain.flags import FLAGS
from domain.quantities import QUANTITIES, QUANTITY_NAMES
from tests.support.databases import DatabaseFixture
from tests.support.report_factory import MADRID, report, row, written

IMPLAUSIBLE = 4


@dataclass(frozen=True)
class Reading:
    """A reading as a test knows it."""

    id: int
    instant: datetime
    quantities: tuple[str | None, ...]
    flags: int
    zone: ZoneInfo = MADRID

    @property
    def line(self) -> str:
        return row(written(self.local), *(text or "" for text in self.quantities))

    @property
    def local(self) -> datetime:
        return self.instant.astimezone(self.zone)

    @property
    def date(self) -> str:
        return self.local.strftime("%Y-%m-%d %H:%M:%S")

    def date_as(self, time: str) -> str:
        """Return the date in a time style."""
        if time == "utc":
            return self.instant.strftime("%Y-%m-%dT%H:%M:%SZ")
        return self.local.isoformat() if time == "offset" else self.date

    def value(self, column: str, time: str) -> str | None:
        """Return the text of a column."""
        if column == "flags":
            return " ".join(flag.name for flag in FLAGS if self.flags & flag.bit)
        if column in QUANTITY_NAMES:
            return self.quantities[QUANTITY_NAMES.index(column)]
        return str(self.id) if column == "id" else self.date_as(time)

    @property
    def energy(self) -> Decimal:
        return Decimal(self.quantities[0] or 0)


def readings_of_days(*days: str) -> list[Reading]:
    """The readings of local days as they are numbered where the days come in this order.

    Those of a day with a minus in front come newest first. Some are late.
    """
    readings: list[Reading] = []
    for day in days:
        instants = _instants(day.removeprefix("-"))
        for instant in instants[::-1] if day.startswith("-") else instants:
            number = len(readings) + 1
            quantities = [
                None if (number * 7 + place) % 31 == 0 or number % 50 == 0 else _quantity(number)
                for place in range(len(QUANTITIES))
            ]
            flags = number % 32 if number % 5 == 0 else 0
            if instant.astimezone(MADRID).fold:
                flags |= 16
            readings.append(Reading(number, instant, tuple(quantities), flags))
    return readings


def _instants(day: str) -> list[datetime]:
    """When the readings of a local day start; some of those at half past are seven seconds late."""
    first = datetime.fromisoformat(day).replace(tzinfo=MADRID).astimezone(UTC)
    quarters = [first + timedelta(minutes=15) * number for number in range(100)]
    there = [at for at in quarters if f"{at.astimezone(MADRID):%Y-%m-%d}" == day]
    return [at + timedelta(seconds=7 if place % 12 == 2 else 0) for place, at in enumerate(there)]


def _quantity(number: int) -> str:
    sign = "-" if number % 4 == 3 else ""
    return f"{sign}{number * 37 % 1000}.{number * 7919 % 100000:05}"


async def load(database: DatabaseFixture, readings: Sequence[Reading]) -> None:
    """Import each day as a report of its own, and flag the readings."""
    days: dict[str, list[str]] = {}
    for reading in readings:
        days.setdefault(reading.date[:10], []).append(reading.line)
    for lines in days.values():
        await database.load(report(*lines))
    await database.rows("DELETE FROM flags")
    flagged = ", ".join(f"(1, {each.id}, {each.flags})" for each in readings if each.flags)
    await database.rows(f"INSERT INTO flags (meter_id, reading_id, flags) VALUES {flagged}")


@dataclass(frozen=True)
class Told:
    """The content of a response in any format."""

    records: list[tuple[Any, ...]]
    facts: dict[str, Any]
    """The metadata beside the records."""


def read(body: bytes, format: str, columns: Sequence[str]) -> Told:  # noqa: A002 - the parameter's name
    """The records of a body, those of Parquet as CSV would have them."""
    if format == "parquet":
        table = pyarrow.parquet.read_table(io.BytesIO(body))
        assert table.column_names == list(columns)
        if "date" in columns:  # Python takes the two passes of the repeated hour for each other
            place = list(columns).index("date")
            instants = table["date"].cast(pyarrow.timestamp("ms", "UTC"))
            table = table.set_column(place, "date", instants)
        return Told([tuple(record.values()) for record in table.to_pylist()], {})
    if format == "csv":
        text = body.decode()
        assert text.count("\r\n") == text.count("\n")
        titles = {column.name: column.header for column in QUANTITIES}
        titles |= {"id": "Id", "date": "Date", "flags": "Flags"}
        heading, *rows = text.removesuffix("\r\n").split("\r\n")
        assert heading == ",".join(titles[column] for column in columns)
        return Told([tuple(next(csv.reader([row]))) for row in rows], {})
    if format == "ndjson":
        *lines, last = body.decode().splitlines()
        return Told(
            [_record(json.loads(line, parse_float=str), columns) for line in lines],
            json.loads(last, parse_float=str),
        )
    values = json.loads(body, parse_float=str)["values"]
    records = [_record(record, columns) for record in values.pop("records")]
    return Told(records, values)


def _record(record: dict[str, Any], columns: Sequence[str]) -> tuple[Any, ...]:
    assert list(record) == list(columns)
    return tuple(record.values())


def modeled(
    reading: Reading,
    columns: Sequence[str],
    format: str,  # noqa: A002 - the parameter's name
    time: str,
    values: str,
) -> tuple[Any, ...]:
    """Return the record of a reading as `read` returns it."""
    record: list[Any] = []
    for column in columns:
        text = reading.value(column, time)
        if format == "parquet":
            record.append(_typed(reading, column, text))
        elif format == "csv" and column == "date" and time == "local":
            record.append(written(reading.local))
        elif format == "csv":
            record.append(text or "")
        elif values == "number" and column == "id":
            record.append(reading.id)
        else:
            record.append(text)
    return tuple(record)


def _typed(reading: Reading, column: str, text: str | None) -> Any:
    if column == "date":
        return reading.instant
    if column == "id":
        return reading.id
    return text if text is None or column == "flags" else Decimal(text)

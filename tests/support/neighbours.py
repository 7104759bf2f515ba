"""Meters that stand beside the one that a test is about, made by SQL."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from domain.flags import IMPLAUSIBLE
from tests.support.databases import DatabaseFixture, MariadbDatabase

FIRST_INSTANT = datetime(2019, 7, 31, 22, tzinfo=UTC)
"""The start of their first readings, and of the first one of the sample."""

ZONES = ("Europe/Madrid", "Atlantic/Canary", "Australia/Lord_Howe", "Asia/Kolkata")

ENERGY = 7_777_777
"""The energy of each of their readings in kWh, which no other reading has."""

_ROWS = 5000
"""Rows of a statement."""


def neighbour(meter_id: int) -> str:
    """Return the public id of a neighbour."""
    return f"n{meter_id}"


def add_neighbours(database: DatabaseFixture, ids: Sequence[int], readings: int = 3) -> None:
    """Add meters with a few readings each, all flagged.

    Their ids, instants and numbers of readings are also those of other meters.
    """
    _insert(
        database,
        "meters (id, public_id, timezone, interval_seconds)",
        (f"({id_}, '{neighbour(id_)}', '{_zone(id_)}', 900)" for id_ in ids),
    )
    # Triggers count in states: while there are none, they have nothing to do.
    _insert(
        database,
        "readings (meter_id, id, date, utc, energy, power, maximeter)",
        (_reading(database, id_, number) for id_ in ids for number in range(1, readings + 1)),
    )
    _insert(
        database,
        "flags (meter_id, reading_id, flags)",
        (
            f"({id_}, {number}, {IMPLAUSIBLE.bit})"
            for id_ in ids
            for number in range(1, readings + 1)
        ),
    )
    _insert(
        database,
        "states (meter_id, version, changes, corrections, last_id)",
        (f"({id_}, '{id_ + 2**31:032x}', 1, 0, {readings})" for id_ in ids),
    )


def _zone(meter_id: int) -> str:
    return ZONES[meter_id % len(ZONES)]


def _reading(database: DatabaseFixture, meter_id: int, number: int) -> str:
    at = FIRST_INSTANT + timedelta(minutes=15) * (number - 1)
    local = at.astimezone(ZoneInfo(_zone(meter_id)))
    if isinstance(database, MariadbDatabase):
        utc, energy = f"'{at:%Y-%m-%d %H:%M:%S}'", ENERGY
    else:
        utc, energy = f"{at.timestamp():.0f}", ENERGY * 10**5
    values = ", ".join([str(energy)] * 3)
    return f"({meter_id}, {number}, '{local:%Y-%m-%d %H:%M:%S}', {utc}, {values})"


def _insert(database: DatabaseFixture, table: str, rows: Iterable[str]) -> None:
    values = list(rows)
    for at in range(0, len(values), _ROWS):
        database.run(f"INSERT INTO {table} VALUES {', '.join(values[at : at + _ROWS])}")

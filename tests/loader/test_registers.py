"""A cumulative register is refused as energy, and nothing else is."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from math import pi, sin

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.error_report import FaultyReportsError
from domain.report_source import RowBatch
from loader.rows.registers import REGISTER_QUANTITIES, RegisterWatch
from tests.support.databases import DatabaseFixture
from tests.support.report_factory import report, row

START = datetime(2024, 4, 1, tzinfo=UTC)


def is_register(
    values: Sequence[float], minutes: int = 15, *, newest_first: bool = False, at_once: int = 7
) -> bool:
    """Whether energies of successive intervals are taken for a register."""
    lines = []
    for number, value in enumerate(values):
        time = f"{START + timedelta(minutes=minutes) * number:%Y-%m-%d %H:%M:%S}"
        lines.append(f"{number + 1},{time},0,{value:.5f},,,,,,,\n")
    if newest_first:
        lines.reverse()
    watch = RegisterWatch(REGISTER_QUANTITIES[0])
    for begin in range(0, len(lines), at_once):
        some = "".join(lines[begin : begin + at_once])
        watch.add(RowBatch(some.encode(), len(lines), "", ""))
    return watch.is_register


def solar(quarters: int, minutes: int = 15) -> list[float]:
    """The energy of a clear day, from six to six."""
    hours = (number * minutes / 60 for number in range(quarters))
    return [max(0.0, round(sin((hour - 6) / 12 * pi), 3)) for hour in hours]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    start=st.sampled_from([0.0, 0.4, 900.0, 8350.274, 99_000.0]),
    minutes=st.sampled_from([15, 30, 60]),
    newest_first=st.booleans(),
    idle=st.floats(0, 0.5),
    restart=st.sampled_from(["never", "daily", "replaced"]),
)
def test_register_is_recognized(
    seed: int, start: float, minutes: int, newest_first: bool, idle: float, restart: str
) -> None:
    """Also one that stands still for most of the time, or starts at zero every day."""
    chance = random.Random(seed)  # noqa: S311 - test data
    value, values = start, []
    for number in range(4 * 1440 // minutes):
        time = START + timedelta(minutes=minutes) * number
        if restart == "daily" and time.hour == time.minute == 0:
            value = 0.0
        if restart == "replaced" and number == 40 and start > 100:
            value = 0.0
        value += 0.0 if chance.random() < idle else chance.uniform(0.05, 0.5)
        values.append(value)
    assert is_register(values, minutes, newest_first=newest_first)


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    base=st.sampled_from([0.0, 0.2, 5.0, 4000.0]),
    spread=st.sampled_from([0.001, 0.05, 3.0]),
    length=st.integers(1, 300),
)
def test_load_is_no_register(seed: int, base: float, spread: float, length: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - test data
    values = [round(base + chance.uniform(0, spread), 3) for _ in range(length)]
    assert not is_register(values)
    ramp = [round(base + 0.04 * number + chance.uniform(0, 0.01), 3) for number in range(22)]
    assert base == 4000 or not is_register(ramp)


@pytest.mark.parametrize(
    "values",
    [
        [0.0] * 500,
        [1.25] * 500,
        [8350.0, 8350.1, 8350.2],
        [0.0, 0.0, 7.0, 7.0, 0.0] * 50,
        solar(48),
        solar(96 * 3),
        [0.0] * 72 + solar(48),
        [*range(1, 2000)],
        [0.1 + number / 1000 for number in range(40)],
        [5.0] * 40 + [5.1] * 40 + [5.2] * 40,
    ],
)
def test_steady_and_solar_energy_is_no_register(values: list[float]) -> None:
    assert not is_register(values)
    assert not is_register(values, newest_first=True)
    assert not is_register(solar(720, minutes=1), minutes=1)


async def test_report_of_a_register_is_refused_with_what_to_export(
    database: DatabaseFixture,
) -> None:
    times = [(START + timedelta(minutes=15) * number).isoformat() for number in range(96)]
    rows = [row(time, f"{8350.274 + 0.111 * n:.3f}") for n, time in enumerate(times)]
    path = database.file(report(*rows))
    with pytest.raises(FaultyReportsError) as caught:
        await database.load(path)
    (shown,) = caught.value.errors.shown
    assert shown == (
        f"{path}: energy only rises, from 8350.274 to 8360.819: this is the state of a cumulative"
        " register, not the energy of each interval. Describe the format with kind: register for"
        " the column of energy, and energy is worked out from the states; or with kind: energy, if"
        " it is the energy of each interval all the same; elecdata inspect FILE writes the format"
    )
    assert not await database.records()


async def test_column_that_is_said_to_be_energy_or_power_is_no_register(
    database: DatabaseFixture,
) -> None:
    time = {"column": "t", "pattern": "iso", "marks": "start"}
    times = [(START + timedelta(hours=1) * number).isoformat() for number in range(96)]
    path = database.file(
        "t,a,b\n" + "".join(f"{at},{8350 + n / 9:.3f},1\n" for n, at in enumerate(times))
    )
    for kind, is_taken in [({}, False), ({"kind": "energy"}, True), ({"kind": "power"}, True)]:
        columns = {"energy": {"header": "a"} | kind, "reactive_energy": "b"}
        database.configure(formats={"plant": {"columns": columns, "time": time, "interval": 3600}})
        try:
            (summary,) = await database.load(path)
        except FaultyReportsError as error:
            assert "or with kind: energy" in error.errors.shown[0]  # noqa: PT017 - other texts load
            assert not is_taken
        else:
            assert (summary.readings, is_taken) == (96, True)

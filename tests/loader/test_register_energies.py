"""Cumulative registers: states become the energies of intervals."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from domain.quantities import ALL_QUANTITY_NAMES
from loader.formats.configured_format import ConfiguredFormat
from loader.report import Report
from loader.report_file import ReportFile, ReportPart
from loader.rows.errors import RowError
from settings import FormatSettings
from tests.support.report_factory import MADRID
from tests.support.report_formats import Reading, ReportResult, reading

ISO = {"column": "t", "pattern": "iso", "marks": "start"}
LOCAL = {"column": "t", "pattern": "%Y-%m-%d %H:%M:%S", "marks": "start"}


def described(columns: dict[str, Any], **keys: Any) -> ConfiguredFormat:
    layout = {"delimiter": ";", "columns": columns, "time": ISO, **keys}
    return ConfiguredFormat("described", FormatSettings.model_validate(layout))


def register(*headers: str, **keys: Any) -> dict[str, Any]:
    return {"energy": {"header": list(headers), "kind": "register", **keys}}


@pytest.fixture
def read(tmp_path: Path) -> Reading:
    return reading(tmp_path)


def states(*values: str, heading: str = "kWh", hour: int = 0, begin: datetime | None = None) -> str:
    """Return a report with the states of registers, an hour apart."""
    begin = begin or datetime(2024, 3, 1, hour, tzinfo=UTC)
    rows = [
        f"{begin + timedelta(hours=at):%Y-%m-%dT%H:%M:%SZ};{value}"
        for at, value in enumerate(values)
    ]
    return "\n".join([f"t;{heading}", *(row for row in rows if not row.endswith(";skip")), ""])


def energies(done: ReportResult, name: str = "energy") -> dict[str, str]:
    """Return the energies by their hour, UTC."""
    values = [row[3 + ALL_QUANTITY_NAMES.index(name)] for row in done.rows]
    return dict(zip((f"{each:%d %H}" for each in done.instants), values, strict=True))


def test_states_at_the_end_of_an_interval_are_written_under_its_start(read: Reading) -> None:
    known = described(register("kWh"), interval=3600, time=ISO | {"states": "end"})
    done = read(states("10", "11", "13"), known)
    assert energies(done) == {"01 01": "1.00000", "01 02": "2.00000"}


def test_energy_between_two_states_is_of_the_interval_that_ends_at_the_later_one(
    read: Reading,
) -> None:
    for marks in ("start", "end"):
        time = ISO | {"marks": marks}
        done = read(
            states("100", "100.5", "102"), described(register("kWh"), time=time, interval=3600)
        )
        assert energies(done) == {"01 00": "0.50000", "01 01": "1.50000"}
        assert done.report.register_events == [
            "2024-03-01 01:00:00: kWh: first state 100: energy is known from here on"
        ]


def test_first_state_alone_is_no_reading(read: Reading) -> None:
    done = read(states("100"), described(register("kWh"), interval=3600))
    assert done.error == (
        " expected at least two states of a register, since the first one alone gives no energy"
    )


def test_consecutive_exports_that_overlap_by_a_row_lose_nothing(read: Reading) -> None:
    layout = described(register("kWh"), interval=3600)
    first = energies(read(states("1", "2", "4"), layout))
    second = energies(read(states("4", "7", "8", hour=2), layout))
    assert {**first, **second} == energies(read(states("1", "2", "4", "7", "8"), layout))
    assert not set(first) & set(second)


def test_state_that_is_missing_leaves_its_energy_to_the_next_one(read: Reading) -> None:
    done = read(states("1", "2", "n/a", "5"), described(register("kWh"), interval=3600))
    assert energies(done) == {"01 00": "1.00000", "01 01": "", "01 02": "3.00000"}
    assert done.report.missing == 1


def test_energy_of_a_gap_is_that_of_the_last_interval_in_it(read: Reading) -> None:
    done = read(
        states("1", "2", "skip", "skip", "8", "9"), described(register("kWh"), interval=3600)
    )
    assert energies(done) == {"01 00": "1.00000", "01 03": "6.00000", "01 04": "1.00000"}
    assert done.report.register_events[1:] == [
        (
            "2024-03-01 05:00:00: kWh: no state since 2024-03-01 02:00:00: the energy since then is"
            " in one reading"
        )
    ]


def test_interval_of_states_is_told_by_them(read: Reading) -> None:
    values = [str(at) for at in range(20)]
    values[7] = "skip"
    done = read(states(*values), described(register("kWh")))
    assert "01 06" not in energies(done)
    assert energies(done)["01 07"] == "2.00000"
    assert done.report.interval == 3600


RISING = [str(Fraction(at)) for at in range(9950, 9990, 2)]


@pytest.mark.parametrize(
    ("values", "energy", "said"),
    [
        (["99997", "99999", "1", "3"], "2.00000", "rolled over from 99999 to 1"),
        (["999997.5", "999999", "0.5", "3"], "1.50000", "rolled over from 999999 to 0.5"),
        (["70000", "70002", "1", "3"], "1.00000", "restarted, from 70002 to 1"),
        (["70000", "70002", "45000", "45001"], "", "from 70002 to 45000, as the register of anot"),
        (["70000", "70002", "70001", "70002"], "", "from 70002 to 70001, as the register of anot"),
        ([*RISING, "70002", "70004"], "", "from 9988 to 70002, as the register of another meter"),
        ([*RISING, "100", "102"], "", "from 9988 to 100, as the register of another meter"),
        ([*RISING, "3", "5"], "3.00000", "restarted, from 9988 to 3"),
    ],
)
def test_state_that_does_not_follow_is_explained(
    read: Reading, values: Sequence[str], energy: str, said: str
) -> None:
    done = read(states(*values), described(register("kWh"), interval=3600))
    hour = len(values) - 3
    assert energies(done)[f"01 {hour:02}"] == energy
    assert said in done.report.register_events[1]
    assert len(done.report.register_events) == 2


def test_register_that_counts_each_day_anew_does_not_roll_over(read: Reading) -> None:
    # One of its days ends close below a power of ten.
    values = []
    for last in (9000, 9990, 8200, 9100):
        values += [str(hour * last // 23) for hour in range(24)]
    layout = described(register("kWh", factor="0.001"), interval=3600)
    done = read(states(*values, begin=datetime(2024, 2, 29, 23, tzinfo=UTC)), layout)
    found = [value for hour, value in energies(done).items() if hour.endswith("22")]
    assert found == ["0.00000"] * 3
    assert "restarted, from 9.99 to 0" in " ".join(done.report.register_events)


def test_registers_of_tariffs_roll_over_each_for_itself(read: Reading) -> None:
    text = states("99999;10", "1;10", "1;12", ";13", "2;15", heading="low;high")
    done = read(text, described(register("low", "high"), interval=3600))
    assert list(energies(done).values()) == ["2.00000", "2.00000", "", "4.00000"]


def test_other_quantities_keep_their_own_interval(read: Reading) -> None:
    text = states("100;1", "100.5;2", "skip", "102;3", heading="kWh;V")
    columns = register("kWh") | {"voltage": "V"}
    done = read(text, described(columns, interval=3600))
    assert energies(done) == {"01 00": "0.50000", "01 01": "", "01 02": "1.50000", "01 03": ""}
    assert energies(done, "voltage") == {
        "01 00": "1.00000",
        "01 01": "2.00000",
        "01 02": "",
        "01 03": "3.00000",
    }
    done = read(text, described(columns, interval=3600, time=ISO | {"marks": "end"}))
    assert energies(done) == {"29 23": "", "01 00": "0.50000", "01 02": "1.50000"}
    assert list(energies(done, "voltage").values()) == ["1.00000", "2.00000", "3.00000"]


def test_two_states_of_one_time_are_an_error_and_equal_ones_a_repeat(read: Reading) -> None:
    text = states("1", "2", "3") + "2024-03-01T01:00:00Z;2\n2024-03-01T02:00:00Z;4\n"
    done = read(text, described(register("kWh"), interval=3600), skip_bad_rows=True)
    assert (done.report.repeated, done.report.rejected) == (1, 1)
    assert done.row_errors[0].startswith("6: kWh: 4: expected 3 as in another row of 2024-03-01 03")
    assert energies(done) == {"01 00": "1.00000", "01 01": "1.00000"}


def test_state_below_zero_or_in_too_many_decimals_is_an_error(read: Reading) -> None:
    done = read(states("1", "-2", "3.000001"), described(register("kWh"), interval=3600))
    assert [error[:40] for error in done.row_errors] == [
        "3: kWh: -2: expected the state of a regi",
        "4: kWh: 3.000001: expected the state of ",
    ]
    assert "round: true" in done.row_errors[1]


def test_rejected_states_are_not_loaded_alone(read: Reading) -> None:
    text = "t;kWh;Rejected because\n2024-03-01T01:00:00Z;2;line 3: x\n"
    done = read(text, described(register("kWh"), interval=3600))
    assert "rejected rows do not tell the energy between them" in done.error


def test_registers_of_several_meters_are_apart(tmp_path: Path) -> None:
    rows = [
        f"{meter};2024-03-01T{hour:02}:00:00Z;{start + hour * step}\n"
        for hour in range(5)
        for meter, start, step in (("a", 100, 1), ("b", 5000, 3))
    ]
    path = tmp_path / "report.csv"
    path.write_text("meter;t;kWh\n" + "".join(rows))
    layout = described(register("kWh"), interval=3600, identifier="meter")
    errors, found = list[RowError](), {}

    def read(part: ReportPart | None) -> Report:
        return Report(
            *(str(path), MADRID),
            skip_bad_rows=False,
            on_errors=lambda each, _: errors.extend(each),
            formats=[layout],
            part=part,
        )

    with ReportFile(str(path), formats=[layout]) as file:
        for part in file.parts(
            MADRID, skip_bad_rows=False, on_errors=lambda e, _: errors.extend(e)
        ):
            report = read(part)
            lines = b"".join(batch.rows for batch in report.batches()).decode().splitlines()
            found[report.identifier] = [line.split(",")[3] for line in lines]
    assert found == {"a": ["1.00000"] * 4, "b": ["3.00000"] * 4}
    assert not errors


@pytest.mark.parametrize("order", ["oldest first", "newest first", "any"])
@pytest.mark.parametrize("seed", range(6))
def test_states_of_random_energies_give_back_these(read: Reading, seed: int, order: str) -> None:
    rnd = random.Random(f"{seed}{order}")  # noqa: S311 - made input
    zone = ZoneInfo(rnd.choice(["Europe/Madrid", "Australia/Lord_Howe", "America/New_York"]))
    interval = rnd.choice([900, 3600])
    begin = datetime(2024, rnd.choice([3, 4, 10, 11]), rnd.randint(1, 25), tzinfo=UTC)
    count = rnd.randint(300, 800)
    registers = rnd.randint(1, 2)
    factor = Fraction(rnd.choice(["1", "0.001", "40"]))
    range_of = 10 ** rnd.choice([5, 6])
    made = [Fraction(rnd.randint(0, range_of // 300), rnd.choice([1, 10])) for _ in range(count)]
    counted = [Fraction(range_of - rnd.randint(1, 900)), Fraction(range_of // 3)][:registers]
    restarts = set(rnd.sample(range(100, count), 2))
    lost = set()
    for _ in range(3):
        first = rnd.randrange(20, count - 20)
        gap = set(range(first, first + rnd.randint(1, 5)))
        if not gap & {at + back for at in restarts for back in (-1, 0, 1)}:
            lost |= gap
    empty = {
        at for at in rnd.sample(range(count), 3) if at not in restarts and at + 1 not in restarts
    }
    rows: list[tuple[datetime, list[Fraction] | None]] = [(begin, counted.copy())]
    expected, waiting = {}, Fraction(0)
    for at, energy in enumerate(made):
        tariff = rnd.randrange(registers)
        if at in restarts and counted[tariff] > range_of // 50:
            counted[tariff] = Fraction(0)
        counted[tariff] = (counted[tariff] + energy) % range_of
        start = begin + timedelta(seconds=at * interval)
        waiting += energy * factor
        if at in lost:
            continue
        end = start + timedelta(seconds=interval)
        rows.append((end, None if at in empty else counted.copy()))
        expected[start] = None if at in empty else waiting
        waiting = waiting if at in empty else Fraction(0)
    if order == "newest first":
        rows.reverse()
    elif order == "any":
        rnd.shuffle(rows)
    headers = ["low", "high"][:registers]
    lines = ["t;" + ";".join(headers)]
    for time, having in rows:
        local = time.astimezone(zone)
        text = local.isoformat() if order == "any" else f"{local:%Y-%m-%d %H:%M:%S}"
        shown = (
            ["" for _ in headers] if having is None else [f"{float(each):.1f}" for each in having]
        )
        lines.append(";".join([text, *shown]))
    marks = rnd.choice(["start", "end"])
    time_keys = (ISO if order == "any" else LOCAL) | {"marks": marks, "timezone": zone.key}
    columns = register(*headers, factor=str(float(factor)))
    done = read("\n".join([*lines, ""]), described(columns, time=time_keys, interval=interval))
    assert (done.row_errors, done.error) == ([], "")
    found = {
        instant: Fraction(value) if value else None
        for instant, value in zip(done.instants, done.quantities("energy"), strict=True)
    }
    assert found == expected

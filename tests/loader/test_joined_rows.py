"""Quantities that are taken from some of the rows: those of one time are one reading."""

import random
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from domain.quantities import ALL_QUANTITY_NAMES
from loader.formats.configured_format import ConfiguredFormat
from loader.rows import sorted_rows
from settings import FormatSettings
from tests.support.report_factory import MADRID
from tests.support.report_formats import Reading, ReportResult, reading

TIME = {"column": "t", "pattern": "%Y-%m-%d %H:%M", "marks": "start"}
BOTH = {
    "energy": {"header": "kWh", "where": {"type": "Offtake*"}},
    "exported_energy": {"header": "kWh", "where": {"type": ["Injection*", "Export"]}},
}
HEADING = "t;type;kWh\n"


def described(columns: dict[str, Any], **keys: Any) -> ConfiguredFormat:
    layout = {"delimiter": ";", "columns": columns, "time": TIME, **keys}
    return ConfiguredFormat("described", FormatSettings.model_validate(layout))


@pytest.fixture
def read(tmp_path: Path) -> Reading:
    return reading(tmp_path)


def values(done: ReportResult, name: str) -> list[str]:
    place = 3 + ALL_QUANTITY_NAMES.index(name)
    return [row[place] for row in done.rows]


def test_rows_of_one_time_are_one_reading(read: Reading) -> None:
    text = (
        f"{HEADING}2024-01-01 00:00;Offtake Night;0.5\n2024-01-01 00:00;Injection Night;0\n"
        "2024-01-01 01:00;Export;0.25\n2024-01-01 01:00;Offtake Day;\n"
        "2024-01-01 02:00;Offtake Day;1\n2024-01-01 02:00;Gas;9\n2024-01-01 x;Gas;9\n"
    )
    done = read(text, described(BOTH))
    assert not done.row_errors
    assert values(done, "energy") == ["0.50000", "", "1.00000"]
    assert values(done, "exported_energy") == ["0.00000", "0.25000", ""]
    assert (done.report.missing, done.report.unread_rows, done.report.repeated) == (2, 2, 0)


def test_rows_of_one_type_are_chosen_by_several_columns(read: Reading) -> None:
    columns = {"energy": {"header": "v", "where": {"type": "in", "unit": ["kWh", "KWH"]}}}
    text = "t;type;unit;v\n2024-01-01 00:00;in;kWh;1\n2024-01-01 00:00;in;kW;4\n"
    text += "2024-01-01 01:00;out;kWh;9\n2024-01-01 02:00;in;KWH;2\n2024-01-01 03:00;min;kWh;2\n"
    done = read(text, described(columns))
    assert values(done, "energy") == ["1.00000", "2.00000"]
    assert done.report.unread_rows == 3


def test_two_values_of_one_quantity_are_an_error_and_equal_ones_a_repeat(read: Reading) -> None:
    text = (
        f"{HEADING}2024-01-01 00:00;Offtake Day;1\n2024-01-01 00:00;Offtake Night;2\n"
        "2024-01-01 00:00;Offtake Day;1.0\n2024-01-01 00:00;Export;3\n"
    )
    done = read(text, described(BOTH), skip_bad_rows=True)
    assert done.row_errors == [
        (
            "3: kWh: 2.00000: expected 1.00000 as in another row of 2024-01-01 00:00:00, since both"
            " are energy of that time"
        )
    ]
    assert done.rejected == [b"2024-01-01 00:00;Offtake Night;2"]
    assert (values(done, "energy"), values(done, "exported_energy")) == (["1.00000"], ["3.00000"])
    assert (done.report.repeated, done.report.rejected) == (1, 1)
    assert read(text, described(BOTH)).error == " 1 rows are wrong"


def test_rows_with_an_end_have_energies_of_their_own_length(read: Reading) -> None:
    columns = {
        "energy": {"header": "kW", "kind": "power", "where": {"type": "in"}},
        "exported_energy": {"header": "kW", "kind": "power", "where": {"type": "out"}},
    }
    text = (
        "t;u;type;kW\n2024-01-01 00:00;2024-01-01 00:30;in;2\n"
        "2024-01-01 00:30;2024-01-01 01:30;in;3\n2024-01-01 00:00;2024-01-01 00:30;out;1\n"
        "2024-01-01 00:30;2024-01-01 01:00;out;7\n"
    )
    time = TIME | {"end": {"column": "u", "pattern": TIME["pattern"]}}
    del time["marks"]
    done = read(text, described(columns, time=time), skip_bad_rows=True)
    assert values(done, "energy") == ["1.00000", "3.00000"]
    assert values(done, "exported_energy") == ["0.50000", ""]
    assert done.row_errors == [
        "5: t: 1800 seconds: expected 3600 seconds, as another row of 2024-01-01 00:30:00 lasts"
    ]
    assert [span.seconds for span in done.report.said_spans] == [1800, 3600]


def test_reading_is_estimated_if_one_of_its_rows_is(read: Reading) -> None:
    text = "t;type;kWh;q\n2024-01-01 00:00;Offtake;1;R\n2024-01-01 00:00;Export;1;E\n"
    text += "2024-01-01 01:00;Offtake;1;R\n"
    done = read(text, described(BOTH, quality={"column": "q", "estimated": "E"}))
    assert [row[-1] for row in done.rows] == ["1", ""]


@pytest.mark.parametrize("blocks", [False, True], ids=["neighbours", "blocks"])
def test_repeated_hour_is_told_by_the_order_of_each_type(read: Reading, blocks: bool) -> None:
    begin = datetime(2024, 10, 26, 23, tzinfo=UTC)
    rows = [
        (
            kind,
            at,
            f"{(begin + timedelta(hours=at)).astimezone(MADRID):%Y-%m-%d %H:%M};{kind};{at}\n",
        )
        for at in range(5)
        for kind in ("Offtake", "Export")
    ]
    rows.sort(key=lambda row: row[0] if blocks else "")
    done = read(HEADING + "".join(line for _, _, line in rows), described(BOTH))
    assert done.row_errors == []
    assert done.instants == [begin + timedelta(hours=at) for at in range(5)]
    assert values(done, "energy") == values(done, "exported_energy")
    assert values(done, "energy") == [f"{at}.00000" for at in range(5)]


def test_invalid_row_in_the_repeated_hour_spoils_that_of_its_type_alone(read: Reading) -> None:
    rows = [
        f"2024-10-27 0{hour}:00;{kind};{value}\n"
        for kind, wrong in (("Offtake", "x"), ("Export", "2"))
        for hour, value in ((1, "1"), (2, wrong), (2, "3"), (3, "4"))
    ]
    done = read(HEADING + "".join(rows), described(BOTH), skip_bad_rows=True)
    assert len(done.row_errors) == 2
    assert values(done, "energy") == ["1.00000", "", "", "4.00000"]
    assert values(done, "exported_energy") == ["1.00000", "2.00000", "3.00000", "4.00000"]


@pytest.mark.parametrize("order", ["neighbours", "blocks", "newest first", "any"])
@pytest.mark.parametrize("seed", range(3))
def test_random_readings_in_rows_of_types_are_joined_to_these(
    read: Reading, monkeypatch: pytest.MonkeyPatch, seed: int, order: str
) -> None:
    rnd = random.Random(f"{seed}{order}")  # noqa: S311 - made input
    monkeypatch.setattr(sorted_rows, "MAX_HELD_BYTES", 20_000)  # some are in a temporary file
    names = ["energy", "exported_energy", "reactive_energy"]
    begin = datetime(2024, rnd.choice([3, 10]), rnd.randint(25, 27), tzinfo=UTC)
    made: dict[datetime, dict[str, Fraction]] = {}
    for at in range(rnd.randint(200, 500)):
        kept = [name for name in names if rnd.random() < 0.95]
        if kept:
            quantities = {name: Fraction(rnd.randint(-500, 5000), 1000) for name in kept}
            made[begin + timedelta(minutes=15 * at)] = quantities
    rows = [(instant, name) for instant, having in made.items() for name in having]
    if order == "blocks":
        rows.sort(key=lambda row: row[1])
    elif order == "newest first":
        rows.reverse()
    elif order == "any":
        rnd.shuffle(rows)
    lines = ["t;type;v"]
    for instant, name in rows:
        local = instant.astimezone(MADRID)
        text = local.isoformat() if order == "any" else f"{local:%Y-%m-%d %H:%M}"
        lines.append(f"{text};{name} 1;{float(made[instant][name]):.3f}")
    columns = {name: {"header": "v", "where": {"type": f"{name} ?"}} for name in names}
    time = TIME | ({"pattern": "iso"} if order == "any" else {})
    done = read("\n".join([*lines, ""]), described(columns, time=time))
    assert (done.row_errors, done.error) == ([], "")
    assert done.instants == sorted(made)
    for name in names:
        expected = [having.get(name) for _, having in sorted(made.items())]
        assert [Fraction(each) if each else None for each in values(done, name)] == expected

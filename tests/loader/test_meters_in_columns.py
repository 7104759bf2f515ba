"""Several meters in columns of one table: each column's readings go to its own meter."""

import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from loader.rows.header import REASON_COLUMN
from tests.loader.test_inspect import Inspected
from tests.support.source_files import Loaded, described, read_file

TIME = {"column": "Time", "pattern": "%Y-%m-%d %H:%M", "marks": "start"}
PATTERN = {"energy": {"meters": "{meter} (kWh)"}}
NAMED = {"energy": {"meters": {"Left": "shop", "Right": "flat"}}}
ROWS = "2024-06-01 00:00,1.5,2.5\n2024-06-01 01:00,,3.5\n2024-06-01 02:00,4.5,-\n"
MIDNIGHT = datetime(2024, 5, 31, 22, tzinfo=UTC)


def read(tmp_path: Path, text: str, columns: dict[str, Any] = PATTERN, **changes: Any) -> Loaded:
    path = tmp_path / "meters.csv"
    path.write_text(text)
    settings = {"columns": columns, "time": TIME} | changes
    return read_file(path, formats=described(**settings))


@pytest.mark.parametrize(
    ("columns", "heading", "meters"),
    [
        (PATTERN, "Time,House (kWh),Workshop (kWh)", ("House", "Workshop")),
        (NAMED, "Time,Left,Right", ("shop", "flat")),
        ({"energy": {"meters": "{meter}"}}, "Time,A1,A2", ("A1", "A2")),
    ],
    ids=["by pattern", "by name", "by the heading alone"],
)
def test_each_meter_gets_the_readings_of_its_column(
    tmp_path: Path, columns: dict[str, Any], heading: str, meters: tuple[str, str]
) -> None:
    loaded = read(tmp_path, f"{heading}\n{ROWS}", columns)
    assert (loaded.errors, loaded.unread) == ([], ())
    hours = {
        meter: {(at - MIDNIGHT).seconds // 3600: value for at, value in each.items()}
        for meter in meters
        if (each := loaded.energies(meter))
    }
    assert hours == {
        meters[0]: {0: Decimal("1.5"), 2: Decimal("4.5")},
        meters[1]: {0: Decimal("2.5"), 1: Decimal("3.5")},
    }


def test_quantities_of_a_meter_come_from_columns_of_its_name(tmp_path: Path) -> None:
    columns = {
        "energy": {"meters": "{meter} used (Wh)", "factor": "0.001"},
        "exported_energy": {"meters": "{meter} fed (kWh)"},
    }
    heading = "Time,A used (Wh),A fed (kWh),B used (Wh),Note"
    loaded = read(tmp_path, f"{heading}\n2024-06-01 00:00,1500,0.25,250,x\n", columns)
    assert loaded.unread == ("Note",)
    assert loaded.parts == {
        "A": {MIDNIGHT: {"energy": Decimal("1.5"), "exported_energy": Decimal("0.25")}},
        "B": {MIDNIGHT: {"energy": Decimal("0.25")}},
    }


def test_wrong_value_is_told_with_its_line_and_loads_again_for_its_meter(tmp_path: Path) -> None:
    heading = "Time,A (kWh),B (kWh)"
    loaded = read(tmp_path, f"{heading}\n2024-06-01 00:00,1,2\n2024-06-01 01:00,1,x\n")
    assert [error[:8] for error in loaded.errors] == ["3: energ"]
    again = (
        f"Time,meter of column,energy of interval,{REASON_COLUMN}\n2024-06-01 01:00,B,3,line 3: x\n"
    )
    assert read(tmp_path, again).energies("B") == {MIDNIGHT.replace(hour=23): Decimal(3)}


@pytest.mark.parametrize(
    "heading",
    ["Time,House,Workshop", "Time,A (kWh),A (kWh)"],
    ids=["no meter", "a meter twice"],
)
def test_headings_that_do_not_tell_the_meters_are_refused(tmp_path: Path, heading: str) -> None:
    (error,) = read(tmp_path, f"{heading}\n2024-06-01 00:00,1,2\n").errors
    assert "heading" in error


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"columns": {"energy": {"meters": "House"}}}, "expected a pattern of headings"),
        ({"columns": {"energy": {"meters": "{meter}", "header": "A"}}}, "beside meters"),
        ({"columns": {"energy": {"meters": "{meter}"}, "power": "kW"}}, "meters of all columns"),
        ({"columns": PATTERN, "identifier": "CUPS"}, "expected no identifier"),
        ({"columns": {"energy": {"meters": {"A": "x", "B": "x"}}}}, "each with the name"),
    ],
)
def test_wrong_keys_are_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        read(tmp_path, "", **changes)


def test_inspect_proposes_a_meter_for_each_column(tmp_path: Path) -> None:
    rows = "".join(
        f"2024-06-{day:02} {hour:02}:00,{hour % 7}.5,{hour % 5}.25\n"
        for day in (1, 2)
        for hour in range(24)
    )
    inspected = Inspected(tmp_path, f"Time,Meter A (kWh),Meter B (kWh)\n{rows}")
    assert "meters: 'Meter {meter} (kWh)'" in inspected.entry
    assert inspected.found["readings"] == 96

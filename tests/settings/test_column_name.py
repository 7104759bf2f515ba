"""How formats name columns: by heading, by place, by a pattern."""

from pathlib import Path

import pytest

from settings import ColumnError, ColumnName
from tests.settings.test_settings import URL, Configuration

METER = """formats:
  side:
    columns:
      energy: {header: COLUMN, factor: 0.001}
    time: {column: Date, pattern: "%d/%m/%Y %H:%M", marks: start}
"""


@pytest.fixture
def config(tmp_path: Path) -> Configuration:
    return Configuration(tmp_path)


@pytest.mark.parametrize(
    ("written", "named"),
    [
        ("kWh", ColumnName(heading="kWh")),
        ("4", ColumnName(place=4)),
        ("'4'", ColumnName(heading="4")),
        ("04:00", ColumnName(heading="04:00")),
        ("{matches: 'Rest (* kWh)'}", ColumnName(matches="Rest (* kWh)")),
    ],
)
def test_column_is_named_by_heading_place_or_pattern(
    config: Configuration, written: str, named: ColumnName
) -> None:
    (described,) = config.load(URL + METER.replace("COLUMN", written)).formats.values()
    assert described.columns.named()["energy"].header == (named,)
    short = METER.replace("{header: COLUMN, factor: 0.001}", written)
    (described,) = config.load(URL + short).formats.values()
    assert described.columns.named()["energy"].header == (named,)


def test_number_in_a_variable_is_a_place(config: Configuration) -> None:
    settings = config.load(URL + METER, ELECDATA_FORMATS__SIDE__TIME__COLUMN="4")
    assert settings.formats["side"].time.column == (ColumnName(place=4),)


@pytest.mark.parametrize(
    "written", ["0", "10000", "''", "{match: x}", "{matches: ''}", "[]", "[[a]]"]
)
def test_wrong_column_is_refused_with_its_line(config: Configuration, written: str) -> None:
    error = config.error(URL + METER.replace("COLUMN", written))
    assert error == (
        "config.yaml:5: formats.side.columns.energy.header: expected a heading, a place counted"
        " from 1, or {matches: PATTERN} with * and ? for any characters"
    )


NAMES = ("DATE", "VALUE", "", "DATE", "VALUE", "Rest (594,373 kWh)")


@pytest.mark.parametrize(
    ("column", "position"),
    [
        (ColumnName(heading="Rest (594,373 kWh)"), 5),
        (ColumnName(place=4), 3),
        (ColumnName(matches="Rest (* kWh)"), 5),
        (ColumnName(matches="R?st*"), 5),
    ],
)
def test_column_is_found_in_a_heading(column: ColumnName, position: int) -> None:
    assert column.position(NAMES) == position


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (ColumnName(heading="kWh"), "'kWh' is missing"),
        (ColumnName(matches="rest*"), "'rest*' is missing"),
        (ColumnName(matches="Rest (.* kWh)"), "'Rest (.* kWh)' is missing"),
        (ColumnName(place=7), "column 7 is missing: there are 6 columns"),
        (
            ColumnName(heading="VALUE"),
            "'VALUE' stands above several columns: name the one by its place, one of 2, 5",
        ),
        (
            ColumnName(matches="D*"),
            "'D*' fits several columns: name the one by its place, one of 1, 4",
        ),
    ],
)
def test_column_that_is_missing_or_ambiguous_is_an_error(column: ColumnName, said: str) -> None:
    with pytest.raises(ColumnError) as error:
        column.position(NAMES)
    assert str(error.value) == said

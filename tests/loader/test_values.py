"""Numbers in any notation, and what quantities are made of."""

import random
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from loader.formats.configured_format import ConfiguredFormat
from settings import FormatSettings
from tests.support.report_formats import Reading, ReportResult, reading

TIME = {"column": "t", "pattern": "%Y-%m-%d %H:%M", "marks": "start"}


def described(columns: dict[str, Any], **keys: Any) -> ConfiguredFormat:
    """Return a format with a column of local times, and these columns."""
    layout = {"delimiter": ";", "columns": columns, "time": TIME, **keys}
    return ConfiguredFormat("described", FormatSettings.model_validate(layout))


@pytest.fixture
def read(tmp_path: Path) -> Reading:
    return reading(tmp_path)


def hours(heading: str, *values: str) -> str:
    """Return a report with a row an hour."""
    rows = [f"2024-01-{1 + at // 24:02} {at % 24:02}:00;{value}" for at, value in enumerate(values)]
    return "\n".join([f"t;{heading}", *rows, ""])


def read_numbers(read: Reading, *texts: str, **keys: Any) -> ReportResult:
    column = {"header": "kWh", "unit": keys.pop("unit", None), "factor": keys.pop("factor", "1")}
    return read(hours("kWh", *texts), described({"energy": column}, **keys))


# Numbers


@pytest.mark.parametrize(
    ("text", "stored", "keys"),
    [
        (".5", "0.50000", {}),
        ("5.", "5.00000", {}),
        ("+0.5", "0.50000", {}),
        ("-.5", "-0.50000", {}),
        ("\u22120.25", "-0.25000", {}),
        ("1e-05", "0.00001", {}),
        ("5E-1", "0.50000", {}),
        ("1.5e+3", "1500.00000", {}),
        ("-0.0", "0.00000", {}),
        ("0.1000000000000", "0.10000", {}),
        ("1,234,567.5", "1234567.50000", {"thousands": ","}),
        ("1.234.567,5", "1234567.50000", {"thousands": ".", "decimal": ","}),
        ("1234,5", "1234.50000", {"thousands": ".", "decimal": ","}),
        ("1 234,5", "1234.50000", {"thousands": " ", "decimal": ","}),
        ("1\u00a0234,5", "1234.50000", {"thousands": " ", "decimal": ","}),
        ("1\u202f234,5", "1234.50000", {"thousands": " ", "decimal": ","}),
        ("1'234.5", "1234.50000", {"thousands": "'"}),
        ("1\u2019234.5", "1234.50000", {"thousands": "'"}),
        ("0.5 kWh", "0.50000", {"unit": "kWh"}),
        ("0.5\u00a0KWH", "0.50000", {"unit": "kWh"}),
        ("0.5", "0.50000", {"unit": "kWh"}),
        ("0.120999999999185", "0.12100", {"round": True}),
        ("0.044000000000000004", "0.04400", {"round": True}),
        ("0.000005", "0.00001", {"round": True}),
        ("-0.000005", "-0.00001", {"round": True}),
        ("0.0000049999", "0.00000", {"round": True}),
        ("-0.0000049999", "0.00000", {"round": True}),
    ],
)
def test_number_is_read_in_its_notation(
    read: Reading, text: str, stored: str, keys: dict[str, Any]
) -> None:
    done = read_numbers(read, text, **keys)
    assert (done.row_errors, done.quantities("energy")) == ([], [stored])


@pytest.mark.parametrize(
    ("text", "said", "keys"),
    [
        ("0,5", "expected a decimal like -8.382", {}),
        ("0.5 kWh", "a unit behind the number is read if the column has the key unit", {}),
        ("0.5 Wh", "expected a decimal like -8.382", {"unit": "kW"}),
        ("1 234.5", "marks between thousands are read if the format has the key thousands", {}),
        ("1.23,5", "expected a decimal like -8,382", {"thousands": ".", "decimal": ","}),
        ("1.2345,5", "expected a decimal like -8,382", {"thousands": ".", "decimal": ","}),
        ("12.34", "expected a decimal like -8,382", {"thousands": ".", "decimal": ","}),
        ("1'234 567", "expected a decimal like -8.382", {"thousands": " "}),
        ("0.123456", "expected at most 5 decimals, or round: true in the format", {}),
        ("1e-6", "expected at most 5 decimals, or round: true in the format", {}),
        ("9999999999.999995", "expected a decimal like -8.382", {"round": True}),
        ("1e999", "expected a decimal like -8.382", {"round": True}),
        ("1e5000", "expected a decimal like -8.382", {"round": True}),
        (".", "expected a decimal like -8.382", {}),
        ("-", "", {}),
        ("inf", "expected a decimal like -8.382", {}),
        ("lost", "expected a decimal like -8.382", {}),
    ],
)
def test_other_number_is_an_error_that_says_what_helps(
    read: Reading, text: str, said: str, keys: dict[str, Any]
) -> None:
    done = read_numbers(read, text, "1", **keys)
    if said:
        assert len(done.row_errors) == 1
        assert said in done.row_errors[0]
    else:
        assert not done.row_errors


def test_words_for_missing_values_are_no_values(read: Reading) -> None:
    words = ["-", "--", "n/a", "NA", "NaN", "null", "None", "#N/A", "Lost", "?"]
    done = read_numbers(read, "1", *words, missing=["lost", "?"])
    assert not done.row_errors
    assert done.quantities("energy") == ["1.00000", *[""] * len(words)]
    assert done.report.missing == len(words)


def test_rounded_values_are_counted(read: Reading) -> None:
    done = read_numbers(read, "0.1234567", "0.1234567", "0.12345", "0.1200000", "", round=True)
    assert (done.report.rounded, done.report.missing) == (2, 1)


def _round(value: Fraction) -> Fraction:
    """Return a value rounded to five decimals, a half away from zero."""
    units = abs(value) * 10**5
    whole = units.numerator // units.denominator + (units % 1 >= Fraction(1, 2))
    return Fraction(whole if value >= 0 else -whole, 10**5)


def _written(rnd: random.Random, digits: int, decimals: int, mark: str, thousands: str) -> str:
    """Return a number in some notation of the format."""
    sign = "-" if digits < 0 else ""
    text = str(abs(digits)).rjust(decimals + 1, "0")
    whole, fraction = text[: len(text) - decimals], text[len(text) - decimals :]
    if rnd.random() < 0.3:
        grouped = f"{int(whole):,}".replace(",", thousands)
        whole = grouped if thousands else whole
    elif rnd.random() < 0.2 and whole == "0" and fraction:
        whole = ""
    body = f"{whole}{mark}{fraction}" if fraction or rnd.random() < 0.2 else whole
    if rnd.random() < 0.2:
        shift = rnd.randint(-3, 3)
        plain = str(abs(digits))
        exponent = shift - decimals
        body = f"{plain[:-shift]}{mark}{plain[-shift:]}" if 0 < shift < len(plain) else plain
        exponent = exponent if 0 < shift < len(plain) else -decimals
        body += rnd.choice("eE") + (f"{exponent:+}" if rnd.random() < 0.5 else f"{exponent}")
    if sign == "" and rnd.random() < 0.2:
        sign = "+"
    elif sign and rnd.random() < 0.3:
        sign = "\u2212"
    return sign + body + rnd.choice(["", "", " kWh", "kwh"])


@pytest.mark.parametrize("seed", range(8))
def test_numbers_in_any_notation_are_exactly_these(read: Reading, seed: int) -> None:
    rnd = random.Random(seed)  # noqa: S311 - made input
    mark = rnd.choice(".,")
    thousands = rnd.choice([each for each in (".", ",", " ", "'", "") if each != mark])
    factor = rnd.choice(["1", "0.001", "-2.5", "1000", "0.33"])
    texts, values = [], []
    for _ in range(400):
        decimals = rnd.randint(0, 12)
        digits = rnd.randint(-(10 ** rnd.randint(1, 12)), 10 ** rnd.randint(1, 12))
        value = _round(Fraction(digits, 10**decimals) * Fraction(factor))
        if abs(value) < 10**10:
            texts.append(_written(rnd, digits, decimals, mark, thousands))
            values.append(value)
    keys = {"thousands": thousands} if thousands else {}
    done = read_numbers(read, *texts, decimal=mark, unit="kWh", factor=factor, round=True, **keys)
    assert not done.row_errors
    assert list(map(Fraction, done.quantities("energy"))) == values


# What a quantity is made of


def test_columns_of_two_tariffs_are_added_up(read: Reading) -> None:
    done = read(
        hours("low;high", "0.196;0", "0;1.5", ";", "1;n/a", "0.1;0.2"),
        described({"energy": ["low", "high"]}),
        skip_bad_rows=True,
    )
    assert done.quantities("energy") == ["0.19600", "1.50000", "", "0.30000"]
    assert done.report.missing == 1
    assert done.row_errors == [
        ("5: high: n/a: expected a number as in the other columns of energy, which are added up")
    ]


def test_sum_is_rounded_once(read: Reading) -> None:
    columns = {"energy": {"header": ["a", "b", "c"], "factor": "0.5"}}
    done = read(hours("a;b;c", "0.000004;0.000003;0.000003"), described(columns, round=True))
    assert (done.quantities("energy"), done.report.rounded) == (["0.00001"], 1)


def test_column_serves_several_quantities(read: Reading) -> None:
    columns = {
        "energy": {"header": "kW", "kind": "power"},
        "power": "kW",
        "maximeter": {"header": "kW", "factor": "2"},
    }
    done = read("t;kW\n2024-01-01 00:00;4.03\n", described(columns, interval=1800))
    assert done.quantities("energy") == ["2.01500"]
    assert done.quantities("power") == ["4.03000"]
    assert done.quantities("maximeter") == ["8.06000"]


def test_power_is_made_of_the_energy_of_its_interval(read: Reading) -> None:
    columns = {"energy": "kWh", "power": {"header": "kWh", "kind": "energy"}}
    done = read(hours("kWh", "0.25", "0.1"), described(columns, interval=900))
    assert done.quantities("power") == ["1.00000", "0.40000"]
    done = read("t;kWh\n2024-01-01 00:00;1\n", described(columns, interval=4200))
    assert done.row_errors == [
        (
            "2: kWh: 1: expected at most 5 decimals once divided by the 7/6 hours of its interval,"
            " or round: true in the format, which rounds to as many"
        )
    ]


def test_exported_energy_and_estimated_rows_are_read(read: Reading) -> None:
    columns = {"energy": "in", "exported_energy": "out"}
    quality = {"column": "state", "estimated": ["E*", "Ersatz"]}
    done = read(
        hours("in;out;state", "1;0.5;R", "2;;E1", "3;1;Ersatz"), described(columns, quality=quality)
    )
    assert [row[11:] for row in done.rows] == [
        ["0.50000", "", ""],
        ["", "", "1"],
        ["1.00000", "", "1"],
    ]
    assert done.report.tells_estimated
    assert done.report.missing == 1

"""Settings of formats: what is read, and what is said about a wrong one."""

from pathlib import Path

import pytest

from tests.settings.test_settings import URL, Configuration


@pytest.fixture
def config(tmp_path: Path) -> Configuration:
    return Configuration(tmp_path)


METER = """formats:
  workshop:
    delimiter: ";"
    columns:
      energy: {header: Wh, factor: 0.001}
      power: kW
    time: {column: Date, pattern: "%d/%m/%Y %H:%M", marks: start}
"""


def test_format_is_read_with_its_defaults(config: Configuration) -> None:
    (layout,) = config.load(URL + METER).formats.values()
    assert layout.delimiter == ";"
    assert (layout.decimal, layout.encoding, layout.interval) == (".", "utf-8", None)
    columns = layout.columns.named()
    assert {
        name: (*map(str, column.header), str(column.factor)) for name, column in columns.items()
    } == {
        "energy": ("Wh", "0.001"),
        "power": ("kW", "1"),
    }
    assert [str(column) for column in layout.headers()] == ["Date", "Wh", "kW"]


def test_factor_has_up_to_twenty_digits(config: Configuration) -> None:
    factor = "0.12345678901234567891"
    (layout,) = config.load(URL + METER.replace("0.001", f"'{factor}'")).formats.values()
    assert str(layout.columns.named()["energy"].factor) == factor
    error = config.error(URL + METER.replace("0.001", f"'{factor}1'"))
    assert "columns.energy.factor: expected a decimal other than 0" in error


def test_format_counts_hours_and_needs_no_interval(config: Configuration) -> None:
    text = METER.replace("pattern: ", "hour: Hour, pattern: ").replace(" %H:%M", "")
    assert config.load(URL + text).formats["workshop"].interval == 3600


def test_variables_change_formats(config: Configuration) -> None:
    settings = config.load(
        URL + METER,
        ELECDATA_FORMATS__WORKSHOP__DECIMAL=",",
        ELECDATA_FORMATS__WORKSHOP__TIME__MARKS="end",
        ELECDATA_FORMATS__WORKSHOP__INTERVAL="900",
        ELECDATA_FORMATS__WORKSHOP__COLUMNS__ENERGY__HEADER="Energy",
    )
    layout = settings.formats["workshop"]
    assert (layout.decimal, layout.time.marks, layout.interval) == (",", "end", 900)
    assert [str(column) for column in layout.headers()] == ["Date", "Energy", "kW"]
    assert config.load(URL + METER, ELECDATA_FORMATS="{}").formats == {}


@pytest.mark.parametrize(
    ("change", "line", "said"),
    [
        (("delimiter", "delimeter"), 4, "delimeter: no such key; did you mean formats.workshop.de"),
        (
            ("power", "pover"),
            7,
            "columns.pover: no such key; did you mean formats.workshop.columns",
        ),
        (
            ("factor", "facter"),
            6,
            "facter: no such key; did you mean formats.workshop.columns.energy.f",
        ),
        (('";"', ";;"), 4, "delimiter: expected one character such as , or ; or a tab, got ';;'"),
        (('";"', "1"), 4, "delimiter: expected one character such as"),
        (("columns", "decimal: x\n    columns"), 5, "decimal: expected the decimal mark, a point"),
        (
            ("columns", "encoding: utf-7\n    columns"),
            5,
            "encoding: expected an encoding such as utf-8, utf-16, latin-1 or cp1252, got 'utf-7'",
        ),
        (("columns", "encoding: hex\n    columns"), 5, "encoding: expected an encoding such as"),
        (("columns", "encoding: klingon\n    columns"), 5, "encoding: expected an encoding such"),
        (("0.001", "0"), 6, "columns.energy: expected a factor other than 0"),
        (("0.001", "nan"), 6, "columns.energy.factor: expected a decimal other than 0"),
        (("0.001", "1e-999999"), 6, "columns.energy.factor: expected a decimal other than 0"),
        (("Wh", "''"), 6, "columns.energy.header: expected a heading, a place counted from 1"),
        (("kW", "Date"), 3, "workshop: expected each column once, 'Date' is named twice"),
        (("marks: start", "marks: middle"), 8, "time.marks: expected start or end: which end"),
        ((", marks: start", ""), 8, "time.marks: missing, expected start or end"),
        (
            ("marks: start", "marks: end"),
            3,
            "interval: missing, expected seconds, since time.marks",
        ),
        (("%M", "%q"), 8, "time.pattern: expected a date pattern such as %d/%m/%Y %H:%M, or iso"),
        (("%d", ""), 8, "time.pattern: expected a date pattern"),
        (("%H", "%I"), 8, "time.pattern: expected a date pattern"),
        (("/%Y", ""), 8, "it says the whole time with %d"),
        (("%H:%M", "%M"), 8, "time.pattern: expected a date pattern"),
        (("%H:%M", "%H:%M %H"), 8, "time.pattern: expected a date pattern"),
        (("%H:%M", "%H:%M %p"), 8, "time.pattern: expected a date pattern"),
        (("%H:%M", "%H:%M%"), 8, "time.pattern: expected a date pattern"),
        (
            (' %H:%M", marks: start', '", marks: end'),
            8,
            "time: expected marks: start, since the pattern says the day alone",
        ),
        (
            ("marks: start", "end: {column: End, pattern: '%d %H'}"),
            8,
            "time.end.pattern: expected a pattern of the whole time or of the clock alone",
        ),
        (("marks", "end: End, marks"), 8, "time.marks: expected nothing, since time.end says"),
        (("marks: start", "period: 3"), 8, "time.pattern: expected a date pattern"),
        (
            (' %H:%M", marks: start', '", period: SP'),
            3,
            "interval: expected seconds that divide a day, since time.period counts intervals",
        ),
        (
            (' %H:%M", marks', '", hour: h, period: SP, marks'),
            8,
            "time.marks: expected nothing, since time.period says which interval a row is of",
        ),
        (
            (' %H:%M", marks: start', '", hour: h, period: SP'),
            8,
            "time: expected hour or period, not both",
        ),
        (
            (' %H:%M", marks: start', '", period: order, hours: clock'),
            8,
            "time: expected no hours, since period: order counts them",
        ),
        (
            (' %H:%M", marks: start', '", period: order, first_period: 0'),
            8,
            "time: expected no first_period without a column of the period",
        ),
        (("marks", "first_period: 2, marks"), 8, "time.first_period: expected 1 or 0: the number"),
        (("marks", "hours: clock, marks"), 8, "time: expected no hours without hour or period"),
        (("marks", "end_clock: start, marks"), 8, "time: expected no end_clock, since no time is"),
        (("Date,", "[],"), 8, "time.column: expected a heading, a place counted from 1, or"),
        (("marks", "timezone: +1, marks"), 8, "an offset such as +01:00, got '+1'"),
        (
            ("marks: start}", "end: End}\n    interval: 900"),
            9,
            "interval: expected nothing, since time.end says how long rows last",
        ),
        (
            ("marks: start}", "end: End}\n    lengths: [900, 1800]"),
            9,
            "lengths: expected nothing, since the format has time.end or time.end_clock",
        ),
        (("pattern: ", "hour: H, pattern: "), 8, "it says year, month and day with %d"),
        (("marks", "timezone: Madrid, marks"), 8, "time.timezone: expected an IANA time zone"),
        (("columns", "interval: 0\n    columns"), 5, "interval: expected seconds from 1 to 86400"),
        (("columns", "ignored: x\n    columns"), 5, "ignored: expected a list of columns"),
        (("columns", "ignored: [[x]]\n    columns"), 5, "ignored.0: expected a heading, a place"),
        (
            ("power: kW", "power: {header: kW, kind: power}"),
            5,
            "columns: power: expected a kind of energy, got power",
        ),
        (
            ("power: kW", "voltage: {header: kW, kind: power}"),
            5,
            "columns: voltage: expected no kind, got power",
        ),
        (
            ("factor: 0.001", "factor: 0.001, kind: meter"),
            6,
            "columns.energy.kind: expected energy, power or register: what the column holds",
        ),
        (
            ("factor: 0.001", "factor: -1, kind: register"),
            6,
            "columns.energy: expected a positive factor of a register",
        ),
        (
            ("factor: 0.001", "where: {Type: []}"),
            6,
            "columns.energy.where.Type: expected columns, each with a pattern or a list",
        ),
        (
            ("header: Wh", "header: [Wh, Wh]"),
            6,
            "columns.energy: expected each column of the sum once",
        ),
        (
            ("columns", "decimal: ','\n    thousands: ','\n    columns"),
            6,
            "thousands: expected another mark than that of decimals",
        ),
        (
            ("columns", "quality: {column: Q}\n    columns"),
            5,
            "quality.estimated: missing, expected a pattern, or a list of patterns",
        ),
        (
            (
                "columns:\n      energy: {header: Wh, factor: 0.001}",
                "lengths: [1800, 3600]\n    columns:\n      energy: {header: Wh, kind: register}",
            ),
            3,
            "workshop: expected no lengths with where or registers",
        ),
        (
            (
                'power: kW\n    time: {column: Date, pattern: "%d/%m/%Y %H:%M", marks: start',
                (
                    "exported_energy: {header: E, kind: register}\n"
                    "    time: {column: Date, pattern: iso, end: End"
                ),
            ),
            3,
            "workshop: expected no time.end with a register: time.column names the time of the",
        ),
        (
            ("factor: 0.001", "factor: 0.001, kind: power"),
            3,
            "interval: missing, expected seconds, since a column holds mean power for energy",
        ),
        (("columns", "lengths: [900]\n    columns"), 5, "lengths: expected two or more different"),
        (("columns", "lengths: [3600, 900]\n    columns"), 5, "lengths: expected two or more"),
        (("columns", "lengths: [0, 900]\n    columns"), 5, "lengths.0: expected a list of seconds"),
        (
            ("columns", "lengths: [900, 3600]\n    interval: 900\n    columns"),
            6,
            "interval: expected nothing, since lengths says how long rows last",
        ),
        (
            ("marks: start", "marks: start, tolerance: 10"),
            3,
            "workshop: expected no time.tolerance without an interval that divides a day",
        ),
        (
            ("marks: start}", "marks: start, tolerance: 450}\n    interval: 900"),
            3,
            "workshop: expected a time.tolerance of less than half the interval",
        ),
        (
            ("kW\n", "{header: kW, optional: perhaps}\n"),
            7,
            "columns.power.optional: expected true or false: whether reports may lack the column",
        ),
        (
            ("time:", "lengths: [900, 1800]\n    usual_length: 3600\n    time:"),
            3,
            "workshop: expected a usual_length that is one of lengths, got 3600",
        ),
        (
            ("marks: start", "marks: start, states: end"),
            3,
            "workshop: expected no time.states without a register, an interval and marks: start",
        ),
        (
            ("time:", "identifier: {line: '{meter}', optional: perhaps}\n    time:"),
            8,
            "identifier: expected the column that names the meter",
        ),
        (("  workshop:", "  Workshop:"), 3, "formats: expected names of small letters, digits"),
        (("  workshop:", "  monitoring:"), 2, "formats: monitoring is the project's own format"),
    ],
)
def test_wrong_format_names_the_line_and_the_key(
    config: Configuration, change: tuple[str, str], line: int, said: str
) -> None:
    error = config.error(URL + METER.replace(*change, 1))
    assert error.startswith(f"config.yaml:{line}: formats")
    assert said in error


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("formats: {x: 5}", "formats.x: expected a section with delimiter, decimal, thousands,"),
        ("formats: 5", "formats: expected a mapping of names to formats"),
        ("formats: {x: {}}", "formats.x.columns: expected at least one of energy"),
        (
            "formats: {x: {columns: {energy: e}}}",
            "formats.x.time.column: missing, expected the column with the time: a heading",
        ),
        (
            "formats: {x: {columns: {}, time: {column: a, pattern: iso, marks: start}}}",
            "formats.x.columns: expected at least one of energy, reactive_energy, power",
        ),
        (
            (
                "formats: {x: {columns: {energy: {header: e, optional: true}},"
                " time: {column: a, pattern: iso, marks: start}}}"
            ),
            "formats.x.columns: expected at least one column that is not optional",
        ),
        (
            (
                "formats: {x: {columns: {energy: e}, interval: 900,"
                " time: {column: a, hour: h, pattern: '%d/%m/%Y', marks: end}}}"
            ),
            "formats.x.interval: expected 3600 or nothing, since time.hour counts hours",
        ),
    ],
)
def test_incomplete_format_is_refused(config: Configuration, text: str, said: str) -> None:
    assert said in config.error(URL + text)


def test_misspelt_variable_of_a_format_names_the_one_meant(config: Configuration) -> None:
    error = config.error(URL + METER, ELECDATA_FORMATS__WORKSHOP__DELIMETER=";")
    assert error.endswith("no such key; did you mean ELECDATA_FORMATS__WORKSHOP__DELIMITER?")

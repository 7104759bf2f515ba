"""Reports of other meters: rows in any format are read, or reported as errors."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from domain.quantities import ALL_QUANTITY_NAMES
from loader.formats.configured_format import ConfiguredFormat
from loader.formats.registry import SHIPPED_FORMATS
from loader.formats.timestamps.notation import notation_of
from loader.rows.errors import RowError
from loader.rows.header import Header
from loader.rows.reader import FIRST_YEAR, LAST_YEAR
from settings import FormatSettings
from settings.report_formats.columns import ColumnsSettings
from tests.support.report_factory import MADRID, numbered, quarters, report, row
from tests.support.report_formats import (
    AUTUMN,
    CUPS,
    DISTRIBUTOR,
    SPRING,
    SUMMER,
    WORKSHOP,
    WORKSHOP_HEADING,
    Reading,
    hourly,
    reading,
    workshop,
)


@pytest.fixture
def read(tmp_path: Path) -> Reading:
    return reading(tmp_path)


def test_columns_of_a_format_are_the_quantities_of_a_reading() -> None:
    assert tuple(ColumnsSettings.model_fields) == ALL_QUANTITY_NAMES


# A distributor's hourly export


def test_hour_of_a_distributor_marks_its_end(read: Reading) -> None:
    done = read(DISTRIBUTOR + "".join(hourly(SUMMER, *range(1, 25))))
    assert not done.row_errors
    assert done.times == [(f"2019-08-01 {hour:02}:00:00", 2) for hour in range(24)]
    assert done.quantities("energy") == [f"{hour}.50000" for hour in range(1, 25)]
    assert set(done.quantities("power")) == {""}
    assert (done.report.interval, done.report.identifier) == (3600, CUPS)
    assert (done.report.readings, done.report.missing) == (24, 0)


def test_day_of_twenty_five_hours_has_the_repeated_one_twice(read: Reading) -> None:
    done = read(DISTRIBUTOR + "".join(hourly(AUTUMN, *range(1, 26))))
    assert done.times[:5] == [
        ("2019-10-27 00:00:00", 2),
        ("2019-10-27 01:00:00", 2),
        ("2019-10-27 02:00:00", 2),
        ("2019-10-27 02:00:00", 1),
        ("2019-10-27 03:00:00", 1),
    ]
    assert done.times[24] == ("2019-10-27 23:00:00", 1)


def test_repeated_hour_needs_no_order_where_hours_count(read: Reading) -> None:
    done = read(DISTRIBUTOR + "".join(hourly(AUTUMN, 4, 25, 3)))
    assert done.times == [
        ("2019-10-27 02:00:00", 1),
        ("2019-10-27 23:00:00", 1),
        ("2019-10-27 02:00:00", 2),
    ]


def test_day_of_twenty_three_hours_skips_one(read: Reading) -> None:
    done = read(DISTRIBUTOR + "".join(hourly(SPRING, *range(1, 24))))
    assert done.times[1:3] == [("2019-03-31 01:00:00", 1), ("2019-03-31 03:00:00", 2)]
    assert done.times[22] == ("2019-03-31 23:00:00", 2)


@pytest.mark.parametrize(
    ("day", "hour", "last"),
    [
        (SPRING, "24", 23),
        (SUMMER, "25", 24),
        (AUTUMN, "26", 25),
        (SUMMER, "0", 24),
        (SUMMER, "1.5", 24),
        (SUMMER, "-1", 24),
        (SUMMER, "", 24),
        (SUMMER, "٣", 24),
    ],
)
def test_hour_that_a_day_does_not_have_is_an_error(
    read: Reading, day: str, hour: str, last: int
) -> None:
    done = read(DISTRIBUTOR + f"{CUPS};{day};{hour};1;R\n")
    shown = hour.encode("unicode_escape").decode() or "nothing"
    assert done.row_errors == [
        f"2: Hora: {shown}: expected an hour from 1 to {last}, as many as that day has"
    ]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (
            f"{CUPS};2019-08-01;1;1;R",
            "Fecha: 2019-08-01: expected a date like 01/08/2019, from 1970 to 2199",
        ),
        (
            f"{CUPS};{SUMMER};1;1.5;R",
            (
                "Consumo_kWh: 1.5: expected a decimal like -8,382, with at most 10 digits before "
                "the mark and 5 after it, or nothing"
            ),
        ),
        (f"{CUPS};{SUMMER};1;1", "row: 4 fields: expected 5 fields, separated by ';'"),
        (f'"{CUPS};{SUMMER};1;1;R', f'row: "{CUPS};{SUMMER};1;1;R: expected fields whose quotes'),
        (f";{SUMMER};1;1;R", "CUPS: nothing: expected the name of the meter, at most 64 char"),
        (
            f"ES2;{SUMMER};2;1;R",
            f"CUPS: ES2: expected {CUPS} as in line 2: one meter in a report",
        ),
        (
            f"ES;{SUMMER};2;1;R",
            f"CUPS: ES: expected {CUPS} as in line 2: one meter in a report",
        ),
        (
            f"{CUPS};{SUMMER};24;1;R",
            "Fecha: 01/08/2019: expected a local time that does not occur in an earlier row",
        ),
    ],
)
def test_faulty_row_of_a_distributor_is_reported_with_its_line(
    read: Reading, line: str, error: str
) -> None:
    done = read(DISTRIBUTOR + "".join(hourly(SUMMER, 24)) + line + "\n")
    assert len(done.row_errors) == 1
    assert done.row_errors[0].startswith(f"3: {error}")
    assert done.rejected == [line.encode()]


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        ('"a" ;b', ["a", "b"]),
        ('a;"b" ', ["a", "b"]),
        ('"a"\t; "b"  ', ["a", "b"]),
        ('"a;"" ;x" ;"b"', ['a;"" ;x'.replace('""', '"'), "b"]),
        ('"a"";" ;b', ['a";', "b"]),
        ('"" ;b', ["", "b"]),
    ],
)
def test_blanks_behind_a_closing_quote_are_none_of_the_field(line: str, fields: list[str]) -> None:
    assert Header(("x", "y"), ";", "utf-8").split(1, line.encode()) == fields


def test_delimiter_behind_a_closing_quote_is_no_blank() -> None:
    assert Header(("x", "y", "z"), "\t", "utf-8").split(1, b'"a" \t\t"b" ') == ["a", "", "b"]


@pytest.mark.parametrize("line", ['"a" x;b', '"a;b', '"a" ;"b', '"a" "b";c'])
def test_text_behind_a_closing_quote_is_an_error(line: str) -> None:
    found = Header(("x", "y"), ";", "utf-8").split(1, line.encode())
    assert isinstance(found, RowError)
    assert found.expected == "fields whose quotes are closed"


def test_row_without_energy_is_a_reading_with_a_missing_value(read: Reading) -> None:
    done = read(DISTRIBUTOR + f"{CUPS};{SUMMER};1;;E\n")
    assert done.quantities("energy") == [""]
    assert done.report.missing == 1


# A format of one's own


def test_row_is_converted_and_belongs_to_the_interval_before_its_time(read: Reading) -> None:
    done = read(
        WORKSHOP_HEADING + "01.08.19 00:15;230,5;1250;x\n01.08.19 00:30;;-1;\n\n",
        workshop(),
        encoding="latin-1",
    )
    assert not done.row_errors
    assert done.times == [("2019-08-01 00:00:00", 2), ("2019-08-01 00:15:00", 2)]
    assert done.quantities("energy") == ["1.25000", "-0.00100"]
    assert done.quantities("voltage") == ["230.50000", ""]
    assert done.report.interval == 900


def test_columns_may_stand_in_any_order_and_ignored_ones_may_lack(read: Reading) -> None:
    done = read(
        "Energía (Wh);Hasta;Tensión (V)\n1000;01.08.19 00:15;230\n",
        workshop(encoding="utf-8"),
    )
    assert done.quantities("energy") == ["1.00000"]


def test_repeated_hour_is_resolved_by_the_order_of_ends(read: Reading) -> None:
    ends = [
        datetime(2019, 10, 26, 23, 15, tzinfo=UTC) + timedelta(minutes=15) * n for n in range(16)
    ]
    lines = [f"{end.astimezone(MADRID):%d.%m.%y %H:%M};;1;\n" for end in ends]
    for order in (1, -1):
        done = read(WORKSHOP_HEADING + "".join(lines[::order]), workshop(), encoding="latin-1")
        assert done.instants == [end - timedelta(minutes=15) for end in ends[::order]]


def test_time_that_clocks_skip_is_an_error(read: Reading) -> None:
    done = read(WORKSHOP_HEADING + "31.03.19 02:30;;1;\n", workshop(), encoding="latin-1")
    assert done.row_errors == [
        (
            "2: Hasta: 31.03.19 02:30: expected a local time that exists: clocks go forward over "
            "this one"
        )
    ]


def test_zone_of_a_format_may_differ_from_that_of_the_meter(read: Reading) -> None:
    changed = workshop(time=WORKSHOP["time"] | {"timezone": "UTC", "marks": "start"})
    done = read(
        WORKSHOP_HEADING + "27.10.19 00:00;;1;\n27.10.19 01:00;;1;\n", changed, encoding="latin-1"
    )
    assert done.times == [("2019-10-27 02:00:00", 2), ("2019-10-27 02:00:00", 1)]


@pytest.mark.parametrize(
    ("wrong", "factor"),
    [
        ("1,123456", "1"),
        ("1,5", "0.00001"),
        ("10000000000", "1"),
        ("-9999999999,99999", "1.1"),
        ("1" * 50, "0.0000000001"),
        ("1.5", "1"),
        ("1e41", "1"),
        ("++1", "1"),
        ("e5", "1"),
        (",", "1"),
        ("٣", "1"),
    ],
)
def test_decimal_that_cannot_be_stored_exactly_is_an_error(
    read: Reading, wrong: str, factor: str
) -> None:
    columns = {"energy": {"header": "kWh", "factor": factor}}
    changed = workshop(columns=columns, encoding="utf-8")
    done = read(f"Hasta;kWh\n01.08.19 00:15;{wrong}\n", changed)
    assert len(done.row_errors) == 1
    assert (
        "expected a decimal like -8,382, with at most 10 digits before the mark"
        in done.row_errors[0]
    ) or "expected at most 5 decimals" in done.row_errors[0]
    assert (f"once multiplied by {factor}" in done.row_errors[0]) == (factor != "1")


def test_least_negative_quantity_keeps_its_sign(read: Reading) -> None:
    done = read(
        WORKSHOP_HEADING + "01.08.19 00:15;-0,00001;-0,01;ok\n", workshop(), encoding="latin-1"
    )
    assert (done.quantities("voltage"), done.quantities("energy")) == (["-0.00001"], ["-0.00001"])


def test_bytes_of_another_encoding_are_a_fault(read: Reading) -> None:
    heading = "Hasta;Energía (Wh);Tensión (V);Estado\n".encode()
    done = read(heading + b"01.08.19 00:15;1;1;\xff\n", workshop(encoding="utf-8"))
    assert done.row_errors == [
        "2: row: 01.08.19 00:15;1;1;\\ufffd: expected utf-8 without NUL bytes"
    ]


def test_interval_that_readings_contradict_is_refused(read: Reading) -> None:
    lines = [f"01.08.19 {hour:02}:00;;1;\n" for hour in range(8)]
    done = read(WORKSHOP_HEADING + "".join(lines), workshop(), encoding="latin-1")
    assert done.error == (
        " readings are 3600 seconds apart: expected 900, as the format workshop says; to see what"
        " the file is: elecdata inspect FILE"
    )


# Times that carry their offset


@pytest.mark.parametrize("shown_in", [UTC, MADRID], ids=["utc", "offset"])
@pytest.mark.parametrize("first", ["2019-10-26", "2019-03-30", "2019-08-01"])
def test_own_report_with_offsets_reads_as_the_one_without(
    read: Reading, first: str, shown_in: Any
) -> None:
    moments = quarters(first, 300)
    plain = read(report(*numbered(moments)))
    assert not plain.row_errors
    dated = [
        instant.astimezone(shown_in).isoformat().replace("+00:00", "Z")
        for instant in plain.instants
    ]
    done = read(report(*numbered(dated)))
    assert not done.row_errors
    assert done.rows == plain.rows
    assert done.report.interval == plain.report.interval == 900
    shuffled = numbered(dated)[::7] + [line for n, line in enumerate(numbered(dated)) if n % 7]
    again = read(report(*shuffled))
    assert sorted(row[1:] for row in again.rows) == sorted(row[1:] for row in plain.rows)


@pytest.mark.parametrize("first", ["2019-10-27T02:00:00+02:00", "2019-08-01T02:00:00+02:00"])
def test_offset_twice_is_an_error_of_the_second(read: Reading, first: str) -> None:
    again = datetime.fromisoformat(first).astimezone(UTC).isoformat()
    done = read(report(row(first, "1"), row(again, "2")))
    assert len(done.row_errors) == 1
    assert done.row_errors[0].startswith("3: Date: ")
    assert "that does not occur in an earlier row" in done.row_errors[0]


def test_offset_of_a_local_time_above_is_an_error(read: Reading) -> None:
    """Although rows of that day wait for the others that have no offset."""
    moments = ["27 Oct 2019 01:45:00", "27 Oct 2019 02:00:00", "2019-10-27T00:00:00Z"]
    done = read(report(*numbered(moments)))
    (error,) = done.row_errors
    assert error.startswith("4: Date: ")
    assert error.endswith(": expected a local time that does not occur in an earlier row")


@pytest.mark.parametrize(
    "moment",
    [
        "2019-08-01T00:00:00",
        "2019-08-01T00:00:00.5Z",
        "2019-08-01T25:00:00Z",
        "1969-12-31T22:00:00Z",
        "2200-01-02T00:00:00Z",
        "0001-01-01T00:00:00+12:00",
        "9999-12-31T23:00:00-12:00",
        "Z",
    ],
)
def test_time_without_an_instant_is_an_error(read: Reading, moment: str) -> None:
    iso = workshop(time={"column": "Hasta", "pattern": "iso", "marks": "start"}, encoding="utf-8")
    heading = WORKSHOP_HEADING
    for done in (read(report(row(moment))), read(f"{heading}{moment};1;1;\n", iso)):
        (error,) = done.row_errors
        assert f": {moment}: expected a " in error
        assert "2019-08-01T00:15:00+02:00, from 1970 to 2199" in error


# The heading


def test_heading_that_fits_no_format_names_the_nearest_and_the_differences(read: Reading) -> None:
    text = "Titel;x\nFecha;CUPS;Hora;Energia\nEstado;Hasta\n1;2\n"
    assert read(text, *SHIPPED_FORMATS, workshop()).error == (
        "2: heading: 'Fecha;CUPS;Hora;Energia': expected a known format, the nearest is"
        " distributor-hourly: missing 'Consumo_kWh'; additional 'Energia';"
        " to see what the file is: elecdata inspect FILE"
    )


def test_heading_that_has_a_column_twice_says_to_name_it_by_place(read: Reading) -> None:
    assert read(DISTRIBUTOR.replace("\n", ";CUPS\n")).error == (
        "1: heading: 'CUPS;Fecha;Hora;Consumo_kWh;Metodo_obtencion;CUPS': expected a known format,"
        " the nearest is distributor-hourly: 'CUPS' stands above several columns: name the one by"
        " its place, one of 1, 6; to see what the file is: elecdata inspect FILE"
    )


def test_heading_that_matches_several_formats_requires_a_choice(read: Reading) -> None:
    other = ConfiguredFormat("other", FormatSettings.model_validate(WORKSHOP | {"interval": 3600}))
    done = read(WORKSHOP_HEADING, workshop(), other, encoding="latin-1")
    assert done.error.endswith("fits several formats: say which with --format: workshop, other")


@pytest.mark.parametrize(
    "heading",
    [
        DISTRIBUTOR.replace(";", ","),
        DISTRIBUTOR.replace("Hora", "hora"),
        DISTRIBUTOR.replace(";Hora", ""),
    ],
)
def test_heading_fits_with_every_column_or_not_at_all(read: Reading, heading: str) -> None:
    assert read(heading + hourly(SUMMER, 1)[0]).error.startswith("1: heading: ")


def test_byte_order_mark_and_quotes_do_not_hide_a_heading(read: Reading) -> None:
    heading = ";".join(f'"{name}"' for name in DISTRIBUTOR.strip().split(";"))
    done = read(f"\ufeff{heading}\r\n" + hourly(SUMMER, 1)[0])
    assert done.times == [("2019-08-01 00:00:00", 2)]


@pytest.mark.parametrize("year", [FIRST_YEAR - 1, FIRST_YEAR, LAST_YEAR, LAST_YEAR + 1])
def test_pattern_takes_dates_of_the_years_that_a_database_can_hold(year: int) -> None:
    found = notation_of("%d/%m/%Y %H:%M").parse(f"31/12/{year:04} 23:45")
    assert (found is not None) == (FIRST_YEAR <= year <= LAST_YEAR)

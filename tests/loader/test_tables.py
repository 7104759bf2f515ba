"""Where the table is in a report's file, and which of its lines are readings."""

import csv
import io
import re
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loader.formats.configured_format import ConfiguredFormat
from loader.formats.report_format import ReportFormat
from loader.report import Report
from loader.report_file import ReportFile
from loader.rows.errors import ReportError, RowError
from loader.rows.rejected import RejectedRows
from settings import FormatSettings
from tests.support.report_factory import MADRID
from tests.support.report_formats import Reading, ReportResult, reading

METER = {
    "delimiter": ";",
    "decimal": ",",
    "columns": {"energy": "kWh"},
    "time": {"column": "Zeit", "pattern": "%d.%m.%Y %H:%M", "marks": "start"},
}


@pytest.fixture
def read(tmp_path: Path) -> Reading:
    return reading(tmp_path)


def described(name: str = "meter", /, **changes: Any) -> ReportFormat:
    return ConfiguredFormat(name, FormatSettings.model_validate(METER | changes))


def by_place(time: int, energy: int, **changes: Any) -> ReportFormat:
    """The format with its columns named by place."""
    told = {"columns": {"energy": energy}, "time": METER["time"] | {"column": time}}  # type: ignore[operator]  # a dict
    return described(**told, **changes)


ROWS = [f"01.04.2024 {hour:02}:00;{hour},5" for hour in range(24)]
ENERGIES = [f"{hour}.50000" for hour in range(24)]


def table(*lines: str, end: str = "\n") -> str:
    return end.join([*lines, ""])


def energies(done: ReportResult) -> list[str]:
    assert not done.error
    assert not done.row_errors
    return done.quantities("energy")


# The heading


@pytest.mark.parametrize(
    "above",
    [
        [],
        ["sep=;"],
        ["<b;< 5 kWh"],
        ['"SEP=;"'],
        ["\ufeffsep=;"],
        ["PRM;Grandeur;Unité", "00000000000000;Energie active;W"],
        ["Name;", ";;", "", '"Quoted;x"', "Zeit;MWh", '"not closed'],
        [f"line {number}" for number in range(99)],
    ],
)
def test_heading_is_found_below_other_lines(read: Reading, above: list[str]) -> None:
    done = read(table(*above, "Zeit;kWh", *ROWS), described())
    assert energies(done) == ENERGIES


def test_line_that_names_a_tab_as_delimiter_is_passed_over(read: Reading) -> None:
    lines = [line.replace(";", "\t") for line in ("sep=;", "Zeit;kWh", *ROWS)]
    assert energies(read(table(*lines), by_place(1, 2, delimiter="\t", skip=0))) == ENERGIES


def test_heading_is_looked_for_in_a_hundred_lines(read: Reading) -> None:
    done = read(table(*["x"] * 100, "Zeit;kWh", *ROWS), described())
    assert done.error.startswith("1: heading: 'x': expected a known format")
    unlike = read(table("sep=;", "Ü;x", *ROWS), described())
    assert unlike.error.startswith("2: heading: 'Ü;x': expected a known format")


def test_lines_are_numbered_as_in_the_file(read: Reading) -> None:
    done = read(table("sep=;", "Konto 1", "Zeit;kWh", ROWS[0], "02.04.2024 00:00;x"), described())
    assert [error.partition(":")[0] for error in done.row_errors] == ["5"]


def test_skip_says_where_the_heading_is(read: Reading) -> None:
    lines = ["Zeit;kWh", "Monat;1", "Zeit;kWh", *ROWS]
    assert energies(read(table(*lines), described(skip=2))) == ENERGIES
    assert energies(read(table("sep=;", *lines), described(skip=2))) == ENERGIES
    assert read(table(*lines), described(skip=1)).error.startswith("2: heading: 'Monat;1'")


@pytest.mark.parametrize(
    ("heading", "ends"),
    [
        ("Zeit;kWh;;", ";;"),
        ("Zeit;kWh", ";"),
        ("Zeit;kWh;;;", ""),
        ('"Zeit";"kWh";', ';"";'),
        ("Zeit;kWh;;Status;", ";x;ok;"),
    ],
)
def test_empty_names_and_delimiters_at_the_end_are_passed_over(
    read: Reading, heading: str, ends: str
) -> None:
    done = read(table(heading, *(row + ends for row in ROWS)), described(ignored=["Status"]))
    assert energies(done) == ENERGIES
    assert not done.report.passed_over.columns


def test_field_beside_the_heading_is_an_error(read: Reading) -> None:
    done = read(table("Zeit;kWh", ROWS[0] + ";", ROWS[1] + ";7"), described())
    assert done.row_errors == ["3: row: 3 fields: expected 2 fields, separated by ';'"]


def test_line_of_nothing_but_delimiters_is_an_empty_one(read: Reading) -> None:
    assert energies(read(table("Zeit;kWh", *ROWS, ";", '"";""', " ; "), described())) == ENERGIES


def test_column_is_found_by_a_pattern_of_its_heading(read: Reading) -> None:
    pattern = described(columns={"energy": {"matches": "Restverbrauch (* kWh)"}})
    for total in ("594,373", "601,020"):
        heading = f'\ufeff"Zeit";"Restverbrauch ({total} kWh)"'
        assert energies(read(table(heading, *ROWS), pattern)) == ENERGIES
    twice = "Zeit;Restverbrauch (1 kWh);Restverbrauch (2 kWh)"
    assert "fits several columns: name the one by its place, one of 2, 3" in (
        read(table(twice, *ROWS), pattern).error
    )


def test_columns_without_a_heading_are_named_by_place(read: Reading) -> None:
    plain = by_place(1, 2, heading="none")
    assert energies(read("\ufeff" + table(*ROWS), plain)) == ENERGIES
    assert energies(read(table("Zähler 7", *ROWS), by_place(1, 2, heading="none", skip=1))) == (
        ENERGIES
    )
    rows = [f"x;{row}" for row in ROWS]
    assert energies(read(table(*rows), by_place(2, 3, heading="none"))) == ENERGIES


def test_report_without_a_heading_tells_its_format_by_its_first_row(read: Reading) -> None:
    other = ConfiguredFormat(
        "other",
        FormatSettings.model_validate(
            METER
            | {
                "heading": "none",
                "columns": {"energy": 1},
                "time": {"column": 2, "pattern": "%d.%m.%Y %H:%M", "marks": "start"},
            }
        ),
    )
    formats = [other, by_place(1, 2, heading="none"), described("named")]
    assert read(table(*ROWS), *formats).report.format == "meter"
    assert read(table("Zeit;kWh", *ROWS), *formats).report.format == "named"
    assert read("a;b\nc;d\n", *formats).error.startswith("1: heading: 'a;b': expected a known")


# Columns that are not read


def test_columns_that_are_not_named_are_passed_over_and_said(read: Reading) -> None:
    rows = [f"{row};x;y;z;1" for row in ROWS]
    done = read(table("Zeit;kWh;Status;kWh 2;kWh 2;Ort", *rows), described(ignored=["Status"]))
    assert energies(done) == ENERGIES
    assert done.report.passed_over.columns == ("kWh 2 (4)", "kWh 2 (5)", "Ort")


def test_format_that_leaves_the_fewest_columns_unread_is_taken(read: Reading) -> None:
    both = described("both", columns={"energy": "kWh", "power": "kW"})
    text = table("Zeit;kWh;kW", *(f"{row};7" for row in ROWS))
    assert read(text, described(), both).report.format == "both"
    assert read(text, both, described()).report.format == "both"
    same = described("same")
    assert read(text, described(), same).error.endswith("say which with --format: meter, same")


# Rows


def test_lines_that_are_no_readings_are_passed_over_and_counted(read: Reading) -> None:
    lines = ["", "Made with love;", "Summe;13,2", '"Summe";;', "Ende"]
    ignoring = described(ignored_rows=["Summe*", "Made ? love", "Made with love", "Ende"])
    done = read(table("Zeit;kWh", *ROWS, *lines), ignoring)
    assert energies(done) == ENERGIES
    assert done.report.passed_over[:2] == (4, 0)
    one = described(ignored_rows="Summe*")
    assert len(read(table("Zeit;kWh", *ROWS, *lines), one).row_errors) == 2


def test_rows_are_chosen_by_the_fields_of_a_column(read: Reading) -> None:
    rows = [f"{row};{kind} Night" for row in ROWS for kind in ("Offtake", "Injection")]
    chosen = described(rows={"Register": "Offtake*"})
    done = read(table("Zeit;kWh;Register", *rows, "x;1;Offtake Day"), chosen)
    assert done.quantities("energy") == []
    assert done.row_errors == [
        "50: Zeit: x: expected a date like 01.08.2019 00:15, from 1970 to 2199"
    ]
    done = read(table("Zeit;kWh;Register", *rows), chosen)
    assert energies(done) == ENERGIES
    assert done.report.passed_over == (0, 24, ())
    several = described(rows={"Register": ["Offtake Day", "Injection*"], "kWh": "?,5"})
    done = read(table("Zeit;kWh;Register", *rows), several)
    assert energies(done) == ENERGIES[:10]
    assert done.report.passed_over.others == 38


def test_field_made_for_spreadsheets_is_its_text(read: Reading) -> None:
    for written in ('="540000000000000000"', '"=""540000000000000000"""', "540000000000000000"):
        rows = [f'{row};{written};"x"' for row in ROWS]
        done = read(table('Zeit;kWh;="EAN";y', *rows), described(identifier="EAN"))
        assert energies(done) == ENERGIES
        assert done.report.identifier == "540000000000000000"


# Two tables side by side

DAYS = [f"{day:02}.03.2024 00:00;{day},25" for day in range(1, 32)]


def beside(left: list[str], right: list[str], *, cut: bool = False) -> str:
    """Two tables under the same headings; the shorter one ends with empty cells, or none."""
    lines = ["addr;;addr;", "Zeit;kWh;Zeit;kWh"]
    for at in range(max(len(left), len(right))):
        row = f"{left[at] if at < len(left) else ';'};{right[at] if at < len(right) else ';'}"
        lines.append(row.rstrip(";") if cut and at >= len(right) else row)
    return table(*lines)


@pytest.mark.parametrize("cut", [False, True])
def test_table_beside_another_one_is_read_by_place(read: Reading, cut: bool) -> None:
    days = [f"{day}.25000" for day in range(1, 32)]
    for format_of_left in (by_place(1, 2), by_place(1, 2, skip=1)):
        assert energies(read(beside(DAYS, ROWS, cut=cut), format_of_left)) == days
        assert energies(read(beside(ROWS, DAYS, cut=cut), format_of_left)) == ENERGIES
    done = read(beside(DAYS, ROWS, cut=cut), by_place(3, 4))
    assert energies(done) == ENERGIES
    assert done.report.passed_over == (0, 7, ("Zeit (1)", "kWh (2)"))
    assert energies(read(beside(ROWS, DAYS, cut=cut), by_place(3, 4))) == days


def test_row_that_is_cut_off_beside_another_table_is_an_error(read: Reading) -> None:
    text = table("Zeit;kWh;Zeit;kWh", f"{DAYS[0]};{ROWS[0]}", f"{DAYS[1]};01.04.2024 01:00")
    done = read(text, by_place(3, 4))
    assert done.row_errors == ["3: row: 3 fields: expected 4 fields, separated by ';'"]


# The meter


@pytest.mark.parametrize(
    ("above", "heading", "identifier"),
    [
        ([], "Zeit;kWh;Zähler", "Zähler"),
        ([], "Zeit;AT001 (07) - Verbrauch [kWh]", {"heading": "{meter} (*) - Verbrauch*"}),
        (["Konto 1;", '"Zählpunkt";AT001;;'], "Zeit;kWh", {"line": "Zählpunkt;{meter}"}),
    ],
    ids=["column", "heading", "line"],
)
def test_meter_is_named_in_a_column_a_heading_or_a_line_above(
    read: Reading, above: list[str], heading: str, identifier: object
) -> None:
    energy = {"matches": "*Verbrauch*"} if "Verbrauch" in heading else "kWh"
    own = described(identifier=identifier, columns={"energy": energy})
    rows = [f"{row};AT001" for row in ROWS] if heading.endswith("Zähler") else ROWS
    done = read(table(*above, heading, *rows), own)
    assert energies(done) == ENERGIES
    assert done.report.identifier == "AT001"
    assert not done.report.passed_over.columns


@pytest.mark.parametrize("meters", [["'1044"], ["'1044", "1044"], ["1044", "'1044", "2"]])
@pytest.mark.parametrize("identifier", ["Zähler", {"line": "Zähler {meter}"}])
def test_apostrophe_of_spreadsheets_is_no_part_of_a_name(
    tmp_path: Path, identifier: object, meters: list[str]
) -> None:
    names = [meters[number % len(meters)] for number in range(len(ROWS))]
    rows = [f"{row};{name}" for row, name in zip(ROWS, names, strict=True)]
    own = described(identifier=identifier)
    above = [] if isinstance(identifier, str) else [f"Zähler {meters[0]}"]
    path = tmp_path / "report.csv"
    path.write_text(table(*above, "Zeit;kWh;Zähler", *rows))
    counts: dict[str | None, int] = {}
    with ReportFile(str(path), formats=[own]) as file:
        for part in file.parts(MADRID, skip_bad_rows=False, on_errors=lambda *_: None):
            done = Report(
                *(str(path), MADRID),
                skip_bad_rows=False,
                on_errors=lambda *_: None,
                formats=[own],
                part=part,
            )
            number = sum(batch.count for batch in done.batches())
            assert done.identifier == part.identifier
            counts[part.identifier] = number
    plain = Counter(name.strip("'") for name in names)
    assert counts == (plain if isinstance(identifier, str) else {"1044": len(ROWS)})


def test_report_that_names_no_meter_or_several_is_not_of_the_format(read: Reading) -> None:
    own = described(identifier={"line": "Zählpunkt;{meter}"})
    missing = read(table("Zeit;kWh", *ROWS), own)
    assert "the nearest is meter: missing 'Zählpunkt;{meter}'" in missing.error
    several = read(table("Zählpunkt;A", "Zählpunkt;B", "Zeit;kWh", *ROWS), own)
    assert several.error.startswith("3: heading: 'Zeit;kWh'")


# Rejected rows

SHAPES: dict[str, tuple[ReportFormat, Callable[[list[str]], str]]] = {
    "below other lines": (described(skip=2), lambda rows: table("x", "y", "Zeit;kWh", *rows)),
    "without heading": (by_place(1, 2, heading="none"), lambda rows: table(*rows)),
    "with delimiters at the end": (
        described(),
        lambda rows: table("Zeit;kWh;;", *(f"{row};;" for row in rows)),
    ),
    "beside another table": (by_place(3, 4), lambda rows: beside(DAYS, rows)),
    "with empty headings": (
        by_place(1, 3, skip=0),
        lambda rows: table("Zeit", *(row.replace(";", ";;") for row in rows)),
    ),
    "with a chosen register": (
        described(rows={"Register": "A*"}, ignored_rows="Summe*"),
        lambda rows: table("Zeit;kWh;Register", *(f"{row};A 1" for row in rows), "Summe;1"),
    ),
    "with the meter in a heading": (
        described(
            identifier={"heading": "{meter} - kWh"}, columns={"energy": {"matches": "* - kWh"}}
        ),
        lambda rows: table("Zeit;AT1 - kWh", *rows),
    ),
    "with a day in a row and the meter in a heading": (
        described(
            columns={"energy": {"first": "h0", "last": "h23"}},
            time={"column": "Zeit", "pattern": "%d.%m.%Y", "hours": "counted"},
            interval=3600,
            identifier={"heading": "Zähler {meter}"},
        ),
        lambda rows: table(
            ";".join(["Zeit", *(f"h{hour}" for hour in range(24)), "Zähler AT1"]),
            ";".join(["01.04.2024", *(row.partition(";")[2] for row in rows), ""]),
        ),
    ),
    "with the meter in a line": (
        described(identifier={"line": "Zählpunkt;{meter}"}),
        lambda rows: table("x", "Zählpunkt;AT1", "Zeit;kWh", *rows),
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_rejected_rows_load_again_once_they_are_correct(tmp_path: Path, shape: str) -> None:
    own, written = SHAPES[shape]
    path = tmp_path / "report.csv"
    path.write_text(written([*ROWS[:4], "01.04.2024 04:00;wrong", *ROWS[5:]]))
    with RejectedRows(str(path)) as rejected:
        done = ReportResult(path, [own], skip_bad_rows=True)
        assert len(done.row_errors) == len(done.rejected) == 1
        assert done.report.detected is not None
        error = RowError(int(done.row_errors[0].partition(":")[0]), "kWh", "wrong", "a number")
        rejected.add([error], done.rejected[0], done.report.detected.header)
        rejected.save()
    assert len(done.quantities("energy")) == 23
    again = ReportResult(rejected.path, [own], skip_bad_rows=True)
    assert [error.partition(": ")[2] for error in again.row_errors] == [
        done.row_errors[0].partition(": ")[2]
    ]
    assert again.rejected[0].startswith(done.rejected[0].rstrip())
    rejected.path.write_text(rejected.path.read_text().replace("wrong", "4,5"))
    corrected = ReportResult(rejected.path, [own], skip_bad_rows=False)
    assert energies(corrected) == ENERGIES[4:5]
    assert corrected.report.identifier == done.report.identifier


def test_rejected_row_with_too_few_fields_stays_one(tmp_path: Path) -> None:
    """The reason in the last column is no field of it."""
    path = tmp_path / "report.rejected.csv"
    row = f"{ROWS[0].partition(';')[0]};line 2: row: expected 2 fields"
    path.write_text(table("Zeit;kWh;Rejected because", row))
    done = ReportResult(path, [described()], skip_bad_rows=False)
    assert done.row_errors == ["2: row: 2 fields: expected 2 fields, separated by ';'"]


# Hostile files


@pytest.mark.parametrize(
    "content",
    [b";" * 65_000 + b"\n", b"Zeit;kWh " * 7_000 + b"\n", b'"' * 65_000 + b"\n", b"\0;" * 30_000],
)
def test_foreign_lines_are_refused_in_little_time(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "report.csv"
    path.write_bytes(content * 150)
    patterns = described(columns={"energy": {"matches": "*a*e*i*o*u*"}}, ignored_rows="*;*x*y*z")
    begin = datetime.now().astimezone()
    with pytest.raises(ReportError, match="expected"):
        next(ReportFile(str(path), formats=[patterns] * 20).whole().rows)
    assert datetime.now().astimezone() - begin < timedelta(seconds=10)


# Whatever the table is like

names = st.text(
    st.characters(codec="latin-1", exclude_characters='\r\n\0"=<', min_codepoint=32), max_size=8
).map(str.strip)


@given(
    above=st.lists(st.lists(names, max_size=4), max_size=6),
    columns=st.lists(names.filter(lambda name: name not in ("Zeit", "kWh")), max_size=5),
    order=st.randoms(use_true_random=False),
    ends=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    line_end=st.sampled_from(["\n", "\r\n"]),
    has_separator=st.booleans(),
)
def test_table_is_read_whatever_stands_around_it(
    tmp_path_factory: pytest.TempPathFactory,
    above: list[list[str]],
    columns: list[str],
    order: Any,
    ends: tuple[int, int],
    line_end: str,
    has_separator: bool,
) -> None:
    """Lines above, other columns with any names, delimiters at the end of heading and rows."""
    heading = ["Zeit", "kWh", *columns]
    order.shuffle(heading)
    text = io.StringIO()
    if has_separator:
        text.write(f"sep=;{line_end}")
    writer = csv.writer(text, delimiter=";", lineterminator=line_end)
    writer.writerows(above)
    writer.writerow([*heading, *[""] * ends[0]])
    for row in ROWS:
        time, _, energy = row.partition(";")
        cells = {"Zeit": time, "kWh": energy}
        writer.writerow(
            [*(cells.get(name, order.choice(columns or [""])) for name in heading), *[""] * ends[1]]
        )
    path = tmp_path_factory.getbasetemp() / "table.csv"
    path.write_bytes(text.getvalue().encode("latin-1"))
    own = described(encoding="latin-1")
    done = ReportResult(path, [own], skip_bad_rows=False)
    assert energies(done) == ENERGIES
    unread = {name.rpartition(" (")[0] or name for name in done.report.passed_over.columns}
    assert unread <= {*columns, *(name.rpartition(" (")[0] for name in columns)}
    assert done.report.detected is not None
    assert done.report.detected.found is not None
    assert done.report.detected.found.rows_at == has_separator + len(above) + 1


# A day in a row


def day_rows(seconds: int, hours: str | None, columns: int, /, **changes: Any) -> ReportFormat:
    """A format with a day in a row, its intervals in columns that are named by their numbers."""
    time = {"column": "Tag", "pattern": "%d.%m.%Y"} | ({"hours": hours} if hours else {})
    energy = {"first": "1", "last": str(columns)}
    return ConfiguredFormat(
        "days",
        FormatSettings.model_validate(
            {
                "delimiter": ";",
                "decimal": ",",
                "columns": {"energy": energy},
                "time": time,
                "interval": seconds,
            }
            | changes
        ),
    )


def days_heading(columns: int, *more: str) -> str:
    return ";".join(["Tag", *(str(number) for number in range(1, columns + 1)), *more])


def starts_of(day: date, seconds: int) -> list[datetime]:
    """The starts of the intervals of a local day."""
    begin = datetime.combine(day, datetime.min.time(), MADRID).astimezone(UTC)
    end = datetime.combine(day + timedelta(days=1), datetime.min.time(), MADRID).astimezone(UTC)
    return [
        begin + timedelta(seconds=at)
        for at in range(0, int((end - begin).total_seconds()), seconds)
    ]


DAYS_OF_CHANGE = [date(2024, 3, 31), date(2024, 10, 27), date(2024, 6, 1)]


@pytest.mark.parametrize("seconds", [900, 1800, 3600])
@pytest.mark.parametrize("day", DAYS_OF_CHANGE, ids=str)
def test_day_in_a_row_is_counted_over_changes_of_clocks(
    read: Reading, day: date, seconds: int
) -> None:
    days = [day - timedelta(days=1), day, day + timedelta(days=1)]
    columns = 25 * 3600 // seconds
    lines, starts = [], []
    for each in days:
        own = starts_of(each, seconds)
        starts += own
        lines.append(
            ";".join(
                [
                    f"{each:%d.%m.%Y}",
                    *(f"{999 - n},5" for n, _ in enumerate(own)),
                    *[""] * (columns - len(own)),
                ]
            )
        )
    done = read(table("x", days_heading(columns), *lines), day_rows(seconds, "counted", columns))
    assert not done.error
    assert done.instants == starts
    assert done.quantities("energy") == [
        f"{999 - n}.50000" for each in days for n, _ in enumerate(starts_of(each, seconds))
    ]
    assert done.report.interval == seconds


def test_day_in_a_row_by_the_clock_has_empty_fields_where_clocks_skip(read: Reading) -> None:
    lines = [
        ";".join(
            [f"{day:%d.%m.%Y}", *("" if day.month == 3 and n == 2 else f"{n},5" for n in range(24))]
        )
        for day in DAYS_OF_CHANGE
        if day.month != 10
    ]
    done = read(table(days_heading(24), *lines), day_rows(3600, "clock", 24))
    assert not done.error
    assert done.instants == starts_of(DAYS_OF_CHANGE[0], 3600) + starts_of(DAYS_OF_CHANGE[2], 3600)
    assert "2.50000" not in done.quantities("energy")[:23]


def test_value_of_an_interval_that_a_day_does_not_have_is_an_error(read: Reading) -> None:
    line = ";".join(["31.03.2024", *("1" for _ in range(24)), ""])
    done = read(table("x", days_heading(25), line), day_rows(3600, "counted", 25))
    assert [error.partition(":")[0] for error in done.row_errors] == ["3"]
    assert done.row_errors[0].startswith("3: interval of day: 24: expected")


def test_day_that_does_not_show_what_its_columns_are_is_refused(read: Reading) -> None:
    line = ";".join(["27.10.2024", *("1" for _ in range(24))])
    usual = ";".join(["28.10.2024", *("1" for _ in range(24))])
    done = read(table(days_heading(24), line, usual), day_rows(3600, None, 24))
    assert done.report.refused_days == ["2024-10-27"]
    assert len(done.rows) == 24


def test_days_of_several_meters_are_unfolded_with_their_lines(tmp_path: Path) -> None:
    own = day_rows(3600, "counted", 24, identifier="Zähler")
    lines = [
        ";".join([f"{day:02}.06.2024", *(f"{meter}" for _ in range(24)), f"AT{meter}"])
        for day in (1, 2)
        for meter in (1, 2)
    ]
    lines[3] = lines[3].replace(";2;", ";x;", 1)
    path = tmp_path / "report.csv"
    path.write_text(table(days_heading(24, "Zähler"), *lines))
    found: dict[str | None, list[str]] = {}
    errors: list[str] = []
    with ReportFile(str(path), formats=[own]) as file:
        for part in file.parts(
            MADRID, skip_bad_rows=True, on_errors=lambda e, _: errors.append(str(e))
        ):
            report = Report(
                str(path),
                MADRID,
                skip_bad_rows=True,
                on_errors=lambda each, _: errors.extend(map(str, each)),
                formats=[own],
                part=part,
            )
            found[part.identifier] = [
                line.split(",")[3]
                for batch in report.batches()
                for line in batch.rows.decode().splitlines()
            ]
    assert found == {"AT1": ["1.00000"] * 48, "AT2": ["2.00000"] * 47}
    assert [error.partition(": expected")[0] for error in errors] == ["5: energy of interval: x"]


def test_rejected_intervals_of_a_day_load_again_once_they_are_correct(tmp_path: Path) -> None:
    own = day_rows(3600, "counted", 24)
    path = tmp_path / "report.csv"
    values = ["1"] * 24
    values[3], values[7] = "x", "y"
    cut = ";".join(["02.06.2024", *("1" for _ in range(3))])
    path.write_text(
        table(days_heading(24), ";".join(["01.06.2024", *values]), cut, "02.06.2024;1;2")
    )
    with RejectedRows(str(path)) as rejected:

        def on_errors(errors: list[RowError], raw: bytes) -> None:
            assert report.detected is not None
            rejected.add(errors, raw, report.detected.header)

        report = Report(str(path), MADRID, skip_bad_rows=True, on_errors=on_errors, formats=[own])
        assert sum(batch.count for batch in report.batches()) == 22
        rejected.save()
    head, *rows = rejected.path.read_text().splitlines()
    assert head == "Tag;interval of day;energy of interval;Rejected because"
    assert [row.partition("line ")[0].rstrip('"') for row in rows] == [
        "01.06.2024;4;x;",
        "01.06.2024;8;y;",
        f"{cut};",
        "02.06.2024;1;2;...;",
    ]
    assert "expected 25 fields" in rows[2]
    rejected.path.write_text(
        table(head, rows[0].replace("x", "4,5"), rows[1].replace("y", "8"), "02.06.2024;1;2")
    )
    again = ReportResult(rejected.path, [own], skip_bad_rows=False)
    assert again.quantities("energy") == ["4.50000", "8.00000", "2.00000"]
    assert [time for time, _ in again.times] == [
        "2024-06-01 03:00:00",
        "2024-06-01 07:00:00",
        "2024-06-02 00:00:00",
    ]


def test_columns_of_days_may_be_missing_if_they_are_optional(read: Reading) -> None:
    own = day_rows(
        3600,
        "counted",
        24,
        columns={
            "energy": {"first": "1", "last": "24"},
            "exported_energy": {"first": "b1", "last": "b24", "optional": "true"},
        },
        quality={"column": "Q", "estimated": "E", "optional": "true"},
    )
    heading, day = days_heading(24), "01.06.2024" + ";1" * 24
    exported = ";".join(f"b{number}" for number in range(1, 25))
    for more, fields, tail in (
        ("", "", ["1.00000", *[""] * 7]),
        (";Q", ";E", ["1.00000", *[""] * 9, "1"]),
        (f";{exported};Q", ";2" * 24 + ";E", ["1.00000", *[""] * 7, "2.00000", "", "1"]),
    ):
        done = read(table(heading + more, day + fields), own)
        assert [row[3:] for row in done.rows] == [tail] * 24


def flagged_days(**changes: Any) -> ReportFormat:
    """A format with a flag beside each of the 25 intervals of a day."""
    return day_rows(
        3600,
        "counted",
        25,
        columns={"energy": {"first": "H1", "last": "H25", "every": 2}},
        quality={"first": "F1", "last": "F25", "every": 2, "estimated": "E"},
        **changes,
    )


def flagged(day: str, count: int) -> str:
    """The row of a day whose third interval is estimated."""
    fields = [f"{number},5;{'E' if number == 3 else 'R'}" for number in range(1, count + 1)]
    return ";".join([day, *fields, *[";"] * (25 - count)])


FLAGGED_HEADING = ";".join(["Tag", *(f"H{number};F{number}" for number in range(1, 26))])


def test_flag_beside_each_interval_of_a_day_says_which_are_estimated(read: Reading) -> None:
    days = [flagged("31.03.2024", 23), flagged("01.06.2024", 24), flagged("27.10.2024", 25)]
    done = read(table(FLAGGED_HEADING, *days), flagged_days())
    assert done.row_errors == []
    assert done.report.passed_over.columns == ()
    found = [(row[3], row[-1]) for row in done.rows]
    assert found == [
        (f"{number}.50000", "1" if number == 3 else "")
        for count in (23, 24, 25)
        for number in range(1, count + 1)
    ]


def test_rejected_intervals_with_flags_load_again(read: Reading) -> None:
    broken = flagged("01.06.2024", 24).replace("3,5;E", "x;E")
    done = read(table(FLAGGED_HEADING, broken), flagged_days())
    (raw,) = done.rejected
    heading = "Tag;interval of day;energy of interval;quality of interval;Rejected because"
    row = raw.decode().replace("x", "3,5") + ";line 2: wrong"
    again = read(table(heading, row), flagged_days())
    assert [(each[1], each[3], each[-1]) for each in again.rows] == [
        ("2024-06-01 02:00:00", "3.50000", "1")
    ]


def test_heading_with_other_flags_than_intervals_is_refused(read: Reading) -> None:
    heading = FLAGGED_HEADING.replace(";H25;F25", ";F25").replace("H24", "H25")
    done = read(table(heading, flagged("01.06.2024", 24)), flagged_days())
    assert "expected last to be one of every 2 columns from first" in done.error


def test_heading_with_too_few_columns_for_a_day_is_refused(read: Reading) -> None:
    done = read(table(days_heading(24), "01.06.2024" + ";1" * 24), day_rows(900, "counted", 24))
    assert (
        "expected columns for a day of intervals of 900 seconds from first to last, there are 24"
        in done.error
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"columns": {"energy": {"first": "1"}}}, "expected header, or else first and last"),
        (
            {"columns": {"energy": {"first": "1", "last": "2", "header": "3"}}},
            "expected header, or else first and last",
        ),
        (
            {"columns": {"energy": {"first": "1", "last": "2"}, "power": "kW"}},
            "expected first and last of all columns, since a row holds a day",
        ),
        (
            {"columns": {"energy": {"header": "1", "every": 2}}},
            "expected no every without first and last",
        ),
        (
            {"quality": {"column": "F", "first": "F1", "last": "F24", "estimated": "E"}},
            "expected column, or else first and last",
        ),
        ({"quality": {"first": "F1", "estimated": "E"}}, "expected column, or else first and last"),
        ({"time": {"column": "Tag", "pattern": "%d", "marks": "end"}}, "expected no time.marks"),
        ({"heading": "none"}, "expected places of columns, since there is no heading"),
        ({"identifier": {"line": "Zähler"}}, "expected a pattern with {meter} in it"),
        ({"skip": 100}, "skip"),
        ({"rows": {"x": []}}, "rows"),
    ],
)
def test_wrong_keys_of_a_table_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        day_rows(3600, "counted", 24, **changes)

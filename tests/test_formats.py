"""Reports of other meters: rows in any format come back exactly, or are told as faults."""

import csv
import io
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loader.faults import Fault, ReportError
from loader.layouts import SHIPPED, Described, Layout
from loader.report import Report
from settings import Format
from settings.formats import Columns
from storage.reading import NAMES
from tests.reports import HEADING, MADRID, numbered, quarters, report, row

CUPS = "ES0000000000000001AA"
DISTRIBUTOR = "CUPS;Fecha;Hora;Consumo_kWh;Metodo_obtencion\n"

AUTUMN, SPRING, SUMMER = "27/10/2019", "31/03/2019", "01/08/2019"


def hourly(day: str, *hours: int, cups: str = CUPS) -> list[str]:
    """A distributor's rows, the energy of each its hour."""
    return [f"{cups};{day};{hour};{hour},5;R\n" for hour in hours]


WORKSHOP: dict[str, Any] = {
    "delimiter": ";",
    "decimal": ",",
    "encoding": "latin-1",
    "columns": {
        "energy": {"header": "Energía (Wh)", "factor": "0.001"},
        "voltage": "Tensión (V)",
    },
    "time": {"column": "Hasta", "pattern": "%d.%m.%y %H:%M", "marks": "end"},
    "interval": "900",
    "ignored": ["Estado"],
}
WORKSHOP_HEADING = "Hasta;Tensión (V);Energía (Wh);Estado\n"


def layout(**changes: Any) -> Layout:
    """The workshop's format, changed."""
    return Described("workshop", Format.model_validate(WORKSHOP | changes))


class Read:
    """What became of a report."""

    def __init__(self, path: Path, layouts: Sequence[Layout], *, skip_bad_rows: bool) -> None:
        self.faults: list[str] = []
        self.rejected: list[bytes] = []
        self.error = ""
        self.report = Report(
            str(path),
            MADRID,
            skip_bad_rows=skip_bad_rows,
            on_faults=self._on_faults,
            layouts=layouts,
        )
        self.rows: list[list[str]] = []
        try:
            for block in self.report.blocks():
                self.rows += [line.split(",") for line in block.rows.decode().splitlines()]
        except ReportError as error:
            self.error = str(error).removeprefix(f"{path}:")

    def _on_faults(self, faults: list[Fault], raw: bytes) -> None:
        self.faults += map(str, faults)
        self.rejected.append(raw)

    @property
    def times(self) -> list[tuple[str, int]]:
        """The local times and how many hours each is ahead of UTC."""
        return [(row[1], int(row[2]) // 3600) for row in self.rows]

    @property
    def instants(self) -> list[datetime]:
        return [
            datetime.fromisoformat(f"{row[1]}Z") - timedelta(seconds=int(row[2]))
            for row in self.rows
        ]

    def quantities(self, name: str) -> list[str]:
        return [row[3 + NAMES.index(name)] for row in self.rows]


Reading = Callable[..., Read]


@pytest.fixture
def read(tmp_path: Path) -> Reading:
    """Reads a text or bytes, by default in any shipped format."""

    def read(
        content: str | bytes, *layouts: Layout, skip_bad_rows: bool = False, encoding: str = "utf-8"
    ) -> Read:
        path = tmp_path / "report.csv"
        path.write_bytes(content.encode(encoding) if isinstance(content, str) else content)
        return Read(path, layouts or SHIPPED, skip_bad_rows=skip_bad_rows)

    return read


def test_columns_of_a_format_are_the_quantities_of_a_reading() -> None:
    assert tuple(Columns.model_fields) == NAMES


# A distributor's hourly export


def test_hour_of_a_distributor_marks_its_end(read: Reading) -> None:
    done = read(DISTRIBUTOR + "".join(hourly(SUMMER, *range(1, 25))))
    assert not done.faults
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
def test_hour_that_a_day_does_not_have_is_a_fault(
    read: Reading, day: str, hour: str, last: int
) -> None:
    done = read(DISTRIBUTOR + f"{CUPS};{day};{hour};1;R\n")
    shown = hour.encode("unicode_escape").decode() or "nothing"
    assert done.faults == [
        f"2: Hora: {shown}: expected an hour from 1 to {last}, as many as that day has"
    ]


@pytest.mark.parametrize(
    ("line", "fault"),
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
            f"{CUPS};{SUMMER};24;1;R",
            "Fecha: 01/08/2019: expected a local time that does not stand above already",
        ),
    ],
)
def test_faulty_row_of_a_distributor_is_told_with_its_place(
    read: Reading, line: str, fault: str
) -> None:
    done = read(DISTRIBUTOR + "".join(hourly(SUMMER, 24)) + line + "\n")
    assert len(done.faults) == 1
    assert done.faults[0].startswith(f"3: {fault}")
    assert done.rejected == [line.encode()]


def test_row_without_energy_is_a_reading_with_a_missing_value(read: Reading) -> None:
    done = read(DISTRIBUTOR + f"{CUPS};{SUMMER};1;;E\n")
    assert done.quantities("energy") == [""]
    assert done.report.missing == 1


# A format of one's own


def test_row_is_converted_and_belongs_to_the_interval_before_its_time(read: Reading) -> None:
    done = read(
        WORKSHOP_HEADING + "01.08.19 00:15;230,5;1250;x\n01.08.19 00:30;;-1;\n\n",
        layout(),
        encoding="latin-1",
    )
    assert not done.faults
    assert done.times == [("2019-08-01 00:00:00", 2), ("2019-08-01 00:15:00", 2)]
    assert done.quantities("energy") == ["1.25000", "-0.00100"]
    assert done.quantities("voltage") == ["230.50000", ""]
    assert done.report.interval == 900


def test_columns_may_stand_in_any_order_and_ignored_ones_may_lack(read: Reading) -> None:
    done = read(
        "Energía (Wh);Hasta;Tensión (V)\n1000;01.08.19 00:15;230\n", layout(encoding="utf-8")
    )
    assert done.quantities("energy") == ["1.00000"]


def test_repeated_hour_is_told_by_the_order_of_ends(read: Reading) -> None:
    ends = [
        datetime(2019, 10, 26, 23, 15, tzinfo=UTC) + timedelta(minutes=15) * n for n in range(16)
    ]
    lines = [f"{end.astimezone(MADRID):%d.%m.%y %H:%M};;1;\n" for end in ends]
    for order in (1, -1):
        done = read(WORKSHOP_HEADING + "".join(lines[::order]), layout(), encoding="latin-1")
        assert done.instants == [end - timedelta(minutes=15) for end in ends[::order]]


def test_time_that_clocks_skip_is_a_fault(read: Reading) -> None:
    done = read(WORKSHOP_HEADING + "31.03.19 02:30;;1;\n", layout(), encoding="latin-1")
    assert done.faults == [
        (
            "2: Hasta: 31.03.19 02:30: expected a local time that exists: clocks go forward over "
            "this one"
        )
    ]


def test_zone_of_a_format_may_differ_from_that_of_the_meter(read: Reading) -> None:
    changed = layout(time=WORKSHOP["time"] | {"timezone": "UTC", "marks": "start"})
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
        ("1e3", "1"),
        ("+1", "1"),
        ("٣", "1"),
    ],
)
def test_decimal_that_cannot_be_kept_exactly_is_a_fault(
    read: Reading, wrong: str, factor: str
) -> None:
    columns = {"energy": {"header": "kWh", "factor": factor}}
    changed = layout(columns=columns, encoding="utf-8")
    done = read(f"Hasta;kWh\n01.08.19 00:15;{wrong}\n", changed)
    assert len(done.faults) == 1
    assert (
        "expected a decimal like -8,382, with at most 10 digits before the mark" in done.faults[0]
    )
    assert (f"once multiplied by {factor}" in done.faults[0]) == (factor != "1")


def test_bytes_of_another_encoding_are_a_fault(read: Reading) -> None:
    heading = "Hasta;Energía (Wh);Tensión (V);Estado\n".encode()
    done = read(heading + b"01.08.19 00:15;1;1;\xff\n", layout(encoding="utf-8"))
    assert done.faults == ["2: row: 01.08.19 00:15;1;1;\\ufffd: expected utf-8 without NUL bytes"]


def test_interval_that_readings_contradict_is_refused(read: Reading) -> None:
    lines = [f"01.08.19 {hour:02}:00;;1;\n" for hour in range(8)]
    done = read(WORKSHOP_HEADING + "".join(lines), layout(), encoding="latin-1")
    assert done.error == (
        " readings are 3600 seconds apart: expected 900, as the format workshop says"
    )


# Times that carry their offset


@pytest.mark.parametrize("shown_in", [UTC, MADRID], ids=["utc", "offset"])
@pytest.mark.parametrize("first", ["2019-10-26", "2019-03-30", "2019-08-01"])
def test_own_report_with_offsets_reads_as_the_one_without(
    read: Reading, first: str, shown_in: Any
) -> None:
    moments = quarters(first, 300)
    plain = read(report(*numbered(moments)))
    assert not plain.faults
    dated = [
        instant.astimezone(shown_in).isoformat().replace("+00:00", "Z")
        for instant in plain.instants
    ]
    done = read(report(*numbered(dated)))
    assert not done.faults
    assert done.rows == plain.rows
    assert done.report.interval == plain.report.interval == 900
    shuffled = numbered(dated)[::7] + [line for n, line in enumerate(numbered(dated)) if n % 7]
    again = read(report(*shuffled))
    assert sorted(row[1:] for row in again.rows) == sorted(row[1:] for row in plain.rows)


@pytest.mark.parametrize("first", ["2019-10-27T02:00:00+02:00", "2019-08-01T02:00:00+02:00"])
def test_offset_twice_is_a_fault_of_the_second(read: Reading, first: str) -> None:
    again = datetime.fromisoformat(first).astimezone(UTC).isoformat()
    done = read(report(row(first, "1"), row(again, "2")))
    assert len(done.faults) == 1
    assert done.faults[0].startswith("3: Date: ")
    assert "that does not stand above already" in done.faults[0]


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
def test_time_without_an_instant_is_a_fault(read: Reading, moment: str) -> None:
    iso = layout(time={"column": "Hasta", "pattern": "iso", "marks": "start"}, encoding="utf-8")
    heading = WORKSHOP_HEADING
    for done in (read(report(row(moment))), read(f"{heading}{moment};1;1;\n", iso)):
        (fault,) = done.faults
        assert f": {moment}: expected a " in fault
        assert "2019-08-01T00:15:00+02:00, from 1970 to 2199" in fault


# The heading


def test_heading_that_fits_no_format_names_all_that_are_known(read: Reading) -> None:
    done = read("Fecha;Consumo\n1;2\n", *SHIPPED, layout())
    assert done.error == (
        f"1: heading: 'Fecha;Consumo': expected {HEADING.strip()} (monitoring), or "
        f"{DISTRIBUTOR.strip()} (distributor-hourly), or Hasta;Energía (Wh);Tensión (V);Estado "
        "(workshop)"
    )


def test_heading_that_fits_several_formats_asks_for_one(read: Reading) -> None:
    other = Described("other", Format.model_validate(WORKSHOP | {"interval": 3600}))
    done = read(WORKSHOP_HEADING, layout(), other, encoding="latin-1")
    assert done.error.endswith("fits several formats: say which with --format: workshop, other")


@pytest.mark.parametrize(
    "heading",
    [
        DISTRIBUTOR.replace(";", ","),
        DISTRIBUTOR.replace("Hora", "hora"),
        DISTRIBUTOR.replace("\n", ";Obs\n"),
        DISTRIBUTOR.replace("\n", ";CUPS\n"),
        DISTRIBUTOR.replace(";Hora", ""),
    ],
)
def test_heading_fits_in_every_name_or_not_at_all(read: Reading, heading: str) -> None:
    assert read(heading + hourly(SUMMER, 1)[0]).error.startswith("1: heading: ")


def test_byte_order_mark_and_quotes_do_not_hide_a_heading(read: Reading) -> None:
    heading = ";".join(f'"{name}"' for name in DISTRIBUTOR.strip().split(";"))
    done = read(f"\ufeff{heading}\r\n" + hourly(SUMMER, 1)[0])
    assert done.times == [("2019-08-01 00:00:00", 2)]


# Faulty rows in the repeated hour


NIGHT = quarters("2019-10-27", 100)
REASON = (
    "expected no faulty row in the repeated hour, whose two passes only the order of the rows "
    "tells apart"
)


def test_second_pass_far_below_the_first_gets_the_offset_that_is_left(read: Reading) -> None:
    """As in a report in the order of ids whose second pass was imported later."""
    order = [*NIGHT[:12], *NIGHT[16:], *quarters("2019-11-01", 8), *NIGHT[12:16]]
    done = read(report(*map(row, order)))
    assert not done.faults
    assert done.times[-4:] == [(f"2019-10-27 02:{minute:02}:00", 1) for minute in (0, 15, 30, 45)]
    assert {hours for time, hours in done.times[8:12]} == {2}


@pytest.mark.parametrize("bad", range(8, 16))
@pytest.mark.parametrize("wrong", ["value", "date"])
def test_faulty_row_takes_the_whole_repeated_hour_with_it(
    read: Reading, bad: int, wrong: str
) -> None:
    """Without it, a partner would pass for a reading of the other pass."""
    rows = numbered(NIGHT)
    faulty = row(NIGHT[bad], "many") if wrong == "value" else "no row at all\n"
    done = read(report(*rows[:bad], faulty, *rows[bad + 1 :]), skip_bad_rows=True)
    assert done.report.rejected == 8
    assert sum(REASON in fault for fault in done.faults) == 7
    expected = [line if n != bad - 8 else faulty for n, line in enumerate(rows[8:16])]
    assert b"".join(raw + b"\n" for raw in done.rejected).decode() == "".join(expected)
    assert [hours for _, hours in done.times] == [2] * 8 + [1] * 84


@pytest.mark.parametrize(("bad", "lost"), [(3, 1), (6, 1), (17, 1), (30, 1)])
def test_faulty_row_elsewhere_leaves_the_repeated_hour_alone(
    read: Reading, bad: int, lost: int
) -> None:
    rows = numbered(NIGHT)
    for faulty in (row(NIGHT[bad], "many"), "no row at all\n"):
        done = read(report(*rows[:bad], faulty, *rows[bad + 1 :]), skip_bad_rows=True)
        assert done.report.rejected == lost


def test_faulty_row_at_the_top_of_the_repeated_hour_takes_it_along(read: Reading) -> None:
    rows = numbered(NIGHT[8:])
    done = read(report("no row at all\n", *rows), skip_bad_rows=True)
    assert done.report.rejected == 9
    other = read(report(row("1 Aug 2019 00:00:00", "x"), row(NIGHT[0]), *rows), skip_bad_rows=True)
    assert other.report.rejected == 1


def test_faulty_row_of_another_format_takes_the_repeated_hour_along(read: Reading) -> None:
    ends = [
        datetime(2019, 10, 26, 23, 15, tzinfo=UTC) + timedelta(minutes=15) * n for n in range(16)
    ]
    lines = [f"{end.astimezone(MADRID):%d.%m.%y %H:%M};;1;\n" for end in ends]
    lines[5] = lines[5].replace(";1;", ";one;")
    text = WORKSHOP_HEADING + "".join(lines)
    done = read(text, layout(), skip_bad_rows=True, encoding="latin-1")
    assert done.report.rejected == 8
    assert done.report.readings == 8


# Whatever the format

INVERSES = {
    factor: Decimal(inverse)
    for factor, inverse in {
        "1": "1", "0.001": "1000", "1000": "0.001", "0.5": "2", "-2": "-0.5"
    }.items()
}  # fmt: skip
WRITTEN = ["%d/%m/%Y %H:%M", "%Y%m%d%H%M%S", "%d-%b-%y %I:%M %p", "iso", "hours"]
exact = st.none() | st.decimals(
    min_value=Decimal("-9999999999.99999"), max_value=Decimal("9999999999.99999"), places=5
)


@given(
    delimiter=st.sampled_from(";,|\t"),
    decimal=st.sampled_from(".,"),
    encoding=st.sampled_from(["utf-8", "latin-1", "cp1252"]),
    pattern=st.sampled_from(WRITTEN),
    marks=st.sampled_from(["start", "end"]),
    factor=st.sampled_from(sorted(INVERSES)),
    zone=st.sampled_from(["Europe/Madrid", "UTC", "America/St_Johns", "Australia/Lord_Howe"]),
    first=st.dates(date(2000, 1, 1), date(2030, 12, 31)) | st.just(date(2019, 10, 26)),
    values=st.lists(exact, min_size=1, max_size=60),
)
def test_rows_come_back_exactly(
    tmp_path_factory: pytest.TempPathFactory,
    delimiter: str,
    decimal: str,
    encoding: str,
    pattern: str,
    marks: str,
    factor: str,
    zone: str,
    first: date,
    values: list[Decimal | None],
) -> None:
    """Decimals to the fifth place, and instants, across changes of clocks, in any format."""
    has_hours = pattern == "hours"
    if has_hours:
        zone = "Europe/Madrid"  # whose days have whole hours
    time: dict[str, Any] = {"column": "Ünd", "pattern": pattern, "marks": marks, "timezone": zone}
    if has_hours:
        time |= {"hour": "Hora", "pattern": "%d/%m/%Y"}
    described = Format.model_validate(
        {
            "delimiter": delimiter,
            "decimal": decimal,
            "encoding": encoding,
            "columns": {"power": {"header": "Leistung", "factor": factor}},
            "time": time,
            "interval": "3600",
        }
    )
    # No zone's clocks change then: a second pass alone would pass for the first.
    begin = datetime.combine(first, datetime.min.time(), UTC) + timedelta(hours=8)
    begins = [begin + timedelta(hours=number) for number in range(len(values))]
    lines = [["Ünd", "Hora", "Leistung"] if has_hours else ["Ünd", "Leistung"]]
    for moment, value in zip(begins, values, strict=True):
        shown = moment + timedelta(hours=marks == "end")
        written = _written(shown, moment, time, described)
        number = "" if value is None else f"{_inverse(value, factor):f}".replace(".", decimal)
        lines.append([*written, number])
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(lines)
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(text.getvalue().encode(encoding))
    done = Read(path, [Described("any", described)], skip_bad_rows=False)
    assert not done.faults
    assert not done.error
    assert done.instants == begins
    assert done.quantities("power") == [
        "" if value is None else f"{value + 0:.5f}" for value in values
    ]


def _written(
    shown: datetime, begin: datetime, time: dict[str, Any], described: Format
) -> list[str]:
    zone = described.time.timezone
    assert zone is not None
    if time["pattern"] == "iso":
        return [shown.astimezone(zone).isoformat()]
    if "hour" not in time:
        return [shown.astimezone(zone).strftime(time["pattern"])]
    day = begin.astimezone(zone).date()
    midnight = datetime.combine(day, datetime.min.time(), zone)
    hours = (begin - midnight.astimezone(UTC)) // timedelta(hours=1)
    return [day.strftime(time["pattern"]), f"{hours + (time['marks'] == 'end')}"]


def _inverse(value: Decimal, factor: str) -> Decimal:
    """The decimal that the factor makes the value."""
    return value * INVERSES[factor]

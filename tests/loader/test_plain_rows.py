"""Plain rows, which are read by columns: nobody can tell them from rows that are read singly."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.columns import Columns
from domain.quantities import MONTH_NAMES, QUANTITY_NAMES
from loader.cells import field_table
from loader.formats.configured_format import ConfiguredFormat
from loader.formats.delimited import plain_rows
from loader.formats.monitoring_format import MonitoringFormat
from loader.formats.report_format import ReportFormat
from loader.report import Report
from loader.rows import file_reader
from loader.rows.errors import ReportError, RowError
from settings import FormatSettings
from tests.support.report_factory import HEADING, MADRID

if TYPE_CHECKING:
    from domain.report_source import RowBatch

ALL_SINGLY = 10**9


class Outcome:
    """All that a report tells by being read."""

    def __init__(self, path: Path, known: ReportFormat, zone: ZoneInfo, *, skip: bool) -> None:
        self.errors: list[RowError] = []
        self.raws: list[bytes] = []
        self.batches: list[RowBatch] = []
        self.failure = ""
        report = Report(
            str(path), zone, skip_bad_rows=skip, on_errors=self._on_errors, formats=[known]
        )
        try:
            self.batches += report.batches()
        except ReportError as error:
            self.failure = str(error)
        self.told: dict[str, Any] = {
            name: getattr(report, name)
            for name in (
                *("readings", "missing", "rounded", "rejected", "repeated", "unread_rows"),
                *("span", "refused_days", "identifier", "sha256", "gaps", "intervals"),
            )
        }
        self.told["runs"] = [*report.differences.runs()]
        self.text = b"".join(batch.rows for batch in self.batches)

    def _on_errors(self, errors: list[RowError], raw: bytes) -> None:
        self.errors += errors
        self.raws.append(raw)

    @property
    def all_but_batches(self) -> tuple[object, ...]:
        return self.errors, self.raws, self.failure, self.told, self.text

    @property
    def columns(self) -> Columns | None:
        return Columns.joined([each.columns for each in self.batches]) if self.batches else None

    @property
    def ahead(self) -> list[int]:
        return [seconds for each in self.batches for seconds in each.ahead.tolist()]


def both(
    path: Path,
    known: ReportFormat,
    *,
    skip: bool,
    zone: ZoneInfo = MADRID,
    sizes: tuple[int, int] = (2**20, 2**18),
) -> tuple[Outcome, Outcome]:
    """Read a report by columns and singly, in chunks and slices of these sizes."""
    found = []
    for few in (1, ALL_SINGLY):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(plain_rows, "FEW_ROWS", few)
            patch.setattr(plain_rows, "_MOST_CHANGES", 0)
            patch.setattr(file_reader, "CHUNK_BYTES", sizes[0])
            patch.setattr(field_table, "_SLICE_BYTES", sizes[1])
            found.append(Outcome(path, known, zone, skip=skip))
    by_columns, singly = found
    assert by_columns.all_but_batches == singly.all_but_batches
    ours, others = by_columns.columns, singly.columns
    if ours is not None and others is not None:
        assert by_columns.ahead == singly.ahead
        for mine, theirs in [(ours.ids, others.ids), (ours.utc, others.utc)]:
            assert mine.tolist() == theirs.tolist()
        assert ours.flags.tolist() == others.flags.tolist()
        assert [*ours.quantities] == [*others.quantities]
        for name, column in ours.quantities.items():
            assert column.values.tolist() == others.quantities[name].values.tolist()
            assert column.present.tolist() == others.quantities[name].present.tolist()
    return by_columns, singly


ODD_NUMBERS = (
    *("", "1", "-1", "007", "-0.0", "-0", "0.00000", "1.2", "12345.12345", "9999999999.99999"),
    *("12345678901.1", "00000000001.5", "123456789012345678", "-9999999999.99999", "1e3", "+1.2"),
    *(
        ".5",
        "1.",
        "1.123456",
        "1.1234500",
        "0x10",
        "nan",
        " ",
        "_",
        "1_0",
        "--1",
        "-",
        "1-",
        ".",
        ",",
    ),
    *(
        '"1.5"',
        '"1',
        "1\u00a0",
        "\u0661",
        "1,5",
        "1.2.3",
        "1/2",
        "1:2",
        "\x00",
        "1\r",
        " 1.5",
        "1.5\t",
    ),
    *("1.5  ", "Infinity", "\xff", "\ufffd"),
)
usual = st.decimals(min_value=-200, max_value=200, places=3).map(str)
numbers = st.one_of(usual, usual, usual, usual, usual, st.sampled_from(ODD_NUMBERS))
ODD_TIMES = (
    *("31 Feb 2019 00:00:00", "1 Aug 2019 24:00:00", "1 aug 2019 00:00:00", "1 Aug 19 00:00:00"),
    *("1 Aug  2019 00:00:00", "1 Aug 2019  00:00:00", "01 Aug 2019 00:15:00", "", "1 Aug 2019"),
    *("2019-08-01T00:15:00+02:00", "1 Aug 2019 00:15", "1 Aug 1969 00:00:00"),
    *(
        '"1 Aug 2019 00:30:00"',
        "1 Aug 2019 00:60:00",
        " 1 Aug 2019 01:00:00 ",
        "1 Aug 2019T00:00:00",
    ),
    *("2019-10-27T02:30:00+01:00", "001 Aug 2019 00:00:00", "1 Aug 2019 00:00:00.0"),
)


def local_text(instant: datetime, zone: ZoneInfo = MADRID) -> str:
    local = instant.astimezone(zone)
    return f"{local.day} {MONTH_NAMES[local.month - 1]} {local.year} {local:%H:%M:%S}"


@st.composite
def times(draw: st.DrawFn) -> list[str]:
    """Times of readings: in order, newest first or jumbled, with odd ones in between."""
    first = draw(
        st.sampled_from(
            [
                datetime(2019, 10, 26, 20, tzinfo=UTC),
                datetime(2019, 3, 30, 22, tzinfo=UTC),
                datetime(2019, 7, 1, tzinfo=UTC),
            ]
        )
    )
    step = draw(st.sampled_from([900, 3600, 1, 7 * 3600]))
    count = draw(st.integers(1, 60))
    places = [*range(count)]
    order = draw(st.sampled_from(["oldest first", "newest first", "jumbled", "repeated"]))
    if order == "newest first":
        places.reverse()
    elif order == "jumbled":
        places = draw(st.permutations(places))
    elif order == "repeated":
        places = draw(st.lists(st.sampled_from(places), min_size=1, max_size=60))
    found = [local_text(first + timedelta(seconds=step * place)) for place in places]
    for place, odd in draw(
        st.lists(st.tuples(st.integers(0, count), st.sampled_from(ODD_TIMES)), max_size=3)
    ):
        found.insert(place, odd)
    return found


def lines_of(draw: st.DrawFn, stamps: Sequence[str], values: st.SearchStrategy[str]) -> list[str]:
    lines = []
    for stamp in stamps:
        few = [draw(values) for _ in range(2)]
        lines.append(",".join([stamp, *(few * 4)]))
    odd = st.sampled_from(["", " ", ",,,,,,,,", "x", "1,2", "," * 20, "\r", '"', '""'])
    for place, line in draw(st.lists(st.tuples(st.integers(0, 60), odd), max_size=2)):
        lines.insert(place, line)
    return lines


@st.composite
def reports(draw: st.DrawFn) -> bytes:
    lines = lines_of(draw, draw(times()), numbers)
    end = draw(st.sampled_from(["\n", "\n", "\r\n"]))
    text = end.join(lines) + draw(st.sampled_from([end, ""]))
    return text.replace("\xff", "\x80").encode(
        "latin-1" if draw(st.booleans()) else "utf-8", "replace"
    )


@given(
    content=reports(),
    skip=st.booleans(),
    sizes=st.sampled_from([(2**20, 2**18), (200, 100), (2**20, 300), (1000, 77)]),
)
def test_monitoring_report_reads_alike_by_columns_and_singly(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, skip: bool, sizes: tuple[int, int]
) -> None:
    path = tmp_path_factory.getbasetemp() / "monitoring.csv"
    path.write_bytes(HEADING.encode() + content)
    both(path, MonitoringFormat(), skip=skip, sizes=sizes)


# Formats that settings describe

QUANTITIES = dict(
    zip(["kWh", "kVArh", "kW", "kWmax", "kVAr", "V", "A", "cos"], QUANTITY_NAMES, strict=True)
)
TIME = {"column": "Zeit", "pattern": "%d.%m.%Y %H:%M", "marks": "start"}
LAYOUTS: dict[str, tuple[str, dict[str, Any]]] = {
    "two quantities": ("Zeit;kWh;V", {}),
    "all, and others between": ("V;x;kWh;kVArh;kW;Zeit;kWmax;kVAr;A;cos;y", {}),
    "another first": ("x;Zeit;kWh;V", {}),
    "ends": ("Zeit;kWh;kVArh;V", {"time": TIME | {"marks": "end"}}),
    "ends by the clock at the start": (
        "Zeit;kWh;kVArh;V",
        {"time": TIME | {"marks": "end", "end_clock": "start"}},
    ),
    "quality": ("Zeit;V;A;Art;kWh", {"quality": {"column": "Art", "estimated": "E*"}}),
    "a quantity tells the quality": (
        "Zeit;kWh;kVArh",
        {"quality": {"column": "kVArh", "estimated": "-*"}},
    ),
    "scaled": (
        "Zeit;kWh;kVArh;kW",
        {
            "columns": {
                "energy": {"header": "kWh", "factor": "0.001"},
                "reactive_energy": {"header": "kVArh", "factor": "3"},
                "power": {"header": "kW", "factor": "123456789"},
            }
        },
    ),
    "rounded": (
        "Zeit;kWh;kVArh",
        {"round": True, "columns": {"energy": {"header": "kWh", "factor": "0.0003"}}},
    ),
    "sums": (
        "Zeit;P1;P2;P3;V",
        {"columns": {"energy": {"header": ["P1", "P2", "P3"]}, "voltage": "V"}},
    ),
    "missing numbers and thousands": (
        "Zeit;kWh;V",
        {"missing": ["1,250", "-9999", "x"], "thousands": "."},
    ),
    "unit": ("Zeit;kWh;V", {"columns": {"energy": {"header": "kWh", "unit": "kWh"}}}),
    "meter": ("Meter;Zeit;kWh;V", {"identifier": "Meter"}),
    "ISO 8601": ("Zeit;kWh;V", {"time": TIME | {"pattern": "iso"}}),
    "two columns": (
        "Tag;Uhr;kWh;V",
        {"time": TIME | {"column": ["Tag", "Uhr"]}},
    ),
    "text between": (
        "Zeit;kWh;V",
        {"time": TIME | {"pattern": "%d.%m.%Y - %H:%M"}, "encoding": "latin-1"},
    ),
    "numbered hours": (
        "Tag;Stunde;kWh;V",
        {
            "time": {"column": "Tag", "pattern": "%d.%m.%Y", "hour": "Stunde", "marks": "end"},
            "interval": "3600",
        },
    ),
}
plain = st.sampled_from(
    ["1,250", "0,001", "-0,000", "-3,125", "12", "0,5", "1,25", "", "1,1234567"]
)
ODD_FIELDS = (
    *('"1', '1"', "1\r2", "1,1234567", "1234567890,1234500", "1,", "-1234567,12345"),
    *(
        "-",
        "00,5",
        "-00,000",
        "x",
        "1,250;",
        "n/a",
        "1.234,5",
        "1.234",
        "1,5e3",
        "+1,5",
        ",5",
        "1,",
    ),
    *("1,5 kWh", "12345678901", "9999999999,99999", "-9999", "123456789012345678", "1,12345678"),
    *(
        "1,",
        "1,1234567",
        "E1",
        "\u00e4",
        "\x00",
        '"1,5"',
        " 1,5 ",
        "1,5\t",
        "\xa01,5",
        "1,5\r",
        "1,2,3",
        "--",
        "0x1",
    ),
)
cells = st.one_of(plain, plain, plain, plain, plain, st.sampled_from(ODD_FIELDS))


def described(heading: str, changes: dict[str, Any]) -> ReportFormat:
    names = heading.split(";")
    columns = {QUANTITIES[name]: name for name in names if name in QUANTITIES}
    model = {
        "delimiter": ";",
        "decimal": ",",
        "time": TIME,
        "interval": "900",
        **changes,
        "columns": columns | changes.get("columns", {}),
    }
    return ConfiguredFormat("described", FormatSettings.model_validate(model))


def shown(name: str, instant: datetime, zone: ZoneInfo) -> str | None:
    local = instant.astimezone(zone)
    texts = {
        "Meter": "ES0021000000000001JN",
        "Tag": f"{local:%d.%m.%Y}",
        "Uhr": f"{local:%H:%M}",
        "Stunde": f"{local.hour + 1}",
        "Art": "E" * (instant.hour % 3) + "1",
    }
    return texts.get(name)


@given(
    name=st.sampled_from(sorted(LAYOUTS)),
    first=st.sampled_from(
        [datetime(2019, 10, 26, 20, tzinfo=UTC), datetime(2019, 7, 1, tzinfo=UTC)]
    ),
    zone=st.sampled_from([MADRID, ZoneInfo("Australia/Lord_Howe")]),
    places=st.lists(st.integers(0, 60), min_size=1, max_size=50),
    is_sorted=st.booleans(),
    oddities=st.lists(
        st.tuples(st.integers(0, 50), st.integers(0, 5), st.sampled_from(ODD_FIELDS))
    ),
    data=st.data(),
    skip=st.booleans(),
    sizes=st.sampled_from([(2**20, 2**18), (200, 100), (1000, 77)]),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_described_report_reads_alike_by_columns_and_singly(
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
    first: datetime,
    zone: ZoneInfo,
    places: list[int],
    is_sorted: bool,
    oddities: list[tuple[int, int, str]],
    data: st.DataObject,
    skip: bool,
    sizes: tuple[int, int],
    end: str,
) -> None:
    heading, changes = LAYOUTS[name]
    known = described(heading, changes)
    time = changes.get("time", TIME)
    step = timedelta(seconds=int(changes.get("interval", 900)))
    pool = data.draw(st.lists(cells, min_size=1, max_size=8))
    rows = []
    for row, place in enumerate(sorted(places) if is_sorted else places):
        instant = first + step * place
        if time["pattern"] == "iso":
            moment = instant.astimezone(zone).isoformat()
        else:
            moment = f"{instant.astimezone(zone):{time['pattern']}}"
        fields = []
        for at, header in enumerate(heading.split(";")):
            text = moment if header == "Zeit" else shown(header, instant, zone)
            fields.append(pool[(row * 7 + at) % len(pool)] if text is None else text)
        rows.append(fields)
    for row, at, text in oddities:
        fields = rows[row % len(rows)]
        fields[at % len(fields)] = text
    path = tmp_path_factory.getbasetemp() / "described.csv"
    encoding = changes.get("encoding", data.draw(st.sampled_from(["utf-8", "latin-1"])))
    content = end.join([heading, *map(";".join, rows), ""])
    path.write_bytes(content.encode(encoding))
    both(path, known, skip=skip, zone=zone, sizes=sizes)


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_each_odd_text_in_each_field_is_read_as_in_a_row_alone(
    tmp_path: Path, name: str, encoding: str
) -> None:
    """In fields that are not read, too."""
    heading, changes = LAYOUTS[name]
    pattern, names = changes.get("time", TIME)["pattern"], heading.split(";")
    moment = datetime(2019, 5, 1, tzinfo=UTC)
    rows = []
    for at in range(len(names)):
        for odd in (*ODD_FIELDS, "\xff\xfe", ";", ""):
            moment += timedelta(hours=1)
            local = moment.astimezone(MADRID)
            time = local.isoformat() if pattern == "iso" else f"{local:{pattern}}"
            fields = [time if each == "Zeit" else shown(each, moment, MADRID) for each in names]
            row = ["1,250" if field is None else field for field in fields]
            rows.append(";".join([*row[:at], odd, *row[at + 1 :]]))
            rows.append(";".join(row))
            moment += timedelta(hours=1)
    path = tmp_path / "odd.csv"
    path.write_bytes("\n".join([heading, *rows, ""]).encode("latin-1"))
    known = described(heading, {**changes, "encoding": encoding})
    by_columns, _ = both(path, known, skip=True)
    assert by_columns.told["readings"]
    assert by_columns.told["rejected"]

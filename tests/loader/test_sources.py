"""Files that are no plain CSV in UTF-8: they load to exactly what is written in them."""

import gzip
import io
import pickle
import sys
import types
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loader.imports.plan import report_paths
from loader.report import Report
from loader.report_file import ReportFile
from loader.rows.errors import ReportError, RowError
from loader.rows.file_reader import ArchiveMember, file_name, report_name
from loader.rows.rejected import RejectedRows
from tests.support.report_factory import MADRID, numbered, quarters, report
from tests.support.source_files import (
    BRISBANE,
    Cell,
    Metered,
    Values,
    archive,
    described,
    green_button,
    nem12,
    read_file,
    workbook,
)

PLAIN = report(*numbered(quarters("2019-08-01", 4))).encode()
THEIRS = described(
    delimiter=";",
    decimal=",",
    columns={"energy": "kWh"},
    time={
        "column": "Begin",
        "pattern": "%Y-%m-%d %H:%M:%S",
        "marks": "start",
        "timezone": "UTC",
    },
)
FIRST = datetime(2024, 5, 1, tzinfo=UTC)


@st.composite
def made_readings(draw: st.DrawFn, minutes: int = 15) -> Values:
    """Readings over a change of clocks in Europe, with gaps."""
    change = draw(st.sampled_from(["2024-03-31T01:00", "2024-10-27T01:00"]))
    hours = draw(st.integers(1, 30))
    first = datetime.fromisoformat(change).replace(tzinfo=UTC) - timedelta(hours=hours)
    count = draw(st.integers(1, 150))
    gap = draw(st.sets(st.integers(0, count - 1), max_size=count - 1))
    numbers = draw(st.lists(st.decimals(0, 99999, places=3), min_size=count, max_size=count))
    step = timedelta(minutes=minutes)
    return {first + step * at: numbers[at] for at in range(count) if at not in gap}


def text_of(values: Values) -> str:
    """Values as delimited text."""
    rows = (f"{naive(at)};{value}".replace(".", ",") for at, value in values.items())
    return "\n".join(["Begin;kWh", *rows, ""])


def naive(at: datetime) -> datetime:
    return at.replace(tzinfo=None)


def shown(text: str) -> datetime:
    """A time as a sheet has it, without a zone."""
    return datetime.fromisoformat(text)


# Compressed files and archives


@pytest.mark.parametrize("name", ["report.csv.gz", "report.csv", "report", "report.gz"])
def test_gzip_is_read_whatever_its_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(PLAIN))
    done = read_file(path)
    assert done.errors == []
    assert len(done.parts[None]) == 4
    assert done.digest == sha256(PLAIN).hexdigest()


def test_plain_report_whose_name_ends_with_gz_is_read(tmp_path: Path) -> None:
    path = tmp_path / "report.csv.gz"
    path.write_bytes(PLAIN)
    assert len(read_file(path).parts[None]) == 4


def test_archive_gives_a_report_for_each_member_and_names_the_others(tmp_path: Path) -> None:
    path = tmp_path / "all.zip"
    path.write_bytes(
        archive(
            {
                "2024/june.csv": PLAIN,
                "readme.pdf": b"%PDF",
                "__MACOSX/2024/._june.csv": b"\0",
                "july.csv": PLAIN.replace(b"2019", b"2020"),
            }
        )
    )
    others: list[str] = []
    june, july = report_paths([str(path)], others.append)
    assert (june, july) == (f"{path}: 2024/june.csv", f"{path}: july.csv")
    assert others == [f"{path}: readme.pdf"]
    assert report_name(june) == "all.zip: 2024/june.csv"
    assert file_name(june) == "june.csv"
    assert RejectedRows(june).path == tmp_path / "all.2024_june.rejected.csv"
    done = read_file(june)
    assert (done.errors, done.digest) == ([], sha256(PLAIN).hexdigest())
    assert min(done.parts[None]).year == 2019
    assert min(read_file(july).parts[None]).year == 2020


def test_member_is_named_as_messages_do_and_in_other_processes(tmp_path: Path) -> None:
    path = tmp_path / "all.zip"
    path.write_bytes(archive({"june.csv": PLAIN}))
    (member,) = report_paths([f"{path}: june.csv"], pytest.fail)
    assert len(read_file(member).parts[None]) == 4
    again = pickle.loads(pickle.dumps(member))  # noqa: S301 - made here
    assert isinstance(again, ArchiveMember)
    assert (again.archive, again.member) == (str(path), "june.csv")


def test_line_of_a_member_is_named_with_the_archive(tmp_path: Path) -> None:
    path = tmp_path / "all.zip"
    path.write_bytes(archive({"june.csv": PLAIN + b"wrong\n"}))
    (member,) = report_paths([str(path)], pytest.fail)
    done = read_file(member)
    assert done.errors[0].startswith("6: row: 1 fields")


@pytest.mark.parametrize(
    ("members", "error"),
    [
        ({"a.zip": b"PK\3\4"}, "'a.zip' is packed itself: unpack"),
        ({"notes.pdf": b"%PDF"}, "expected a report in the archive, a file whose name ends with"),
        ({}, "expected a report in the archive"),
        ({"../june.csv": PLAIN}, "'../june.csv': expected the name of a file: unpack"),
        ({"/june.csv": PLAIN}, "'/june.csv': expected the name of a file: unpack"),
        ({"ju\x1bne.csv": PLAIN}, "'ju\\x1bne.csv': expected the name of a file: unpack"),
        ({f"{n}.csv": b"" for n in range(1001)}, "has over 1000 files: unpack the archive"),
    ],
)
def test_archive_that_cannot_be_read_is_refused(
    tmp_path: Path, members: dict[str, bytes], error: str
) -> None:
    path = tmp_path / "all.zip"
    path.write_bytes(archive(members))
    with pytest.raises(ReportError) as refused:
        report_paths([str(path)], lambda _: None)
    assert str(refused.value).removeprefix(f"{path}: ").startswith(error)


def spoilt(flag: int = 0, method: int = 8) -> bytes:
    """An archive whose directory says so of its file."""
    content = bytearray(archive({"june.csv": PLAIN}))
    entry = content.index(b"PK\1\2")
    content[entry + 8] |= flag
    content[entry + 10] = method
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (spoilt(flag=1), "needs a password: unpack the archive, and load what is in it"),
        (spoilt(method=14), "is compressed in a way that is not supported: unpack"),
        (archive({"june.csv": gzip.compress(PLAIN)}), "is packed twice: unpack it"),
        (archive({"june.csv": archive({"a.csv": PLAIN})}), "is packed twice: unpack it"),
        (archive({"june.csv": PLAIN})[:60] + bytes(200), "cannot be read: File is not a zip"),
        (archive({"june.csv": PLAIN}).replace(b"june", b"july", 1), "cannot be read: File name"),
    ],
    ids=["encrypted", "lzma", "gzip in it", "zip in it", "cut off", "names differ"],
)
def test_member_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes, error: str) -> None:
    path = tmp_path / "all.zip"
    path.write_bytes(content)
    done = read_file(ArchiveMember(str(path), "june.csv"))
    (told,) = done.errors
    assert error in told


def test_members_that_overlap_are_refused(tmp_path: Path) -> None:
    content = archive({"june.csv": PLAIN * 50})
    at = content.index(b"PK\1\2")
    end = content.index(b"PK\5\6")
    entry = content[at:end]
    again = entry.replace(b"june", b"july")
    tail = bytearray(content[end:])
    tail[8:12] = b"\2\0\2\0"
    tail[12:16] = (2 * len(entry)).to_bytes(4, "little")
    path = tmp_path / "all.zip"
    path.write_bytes(content[:at] + entry + again + tail)
    with pytest.raises(ReportError, match="files in the archive overlap"):
        report_paths([str(path)], lambda _: None)


@pytest.mark.parametrize(
    "content",
    [
        gzip.compress(PLAIN),
        archive({"june.csv": PLAIN}),
        PLAIN.decode().encode("utf-16"),
        workbook([line.split(",") for line in PLAIN.decode().splitlines()]),
    ],
    ids=["gzip", "zip", "UTF-16", "xlsx"],
)
def test_standard_input_may_have_any_layout(
    monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(buffer=io.BytesIO(content)))
    done = read_file("-")
    assert done.errors == []
    assert len(done.parts[None]) == 4


def test_archive_of_several_reports_is_refused_on_standard_input(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = archive({"june.csv": PLAIN, "july.csv": PLAIN})
    monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(buffer=io.BytesIO(content)))
    assert read_file("-").errors == [
        "an archive of 2 reports: load it from a file whose name ends with .zip"
    ]


def test_progress_is_told_in_bytes_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "report.xlsx"
    path.write_bytes(workbook([line.split(",") for line in PLAIN.decode().splitlines()]))
    told: list[int] = []
    with ReportFile(str(path), on_progress=told.append) as file:
        assert sum(len(rows.lines) for rows in file.whole().rows) == 4
    assert told == [path.stat().st_size]
    assert file.sha256 == sha256(path.read_bytes()).hexdigest()


# Text in other encodings


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-8"])
@pytest.mark.parametrize("mark", ["\ufeff", ""], ids=["mark", "no mark"])
def test_encoding_is_told_by_the_content(tmp_path: Path, encoding: str, mark: str) -> None:
    """Whatever the format says."""
    formats = described(
        encoding="utf-8" if encoding == "utf-8" and not mark else "cp1252",
        delimiter=";",
        columns={"energy": "Größe"},
        time={"column": "Begin", "pattern": "%Y-%m-%d %H:%M", "marks": "start"},
    )
    path = tmp_path / "report.csv"
    path.write_bytes(f"{mark}Begin;Größe\n2024-05-01 00:00;1.5\n".encode(encoding))
    done = read_file(path, formats=formats)
    assert done.errors == []
    assert [*done.energies().values()] == [Decimal("1.5")]


@pytest.mark.parametrize("encoding", ["utf-16", "UTF-16LE", "utf_16_be"])
def test_format_may_say_utf_16(tmp_path: Path, encoding: str) -> None:
    formats = described(
        encoding=encoding,
        columns={"energy": "kWh"},
        time={"column": "Begin", "pattern": "%Y-%m-%d %H:%M", "marks": "start"},
    )
    path = tmp_path / "report.csv"
    path.write_bytes("Begin,kWh\n2024-05-01 00:00,1.5\n".encode("utf-16-le"))
    assert len(read_file(path, formats=formats).energies()) == 1


def test_half_a_character_in_utf_16_is_an_error_of_its_row(tmp_path: Path) -> None:
    path = tmp_path / "report.csv"
    path.write_bytes(PLAIN.decode().encode("utf-16") + b"x\0x")
    (error,) = read_file(path).errors
    assert error.startswith("6: row: x\\ufffd: expected UTF-8 without NUL bytes")


def test_lines_may_end_with_cr_alone(tmp_path: Path) -> None:
    path = tmp_path / "report.csv"
    content = PLAIN.replace(b"\n", b"\r")
    path.write_bytes(content + b"wrong\r")
    done = read_file(path)
    assert len(done.parts[None]) == 4
    assert done.errors[0].startswith("6: row")


@settings(max_examples=30)
@given(values=made_readings(), encoding=st.sampled_from(["utf-16", "utf-16-le", "utf-16-be"]))
def test_readings_in_utf_16_load_as_they_are(
    tmp_path_factory: pytest.TempPathFactory, values: Values, encoding: str
) -> None:
    path = tmp_path_factory.mktemp("made") / "report.csv"
    path.write_bytes(text_of(values).encode(encoding))
    done = read_file(path, formats=THEIRS)
    assert (done.errors, done.energies()) == ([], values)


@settings(max_examples=30)
@given(values=made_readings())
def test_readings_in_an_archive_load_as_they_are(
    tmp_path_factory: pytest.TempPathFactory, values: Values
) -> None:
    path = tmp_path_factory.mktemp("made") / "all.zip"
    path.write_bytes(archive({"made.csv": text_of(values).encode()}))
    done = read_file(ArchiveMember(str(path), "made.csv"), formats=THEIRS)
    assert (done.errors, done.energies()) == ([], values)


# Workbooks


@settings(max_examples=30)
@given(values=made_readings(), is_1904=st.booleans())
def test_readings_in_a_workbook_load_as_they_are(
    tmp_path_factory: pytest.TempPathFactory, values: Values, is_1904: bool
) -> None:
    path = tmp_path_factory.mktemp("made") / "made.xlsx"
    rows = [(naive(at), value) for at, value in values.items()]
    path.write_bytes(workbook([("Begin", "kWh"), *rows], date_1904=is_1904))
    done = read_file(path, formats=THEIRS)
    assert (done.errors, done.energies()) == ([], values)


def test_sheet_is_the_first_with_the_heading_or_the_one_that_is_named(tmp_path: Path) -> None:
    def rows(number: int) -> list[tuple[Cell, ...]]:
        return [("Begin", "kWh"), (shown("2024-05-01"), number)]

    path = tmp_path / "two.xlsx"
    above: dict[str, list[tuple[Cell, ...]]] = {"Notes": [("Hello",)], "First": rows(1)}
    path.write_bytes(workbook(rows(2), sheet="Second", above=above))
    assert [*read_file(path, formats=THEIRS).energies().values()] == [1]
    said: dict[str, Any] = {
        "columns": {"energy": "kWh"},
        "time": {"column": "Begin", "pattern": "%Y-%m-%d %H:%M:%S", "marks": "start"},
    }
    named = described(**said, sheet="Second")
    assert [*read_file(path, formats=named).energies().values()] == [2]
    lacking = read_file(path, formats=described(**said, sheet="Third"))
    assert "heading" in lacking.errors[0]


@pytest.mark.parametrize(
    ("cell", "date_format", "text"),
    [
        (shown("2024-05-01"), "dd/mm/yyyy", "2024-05-01"),
        (shown("2024-05-01T13:45"), "dd/mm/yyyy", "2024-05-01 13:45:00"),
        (shown("2024-05-01"), 'd" de "mmmm" de "yyyy h:mm', "2024-05-01 00:00:00"),
        (shown("2024-05-01T13:45:59.999999"), "[$-40A]ddd h:mm AM/PM", "2024-05-01 13:46:00"),
        (shown("1899-12-31T13:45"), "hh:mm", "13:45:00"),
        (0.5, "", "0.5"),
        (45413, "", "45413"),
        (Decimal("0.1") + Decimal("0.2"), "", "0.3"),
        (0.1 + 0.2, "", "0.3"),
        (1e-7, "", "0.0000001"),
        (12345678901234567890.0, "", "12345678901234600000"),
        (True, "", "TRUE"),
        ("two\nlines", "", "two lines"),
        ("a,b", "", '"a,b"'),
    ],
)
def test_cell_is_read_as_it_stands(tmp_path: Path, cell: Cell, date_format: str, text: str) -> None:
    path = tmp_path / "cells.xlsx"
    content = workbook([("Begin", "kWh"), ("x", cell)], date_format=date_format or "General")
    path.write_bytes(content)
    rejected = []
    formats = described(
        columns={"energy": "kWh"},
        time={"column": "Begin", "pattern": "%Y-%m-%d %H:%M", "marks": "start"},
    )
    with ReportFile(str(path), formats=formats) as file:
        rejected = [rows.content for rows in file.whole().rows]
    assert rejected == [f"x,{text}\n".encode()]


def test_lines_of_a_sheet_are_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "gaps.xlsx"
    path.write_bytes(workbook([("Begin", "kWh"), (), (), ("wrong", 1), (naive(FIRST), 2)]))
    done = read_file(path, formats=THEIRS)
    assert [error[:8] for error in done.errors] == ["4: Begin"]
    assert len(done.energies()) == 1


def test_heading_that_fits_formats_of_several_dialects_is_refused(tmp_path: Path) -> None:
    said: dict[str, Any] = {
        "columns": {"energy": "kWh"},
        "time": {"column": "Begin", "pattern": "%Y-%m-%d %H:%M", "marks": "start"},
    }
    path = tmp_path / "any.xlsx"
    path.write_bytes(workbook([("Begin", "kWh"), ("2024-05-01 00:00", 1)]))
    both = [*THEIRS, *described("other", **said)[-1:]]
    (error,) = read_file(path, formats=both).errors
    assert error == "the heading fits several formats: say which with --format: other, theirs"


# NEM12


class MadeDays(NamedTuple):
    """Days of a channel, some without all intervals."""

    days: set[int]
    gaps: set[int]
    scale: int

    def values(self, minutes: int) -> Values:
        """The readings, around the end of summer time in Sydney."""
        begin = datetime(2024, 4, 4, 14, tzinfo=UTC)
        return {
            begin + timedelta(days=day, minutes=minutes * place): Decimal(self.scale * place) / 1000
            for day in sorted(self.days)
            for place in range(1440 // minutes)
            if place not in self.gaps
        }


CHANNELS = st.dictionaries(
    st.tuples(st.sampled_from(["6001", "6002"]), st.sampled_from(["E1", "B1", "Q1", "K1"])),
    st.builds(
        MadeDays,
        st.sets(st.integers(0, 5), min_size=1, max_size=3),
        st.sets(st.integers(1, 47), max_size=9),
        st.integers(1, 999),
    ),
    min_size=1,
    max_size=5,
)


NAMES = {
    "E1": "energy",
    "B1": "exported_energy",
    "Q1": "reactive_energy",
    "K1": "exported_reactive_energy",
}


@settings(max_examples=30)
@given(made=CHANNELS, minutes=st.sampled_from([5, 15, 30]))
def test_readings_in_nem12_load_as_they_are(
    tmp_path_factory: pytest.TempPathFactory,
    made: dict[tuple[str, str], MadeDays],
    minutes: int,
) -> None:
    channels = {channel: days.values(minutes) for channel, days in made.items()}
    content = nem12(channels, minutes)
    for suffix in ("Q1", "K1"):
        content = content.replace(f"{suffix},N1,SER01,kWh", f"{suffix},N1,SER01,kVArh")
    path = tmp_path_factory.mktemp("made") / "NEM12.csv"
    path.write_text(content)
    done = read_file(path, zone=BRISBANE)
    assert done.errors == []
    assert {*done.parts} == {nmi for nmi, _ in channels}
    for (nmi, suffix), values in channels.items():
        assert done.energies(nmi, NAMES[suffix]) == values


DAY = {FIRST - timedelta(hours=10) + timedelta(minutes=30) * at: Decimal(at) for at in range(48)}


@pytest.mark.parametrize(
    ("unit", "factor"), [("Wh", Decimal("0.001")), ("KWH", Decimal(1)), ("MWh", Decimal(1000))]
)
def test_nem12_values_are_converted_from_their_unit(
    tmp_path: Path, unit: str, factor: Decimal
) -> None:
    path = tmp_path / "n.csv"
    path.write_text(nem12({("6001", "E1"): DAY}, 30, unit, factor))
    assert read_file(path).energies("6001") == DAY


def test_nem12_channels_of_a_quantity_are_added_up(tmp_path: Path) -> None:
    path = tmp_path / "n.csv"
    path.write_text(nem12({("6001", "E1"): DAY, ("6001", "E2"): DAY, ("6001", "B1"): DAY}))
    done = read_file(path)
    assert done.energies("6001") == {at: 2 * value for at, value in DAY.items()}
    assert done.energies("6001", "exported_energy") == DAY


def test_nem12_day_that_lacks_a_channel_has_no_sum_and_other_channels_are_named(
    tmp_path: Path,
) -> None:
    path = tmp_path / "n.csv"
    second = {at + timedelta(days=1): value for at, value in DAY.items()}
    days = {("6001", "E1"): DAY | second, ("6001", "E2"): DAY, ("6001", "B1"): DAY | second}
    path.write_text(nem12({**days, ("6001", "V1"): DAY}))
    done = read_file(path)
    assert done.energies("6001") == {at: 2 * value for at, value in DAY.items()}
    assert done.energies("6001", "exported_energy") == DAY | second
    assert done.unread == ("channel V1",)


def test_nem12_quality_becomes_estimated_or_missing(tmp_path: Path) -> None:
    text = nem12({("6001", "E1"): DAY}).replace(",A,,,", ",V,,,").splitlines()
    text[-1:] = ["400,1,20,A,,", "400,21,30,S14,32,", "400,31,40,F52,,", "400,41,47,E52,,"]
    text += ["400,48,48,N,,", "500,O,S01009,20240501000000,", "900", ""]
    path = tmp_path / "n.csv"
    path.write_text("\n".join(text))
    done = read_file(path)
    assert done.errors == []
    rows = [*done.parts["6001"].values()]
    assert [place for place, values in enumerate(rows, 1) if "estimated" in values] == [
        *range(21, 48)
    ]
    assert [place for place, values in enumerate(rows, 1) if "energy" not in values] == [48]


def test_nem12_day_that_was_made_again_replaces_the_earlier_one(tmp_path: Path) -> None:
    text = nem12({("6001", "E1"): DAY})
    later = nem12({("6001", "E1"): {at: value + 1 for at, value in DAY.items()}})
    path = tmp_path / "n.csv"
    path.write_text(text + later.replace("20240601000000", "20240701000000") + text)
    done = read_file(path)
    assert done.errors == []
    assert done.energies("6001") == {at: value + 1 for at, value in DAY.items()}


GOOD = nem12({("6001", "E1"): DAY})


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        (",A,,,", ",,,,", "3: QualityMethod: nothing: expected a letter such as A behind 48"),
        ("300,20240501,", "300,20240501,7,", "3: QualityMethod: 47: expected a letter"),
        (",A,,,", ",V,,,", "3: 400: nothing: expected the quality of interval 1"),
        (",A,,,20240601000000,", ",V,,,\n400,0,48,A,,", "3: 400: 400,0,48,A,,: expected the first"),
        ("300,", "300\n300,", "3: IntervalDate: nothing: expected a date like 20230301"),
        ("300,20240501", "300,20240532", "3: IntervalDate: 20240532: expected a date like"),
        (",kWh,30", ",kW,30", "2: UOM: KW: expected Wh, kWh or MWh, since the suffix is E1"),
        (",kWh,30", ",kWh,7", "2: IntervalLength: 7: expected 5, 15, 30 or 60 minutes"),
        ("200,6001", "200,60 01", "2: NMI: 60 01: expected the name of a meter"),
        (",E1,N1", ",?,N1", "2: NMISuffix: ?: expected a letter and a digit, such as E1"),
        (",E1,N1", ",V1,N1", "expected records 200 of channels whose suffixes begin with"),
        ("200,", "201,", "2: record: 201: expected 100, 200, 300, 400, 500 or 900"),
        ("200,6001,", "500,\n500,", "4: record: 300: expected a record 200 above it"),
        ("300,", "400,1,2,A\n300,", "3: record: 400: expected a record 300 above it"),
        ("900\n", GOOD.replace(",47,A", ",48,A"), "6: UpdateDateTime: 20240601000000: expected a"),
    ],
)
def test_nem12_record_that_is_wrong_is_named(
    tmp_path: Path, old: str, new: str, error: str
) -> None:
    assert old in GOOD
    path = tmp_path / "n.csv"
    path.write_text(GOOD.replace(old, new))
    (told,) = read_file(path).errors
    assert told.startswith(error)


def test_nem12_value_that_is_wrong_is_an_error_of_its_time(tmp_path: Path) -> None:
    path = tmp_path / "n.csv"
    path.write_text(GOOD.replace(",46,47,", ",4x6,47,"))
    done = read_file(path)
    (error,) = done.errors
    assert error.startswith("3: Energy (kWh): 4x6: expected a decimal")
    assert len(done.energies("6001")) == 47


# Green Button


@settings(max_examples=30)
@given(
    one=made_readings(), other=made_readings(), prefix=st.sampled_from(["", "espi", "ns0"]),
    exponent=st.integers(-3, 0),
)  # fmt: skip
def test_readings_in_green_button_load_as_they_are(
    tmp_path_factory: pytest.TempPathFactory,
    one: Values,
    other: Values,
    prefix: str,
    exponent: int,
) -> None:
    path = tmp_path_factory.mktemp("made") / "made.xml"
    readings = [
        Metered("1", one, exponent=exponent),
        Metered("1", other, flow=19),
        Metered("2", one, uom=73),
        Metered("2", other, uom=38),
    ]
    path.write_text(green_button(readings, prefix))
    done = read_file(path)
    assert done.errors == []
    first, second = "RetailCustomer/7/UsagePoint/1", "RetailCustomer/7/UsagePoint/2"
    assert done.energies(first) == one
    assert done.energies(first, "exported_energy") == other
    assert done.energies(second, "reactive_energy") == one
    assert done.energies(second, "power") == other


HOUR = {FIRST + timedelta(minutes=15) * at: Decimal(at) for at in range(4)}


def test_green_button_of_one_usage_point_names_no_meter(tmp_path: Path) -> None:
    path = tmp_path / "g.xml"
    path.write_text(green_button([Metered("1", HOUR)]))
    assert read_file(path).energies(None) == HOUR


def test_green_button_sums_of_days_beside_intervals_are_left_out(tmp_path: Path) -> None:
    day = Metered("1", {FIRST: Decimal(6)}, seconds=86400)
    path = tmp_path / "g.xml"
    path.write_text(green_button([day, Metered("1", HOUR)]))
    done = read_file(path)
    assert done.energies() == HOUR
    assert done.unread == ("energy of 86400 seconds",)


def test_green_button_quality_becomes_estimated(tmp_path: Path) -> None:
    qualities = dict(zip(HOUR, (8, 17, 9, 0), strict=True))
    path = tmp_path / "g.xml"
    path.write_text(green_button([Metered("1", HOUR, qualities=qualities)]))
    done = read_file(path)
    assert ["estimated" in values for values in done.parts[None].values()] == [True, False] * 2


def test_green_button_values_of_a_time_that_differ_are_rejected(tmp_path: Path) -> None:
    path = tmp_path / "g.xml"
    other = {at: value + 1 for at, value in HOUR.items()}
    path.write_text(green_button([Metered("1", HOUR), Metered("1", HOUR), Metered("1", other)]))
    done = read_file(path)
    assert len(done.errors) == 4
    assert "does not occur in an earlier row" in done.errors[0]
    assert done.energies() == HOUR


WELL = green_button([Metered("1", HOUR)])


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        (
            "<uom>72",
            "<uom>119",
            "expected intervals of electricity in Wh, VArh or W: found uom '119'",
        ),
        (">4</acc", ">3</acc", "expected intervals of electricity in Wh, VArh or W: found states"),
        ("<uom>72", "<commodity>7</commodity><uom>72", "expected intervals of electricity"),
        ("Multiplier>0", "Multiplier>x", "powerOfTenMultiplier: 'x': expected a whole number"),
        ("<duration>900", "<duration>0", "6: duration: 0: expected the seconds of the interval"),
        ("<start>", "<start>x", "6: start: x1714521600: expected seconds since 1970"),
        ('"UTF-8"', '"BTF-8"', "1: XML: the encoding that it says is not known: expected a report"),
        ("</feed>", "", "9: XML: no element found: expected a complete document"),
        ("<feed", "<invoice", "expected a report, this is an XML document with the element"),
        (
            "IntervalReading",
            "Reading",
            "expected intervals of electricity in Wh, VArh or W: found nothing",
        ),
    ],
)
def test_green_button_that_is_wrong_is_named(
    tmp_path: Path, old: str, new: str, error: str
) -> None:
    assert old in WELL
    path = tmp_path / "g.xml"
    path.write_text(WELL.replace(old, new))
    (told,) = read_file(path).errors
    assert told.startswith(error)


def test_green_button_value_that_is_wrong_is_an_error_of_its_time(tmp_path: Path) -> None:
    path = tmp_path / "g.xml"
    path.write_text(WELL.replace("<value>2000<", '<value>2,"x<'))
    done = read_file(path)
    (error,) = done.errors
    assert error.startswith("6: Energy (kWh): 2,x: expected a decimal")
    assert len(done.energies()) == 3


def test_reading_type_that_cannot_be_told_is_an_error(tmp_path: Path) -> None:
    content = green_button([Metered("1", HOUR), Metered("1", HOUR, flow=19)])
    path = tmp_path / "g.xml"
    path.write_text(content.replace("ReadingType/1", "ReadingType/5", 1))
    (told,) = read_file(path).errors
    assert "expected one ReadingType that it is linked to, there are 0" in told


def test_rejected_rows_of_other_layouts_load_again(tmp_path: Path) -> None:
    """They are written as the table that was made of the file."""
    path = tmp_path / "g.xml"
    path.write_text(WELL.replace("<value>2000<", "<value>x<"))
    with ReportFile(str(path)) as file, RejectedRows(str(path)) as rejected:

        def on_errors(errors: list[RowError], raw: bytes) -> None:
            assert file.detected is not None
            rejected.add(errors, raw, file.detected.header)

        for part in file.parts(MADRID, skip_bad_rows=True, on_errors=on_errors):
            read = Report(str(path), MADRID, skip_bad_rows=True, on_errors=on_errors, part=part)
            assert sum(batch.count for batch in read.batches()) == 3
        rejected.save()
    text = rejected.path.read_text()
    assert ",x,0," in text
    rejected.path.write_text(text.replace(",x,0,", ",2,0,"))
    done = read_file(rejected.path)
    assert done.format == "green-button"
    assert [*done.energies().values()] == [2]

"""The rows of a report: which are right, and what is said about the others."""

import gzip
import io
import sys
import types
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import loader.formats.monitoring
import loader.rows.file_reader
from loader.formats.registry import SHIPPED_FORMATS
from loader.report import Report
from loader.rows.errors import ReportError, RowError
from tests.support.report_factory import (
    HEADING,
    MADRID,
    QUANTITIES,
    numbered,
    quarters,
    report,
    row,
    written,
)

MOMENT = "1 Aug 2019 00:00:00"
GOOD = row(MOMENT, *QUANTITIES)
NUMBER = (
    "expected a decimal like -8.382, at most 10 digits before the point and 5 after it, or nothing"
)
DATE = "expected a date like 1 Aug 2019 00:15:00 or 2019-08-01T00:15:00+02:00, from 1970 to 2199"
FIELDS = "expected 9 fields, separated by commas"
SKIPPED = "expected a local time that exists: clocks go forward over this one"
AGAIN = "expected a local time that does not occur in an earlier row"
TEXT = "expected UTF-8 without NUL bytes"
KNOWN = "expected a known format"
INSPECT = "; to see what the file is: elecdata inspect FILE"
ONE_OF = (
    f"{KNOWN} such as 'monitoring', 'monitoring-full', 'nem12', 'green-button',"
    " 'distributor-hourly', 'distributor-hourly-consumo', 'datadis', 'datadis-older',"
    f" 'e-distribucion', 'i-de' and {len(SHIPPED_FORMATS) - 10} more"
)
NEAREST = f"{KNOWN}, the nearest is monitoring: missing"
MAY = quarters("2019-05-04", 200)


class Read:
    """What became of a report."""

    def __init__(self, path: str | Path, *, skip_bad_rows: bool = False) -> None:
        self.row_errors: list[RowError] = []
        self.rejected: list[bytes] = []
        self.blocks: list[bytes] = []
        self.error = ""
        self.report = Report(
            str(path), MADRID, skip_bad_rows=skip_bad_rows, on_errors=self._on_errors
        )
        try:
            self.blocks.extend(block.rows for block in self.report.batches())
        except ReportError as error:
            self.error = str(error).removeprefix(f"{path}:")

    def _on_errors(self, errors: list[RowError], raw: bytes) -> None:
        self.row_errors += errors
        self.rejected.append(raw)

    @property
    def text(self) -> str:
        return b"".join(self.blocks).decode()


Reading = Callable[..., Read]


@pytest.fixture
def read(tmp_path: Path) -> Reading:
    """Reads a text or bytes."""

    def read(content: str | bytes, *, name: str = "report.csv", **options: Any) -> Read:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return Read(path, **options)

    return read


# Rows as the storage takes them


def test_row_is_numbered_dated_and_given_all_decimals(read: Reading) -> None:
    done = read(report(GOOD, row("27 Dec 2019 23:59:59", "", "-0.5", "-0.000", "007", "-00.10")))
    assert not done.error
    assert done.text == (
        "1,2019-08-01 00:00:00,7200,1.21100,0.20000,5.15600,5.30600,-8.38200,121.95500,53.00300,"
        "0.85700\n"
        "2,2019-12-27 23:59:59,3600,,-0.50000,0.00000,7.00000,-0.10000,,,\n"
    )
    assert (done.report.readings, done.report.missing, done.report.rejected) == (2, 4, 0)
    assert done.report.span == ("2019-08-01 00:00:00", "2019-12-27 23:59:59")


@pytest.mark.parametrize("order", [1, -1], ids=["oldest first", "newest first"])
def test_interval_is_derived_from_readings_in_either_order(read: Reading, order: int) -> None:
    assert read(report(*map(row, MAY[::order]))).report.interval == 900


PLAIN = report(*numbered(MAY[:4]))
LINES = PLAIN.splitlines()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(PLAIN.replace("\n", "\r\n"), id="CRLF"),
        pytest.param("\ufeff" + PLAIN, id="byte order mark"),
        pytest.param(PLAIN.rstrip("\n"), id="no newline at the end"),
        pytest.param(PLAIN + "\n \n\r\n", id="blank lines at the end"),
        pytest.param(
            "\n".join(
                ",".join(f'"{field}"' for field in line.split(",")) if number % 2 else line
                for number, line in enumerate(LINES)
            ),
            id="quotes around fields",
        ),
        pytest.param(
            "\n".join(line.replace(",", " ,\t") for line in LINES), id="blanks around fields"
        ),
        pytest.param(PLAIN.replace("4 May", "04 May"), id="day of two digits"),
    ],
)
def test_spelling_that_means_the_same_reads_the_same(read: Reading, content: str) -> None:
    done = read(content)
    assert not done.error
    assert done.text == read(PLAIN).text


def test_blank_lines_count_as_lines_but_not_as_rows(read: Reading) -> None:
    done = read(report("\n", GOOD, " \n", row("2 Aug 2019 00:00:00"), "\n", "wrong\n"))
    assert [error.line for error in done.row_errors] == [7]
    assert done.report.readings == 2


def test_digest_is_that_of_the_unpacked_report(read: Reading) -> None:
    packed = read(gzip.compress(PLAIN.encode()), name="report.csv.gz")
    assert packed.text == read(PLAIN).text
    assert packed.report.sha256 == read(PLAIN).report.sha256
    assert packed.report.name == "report.csv.gz"


def test_standard_input_is_read(monkeypatch: pytest.MonkeyPatch, read: Reading) -> None:
    stdin = types.SimpleNamespace(buffer=io.BytesIO(PLAIN.encode()))
    monkeypatch.setattr(sys, "stdin", stdin)
    done = Read("-")
    assert done.text == read(PLAIN).text
    assert done.report.name == "standard input"
    assert not stdin.buffer.closed


# Faulty rows


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (row(MOMENT, "NaN"), f"2: Energy (kWh): NaN: {NUMBER}"),
        (row(MOMENT, "inf"), f"2: Energy (kWh): inf: {NUMBER}"),
        (row(MOMENT, "1e3"), f"2: Energy (kWh): 1e3: {NUMBER}"),
        (row(MOMENT, "12345678901"), f"2: Energy (kWh): 12345678901: {NUMBER}"),
        (row(MOMENT, "1.123456"), f"2: Energy (kWh): 1.123456: {NUMBER}"),
        (row(MOMENT, "+1"), f"2: Energy (kWh): +1: {NUMBER}"),
        (row(MOMENT, "-"), f"2: Energy (kWh): -: {NUMBER}"),
        (row(MOMENT, ".5"), f"2: Energy (kWh): .5: {NUMBER}"),
        (row(MOMENT, "5."), f"2: Energy (kWh): 5.: {NUMBER}"),
        (row(MOMENT, "1_0"), f"2: Energy (kWh): 1_0: {NUMBER}"),
        (row(MOMENT, "0x1"), f"2: Energy (kWh): 0x1: {NUMBER}"),
        (row(MOMENT, "1 0"), f"2: Energy (kWh): 1 0: {NUMBER}"),
        (row(MOMENT, '"1,5"'), f"2: Energy (kWh): 1,5: {NUMBER}"),
        (row(MOMENT, "None"), f"2: Energy (kWh): None: {NUMBER}"),
        (row(MOMENT, "٣"), f"2: Energy (kWh): \\u0663: {NUMBER}"),
        (row(MOMENT, "", "1", "2", "3", "4", "5", "6", "x"), f"2: Power factor (φ): x: {NUMBER}"),
        (row(MOMENT, "9" * 99), f"2: Energy (kWh): {'9' * 57}...: {NUMBER}"),
        (row("30 Feb 2019 00:00:00"), f"2: Date: 30 Feb 2019 00:00:00: {DATE}"),
        (row("0 Aug 2019 00:00:00"), f"2: Date: 0 Aug 2019 00:00:00: {DATE}"),
        (row("29 Feb 2019 00:00:00"), f"2: Date: 29 Feb 2019 00:00:00: {DATE}"),
        (row("1 Aug 1969 00:00:00"), f"2: Date: 1 Aug 1969 00:00:00: {DATE}"),
        (row("1 Aug 2200 00:00:00"), f"2: Date: 1 Aug 2200 00:00:00: {DATE}"),
        (row("1 Ago 2019 00:00:00"), f"2: Date: 1 Ago 2019 00:00:00: {DATE}"),
        (row("1 aug 2019 00:00:00"), f"2: Date: 1 aug 2019 00:00:00: {DATE}"),
        (row("1 Aug 2019 24:00:00"), f"2: Date: 1 Aug 2019 24:00:00: {DATE}"),
        (row("1 Aug 2019 00:00:60"), f"2: Date: 1 Aug 2019 00:00:60: {DATE}"),
        (row("1 Aug 2019 00:00"), f"2: Date: 1 Aug 2019 00:00: {DATE}"),
        (row("2019-08-01 00:00:00"), f"2: Date: 2019-08-01 00:00:00: {DATE}"),
        (row(""), f"2: Date: nothing: {DATE}"),
        (
            row("31 Mar 2019 02:15:00"),
            f"2: Date: 31 Mar 2019 02:15:00: {SKIPPED}",
        ),
        (f"{MOMENT},1\n", f"2: row: 2 fields: {FIELDS}"),
        (GOOD[:-1] + ",\n", f"2: row: 10 fields: {FIELDS}"),
        ("no report\n", f"2: row: 1 fields: {FIELDS}"),
        (GOOD.replace(",", ";"), f"2: row: 1 fields: {FIELDS}"),
        (row(f'"{MOMENT}'), f'2: row: "{MOMENT},,,,,,,,: expected fields whose quotes are closed'),
        (row(MOMENT, "\0"), f"2: row: {MOMENT},\\x00,,,,,,,: {TEXT}"),
    ],
)
def test_faulty_row_is_reported_with_its_line_and_what_was_expected(
    read: Reading, line: str, error: str
) -> None:
    done = read(report(line, row("3 Aug 2019 00:00:00")))
    assert [str(error) for error in done.row_errors] == [error]
    assert done.error.endswith("1 rows are wrong")
    assert done.rejected == [line.rstrip("\n").encode()]
    assert not done.text or done.text.startswith("3,")


def test_bytes_that_are_not_utf8_are_a_fault(read: Reading) -> None:
    done = read(report(GOOD).encode() + b"2 Aug 2019 00:00:00,\xff,,,,,,,\n")
    assert str(done.row_errors[0]) == f"3: row: 2 Aug 2019 00:00:00,\\ufffd,,,,,,,: {TEXT}"
    assert done.rejected == [b"2 Aug 2019 00:00:00,\xff,,,,,,,"]


def test_every_faulty_field_of_a_row_is_reported(read: Reading) -> None:
    done = read(report(row("never", "a", "1", "b")))
    assert [error.column for error in done.row_errors] == ["Date", "Energy (kWh)", "Power (kW)"]
    assert done.report.rejected == 1


@pytest.mark.parametrize("moment", [MOMENT, "27 Oct 2019 12:00:00", "01 Aug 2019 00:00:00"])
def test_time_twice_is_an_error_of_the_second(read: Reading, moment: str) -> None:
    first = moment.removeprefix("0")
    done = read(report(row(first, "1"), row("2 Aug 2019 00:00:00"), row(moment, "2")))
    assert [str(error) for error in done.row_errors] == [f"4: Date: {moment}: {AGAIN}"]


def test_carriage_return_within_a_line_does_not_end_it(read: Reading) -> None:
    done = read(report(GOOD.rstrip("\n") + "\r" + row("2 Aug 2019 00:00:00"), "bad\n"))
    assert [error.line for error in done.row_errors] == [2, 3]


# Reports that can't be used


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("", " expected a report, the file is empty"),
        (HEADING, " expected at least one reading below the heading"),
        (HEADING.rstrip("\n"), " expected at least one reading below the heading"),
        (HEADING + "\n\n", " expected at least one reading below the heading"),
        (GOOD, f"1: heading: {GOOD.strip()!r}: {ONE_OF}{INSPECT}"),
        ("\0\r\0", " expected a report, this is a binary file: download the readings as CSV"),
        (
            HEADING.replace("Voltage (V)", "U"),
            f"1: heading: {HEADING[:80]!r}: {NEAREST} 'Voltage (V)'; additional 'U'{INSPECT}",
        ),
        ("x" * 100_000, "1: row: over 65536 bytes: expected lines with an end"),
        ("x" * 100_000 + "\n", "1: row: over 65536 bytes: expected lines with an end"),
        ("x" * 2**21, "1: row: over 65536 bytes: expected lines with an end"),
        (PLAIN + "x" * 100_000, "6: row: over 65536 bytes: expected lines with an end"),
        (
            PLAIN + "x" * 100_000 + "\n" + GOOD,
            "6: row: over 65536 bytes: expected lines with an end",
        ),
        (PLAIN + "x" * 2**21, "6: row: over 65536 bytes: expected lines with an end"),
    ],
)
def test_file_that_is_no_report_is_refused(read: Reading, content: str, error: str) -> None:
    assert read(content).error == error
    assert read(content, skip_bad_rows=True).error == error


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" * 99,
            "an Excel workbook of before 2007 (.xls): ",
        ),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "a PDF document: download the readings as CSV"),
        (b'<?xml version="1.0"?><invoice>', "an XML document with the element 'invoice': XML is"),
        (b"\xef\xbb\xbf<!DOCTYPE html>\n<html>", "an HTML page: download the readings as CSV"),
        (b"\x89PNG\r\n\x1a\n\0\0", "an image (PNG): download"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "an image (JPEG): download"),
        (b"PAR1\x15\x04\x15", "a Parquet file: export the readings as CSV"),
        (b"SQLite format 3\0\x10\0", "an SQLite database: export the readings as CSV"),
        (b"\x28\xb5\x2f\xfd\x04", "a compressed file (zstd): unpack it"),
        (
            gzip.compress(bytes(257) + b"ustar\x0000" + bytes(248), mtime=0),
            "a tar archive: unpack it",
        ),
        (b"100,NEM13,200301011534,MDP1,RETAILER1\n", "a NEM13 file, which has accumulated"),
        (b"\x7fELF\x02\x01\x01\0\0\0\n", "a binary file: download the readings as CSV"),
    ],
)
def test_file_of_another_kind_is_named_with_what_to_do(
    read: Reading, content: bytes, what: str
) -> None:
    assert read(content).error.startswith(f" expected a report, this is {what}")


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (
            gzip.compress(PLAIN.encode(), mtime=0)[:-20],
            "Compressed file ended before the end-of-stream",
        ),
        (gzip.compress(b"", mtime=0)[:10] + b"\xff" * 99, "Error -3 while decompressing data"),
        (b"", ""),
    ],
)
def test_broken_gzip_is_refused(read: Reading, content: bytes, error: str) -> None:
    done = read(content, name="report.csv.gz")
    assert done.error.startswith(f" cannot be read: {error}" if error else " expected a report")


def test_file_that_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    assert Read(tmp_path / "none.csv").error == " cannot be read: No such file or directory"
    assert Read(tmp_path).error == " cannot be read: Is a directory"


# The repeated hour


AUTUMN = quarters("2019-10-27", 100)


def seconds_ahead(done: Read) -> list[int]:
    assert not done.row_errors
    return [int(line.split(",")[2]) for line in done.text.splitlines()]


def test_repeated_hour_is_two(read: Reading) -> None:
    expected = [7200] * 12 + [3600] * 88
    assert seconds_ahead(read(report(*map(row, AUTUMN)))) == expected
    in_pairs = [*AUTUMN[:8], *sorted(AUTUMN[8:16]), *AUTUMN[16:]]
    pairs = [7200] * 8 + [7200, 3600] * 4 + [3600] * 84
    assert seconds_ahead(read(report(*map(row, in_pairs)))) == pairs
    assert seconds_ahead(read(report(*map(row, AUTUMN[::-1])))) == expected[::-1]


def test_repeated_hour_in_several_spellings_is_one(read: Reading) -> None:
    spelt = [f'"{moment}"' if number % 3 else moment for number, moment in enumerate(AUTUMN)]
    assert seconds_ahead(read(report(*map(row, spelt)))) == [7200] * 12 + [3600] * 88


@pytest.mark.parametrize("order", [1, -1], ids=["oldest first", "newest first"])
def test_repeated_hour_past_midnight_is_two(tmp_path: Path, order: int) -> None:
    """In St. John's, 00:01 of the 29th used to be followed by 23:01 of the 28th."""
    zone = ZoneInfo("America/St_Johns")
    moments = quarters("2006-10-28 12:00", 100, zone)[::order]
    path = tmp_path / "report.csv"
    path.write_text(report(*map(row, moments)))
    errors: list[RowError] = []
    found = Report(
        str(path), zone, skip_bad_rows=False, on_errors=lambda more, _: errors.extend(more)
    )
    lines = b"".join(block.rows for block in found.batches()).splitlines()
    assert not errors
    ahead = [int(line.split(b",")[2]) for line in lines]
    assert ahead[::order] == [-9000] * 49 + [-12600] * 51


# Slices


MIXED = report(
    *numbered(MAY),
    "\n",
    row(MAY[3]),
    row("5 May 2019 12:00:00", "x"),
    *map(row, AUTUMN),
    row("31 Mar 2019 02:00:00"),
    GOOD.replace("\n", "\r\n"),
    row("27 Oct 2019 02:00:00", "third"),
    row("28 Oct 2019 00:00:00", "1").rstrip("\n"),
).encode()


@given(st.integers(1, len(MIXED) + 1))
@example(len(HEADING.encode()))
@example(len(HEADING.encode()) - 1)
def test_slices_do_not_show(tmp_path_factory: pytest.TempPathFactory, size: int) -> None:
    path = tmp_path_factory.getbasetemp() / "slices.csv"
    path.write_bytes(MIXED)
    whole = Read(path, skip_bad_rows=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loader.rows.file_reader, "CHUNK_BYTES", size)
        sliced = Read(path, skip_bad_rows=True)
    assert len(whole.row_errors) == 4
    assert sliced.text == whole.text
    assert sorted(sliced.row_errors) == sorted(whole.row_errors)
    assert sorted(sliced.rejected) == sorted(whole.rejected)
    for name in ("readings", "missing", "rejected", "span", "sha256"):
        assert getattr(sliced.report, name) == getattr(whole.report, name)


# Whatever comes

snippets = st.sampled_from(
    [b"\n", b"\r", b",", b'"', b"\0", b"\xff", b" ", b"1", b"27 Oct 2019 02:00:00", GOOD.encode()]
)
scraps = st.lists(snippets | st.binary(max_size=3), max_size=30).map(b"".join)


@given(content=st.binary(max_size=200) | scraps, headed=st.booleans(), skipping=st.booleans())
def test_no_line_is_lost_and_nothing_else_raised(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, headed: bool, skipping: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "whatever.csv"
    path.write_bytes(HEADING.encode() * headed + content)
    done = Read(path, skip_bad_rows=skipping)
    assert "\n" not in done.error
    if headed:
        lines = content.removesuffix(b"\n").split(b"\n") if content else []
        blank = sum(not line.decode("utf-8", "replace").strip() for line in lines)
        found = done.report
        assert found.readings + found.rejected + found.repeated + blank == len(lines)
        assert len(done.rejected) == done.report.rejected


@given(
    place=st.integers(0, len(MAY) - 1),
    field=st.integers(0, 8),
    value=st.text(st.characters(exclude_characters=',"\n\r', codec="utf-8"), max_size=30),
)
def test_mutated_field_is_an_error_of_its_line_unless_it_is_right(
    tmp_path_factory: pytest.TempPathFactory, place: int, field: int, value: str
) -> None:
    rows = [row(moment, *QUANTITIES) for moment in MAY]
    fields = rows[place].strip().split(",")
    fields[field] = value
    rows[place] = ",".join(fields) + "\n"
    path = tmp_path_factory.getbasetemp() / "mutated.csv"
    path.write_text(report(*rows), newline="")
    done = Read(path)
    if loader.formats.monitoring._QUANTITY.fullmatch(value.strip()) and field:
        assert not done.row_errors
    else:
        (error,) = done.row_errors
        assert error.line == place + 2
        assert error.column in (loader.formats.monitoring.MONITORING_HEADER[field], "row")
        assert done.report.readings == len(MAY) - 1


@given(st.datetimes(datetime.fromisoformat("1970-01-02"), datetime.fromisoformat("2199-12-30")))
def test_every_moment_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, moment: datetime
) -> None:
    moment = moment.replace(microsecond=0)
    path = tmp_path_factory.getbasetemp() / "moment.csv"
    path.write_text(report(row(written(moment))))
    done = Read(path)
    if done.row_errors:
        assert "clocks go forward" in str(done.row_errors[0])
    else:
        assert done.text.split(",")[1] == f"{moment}"

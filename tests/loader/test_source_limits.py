"""Files that swell, or are made to be hard to read: little memory and time, one line says why."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from loader.formats.detection import detect_format
from loader.formats.registry import SHIPPED_FORMATS
from loader.rows.errors import ReportError
from tests.support.paths import ROOT
from tests.support.source_files import archive, package

pytestmark = pytest.mark.promise("Bad input")

MEBIBYTE = 2**20
MOST_MEBIBYTES = 150
MOST_SECONDS = 120
READING = """
import sys
from zoneinfo import ZoneInfo
from loader.imports.plan import report_paths
from loader.report_file import ReportFile
from loader.rows.errors import ReportError
try:
    for path in report_paths(sys.argv[1:], print):
        with ReportFile(path) as file:
            for part in file.parts(
                ZoneInfo("Europe/Madrid"), skip_bad_rows=True, on_errors=lambda *_: None
            ):
                print(sum(len(rows.lines) for rows in part.rows))
except ReportError as error:
    print(error)
with open("/proc/self/status") as status:
    print(*(line for line in status if line.startswith("VmHWM")))
"""
HEAD = "Date,Energy (kWh),Reactive energy (kVArh),Power (kW),Maximeter (kW),Reactive power (kVAr)"
NAMES = f"{HEAD},Voltage (V),Intensity (A),Power factor (φ)".split(",")
FEED = '<?xml version="1.0"?><feed xmlns="http://www.w3.org/2005/Atom">'


def told(path: Path) -> str:
    """What is said of a file by a process that takes little memory and time."""
    done = subprocess.run(  # noqa: S603 - this project's own code
        [sys.executable, "-c", READING, str(path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=True,
        timeout=MOST_SECONDS,
        text=True,
    )
    said, _, most = done.stdout.rpartition("VmHWM:")
    assert int(most.split()[0]) // 1024 < MOST_MEBIBYTES
    return said.replace(str(path), "FILE").strip()


def sheet(rows: str) -> str:
    heading = "".join(f'<c t="inlineStr"><is><t>{name}</t></is></c>' for name in NAMES)
    return f'<worksheet><sheetData><row r="1">{heading}</row>{rows}</sheetData></worksheet>'


def of_sheet(rows: str) -> bytes:
    return package({"xl/worksheets/sheet1.xml": sheet(rows)})


def xml_files() -> Iterator[tuple[str, str, str]]:
    lol = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    doctype = "has a document type (DOCTYPE), which is not read: expected a report"
    yield "laughs", f'<!DOCTYPE f [<!ENTITY l0 "ha">{lol}]><feed>&l9;</feed>', doctype
    outside = '<!DOCTYPE f [<!ENTITY x SYSTEM "file:///etc/passwd">]><feed>&x;</feed>'
    yield "outside", outside, doctype
    yield "subset", '<!DOCTYPE feed SYSTEM "http://127.0.0.1:9/x.dtd"><feed/>', doctype
    yield "deep", FEED + "<a>" * 5_000_000, "elements are nested over 64 deep: expected a report"
    text = "a text has over 65536 characters: expected a report"
    yield "text", f"{FEED}<title>{'x' * 30 * MEBIBYTE}</title></feed>", text
    tag = f"a tag or comment has over {MEBIBYTE} bytes: expected a report"
    yield "attribute", f'{FEED}<a b="{"x" * 30 * MEBIBYTE}"/></feed>', tag
    yield "comment", f"{FEED}<!--{'x' * 30 * MEBIBYTE}--></feed>", tag


@pytest.mark.parametrize(
    ("content", "error"), [pytest.param(*rest, id=name) for name, *rest in xml_files()]
)
def test_xml_that_swells_is_refused(tmp_path: Path, content: str, error: str) -> None:
    path = tmp_path / "bomb.xml"
    path.write_text(content)
    assert told(path) == f"FILE:1: XML: {error}"


def test_many_meter_readings_are_refused(tmp_path: Path) -> None:
    reading = (
        '<entry><link rel="self" href="M/MeterReading/{}"/><content><IntervalReading><timePeriod>'
        "<duration>1</duration><start>1</start></timePeriod><value>1</value></IntervalReading>"
        "</content></entry>"
    )
    path = tmp_path / "many.xml"
    path.write_text(FEED + "".join(map(reading.format, range(20_000))) + "</feed>")
    assert told(path) == "FILE: has over 10000 meter readings: expected a report"


def test_archive_that_swells_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    path.write_bytes(
        archive({"june.csv": (f"{','.join(NAMES)}\n" + "\n" * 100 * MEBIBYTE).encode()})
    )
    said = told(path)
    assert said.startswith("FILE: june.csv: ")
    assert "it decompresses to more than 200 times its size" in said


def test_list_of_an_archive_that_is_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "list.zip"
    content = archive({"june.csv": b"x"})
    at, end = content.index(b"PK\1\2"), content.index(b"PK\5\6")
    entries = content[at:end] * 2_000_000
    tail = bytearray(content[end:])
    tail[8:12] = b"\xff\xfe\xff\xfe"
    tail[12:16] = len(entries).to_bytes(4, "little")
    path.write_bytes(content[:at] + entries + tail)
    assert told(path) == "FILE: has over 1000 files: unpack the archive, and load the folder"


@pytest.mark.parametrize(
    "rows", [100_000, pytest.param(1_000_000, marks=pytest.mark.trust, id="million")]
)
def test_sheet_of_empty_rows_is_read_in_little_memory(tmp_path: Path, rows: int) -> None:
    path = tmp_path / "empty.xlsx"
    empty = "".join(f'<row r="{n}"/>' for n in range(2, rows))
    filled = f'<row r="{rows}"><c t="str"><v>x</v></c></row>'
    path.write_bytes(of_sheet(empty + filled))
    assert told(path) == "1"


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ('<row r="2"><c r="XFD2"><v>1</v></c></row>', "FILE:2: sheet 'S': there are cells beyond"),
        ('<row r="9999999"><c><v>1</v></c></row>', "FILE:1: sheet 'S': row '9999999' comes after"),
        ('<row r="1"><c><v>1</v></c></row>', "FILE:1: sheet 'S': row '1' comes after row 1"),
        ('<row r="2"><c r="B2"/><c r="A2"/></row>', "FILE:2: sheet 'S': the cell A2 is out of"),
        ('<row r="2"><c t="s"><v>7</v></c></row>', "FILE:2: sheet 'S': the cell has the value '7'"),
        ('<row r="2"><c><v>1e999</v></c></row>', "FILE:2: sheet 'S': the cell has the value"),
        ('<row r="2"><c s="5"><v>1</v></c></row>', "FILE:2: sheet 'S': the cell has the value"),
        ("<x>" * 100, "FILE:1: XML: elements are nested over 64 deep"),
        (f'<row r="2"><c t="str"><v>{"x" * 70_000}</v></c></row>', "FILE:1: XML: a text has over"),
        (
            f"<!--{'x' * 60_000}-->" * 600,
            "FILE: cannot be read: xl/worksheets/sheet1.xml is too large",
        ),
    ],
)
def test_sheet_that_is_made_to_be_hard_is_refused(tmp_path: Path, rows: str, said: str) -> None:
    path = tmp_path / "hard.xlsx"
    path.write_bytes(of_sheet(rows))
    assert told(path).startswith(said)


def test_texts_of_a_workbook_that_are_too_many_are_refused(tmp_path: Path) -> None:
    texts = "".join(f"<si><t>{number}</t></si>" for number in range(500_000))
    path = tmp_path / "texts.xlsx"
    path.write_bytes(
        package({"xl/worksheets/sheet1.xml": sheet(""), "xl/sharedStrings.xml": f"<s>{texts}</s>"})
    )
    assert told(path).startswith("FILE: has over 33554432 bytes of texts: save the sheet")


def test_utf_16_without_lines_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    path.write_bytes(("x" * 30 * MEBIBYTE).encode("utf-16"))
    assert told(path) == "FILE:1: row: over 65536 bytes: expected lines with an end"


def test_nem12_record_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    path.write_text("100,NEM12,202401010000,A,B\n300," + "1," * 30 * MEBIBYTE)
    assert told(path) == "FILE:2: row: over 65536 bytes: expected lines with an end"


def test_nem12_of_many_meters_is_read_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "many.csv"
    values = ",".join(["1.234"] * 288)
    with path.open("w") as file:
        file.write("100,NEM12,202401010000,A,B\n")
        for meter in range(60):
            file.write(f"200,{meter:010},E1,1,E1,N1,S,kWh,5,\n")
            file.writelines(f"300,202401{day:02},{values},A,,,\n" for day in range(1, 31))
        file.write("900\n")
    assert path.stat().st_size > 2 * MEBIBYTE
    assert told(path).splitlines() == ["8640"] * 60


def test_headings_are_looked_for_among_wide_lines_in_little_time() -> None:
    lines = [
        ";".join(
            ["Datum", "Zeit von", *(f"AT{n} (1) - Verbrauch [kWh]" for n in range(at, at + 990))]
        )
        for at in range(100)
    ]
    began = time.process_time()
    with pytest.raises(ReportError, match="the nearest is wiener-netze"):
        detect_format(SHIPPED_FORMATS, "wide.csv", [line.encode() for line in lines])
    assert time.process_time() - began < 5

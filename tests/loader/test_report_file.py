"""A file with the rows of several meters: each meter's are read as if they were its own file."""

import contextlib
import csv
import gzip
import hashlib
import io
import os
import stat
import subprocess
import sys
import tempfile
import types
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

import loader.report_file
import loader.rows.file_reader
import loader.rows.sorted_rows
from loader.formats.configured_format import ConfiguredFormat
from loader.formats.registry import SHIPPED_FORMATS
from loader.formats.report_format import ReportFormat
from loader.report import Report
from loader.report_file import ReportFile
from loader.rows.errors import ReportError, RowError
from loader.rows.header import REASON_COLUMN, Header
from loader.rows.rejected import RejectedRows
from settings import FormatSettings
from tests.support.paths import ROOT
from tests.support.report_factory import MADRID, numbered, quarters, report
from tests.support.report_formats import DISTRIBUTOR, SUMMER, hourly

LOCAL_HEADING = "When;Meter;kWh\n"


def local_format(delimiter: str = ";", encoding: str = "utf-8") -> ReportFormat:
    """Local times, whose repeated hour is told by the order of a meter's rows."""
    described = {
        "delimiter": delimiter,
        "encoding": encoding,
        "columns": {"energy": "kWh"},
        "time": {"column": "When", "pattern": "%d.%m.%Y %H:%M", "marks": "start"},
        "identifier": "Meter",
    }
    return ConfiguredFormat("local", FormatSettings.model_validate(described))


@dataclass
class Outcome:
    """What was read of a meter."""

    rows: bytes
    counts: tuple[int, int, int]
    span: tuple[str, str] | None
    interval: int | None
    identifier: str | None
    error: str
    errors: list[RowError]
    rejected: list[bytes]


class Reading:
    """Reads the parts of a file one after the other, or all of them once the last is known."""

    def __init__(
        self,
        path: str | Path,
        *formats: ReportFormat,
        skip_bad_rows: bool = False,
        is_late: bool = False,
    ) -> None:
        self.outcomes: dict[str | None, Outcome] = {}
        self.error = ""
        """Of the file as a whole."""
        self.unassigned: list[RowError] = []
        self.rejected: list[bytes] = []
        self.sha256 = set[str]()
        options = {"skip_bad_rows": skip_bad_rows}
        with ReportFile(str(path), formats=formats or SHIPPED_FORMATS) as file:
            parts = file.parts(MADRID, on_errors=self._on_errors, **options)
            try:
                for part in list(parts)[::-1] if is_late else parts:
                    assert part.identifier not in self.outcomes
                    outcome = read(str(path), part=part, **options)
                    outcome.error = outcome.error.removeprefix(part.label)
                    self.outcomes[part.identifier] = outcome
                    self.sha256.add(part.sha256)
            except ReportError as error:
                self.error = str(error).removeprefix(str(path))

    def _on_errors(self, errors: list[RowError], raw: bytes) -> None:
        self.unassigned += errors
        self.rejected.append(raw)


def read(path: str, **options: Any) -> Outcome:
    """Read the report of a meter."""
    errors: list[RowError] = []
    rejected: list[bytes] = []

    def on_errors(found: list[RowError], raw: bytes) -> None:
        errors.extend(found)
        rejected.append(raw)

    one = Report(path, MADRID, on_errors=on_errors, **options)
    rows, error = b"", ""
    try:
        for batch in one.batches():
            assert batch.rows.count(b"\n") == batch.count
            rows += batch.rows
    except ReportError as failure:
        # What came before the fault depends on the chunks of the file.
        rows, error = b"", str(failure)
    counts = one.readings, one.missing, one.rejected
    return Outcome(rows, counts, one.span, one.interval, one.identifier, error, errors, rejected)


def unexpected(errors: list[RowError], _: bytes) -> None:
    pytest.fail(f"{errors}")


def write(path: Path, content: str) -> Path:
    path.write_bytes(content.encode())
    return path


@contextlib.contextmanager
def sizes(chunk: int, held: int) -> Iterator[None]:
    """Read files in chunks of so many bytes, and hold about so many in memory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loader.rows.file_reader, "CHUNK_BYTES", chunk)
        patch.setattr(loader.rows.sorted_rows, "CHUNK_BYTES", chunk)
        patch.setattr(loader.rows.sorted_rows, "MAX_HELD_BYTES", held)
        yield


# Each meter as if alone

NAMES = {
    "utf-8": ["ES1", "ES2", "Zähler; 3", 'a "b"', "é" * 64, "1"],
    "latin-1": ["ES1", "ES2", "Zähler, 3", 'a "b"', "ÿ" * 64, "1"],
    "cp1252": ["ES1", "ES2", "Zähler € 3", "a|b", "1"],
    # The second byte of the first of these is that of a |.
    "shift_jis": ["ポ1", "ES2", "表", 'a "b"', "1"],
}
# The hours around both changes of the clocks, and a summer's day.
FIRSTS = [
    datetime(2019, 10, 26, 23, tzinfo=UTC),
    datetime(2019, 10, 27, 0, tzinfo=UTC),
    datetime(2019, 3, 30, 23, tzinfo=UTC),
    datetime(2019, 8, 1, tzinfo=UTC),
]
SPOILED = ["many", "1.123456", "31.02.2019 00:00", "31.03.2019 02:15", ""]


@st.composite
def meter_rows(draw: st.DrawFn) -> list[list[str]]:
    """The time and the energy of each row of a meter, in order."""
    first, step = draw(st.sampled_from(FIRSTS)), draw(st.sampled_from([15, 30, 60]))
    times = [first + timedelta(minutes=step) * number for number in range(draw(st.integers(1, 20)))]
    times = draw(st.sampled_from([times, times[::-1], sorted(times, key=lambda t: (t.minute, t))]))
    rows = [
        [f"{moment.astimezone(MADRID):%d.%m.%Y %H:%M}", str(number)]
        for number, moment in enumerate(times)
    ]
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(rows) - 1))
        if draw(st.booleans()):
            rows.insert(at, list(draw(st.sampled_from(rows))))
        else:
            rows[at][draw(st.integers(0, 1))] = draw(st.sampled_from(SPOILED))
    return rows


@st.composite
def fleets(draw: st.DrawFn, names: Sequence[str]) -> list[tuple[str, list[str]]]:
    """The rows of several meters, each with the meter's name, in one order."""
    chosen = draw(st.lists(st.sampled_from(names), min_size=1, max_size=5, unique=True))
    queues = {name: draw(meter_rows()) for name in chosen}
    order = [name for name, rows in queues.items() for _ in rows]
    if not draw(st.integers(0, 3)):
        return [(name, queues[name].pop(0)) for name in order]
    return [(name, queues[name].pop(0)) for name in draw(st.permutations(order))]


@given(data=st.data())
def test_meters_that_share_a_file_are_read_as_from_files_of_their_own(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Whatever their order, spelling and faults, with the lines of the shared file in errors."""
    draw = data.draw
    encoding = draw(st.sampled_from(sorted(NAMES)))
    delimiter = draw(st.sampled_from(";,|"))
    columns = draw(st.permutations(["When", "Meter", "kWh"]))
    end = draw(st.sampled_from(["\n", "\r\n"]))

    def line(fields: dict[str, str]) -> bytes:
        """A line in one of its spellings."""
        text = io.StringIO()
        quoting: Literal[0, 1] = csv.QUOTE_ALL if draw(st.booleans()) else csv.QUOTE_MINIMAL
        blank = draw(st.sampled_from(["", " "]))
        written = [fields[column] + blank for column in columns if column in fields]
        csv.writer(text, delimiter=delimiter, quoting=quoting, lineterminator=end).writerow(written)
        return text.getvalue().encode(encoding)

    if draw(st.booleans()):
        columns = [*columns, REASON_COLUMN]
    heading = line(dict(zip(columns, columns, strict=True)))
    if encoding == "utf-8" and draw(st.booleans()):
        heading = "\ufeff".encode() + heading
    own = dict[str, list[bytes]]()
    numbers = dict[str, list[int]]()
    shared = [heading]
    for name, (when, energy) in draw(fleets(NAMES[encoding])):
        fields = {"When": when, "Meter": name, "kWh": energy}
        if draw(st.booleans()):
            fields[REASON_COLUMN] = 'line 1: "x"; y|z,'
        row = line(fields)
        own.setdefault(name, [heading]).append(row)
        numbers.setdefault(name, [1]).append(len(shared) + 1)
        shared.append(row)
    folder = tmp_path_factory.getbasetemp()
    options = {"skip_bad_rows": draw(st.booleans())}
    formats = [local_format(delimiter, encoding)]
    path = folder / "shared.csv"
    path.write_bytes(b"".join(shared))
    with sizes(draw(st.sampled_from([1, 60, 300, 2**20])), draw(st.sampled_from([0, 900, 2**25]))):
        done = Reading(path, *formats, is_late=draw(st.booleans()), **options)
    assert (done.error, done.unassigned) == ("", [])
    assert done.outcomes.keys() == own.keys()
    for name, lines in own.items():
        alone = folder / "alone.csv"
        alone.write_bytes(b"".join(lines))
        expected = read(str(alone), formats=formats, **options)
        expected.error = expected.error.removeprefix(str(alone))
        expected.identifier = name
        expected.errors = [
            RowError(numbers[name][error.line - 1], error.column, error.value, error.expected)
            for error in expected.errors
        ]
        assert done.outcomes[name] == expected


TWO = DISTRIBUTOR + "".join(
    line
    for pair in zip(
        *(hourly(SUMMER, *range(1, 25), cups=cups) for cups in ("ES2", "ES1")), strict=True
    )
    for line in pair
)
DIGEST = hashlib.sha256(TWO.encode()).hexdigest()


def test_packed_report_and_standard_input_are_split_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "two.csv.gz").write_bytes(gzip.compress(TWO.encode()))
    stdin = types.SimpleNamespace(buffer=io.BytesIO(TWO.encode()))
    monkeypatch.setattr(sys, "stdin", stdin)
    for path in (tmp_path / "two.csv.gz", Path("-"), write(tmp_path / "two.csv", TWO)):
        done = Reading(path)
        assert [*done.outcomes] == ["ES1", "ES2"]
        assert {outcome.counts for outcome in done.outcomes.values()} == {(24, 0, 0)}
        assert done.sha256 == {DIGEST}


def test_report_that_names_no_meters_has_one_part(tmp_path: Path) -> None:
    path = write(tmp_path / "report.csv", report(*numbered(quarters("2019-08-01", 4))))
    done = Reading(path)
    assert done.outcomes[None].counts == (4, 4 * 7, 0)
    assert done.outcomes[None].rows == read(str(path), skip_bad_rows=False).rows


def test_only_meter_is_read_while_the_file_is(tmp_path: Path) -> None:
    """Its name is known before, and of a second meter nothing until the first is read."""
    lines = [*hourly(SUMMER, *range(1, 25), cups="ES9"), *hourly(SUMMER, 1, cups="ES1")]
    path = write(tmp_path / "late.csv", DISTRIBUTOR + "".join(lines))
    with sizes(100, 2**25), ReportFile(str(path)) as file:
        parts = file.parts(MADRID, skip_bad_rows=False, on_errors=unexpected)
        first = next(parts)
        assert first.identifier == "ES9"
        is_split = [file.is_split for _ in first.rows]
        assert not is_split[0]
        assert is_split[-1]
        assert [part.identifier for part in parts] == ["ES1"]


def test_part_that_fails_leaves_the_others_alone(tmp_path: Path) -> None:
    lines = [*hourly(SUMMER, *range(1, 25), cups="ES9"), *hourly(SUMMER, 1, 2, cups="ES1")]
    path = write(tmp_path / "late.csv", DISTRIBUTOR + "".join(lines))
    with sizes(100, 0), ReportFile(str(path)) as file:
        parts = file.parts(MADRID, skip_bad_rows=False, on_errors=unexpected)
        batches = Report(
            str(path), MADRID, skip_bad_rows=False, on_errors=unexpected, part=next(parts)
        ).batches()
        next(batches)
        del batches
        other = next(parts)
        assert read(str(path), skip_bad_rows=False, part=other).counts == (2, 0, 0)
        assert file.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("chunk", [100, 2**20], ids=["second meter late", "second meter early"])
def test_file_that_breaks_off_has_no_part_that_passes_for_whole(tmp_path: Path, chunk: int) -> None:
    lines = [*hourly(SUMMER, *range(1, 25), cups="ES9"), *hourly(SUMMER, *range(1, 25), cups="ES1")]
    path = tmp_path / "broken.csv.gz"
    path.write_bytes(gzip.compress((DISTRIBUTOR + "".join(lines)).encode())[:-9])
    with sizes(chunk, 2**25):
        done = Reading(path)
    assert "ES1" not in done.outcomes
    (error,) = [*(outcome.error for outcome in done.outcomes.values()), done.error][:1]
    assert "cannot be read: Compressed file ended before the end-of-stream marker" in error


def test_errors_of_a_part_name_its_meter(tmp_path: Path) -> None:
    lines = [f"ES1;{SUMMER};1;many;R\n", *hourly(SUMMER, 1, 2, cups="ES2")]
    path = write(tmp_path / "two.csv", DISTRIBUTOR + "".join(lines))
    for skipping, said in ((False, "1 rows are wrong"), (True, "expected at least one reading be")):
        with ReportFile(str(path)) as file:
            parts = file.parts(MADRID, skip_bad_rows=skipping, on_errors=unexpected)
            outcome = read(str(path), part=next(parts), skip_bad_rows=skipping)
        assert outcome.error.startswith(f"{path}: ES1: {said}")


# Rows that can't be assigned to a meter

STRAYS = [
    f";{SUMMER};9;1;R".encode(),
    f"{'x' * 65};{SUMMER};9;1;R".encode(),
    b"ES1;1",
    f'"ES1;{SUMMER};9;1;R'.encode(),
    f"ES1;{SUMMER};9;1;\xff".encode("latin-1"),
    f"E\rS1;{SUMMER};9;1;R".encode(),
]


@pytest.mark.parametrize("skipping", [False, True])
def test_row_without_a_meter_is_an_error_of_its_line(tmp_path: Path, skipping: bool) -> None:
    heading, *lines = TWO.encode().splitlines()
    lines[5:5] = [b"", *STRAYS, b" "]
    path = tmp_path / "two.csv"
    path.write_bytes(b"\n".join([heading, *lines]))
    done = Reading(path, skip_bad_rows=skipping)
    assert [str(error).partition(": expected")[0] for error in done.unassigned] == [
        "8: CUPS: nothing",
        f"9: CUPS: {'x' * 57}...",
        "10: row: 2 fields",
        f'11: row: "ES1;{SUMMER};9;1;R',
        f"12: row: ES1;{SUMMER};9;1;\\ufffd",
        f"13: row: E\\rS1;{SUMMER};9;1;R",
    ]
    assert done.rejected == STRAYS
    assert {outcome.counts for outcome in done.outcomes.values()} == {(24, 0, 0)}
    assert done.error == ("" if skipping else ": 6 rows are wrong")


def test_file_whose_rows_name_no_meter_has_no_part(tmp_path: Path) -> None:
    path = tmp_path / "none.csv"
    path.write_bytes(DISTRIBUTOR.encode() + b"\n".join(STRAYS))
    done = Reading(path)
    assert (done.outcomes, done.error) == ({}, ": 6 rows are wrong")
    assert [error.line for error in done.unassigned] == [2, 3, 4, 5, 6, 7]
    done = Reading(path, skip_bad_rows=True)
    assert (done.outcomes, done.error) == ({}, ": expected at least one reading below the heading")


@pytest.mark.parametrize(
    ("line", "errors", "counts"),
    [("27.10.2019 02:00;;1\n", [12], (1, 0, 3)), (" \n", [], (4, 0, 0))],
    ids=["row", "empty line"],
)
def test_row_without_a_meter_above_those_of_a_second_one_is_an_error_of_the_first(
    tmp_path: Path, line: str, errors: list[int], counts: tuple[int, int, int]
) -> None:
    """But it may be the first row of the second one, which begins in a repeated hour."""
    lines = [f"{when};ES1;1\n" for when in night(*range(600, 900, 30))]
    lines += [line]
    lines += [f"{when};ES2;1\n" for when in night(30, 60, 90, 120)]
    path = write(tmp_path / "late.csv", LOCAL_HEADING + "".join(lines))
    with sizes(len(LOCAL_HEADING + "".join(lines[:11])), 2**25):
        done = Reading(path, local_format(), skip_bad_rows=True)
    assert not done.unassigned
    assert [error.line for error in done.outcomes["ES1"].errors] == errors
    assert done.outcomes["ES1"].counts == (10, 0, len(errors))
    assert done.outcomes["ES2"].counts == counts


def test_report_whose_rows_mostly_name_no_meter_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader.report_file, "MAX_UNASSIGNED", 9)
    path = write(tmp_path / "two.csv", TWO + "ES1;1\n" * 10)
    done = Reading(path, skip_bad_rows=True)
    assert done.error == ": over 9 rows name no meter: expected a report"


def test_row_too_long_for_any_is_named_by_its_line(tmp_path: Path) -> None:
    heading, *lines = TWO.splitlines()
    lines[7] += "R" * 2**16
    done = Reading(write(tmp_path / "two.csv", "\n".join([heading, *lines])))
    assert done.error == ":9: row: over 65536 bytes: expected lines with an end"


def night(*minutes: int) -> list[str]:
    """The local times of a night in October, those after 00:00 UTC in minutes."""
    begin = datetime(2019, 10, 27, tzinfo=UTC)
    moments = (begin + timedelta(minutes=minute) for minute in minutes)
    return [f"{moment.astimezone(MADRID):%d.%m.%Y %H:%M}" for moment in moments]


@given(data=st.data())
def test_row_without_a_meter_makes_repeated_hours_ambiguous_where_readings_are_missing(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """As a row in the meter's own file does, for it may be the missing one.

    Its partner would pass for a reading of the other pass.
    """
    draw = data.draw
    names = ["ES1", "ES2"]
    times = dict[str, list[str]]()
    for name in names:
        minutes = [*range(-30, 150, 30)][draw(st.integers(0, 2)) : draw(st.integers(4, 6))]
        if draw(st.booleans()):
            minutes.remove(draw(st.sampled_from(minutes)))
        times[name] = night(*minutes)
    order = draw(st.permutations([name for name, moments in times.items() for _ in moments]))
    queues = {name: [*moments] for name, moments in times.items()}
    shared = ["1.8.2019 00:00;ES3;1\n", "1.8.2019 00:00;ES4;1\n"]
    own: dict[str, list[str]] = {name: [] for name in names}
    for name in order:
        row = f"{queues[name].pop(0)};{name};1\n"
        shared.append(row)
        own[name].append(row)
        for _ in range(draw(st.sampled_from([0, 0, 0, 0, 1, 2]))):
            for lines in (shared, *own.values()):
                lines.append("no row\n")
    folder = tmp_path_factory.getbasetemp()
    options = {"skip_bad_rows": draw(st.booleans())}
    path = write(folder / "shared.csv", LOCAL_HEADING + "".join(shared))
    done = Reading(path, local_format(), **options)
    assert len(done.unassigned) == shared.count("no row\n")
    for name, lines in own.items():
        repeated = Counter(when for when in times[name] if when.startswith("27.10.2019 02"))
        is_complete = set(repeated.values()) <= {2}
        seen = [line for line in lines if line != "no row\n" or not is_complete]
        alone = write(folder / "alone.csv", LOCAL_HEADING + "".join(seen))
        expected = read(str(alone), formats=[local_format()], **options)
        rejected = [raw for raw in expected.rejected if raw != b"no row"]
        assert done.outcomes[name].rejected == rejected
        if options["skip_bad_rows"] or not rejected:
            assert done.outcomes[name].counts[0] == expected.counts[0]
        if options["skip_bad_rows"]:
            assert done.outcomes[name].rows == expected.rows


@pytest.mark.parametrize("chunk", [1, 150, 2**20])
@pytest.mark.parametrize("line", [5, 7])
def test_row_without_a_meter_is_seen_by_the_meter_that_is_read_first(
    tmp_path: Path, chunk: int, line: int
) -> None:
    lines = [f"{when};ES1;1\n" for when in night(-30, 0, 60, 90)]
    lines[1:1] = ["1.8.2019 00:00;ES2;1\n"]
    lines.insert(line - 2, "no row\n")
    path = write(tmp_path / "night.csv", LOCAL_HEADING + "".join(lines))
    with sizes(chunk, 2**25):
        done = Reading(path, local_format(), skip_bad_rows=True)
    assert [error.line for error in done.unassigned] == [line]
    assert done.outcomes["ES1"].counts == (1, 0, 3)


# Rejected rows


def test_rejected_rows_of_several_meters_are_in_the_order_of_the_lines(tmp_path: Path) -> None:
    header = Header(("Date", "When\nexactly"), ";", "utf-8")
    with RejectedRows(str(tmp_path / "report.csv")) as rejected:
        for line in (2, 30, 4, 5, 100, 3):
            error = RowError(line, header.names[line % 2], "x", "a date; such as 1")
            rejected.add([error], f"x;line 1;{line}".encode(), header)
        rejected.prepare()
        rejected.save()
    text = rejected.path.read_text()
    rows = list(csv.reader(io.StringIO(text), delimiter=";"))[1:]
    assert [row[2] for row in rows] == ["2", "3", "4", "5", "30", "100"]
    assert rows[1][3] == "line 3: When\nexactly: expected a date; such as 1"
    assert [file.name for file in tmp_path.iterdir()] == [rejected.path.name]


# The temporary file


def temporary_files(folder: Path) -> list[os.stat_result]:
    """The open files of this process in a folder, whether they have a name or not."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # that of /proc/self/fd itself
            if str(link.readlink()).startswith(str(folder)):
                found.append(link.stat())
    return found


def test_rows_beyond_memory_are_in_one_private_file_without_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So nothing of it remains, however the process ends."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    path = write(tmp_path / "two.csv", TWO)
    umask = os.umask(0)
    try:
        with sizes(100, 0), ReportFile(str(path)) as file:
            for part in file.parts(MADRID, skip_bad_rows=False, on_errors=unexpected):
                assert sum(len(rows.lines) for rows in part.rows) == 24
                (found,) = temporary_files(folder)
                assert stat.S_IMODE(found.st_mode) == 0o600
                assert found.st_nlink == 0
                assert not list(folder.iterdir())
        assert not temporary_files(folder)
    finally:
        os.umask(umask)


def test_only_several_meters_need_a_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    one = write(tmp_path / "one.csv", DISTRIBUTOR + "".join(hourly(SUMMER, *range(1, 25))))
    two = write(tmp_path / "two.csv", TWO)
    with sizes(100, 0):
        (outcome,) = Reading(one).outcomes.values()
        assert (outcome.counts, outcome.error) == ((24, 0, 0), "")
        with ReportFile(str(one)) as file:
            parts = file.parts(MADRID, skip_bad_rows=False, on_errors=unexpected)
            abandoned = Report(
                str(one), MADRID, skip_bad_rows=False, on_errors=unexpected, part=next(parts)
            ).batches()
            next(abandoned)
            del abandoned
            assert not list(parts)
        done = Reading(two)
    (error,) = [*(outcome.error for outcome in done.outcomes.values()), done.error][:1]
    assert error == (
        ": temporary file: No such file or directory: set TMPDIR to a folder with room for the "
        "report"
    )


SPLITTING = """
import re, sys
from pathlib import Path
from zoneinfo import ZoneInfo
from loader.report_file import ReportFile
with ReportFile(sys.argv[1]) as file:
    parts = file.parts(ZoneInfo("Europe/Madrid"), skip_bad_rows=False, on_errors=print)
    rows = [sum(len(rows.lines) for rows in part.rows) for part in parts]
status = Path("/proc/self/status").read_text()
print(len(rows), sum(rows), *re.findall(r"VmHWM:[^0-9]*([0-9]+)", status))
"""


def split_apart(path: Path) -> tuple[int, int, int]:
    """The parts, the rows and the MiB of memory at most of a process that reads them."""
    command = [sys.executable, "-c", SPLITTING, str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)  # noqa: S603 - our own
    parts, rows, kibibytes = map(int, done.stdout.split())
    return parts, rows, kibibytes // 1024


@pytest.mark.parametrize("meters", [10, 10_000])
def test_long_file_is_split_in_little_memory(tmp_path: Path, meters: int) -> None:
    names = [f"ES{number:018}" for number in range(meters)]
    path = tmp_path / "long.csv"
    with path.open("w") as file:
        file.write(DISTRIBUTOR)
        for _ in range(600_000 // meters):
            file.writelines(f"{name};{SUMMER};1;12,345;R\n" for name in names)
    _, _, usual = split_apart(write(tmp_path / "two.csv", TWO))
    parts, rows, mebibytes = split_apart(path)
    assert (parts, rows) == (meters, 600_000)
    assert mebibytes < usual + 64

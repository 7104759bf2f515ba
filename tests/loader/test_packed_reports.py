"""Packed reports that are none: little memory and time, one line that says why, nothing written."""

import gzip
import os
import subprocess
import sys
import zlib
from pathlib import Path
from typing import NamedTuple

import pytest

from loader.report import Report
from tests.loader.test_loader_command import ENVIRON, count, load
from tests.support.databases import DatabaseFixture
from tests.support.paths import ROOT
from tests.support.report_factory import HEADING, MADRID, numbered, quarters, report, row

pytestmark = [pytest.mark.promise("Bad input"), pytest.mark.one_database]

MEBIBYTE = 2**20
ROWS = numbered(quarters("2019-08-01", 96))
PLAIN = report(*ROWS).encode()
HEAD = HEADING.encode()


class Ended(NamedTuple):
    """How the loader ended."""

    status: int
    told: str
    mebibytes: int


def loaded(database: DatabaseFixture, packed: bytes, folder: Path) -> Ended:
    """Runs the loader over a packed report."""
    path = database.file(packed, "report.csv.gz")
    command = [sys.executable, "-m", "loader", "--config", str(database.config), path]
    said = folder / "said"
    with said.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - this project's own program
            command, cwd=ROOT, env=ENVIRON, stdout=output, stderr=output, stdin=subprocess.DEVNULL
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return Ended(process.returncode, said.read_text(), usage.ru_maxrss // 1024)


def swelling(line: bytes, mebibytes: int, head: bytes = HEAD) -> bytes:
    """The same line again and again, packed as tightly as can be."""
    packer = zlib.compressobj(9, wbits=31)
    block = line * (MEBIBYTE // len(line))
    parts = [packer.compress(head), *(packer.compress(block) for _ in range(mebibytes))]
    return b"".join([*parts, packer.flush()])


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            b"\n",
            "it decompresses to more than 200 times its size: expected a report",
        ),
        (b"\0", "row: over 65536 bytes: expected lines with an end"),
        (
            b"1 Aug 2019 00:00:00,1,1,1,1,1,1,1,1\n",
            "that does not occur in an earlier row",
        ),
    ],
    ids=["blank lines", "one endless line", "one row again and again"],
)
def test_report_that_swells_is_refused_in_little_memory(
    database: DatabaseFixture, tmp_path: Path, line: bytes, expected: str
) -> None:
    packed = swelling(line, 64)
    assert len(packed) < MEBIBYTE
    usual = loaded(database, gzip.compress(PLAIN), tmp_path)
    assert usual.status == 0
    ended = loaded(database, packed, tmp_path)
    assert ended.status == 1
    assert expected in ended.told
    assert "report.csv.gz" in ended.told
    assert "Traceback" not in ended.told
    assert ended.mebibytes < usual.mebibytes + 64
    assert count(database) == 96


def test_bomb_in_a_later_member_is_one_too(database: DatabaseFixture) -> None:
    packed = gzip.compress(PLAIN) + swelling(b"\n", 64, head=b"")
    done = load(database, database.file(packed, "report.csv.gz"))
    assert done.exit_code == 1
    assert "it decompresses to more than 200 times its size" in done.stderr
    assert count(database) == 0


async def test_members_one_behind_the_other_are_one_report(database: DatabaseFixture) -> None:
    half = len(PLAIN) // 2
    packed = gzip.compress(PLAIN[:half]) + gzip.compress(b"") + gzip.compress(PLAIN[half:])
    path = database.file(packed + bytes(512), "report.csv.gz")
    (summary,) = await database.load(Path(path))
    assert summary.readings == 96
    assert [record["energy"] for record in await database.records()] == [
        f"{number}.00000" for number in range(1, 97)
    ]


@pytest.mark.parametrize(
    ("packed", "reason"),
    [
        (gzip.compress(PLAIN)[:-1], "Compressed file ended before the end-of-stream"),
        (gzip.compress(PLAIN)[: len(PLAIN) // 20], "Compressed file ended before"),
        (gzip.compress(PLAIN) + b"rubbish", "Not a gzipped file"),
        (gzip.compress(PLAIN) + gzip.compress(PLAIN)[:12], "Compressed file ended before"),
        (gzip.compress(PLAIN)[:-8] + bytes(8), "CRC check failed"),
        (b"", "expected a report, the file is empty"),
        (b"\x1f\x8b", "Compressed file ended before"),
        (zlib.compress(PLAIN), "expected a report, this is a binary file"),
    ],
    ids=[
        *("cut off", "cut off early", "rubbish behind it", "another member cut off", "checksum"),
        *("empty", "magic alone", "zlib"),
    ],
)
def test_packed_report_that_is_damaged_is_refused_as_a_whole(
    database: DatabaseFixture, packed: bytes, reason: str
) -> None:
    done = load(database, database.file(packed, "report.csv.gz"))
    assert done.exit_code == 1
    (error,) = [line for line in done.stderr.splitlines() if "report.csv.gz" in line]
    assert reason in error
    assert count(database) == 0


def test_report_of_zeros_is_no_bomb(tmp_path: Path) -> None:
    """However many they are."""
    rows = [row(moment, *["0.000"] * 8) for moment in quarters("2000-01-01", 60_000)]
    plain = report(*rows).encode()
    assert len(plain) > 3 * MEBIBYTE
    path = tmp_path / "zeros.csv.gz"
    path.write_bytes(gzip.compress(plain))
    read = Report(str(path), MADRID, skip_bad_rows=False, on_errors=lambda *_: None)
    assert sum(block.count for block in read.batches()) == 60_000

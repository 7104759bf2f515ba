"""The frame of `make trust`: what is left out, what is run, and the table."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT

TESTS = '''
"""Doors: all of them are shut."""

import pytest

pytestmark = pytest.mark.promise("Getting in")


@pytest.mark.parametrize("door", ["front", "back"])
def test_door(door):
    pass


@pytest.mark.trust
@pytest.mark.parametrize("key", [1, 2])
def test_keys(key, tried):
    tried("a wrong key", 50, "refused")


@pytest.mark.promise("Getting in", by_test=True)
@pytest.mark.parametrize("hole", [1, 2, 3])
def test_hole_is_too_small(hole):
    pass


@pytest.mark.trust
def test_that_fails():
    assert not "shut"


@pytest.mark.one_database
@pytest.mark.parametrize("database", ["sqlite", "mariadb"])
def test_bell(database):
    pass


@pytest.mark.trust
def test_window():
    pytest.skip("there is none")
'''


def run(folder: Path, text: str, *args: str) -> tuple[int, str]:
    """The exit status and the output of pytest on a module."""
    (folder / "test_it.py").write_text(text)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.support.promises",
        "--rootdir",
        str(folder),
    ]
    done = subprocess.run(  # noqa: S603 - the frame under test
        [*command, *args],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def test_what_takes_long_is_left_out_and_the_reason_said(tmp_path: Path) -> None:
    status, output = run(tmp_path, TESTS)
    assert status == 0
    assert "6 passed, 5 deselected" in output
    assert "tests that take minutes are left out; `make trust` runs them" in output
    assert not (tmp_path / "var").exists()


def test_table_tells_what_was_tried_how_often_and_what_came_of_it(tmp_path: Path) -> None:
    status, output = run(tmp_path, TESTS, "-m", "promise", "-n", "1")
    assert status == 1
    lines = (tmp_path / "var" / "trust.md").read_text().splitlines()
    assert set(lines) <= set(output.splitlines()) | {"# Trust"}
    assert lines[2] == "## Getting in"
    assert {line for line in lines if line.startswith("| ")} == {
        "| tried | times | outcome |",
        "| Doors: all of them are shut | 4 | as promised |",
        "| Hole is too small | 3 | as promised |",
        "| a wrong key | 100 | refused |",
        "| test_it.py::test_that_fails | 1 | **failed** |",
        "| test_it.py::test_window | 0 | left out: there is none |",
    }
    assert lines[-1] == "108 tries in 0 min, 1 failed"


def test_what_takes_long_has_to_promise_something(tmp_path: Path) -> None:
    status, output = run(tmp_path, TESTS.replace('pytest.mark.promise("Getting in")', "[]"))
    assert status == pytest.ExitCode.USAGE_ERROR
    assert "a test with the mark trust promises something" in output

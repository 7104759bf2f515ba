"""What `make matrix` reads from a run of the tests, carries over from the host, and writes."""

import subprocess
from pathlib import Path

import pytest

from tools.matrix import BEGIN, END, PAGE, Place, Row, outcome, table_of, write


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("1234 passed in 300.01s (0:05:00)", "1,234 passed, 0 failed, 0 left out"),
        ("2 failed, 5 passed, 3 skipped, 1 error in 9.9s", "5 passed, 3 failed, 3 left out"),
        ("3 failed, 4 passed, 2 errors in 0.1s", "4 passed, 5 failed, 0 left out"),
    ],
)
def test_outcome_counts_errors_as_failures(line: str, expected: str) -> None:
    assert outcome(f"=== test session starts ===\n..F\n===== {line} =====\nafter\n") == expected


def test_outcome_says_where_no_test_ran() -> None:
    assert outcome("make: *** [Makefile:30: .venv/.dev] Error 1\n") == "no test ran"


def test_command_sees_nothing_of_the_host_but_what_installing_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ELECDATA_SERVER__PORT", "1")
    monkeypatch.setenv("EDITOR", "vi")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PIP_RETRIES", "7")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:3128")
    command = Place("3.11", tmp_path / "clone").command(["env"])
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - env
    seen = dict(line.split("=", maxsplit=1) for line in done.stdout.splitlines())
    assert seen["HOME"] == str(tmp_path / "home")
    assert seen["LANG"] == "C"
    assert seen["PIP_RETRIES"] == "7"
    assert seen["https_proxy"] == "http://127.0.0.1:3128"
    assert not {"ELECDATA_SERVER__PORT", "EDITOR", "PIP_FIND_LINKS"} & seen.keys()


def test_table_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\n| old |\n\n{END}after\n")
    table = table_of([Row("Debian 13", "3.13.5", "11.8.3", "9", "3 passed", is_good=True)])
    write(page, table)
    assert page.read_text() == f"before\n{BEGIN}\n{table}\n\n{END}after\n"
    assert table.splitlines()[-1] == "| Debian 13 | 3.13.5 | 11.8.3 | 9 | 3 passed |"


def test_page_has_the_place_of_the_table() -> None:
    text = PAGE.read_text()
    assert 0 < text.index(BEGIN) < text.index(END)

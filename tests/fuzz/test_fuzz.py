"""Bytes for all that reads them: a report, a format, settings, dates, ids, tokens."""

import asyncio
import importlib.util
import re
import sys

import pytest

from tests.fuzz.targets import TARGETS, loaded
from tests.support.paths import ROOT
from tests.support.promises import Tried

pytestmark = pytest.mark.promise("Bad input")

KEPT = ROOT / "tests" / "fuzz" / "corpus"
SECONDS = 60


@pytest.mark.parametrize("name", TARGETS)
def test_corpus_inputs_are_read_or_rejected(name: str) -> None:
    """What the fuzzer found to reach the most of the code, and what has once failed."""
    inputs = sorted((KEPT / name).iterdir())
    assert inputs
    for file in inputs:
        TARGETS[name](file.read_bytes())


def test_corpus_inputs_belong_to_a_target() -> None:
    # Those of whole requests are tried in test_whole_requests.py.
    assert {folder.name for folder in KEPT.iterdir()} == {*TARGETS, "request"}
    assert sum(file.stat().st_size for file in KEPT.glob("*/*")) < 512 * 1024


def test_corpus_reports_have_readings() -> None:
    """So that there is something to be wrong about."""
    for name, is_packed in (("rows", False), ("packed", True), ("two-members", True)):
        content = (KEPT / "report" / name).read_bytes()[1:]
        assert len(loaded(content, is_packed=is_packed, skip_bad_rows=False)) == 2


@pytest.mark.trust
@pytest.mark.parametrize("name", TARGETS)
async def test_new_inputs_are_read_or_refused(name: str, tried: Tried) -> None:
    """What atheris makes of the kept inputs, led by what they reach of the code."""
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("atheris is for Linux on x86-64 alone, and not installed here")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.fuzz", name, str(SECONDS)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told, _ = await process.communicate()
    assert process.returncode == 0, told.decode("utf-8", "replace")[-5000:]
    runs = re.search(rb"number_of_executed_units: *(\d+)", told)
    assert runs is not None
    assert int(runs[1]) > 1000
    tried(f"bytes for {name}, by a fuzzer", int(runs[1]))

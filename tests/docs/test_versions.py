"""The versions of Python that the project runs on are the same wherever they are named."""

import re
import tomllib

import pytest
from packaging.specifiers import SpecifierSet

from tests.support.paths import ROOT
from tools.matrix import DEBIAN, PYTHONS

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
OLDEST, NEWEST = PYTHONS[0], PYTHONS[-1]


def test_package_allows_the_versions_that_are_tried_and_no_other() -> None:
    allowed = SpecifierSet(PROJECT["project"]["requires-python"])
    minors = [f"3.{minor}" for minor in range(40)]
    assert tuple(allowed.filter(minors)) == PYTHONS
    named = "Programming Language :: Python :: "
    assert PROJECT["project"]["classifiers"] == [named + version for version in PYTHONS]


@pytest.mark.parametrize("file", ["README.md", "docs/tutorials/first-report.md"])
def test_page_names_the_oldest_and_the_newest(file: str) -> None:
    named = re.findall(r"Python (3\.\d+) to (3\.\d+)", (ROOT / file).read_text())
    assert named == [(OLDEST, NEWEST)]


def test_makefile_requires_these_versions_and_locks_for_all() -> None:
    text = (ROOT / "Makefile").read_text()
    assert set(re.findall(r"Python (3\.\d+) to (3\.\d+)", text)) == {(OLDEST, NEWEST)}
    lowest, highest = (int(version.removeprefix("3.")) for version in (OLDEST, NEWEST))
    assert f"(3, {lowest}) <= sys.version_info < (3, {highest + 1})" in text
    assert f"--python-version {OLDEST} " in text
    assert PROJECT["tool"]["ruff"]["target-version"] == f"py3{lowest}"


def test_image_has_one_of_them_on_a_system_that_is_tried() -> None:
    text = (ROOT / "deploy" / "Dockerfile").read_text()
    bases = set(re.findall(r"(?m)^FROM python:(3\.\d+)-slim-(\w+)", text))
    ((python, system),) = bases
    assert python in PYTHONS
    assert system in DEBIAN

"""Locked packages are checked for known holes."""

import pytest

from tools.vulnerabilities import LOCKED, ROOT, audited_holes, listed_holes, pins

HOLES = [("aiohttp", "CVE-1", ">=3.0,<3.9.2")]
REPORT = {
    "dependencies": [
        {"name": "idna", "version": "3.7", "vulns": []},
        {
            "name": "aiohttp",
            "version": "3.9.1",
            "vulns": [{"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["3.9.2"]}],
        },
    ]
}


@pytest.mark.parametrize(
    ("pin", "count"),
    [
        ("aiohttp==3.9.1", 1),
        ("AIOHTTP[speedups]==3.9.1", 1),
        ("aiohttp==3.9.2", 0),
        ("x==3.9.1", 0),
    ],
)
def test_hole_of_a_locked_version_is_found(pin: str, count: int) -> None:
    locked = f"{pin} \\\n    --hash=sha256:0\n"
    assert len(list(listed_holes("requirements.txt", locked, HOLES, {}))) == count


def test_hole_is_accepted_for_a_reason_alone() -> None:
    for reason, count in (("not reachable here", 0), ("", 1)):
        accepted = {"CVE-1": reason}
        assert len(list(listed_holes("file", "aiohttp==3.9.1\n", HOLES, accepted))) == count
        assert len(list(audited_holes("file", REPORT, accepted))) == count


def test_hole_that_the_audit_knows_is_told_with_what_mends_it() -> None:
    (line,) = audited_holes("requirements.txt", REPORT, {})
    assert line == "requirements.txt: aiohttp 3.9.1 has PYSEC-1 or CVE-1, mended in 3.9.2"


def test_package_that_the_audit_left_out_does_not_pass_for_sound() -> None:
    left_out = {"dependencies": [{"name": "aiohttp", "skip_reason": "not found"}]}
    (line,) = audited_holes("requirements.txt", left_out, {})
    assert line == "requirements.txt: aiohttp could not be checked: not found"


@pytest.mark.parametrize("file", LOCKED)
def test_every_locked_package_is_read(file: str) -> None:
    text = (ROOT / file).read_text()
    assert len(list(pins(text))) == sum(
        "==" in line for line in text.splitlines() if line[:1] != " "
    )

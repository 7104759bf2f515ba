"""Locked packages are checked for known vulnerabilities."""

import pytest

from tools.vulnerabilities import (
    LOCKED,
    ROOT,
    audited_vulnerabilities,
    library_version,
    listed_vulnerabilities,
    not_asked,
    pins,
)

LISTED = [("aiohttp", "CVE-1", ">=3.0,<3.9.2")]
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
def test_vulnerability_of_a_locked_version_is_found(pin: str, count: int) -> None:
    locked = f"{pin} \\\n    --hash=sha256:0\n"
    assert len(list(listed_vulnerabilities("requirements.txt", locked, LISTED, {}))) == count


def test_vulnerability_is_accepted_only_with_a_reason() -> None:
    for reason, count in (("not reachable here", 0), ("", 1)):
        accepted = {"CVE-1": reason}
        assert (
            len(list(listed_vulnerabilities("file", "aiohttp==3.9.1\n", LISTED, accepted))) == count
        )
        assert len(list(audited_vulnerabilities("file", REPORT, accepted))) == count


def test_vulnerability_is_reported_with_the_version_that_fixes_it() -> None:
    (line,) = audited_vulnerabilities("requirements.txt", REPORT, {})
    assert line == "requirements.txt: aiohttp 3.9.1 has PYSEC-1 or CVE-1, fixed in 3.9.2"


def test_package_that_the_audit_skipped_is_reported() -> None:
    left_out = {"dependencies": [{"name": "aiohttp", "skip_reason": "not found"}]}
    (line,) = audited_vulnerabilities("requirements.txt", left_out, {})
    assert line == "requirements.txt: aiohttp could not be checked: not found"


def test_audit_says_what_it_could_not_ask() -> None:
    told = "\n".join(not_asked(["requirements.txt"]))
    assert "as OSV does not answer: requirements.txt\n" in told
    assert f"swagger-ui-dist {library_version('swagger')}" in told
    assert "OSV does not answer" not in "\n".join(not_asked([]))


@pytest.mark.parametrize("file", LOCKED)
def test_every_locked_package_is_read(file: str) -> None:
    text = (ROOT / file).read_text()
    assert len(list(pins(text))) == sum(
        "==" in line for line in text.splitlines() if line[:1] != " "
    )

"""Locked packages are checked for known holes."""

import pytest

from tests.holes import LOCKED, ROOT, found, pins

HOLES = {"holes": [["aiohttp", "CVE-1", ">=3.0,<3.9.2"]], "accepted": {}}


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
    assert len(list(found("requirements.txt", f"{pin} \\\n    --hash=sha256:0\n", HOLES))) == count


def test_hole_is_accepted_for_a_reason_alone() -> None:
    for reason, count in (("not reachable here", 0), ("", 1)):
        listed = HOLES | {"accepted": {"CVE-1": reason}}
        assert len(list(found("file", "aiohttp==3.9.1\n", listed))) == count


@pytest.mark.parametrize("file", LOCKED)
def test_every_locked_package_is_read(file: str) -> None:
    text = (ROOT / file).read_text()
    assert len(list(pins(text))) == sum(
        "==" in line for line in text.splitlines() if line[:1] != " "
    )

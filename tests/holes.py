"""Checks the locked packages for known holes; `make holes` and `make check` run it.

The list beside it was put together by hand, knows of nothing that came up after the day that it
names, and needs no network: it is no complete one. `accepted` maps a hole to the reason why it does
not matter here.
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
LISTED = Path(__file__).with_suffix(".json")
LOCKED = ("requirements.txt", "requirements-dev.txt", "bench/requirements.txt")
_PIN = re.compile(r"(?m)^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;\\]+)")


def pins(text: str) -> Iterator[tuple[str, str]]:
    """The packages that a file locks, and their versions."""
    for name, version in _PIN.findall(text):
        yield canonicalize_name(name), version


def found(file: str, text: str, listed: Mapping[str, Any]) -> Iterator[str]:
    """A line for each hole that is neither mended nor accepted."""
    for name, version in pins(text):
        for package, hole, affected in listed["holes"]:
            is_open = SpecifierSet(affected).contains(version, prereleases=True)
            if package == name and is_open and not listed["accepted"].get(hole):
                yield f"{file}: {name} {version} has {hole} ({affected}): upgrade it"


def main() -> int:
    """Tells what is found, and gives the exit status."""
    listed = json.loads(LISTED.read_text())
    texts = {file: (ROOT / file).read_text() for file in LOCKED}
    lines = [line for file, text in texts.items() for line in found(file, text, listed)]
    age = (datetime.now(UTC).date() - date.fromisoformat(listed["taken"])).days
    count = len({pin for text in texts.values() for pin in pins(text)})
    what = f"{count} locked packages, {len(listed['holes'])} listed holes"
    for line in lines:
        print(line, file=sys.stderr)
    print(f"{what}, {len(lines)} open; the list is {age} days old and not complete")
    return int(bool(lines))


if __name__ == "__main__":
    sys.exit(main())

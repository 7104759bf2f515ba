"""Checks the locked packages for known holes; `make holes` and `make check` run it.

pip-audit asks OSV, the database of open source vulnerabilities. Without network, and beside it, the
list next to this file is gone by: some holes of these packages, put together by hand out of
published advisories. In it, `accepted` maps a hole to the reason why it does not matter here.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
LISTED = Path(__file__).with_suffix(".json")
LOCKED = ("requirements.txt", "requirements-dev.txt", "bench/requirements.txt")
_PIN = re.compile(r"(?m)^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;\\]+)")
_AUDIT = (
    *("pip_audit", "--vulnerability-service", "osv", "--timeout", "10", "--format", "json"),
    *("--disable-pip", "--no-deps", "--progress-spinner", "off", "--requirement"),
)


def pins(text: str) -> Iterator[tuple[str, str]]:
    """The packages that a file locks, and their versions."""
    for name, version in _PIN.findall(text):
        yield canonicalize_name(name), version


def listed_holes(
    file: str, text: str, listed: Iterable[tuple[str, str, str]], accepted: Mapping[str, str]
) -> Iterator[str]:
    """A line for each listed hole that is neither mended nor accepted."""
    for name, version in pins(text):
        for package, hole, affected in listed:
            is_open = SpecifierSet(affected).contains(version, prereleases=True)
            if package == name and is_open and not accepted.get(hole):
                yield f"{file}: {name} {version} has {hole} ({affected}): upgrade it"


def audited_holes(
    file: str, report: Mapping[str, Any], accepted: Mapping[str, str]
) -> Iterator[str]:
    """A line for each package of pip-audit's report that has a hole, or was not looked at."""
    for package in report["dependencies"]:
        if "skip_reason" in package:
            yield f"{file}: {package['name']} could not be checked: {package['skip_reason']}"
        for hole in package.get("vulns", ()):
            names = (hole["id"], *hole["aliases"])
            if not any(accepted.get(name) for name in names):
                mended = ", ".join(hole["fix_versions"]) or "no version yet"
                yield (
                    f"{file}: {package['name']} {package['version']} has {' or '.join(names)},"
                    f" mended in {mended}"
                )


def _audit(file: str) -> Mapping[str, Any] | None:
    """pip-audit's report; None where OSV does not answer."""
    done = subprocess.run(
        [sys.executable, "-m", *_AUDIT, file], cwd=ROOT, capture_output=True, check=False, text=True
    )
    try:
        report: Mapping[str, Any] = json.loads(done.stdout)
    except ValueError:
        return None
    return report


def main() -> int:
    """Tells what is found, and gives the exit status."""
    kept = json.loads(LISTED.read_text())
    texts = {file: (ROOT / file).read_text() for file in LOCKED}
    lines: list[str] = []
    is_asked = True
    for file, text in texts.items():
        lines += listed_holes(file, text, kept["holes"], kept["accepted"])
        report = _audit(file) if is_asked else None
        is_asked = report is not None
        if report is not None:
            lines += audited_holes(file, report, kept["accepted"])
    for line in lines:
        print(line, file=sys.stderr)
    count = len({pin for text in texts.values() for pin in pins(text)})
    age = (datetime.now(UTC).date() - date.fromisoformat(kept["newest"])).days
    gone_by = (
        f"a list of {len(kept['holes'])} holes, the newest {age} days old, which is not complete"
    )
    if is_asked:
        print(f"{count} locked packages: {len(lines)} open holes, says OSV, and {gone_by}")
    else:
        print(f"{count} locked packages: OSV does not answer; {len(lines)} open holes by {gone_by}")
    return int(bool(lines))


if __name__ == "__main__":
    sys.exit(main())

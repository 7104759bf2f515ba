"""Check the locked packages for known vulnerabilities; `make audit` and `make check` run it.

pip-audit asks OSV, the database of open source vulnerabilities. The list next to this file is
checked as well: some vulnerabilities of these packages, collected by hand from published
advisories, and the only source without network. Its `accepted` maps a vulnerability to the reason
why it does not matter here.
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
    """Yield the packages that a file locks, with their versions."""
    for name, version in _PIN.findall(text):
        yield canonicalize_name(name), version


def listed_vulnerabilities(
    file: str, text: str, listed: Iterable[tuple[str, str, str]], accepted: Mapping[str, str]
) -> Iterator[str]:
    """Yield a line for each listed vulnerability that is neither fixed nor accepted."""
    for name, version in pins(text):
        for package, vulnerability, affected in listed:
            is_open = SpecifierSet(affected).contains(version, prereleases=True)
            if package == name and is_open and not accepted.get(vulnerability):
                yield f"{file}: {name} {version} has {vulnerability} ({affected}): upgrade it"


def audited_vulnerabilities(
    file: str, report: Mapping[str, Any], accepted: Mapping[str, str]
) -> Iterator[str]:
    """Yield a line for each package of pip-audit's report that is vulnerable or was skipped."""
    for package in report["dependencies"]:
        if "skip_reason" in package:
            yield f"{file}: {package['name']} could not be checked: {package['skip_reason']}"
        for vulnerability in package.get("vulns", ()):
            names = (vulnerability["id"], *vulnerability["aliases"])
            if not any(accepted.get(name) for name in names):
                fixed = ", ".join(vulnerability["fix_versions"]) or "no version yet"
                yield (
                    f"{file}: {package['name']} {package['version']} has {' or '.join(names)},"
                    f" fixed in {fixed}"
                )


def _audit(file: str) -> Mapping[str, Any] | None:
    """Return pip-audit's report; None if OSV does not answer."""
    done = subprocess.run(
        [sys.executable, "-m", *_AUDIT, file], cwd=ROOT, capture_output=True, check=False, text=True
    )
    try:
        report: Mapping[str, Any] = json.loads(done.stdout)
    except ValueError:
        return None
    return report


def main() -> int:
    """Print the findings and return the exit status."""
    kept = json.loads(LISTED.read_text())
    texts = {file: (ROOT / file).read_text() for file in LOCKED}
    lines: list[str] = []
    is_asked = True
    for file, text in texts.items():
        lines += listed_vulnerabilities(file, text, kept["vulnerabilities"], kept["accepted"])
        report = _audit(file) if is_asked else None
        is_asked = report is not None
        if report is not None:
            lines += audited_vulnerabilities(file, report, kept["accepted"])
    for line in lines:
        print(line, file=sys.stderr)
    count = len({pin for text in texts.values() for pin in pins(text)})
    age = (datetime.now(UTC).date() - date.fromisoformat(kept["newest"])).days
    local = f"the local list ({len(kept['vulnerabilities'])} entries, newest {age} days old)"
    source = f"OSV and {local}" if is_asked else f"{local}; OSV does not answer"
    print(f"{count} locked packages, {len(lines)} open vulnerabilities according to {source}")
    return int(bool(lines))


if __name__ == "__main__":
    sys.exit(main())

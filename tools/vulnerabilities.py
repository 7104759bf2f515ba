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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
LISTED = Path(__file__).with_suffix(".json")
LOCKED = (
    *("requirements.txt", "requirements-dev.txt", "requirements-fuzz.txt"),
    *("requirements-mutants.txt", "bench/requirements.txt"),
)
BROWSER_LIBRARIES = {"swagger": "swagger-ui-dist", "uplot": "uplot"}
"""The folders of server/web/static with libraries from npm, and their names there."""

_PIN = re.compile(r"(?m)^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;\\]+)")
_AUDIT = (
    *("pip_audit", "--vulnerability-service", "osv", "--timeout", "10", "--format", "json"),
    *("--disable-pip", "--no-deps", "--progress-spinner", "off", "--requirement"),
)


def pins(text: str) -> Iterator[tuple[str, str]]:
    """Yield the packages that a file locks, with their versions."""
    for name, version in _PIN.findall(text):
        yield canonicalize_name(name), version


def library_version(folder: str) -> str:
    """Return the version of a browser library."""
    return (ROOT / "server" / "web" / "static" / folder / "VERSION").read_text().strip()


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
    unasked: list[str] = []
    for file, text in texts.items():
        lines += listed_vulnerabilities(file, text, kept["vulnerabilities"], kept["accepted"])
        # Once OSV does not answer, it is not waited for again.
        report = None if unasked else _audit(file)
        if report is None:
            unasked.append(file)
        else:
            lines += audited_vulnerabilities(file, report, kept["accepted"])
    for line in lines:
        print(line, file=sys.stderr)
    count = len({pin for text in texts.values() for pin in pins(text)})
    age = (datetime.now(UTC).date() - date.fromisoformat(kept["newest"])).days
    local = f"the local list ({len(kept['vulnerabilities'])} entries, newest {age} days old)"
    source = f"{local} alone" if unasked == list(texts) else f"OSV and {local}"
    print(f"{count} locked packages, {len(lines)} open vulnerabilities according to {source}")
    for line in not_asked(unasked):
        print(line)
    return int(bool(lines))


def not_asked(files: Sequence[str]) -> Iterator[str]:
    """Yield a line for everything that OSV was not asked about, and the reason."""
    if files:
        yield f"not asked, as OSV does not answer: {', '.join(files)}"
    libraries = [f"{name} {library_version(f)}" for f, name in BROWSER_LIBRARIES.items()]
    yield f"not asked, as pip-audit knows Python's packages only: {', '.join(libraries)}"
    yield "not asked, as they are not locked here: the packages of the base images in deploy/"


if __name__ == "__main__":
    sys.exit(main())

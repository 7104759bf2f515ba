"""List what the image contains, and under which licences; `make sbom` runs it.

It writes three files from the locked requirements: `deploy/sbom.cdx.json`, the CycloneDX list of
the packages and browser libraries that the image contains, `docs/reference/licences.md`, the
licences of all locked packages, and `tools/licences.json`, which both take the licences from. The
last one is brought up to date by the metadata of the packages that are installed, here and in the
folders that are given as arguments; the licence of a package without any is entered by hand.
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import NamedTuple
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.utils import canonicalize_name

from tools.vulnerabilities import BROWSER_LIBRARIES, ROOT, library_version

SBOM = ROOT / "deploy" / "sbom.cdx.json"
PAGE = ROOT / "docs" / "reference" / "licences.md"
LICENCES = Path(__file__).with_name("licences.json")

LOCKED = {
    "requirements.txt": "The service",
    "requirements-dev.txt": "Tests and tools",
    "requirements-fuzz.txt": "The fuzzer",
    "requirements-mutants.txt": "Mutation tests",
    "bench/requirements.txt": "Benchmarks",
}
"""The files of locked packages, and the headings of the page."""

_PIN = re.compile(r"(?m)^([\w.-]+)(?:\[[^]]*\])?==([^\s;\\]+)(?: ; ([^\\\n]+?))? ?\\?$")
_SPELLINGS = {
    "Apache-2.0": ("Apache 2", "Apache 2.0", "Apache", "Apache License, Version 2.0"),
    "BSD-3-Clause": ("BSD 3-Clause", "BSD 3-Clause License", "BSD-3-Clause"),
    "BSD-2-Clause": (),
    "GPL-3.0-or-later": ("GNU General Public License v3 or later (GPLv3+)",),
    "ISC": ("ISC License (ISCL)",),
    "MIT": ("MIT License", "MIT license"),
    "MIT OR AFL-2.1": (),
    "MPL-2.0": ("Mozilla Public License 2.0 (MPL 2.0)",),
    "PSF-2.0": ("PSFL", "Python Software Foundation License"),
}
_SPDX = {text: spdx for spdx, texts in _SPELLINGS.items() for text in (spdx, *texts)}
_SPDX["Apache Software License"] = "Apache-2.0"


class Package(NamedTuple):
    """A locked package."""

    name: str
    version: str
    marker: str
    """Where it is installed; everywhere if empty."""


def packages(text: str) -> Iterator[Package]:
    """Yield the packages that a file locks."""
    for name, version, marker in _PIN.findall(text):
        yield Package(canonicalize_name(name), version, marker)


def locked() -> dict[str, list[Package]]:
    """Return the packages that each file locks."""
    return {file: list(packages((ROOT / file).read_text())) for file in LOCKED}


def metadata_licence(distribution: Distribution) -> str | None:
    """Return the SPDX expression in a package's metadata; None if it says nothing exact."""
    metadata = distribution.metadata
    if "License-Expression" in metadata:
        return metadata["License-Expression"]
    classifiers = [
        name.rpartition(" :: ")[2]
        for name in metadata.get_all("Classifier", [])
        if name.startswith("License :: ")
    ]
    known = sorted({_SPDX[name] for name in classifiers if name in _SPDX})
    if known:
        return " OR ".join(known)
    (text, *_) = metadata.get_all("License") or [""]
    return _SPDX.get(text.partition("\n")[0].strip())


def known_licences(folders: Sequence[str] = ()) -> dict[str, str]:
    """Return the licences that installed packages name, those of the given folders included."""
    found: dict[str, str] = {}
    for distribution in distributions(path=[*folders, *sys.path]):
        if licence := metadata_licence(distribution):
            found.setdefault(canonicalize_name(distribution.name), licence)
    return found


def sbom(text: str, licences: Mapping[str, str]) -> str:
    """Return the CycloneDX document of the image: the packages of a lock, and the libraries."""
    factory = LicenseFactory()
    bom = Bom(serial_number=uuid5(NAMESPACE_URL, text))
    version = re.search(r'(?m)^version = "(.+)"', (ROOT / "pyproject.toml").read_text())
    assert version is not None
    bom.metadata.component = Component(
        name="elecdata",
        version=version[1],
        type=ComponentType.APPLICATION,
        bom_ref="elecdata",
        licenses=[factory.make_from_string("MIT")],
    )
    for package in packages(text):
        url = PackageURL("pypi", None, package.name, package.version)
        bom.components.add(
            Component(
                name=package.name,
                version=package.version,
                bom_ref=str(url),
                purl=url,
                licenses=[factory.make_from_string(licences[package.name])],
                properties=[Property(name="elecdata:marker", value=package.marker)]
                if package.marker
                else (),
            )
        )
    for folder, name in BROWSER_LIBRARIES.items():
        url = PackageURL("npm", None, name, library_version(folder))
        bom.components.add(
            Component(
                name=name,
                version=url.version,
                bom_ref=str(url),
                purl=url,
                licenses=[factory.make_from_string(licences[name])],
            )
        )
    # The lock does not tell which package needs which.
    bom.register_dependency(bom.metadata.component, bom.components)
    document = json.loads(JsonV1Dot6(bom).output_as_string())
    # The same lock gives the same document.
    del document["metadata"]["timestamp"]
    return json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def page(locks: Mapping[str, Sequence[Package]], licences: Mapping[str, str]) -> str:
    """Return the page that lists the licences of all locked packages."""
    lines = ["# Licences", "", _INTRODUCTION]
    listed: set[str] = set()
    for file, title in LOCKED.items():
        lines += ["", f"## {title}", "", f"`{file}`", "", "| package | version | licence |"]
        lines.append("|---|---|---|")
        more = []
        for package in locks[file]:
            pin = f"{package.name} {package.version}"
            if pin not in listed:
                listed.add(pin)
                more.append(f"| {package.name} | {package.version} | {licences[package.name]} |")
        lines += more
    lines += [
        "",
        "## Browser libraries",
        "",
        "`server/web/static`, which holds their licences.",
        "",
    ]
    lines += ["| package | version | licence |", "|---|---|---|"]
    for folder, name in BROWSER_LIBRARIES.items():
        lines.append(f"| {name} | {library_version(folder)} | {licences[name]} |")
    return "\n".join(lines) + "\n"


_INTRODUCTION = """\
The project is under the MIT licence. These are the packages that it locks, with their licences as
SPDX expressions (`LicenseRef-LGPL`: the package names no version). Each package is listed once,
where it is first needed. `make sbom` generates this page."""


def main(folders: Sequence[str]) -> int:
    """Write the files; return 1 if the licence of a package is not known."""
    locks = locked()
    names = {package.name for lock in locks.values() for package in lock}
    names |= set(BROWSER_LIBRARIES.values())
    licences = json.loads(LICENCES.read_text()) | known_licences(folders)
    if missing := sorted(names - licences.keys()):
        print(f"enter the licences of {', '.join(missing)} in {LICENCES}", file=sys.stderr)
        return 1
    licences = {name: licences[name] for name in sorted(names)}
    LICENCES.write_text(json.dumps(licences, indent=2) + "\n")
    SBOM.write_text(sbom((ROOT / "requirements.txt").read_text(), licences))
    PAGE.write_text(page(locks, licences))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

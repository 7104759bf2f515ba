"""The list of what the image contains, and of all licences."""

import json
from collections import Counter
from importlib.metadata import distributions

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.utils import canonicalize_name

from tools.sbom import LICENCES, PAGE, SBOM, locked, metadata_licence, page, sbom
from tools.vulnerabilities import BROWSER_LIBRARIES, LOCKED, ROOT, library_version, pins

LOCK = (ROOT / "requirements.txt").read_text()


def licences() -> dict[str, str]:
    known: dict[str, str] = json.loads(LICENCES.read_text())
    return known


def test_files_are_what_make_sbom_writes() -> None:
    assert SBOM.read_text() == sbom(LOCK, licences())
    assert PAGE.read_text() == page(locked(), licences())


def test_image_contains_a_valid_list_of_all_that_is_installed_in_it() -> None:
    text = SBOM.read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    listed = {(each["name"], each["version"]) for each in json.loads(text)["components"]}
    libraries = {(name, library_version(folder)) for folder, name in BROWSER_LIBRARIES.items()}
    assert listed == {*pins(LOCK), *libraries}
    assert "COPY deploy/sbom.cdx.json " in (ROOT / "deploy" / "Dockerfile").read_text()


def test_every_locked_package_has_the_licence_that_its_metadata_names() -> None:
    pinned = {pin for file in LOCKED for pin in pins((ROOT / file).read_text())}
    known = licences()
    names = Counter(name for name, _ in pinned)
    assert names.keys() <= known.keys()
    compared = 0
    for distribution in distributions():
        name = canonicalize_name(distribution.name)
        # Of two versions of a package, one is named.
        is_pinned = (name, distribution.version) in pinned and names[name] == 1
        if is_pinned and (said := metadata_licence(distribution)):
            assert known[name] == said
            compared += 1
    assert compared > 80

"""The examples of formats in the documentation: each report loads with the format below it."""

import re
from pathlib import Path

import pytest

from loader.formats.registry import SHIPPED_FORMATS, known_formats
from settings import ColumnSettings, FormatSettings, TimeSettings, load_settings
from tests.support.paths import ROOT
from tests.support.source_files import read_file

PAGE = (ROOT / "docs/reference/formats.md").read_text()
EXAMPLES = {
    match["name"]: (match["report"], match["format"])
    for match in re.finditer(
        r"```csv\n(?P<report>[^`]+)```\n[^`]*(?:`[^`]+`[^`]*)*"
        r"```yaml\n(?P<format>formats:\n  (?P<name>[a-z-]+):\n[^`]+)```",
        PAGE,
    )
}


def test_page_has_examples() -> None:
    assert len(EXAMPLES) == PAGE.count("```yaml\nformats:\n") > 5


@pytest.mark.parametrize("name", EXAMPLES)
def test_report_of_an_example_loads_with_its_format(tmp_path: Path, name: str) -> None:
    report, described = EXAMPLES[name]
    config, path = tmp_path / "config.yaml", tmp_path / "report.csv"
    config.write_text(f"database: {{url: 'sqlite:///{tmp_path}/x.db'}}\n{described}")
    path.write_text(report)
    formats = known_formats(load_settings(config, {}))
    loaded = read_file(path, formats=formats, skip_bad_rows=False)
    assert not loaded.errors
    assert loaded.format == name
    assert len(formats) == len(SHIPPED_FORMATS) + 1


def test_every_key_has_a_line_in_the_table() -> None:
    table = PAGE.partition("## Keys\n")[2].partition("\n\nA column is named")[0]
    names = {
        name.removeprefix("time.")
        for line in table.splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`([a-z_.]+)`", line.split("|")[1])
    }
    keys = {*FormatSettings.model_fields, *ColumnSettings.model_fields, *TimeSettings.model_fields}
    assert keys - {"time"} == names


def test_every_key_stands_in_an_example() -> None:
    shown = "".join(described for _, described in EXAMPLES.values())
    shown += (ROOT / "docs/how-to/another-meter.md").read_text()
    # A sheet is one of a workbook, which no page can hold.
    keys = {*FormatSettings.model_fields, *ColumnSettings.model_fields, *TimeSettings.model_fields}
    assert {key for key in keys if not re.search(rf"\b{key}: ", shown)} == {"sheet"}

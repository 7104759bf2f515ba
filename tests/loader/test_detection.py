"""Which format a report has, if several come into question."""

from pathlib import Path

import pytest

from loader.formats.configured_format import ConfiguredFormat
from loader.formats.monitoring_format import MonitoringFormat
from loader.formats.registry import SHIPPED_FORMATS, KnownFormats, known_formats
from loader.formats.report_format import ReportFormat
from settings import FormatSettings, Settings
from tests.support.report_factory import quarters, report, row
from tests.support.report_formats import CUPS, DISTRIBUTOR, SUMMER, Reading, hourly, reading


@pytest.fixture
def read(tmp_path: Path) -> Reading:
    return reading(tmp_path)


def described(name: str, **changes: object) -> ReportFormat:
    """Return a format of times and energies with changed settings."""
    settings = {
        "columns": {"energy": "kWh"},
        "time": {"column": "t", "pattern": "%d/%m/%Y %H:%M", "marks": "start"},
    }
    return ConfiguredFormat(name, FormatSettings.model_validate(settings | changes))


AMERICAN = {"time": {"column": "t", "pattern": "%m/%d/%Y %H:%M", "marks": "start"}}
WITH_VOLTS = {"energy": "kWh", "voltage": {"header": "V", "optional": "true"}}


def settings_of(**formats: object) -> Settings:
    """Return settings with these formats."""
    return Settings.model_validate({"database": {"url": "sqlite:///a.db"}, "formats": formats})


def test_rows_tell_the_format_if_headings_do_not(read: Reading) -> None:
    formats = described("european"), described("american", **AMERICAN)
    done = read("t,kWh\n03/12/2024 00:00,1\n03/13/2024 00:00,1\n", *formats)
    assert (done.report.format, done.row_errors) == ("american", [])
    assert done.times == [("2024-03-12 00:00:00", 1), ("2024-03-13 00:00:00", 1)]


def test_formats_that_read_the_same_rows_are_asked_for(read: Reading) -> None:
    formats = described("european"), described("american", **AMERICAN)
    done = read("t,kWh\n03/12/2024 00:00,1\n04/12/2024 00:00,1\n", *formats)
    assert done.error.endswith("fits several formats: say which with --format: european, american")


def test_report_may_lack_an_optional_column(read: Reading) -> None:
    known = described("portal", columns=WITH_VOLTS)
    done = read("t,kWh,V\n03/12/2024 00:00,1,230\n", known)
    assert (done.quantities("voltage"), [*done.report.quantities]) == (
        ["230.00000"],
        ["energy", "voltage"],
    )
    done = read("t,kWh\n03/12/2024 00:00,1\n", known)
    assert (done.error, done.row_errors, [*done.report.quantities]) == ("", [], ["energy"])


def test_sum_that_lacks_some_optional_columns_is_of_no_known_format(read: Reading) -> None:
    low_and_high = {"header": ["low", "high"], "optional": "true"}
    known = described("portal", columns={"energy": "kWh", "power": low_and_high})
    assert not read("t,kWh,low,high\n03/12/2024 00:00,1,1,2\n", known).error
    assert "expected a known format" in read("t,kWh,low\n03/12/2024 00:00,1,1\n", known).error


def test_report_may_lack_a_line_that_tells_its_meter(read: Reading) -> None:
    rows = "t,kWh\n03/12/2024 00:00,1\n"
    for is_optional in (True, False):
        identifier = {"line": "Meter {meter}"} | ({"optional": "true"} if is_optional else {})
        known = described("portal", identifier=identifier)
        assert read("Meter 7\n" + rows, known).report.identifier == "7"
        assert bool(read(rows, known).error) is not is_optional


def test_heading_is_the_line_of_its_pattern(read: Reading) -> None:
    known = described(
        "right table",
        heading="t,kWh,t,kWh*",
        columns={"energy": 4},
        time={"column": 3, "pattern": "%d/%m/%Y %H:%M", "marks": "start"},
    )
    rows = "03/12/2024,9,03/12/2024 00:00,1\n,,03/12/2024 01:00,2\n"
    done = read("a,b,c,d\nt,kWh,t,kWh\n" + rows, known)
    assert (done.error, done.row_errors, done.quantities("energy")) == (
        *("", []),
        ["1.00000", "2.00000"],
    )
    assert read("a,b,c,d\n" + rows, known, described("other")).error


def test_configured_format_comes_before_shipped_ones(read: Reading) -> None:
    own = {
        "delimiter": ";",
        "decimal": ",",
        "columns": {"power": "Consumo_kWh"},
        "time": {"column": "Fecha", "hour": "Hora", "pattern": "%d/%m/%Y", "marks": "end"},
    }
    content = DISTRIBUTOR + "".join(hourly(SUMMER, 1, 2))
    assert read(content).report.format == "distributor-hourly"
    for name in ("mine", "distributor-hourly"):
        formats = known_formats(settings_of(**{name: own}))
        done = read(content, *[each for each in formats if each.name == name])
        assert done.quantities("power") == ["1.50000", "2.50000"]
        done = read(content, formats=formats)
        assert (done.report.format, done.quantities("energy")) == (name, ["", ""])


def test_shipped_formats_are_read_if_no_other_fits(read: Reading) -> None:
    def shipped() -> list[ReportFormat]:
        raise AssertionError("not needed")

    formats = KnownFormats([MonitoringFormat(), described("portal")], shipped)
    content = report(*[row(time, "1") for time in quarters("2019-08-01", 4)])
    assert read(content, formats=formats).report.format == "monitoring"
    assert read("t,kWh\n03/12/2024 00:00,1\n", formats=formats).report.format == "portal"
    with pytest.raises(AssertionError, match="not needed"):
        read(DISTRIBUTOR, formats=formats)


def test_names_of_formats_are_known_once() -> None:
    names = [each.name for each in known_formats(settings_of())]
    assert len(names) == len(set(names)) == len(SHIPPED_FORMATS)


@pytest.mark.parametrize("rows", ["", f"{CUPS};{SUMMER};25;1;R\n{CUPS};{SUMMER};25:61;1;R\n"])
def test_rows_that_no_shipped_format_reads_are_told_by_the_first(read: Reading, rows: str) -> None:
    done = read(DISTRIBUTOR + rows)
    assert (done.report.format, bool(done.row_errors)) == ("distributor-hourly", bool(rows))

"""Formula injection: no cell of an export is a formula to a spreadsheet."""

import csv
import io
import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.quantities import QUANTITY_NAMES
from server.formats.csv import neutralize_formula
from tests.support.app_client import Api, Serve
from tests.support.databases import DatabaseFixture
from tests.support.report_factory import numbered, quarters, report, row
from tests.support.report_formats import DISTRIBUTOR, hourly

pytestmark = pytest.mark.promise("Bad input")

NUMBER = re.compile(r"-?[0-9]+(\.[0-9]{5})?")
FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]")
METERS = ("=cmd|' /C calc'!A0", '-HYPERLINK("http://x")', "\uff1d1")
EXPORTS: dict[str, list[dict[str, str]]] = {
    "getData": [{}, {"columns": f"id,date,{','.join(QUANTITY_NAMES)},flags"}, {"time": "offset"}],
    "getMeter": [{}],
    "getAggregate": [{"interval": "hour"}, {"interval": "day", "time": "utc"}],
    "getProfile": [{"by": "both"}, {"by": "month"}],
    "getPeaks": [{}],
    "getSummary": [{}],
    "getQuality": [{"list": name} for name in ("gaps", "flagged", "days")],
}


async def cells(api: Api) -> list[str]:
    """Return the cells of all exports, including their headers."""
    found = []
    for route, requests in EXPORTS.items():
        for params in requests:
            async with await api.request(route, {**params, "format": "csv"}) as response:
                assert response.status == 200
                assert response.content_type == "text/csv"
                assert "attachment" in response.headers["Content-Disposition"]
                rows = list(csv.reader(io.StringIO((await response.read()).decode())))
            assert len(rows) > 1 or route in ("getProfile", "getQuality")
            found += [cell for row in rows for cell in row]
    return found


def formulas(found: list[str]) -> Iterator[str]:
    return (cell for cell in found if FORMULA.match(cell) and not NUMBER.fullmatch(cell))


async def test_sample_exports_no_formula(api: Api) -> None:
    found = await cells(api)
    assert list(formulas(found)) == []
    assert any(cell.startswith("-") for cell in found)


async def test_negative_quantities_are_numbers(serve: Serve, database: DatabaseFixture) -> None:
    moments = quarters("2019-09-02", 96)
    least = row("3 Sep 2019 00:00:00", *["-9999999999.99999"] * len(QUANTITY_NAMES))
    await database.load(report(*numbered(moments, -95), least))
    api = await serve(database)
    found = await cells(api)
    assert list(formulas(found)) == []
    assert "-9999999999.99999" in found


@pytest.mark.parametrize("meter", METERS)
async def test_name_of_a_meter_or_a_file_is_text(
    serve: Serve, database: DatabaseFixture, meter: str
) -> None:
    """JSON contains it as in the report."""
    quoted = f'"{meter.replace(chr(34), chr(34) * 2)}"'
    hours = hourly("02/09/2019", *range(1, 25), cups=quoted)
    (folder := database.folder / "reports").mkdir()
    file = folder / "=1+1.csv"
    file.write_text(DISTRIBUTOR + "".join(hours))
    await database.load(file)
    api = await serve(database)
    found = await cells(api)
    assert list(formulas(found)) == []
    assert f"'{meter}" in found
    assert "'=1+1.csv" in found
    (summary,) = await api.records("getSummary")
    assert (summary["identifier"], summary["import_file"]) == (meter, "=1+1.csv")


@given(st.one_of(st.text(), st.text("=+-@\uff1d \t\r\n'\"a1", max_size=5)))
def test_any_text_is_left_alone_unless_it_begins_a_formula(text: str) -> None:
    shown = neutralize_formula(text)
    assert not FORMULA.match(shown)
    assert shown == (f"'{text}" if FORMULA.match(text) else text)

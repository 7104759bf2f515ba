"""The pages of docs/ about running the service: what they name is there."""

import re

import pytest

from tests.support.app_client import Api
from tests.support.paths import ROOT

pytestmark = pytest.mark.promise("Running it")

PAGES = sorted((ROOT / "docs").rglob("*.md"))


def test_keys_are_keys_of_the_configuration() -> None:
    sections = "server|database|auth|cache|log|meter|quality"
    named = "".join(page.read_text() for page in PAGES)
    keys = set(re.findall(rf"`((?:{sections})\.[a-z_.]+)`", named))
    assert len(keys) > 20
    told = (ROOT / "docs" / "reference" / "configuration.md").read_text()
    for key in keys:
        assert re.search(rf"\*\*`{re.escape(key)}[`.]", told), key


async def test_documented_metrics_are_those_exported(api: Api) -> None:
    await api.get("getDataById?id=5")
    async with await api.client.get("/metrics") as response:
        told = set(re.findall(r"# TYPE (\w+) ", await response.text()))
    text = (ROOT / "docs" / "how-to" / "monitoring.md").read_text()
    named = set(re.findall(r"`(elecdata_\w+)`", text))
    assert len(named) > 15
    assert named <= told

"""docs/running.md: what it names is there."""

import re
from pathlib import Path

import pytest

from tests.serving import Api

pytestmark = pytest.mark.promise("Running it")

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "running.md").read_text()


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)]+)\)", TEXT)
    assert len(links) > 3
    for link in links:
        assert (ROOT / "docs" / link).exists(), link


def test_keys_are_keys_of_the_configuration() -> None:
    sections = "server|database|auth|cache|log|meter"
    keys = set(re.findall(rf"`((?:{sections})\.[a-z_.]+)", TEXT))
    assert len(keys) > 8
    config = (ROOT / "config.yaml").read_text()
    for key in keys:
        assert re.search(rf"(?m)^ +{key.rpartition('.')[2]}:", config), key


async def test_metrics_are_those_that_are_told(api: Api) -> None:
    await api.get("getDataById?id=5")
    async with await api.client.get("/metrics") as response:
        told = set(re.findall(r"# TYPE (\w+) ", await response.text()))
    named = set(re.findall(r"`(elecdata_\w+)`", TEXT))
    assert len(named) > 15
    assert named <= told

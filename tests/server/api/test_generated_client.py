"""A client that is generated from the document, as generators make them in many languages."""

import json
import sys

import pytest

from tests.support.app_client import Api
from tests.support.commands import output
from tests.support.paths import ROOT


@pytest.mark.promise("Running it", by_test=True)
@pytest.mark.one_database
async def test_generated_client_logs_in_and_reads(api: Api) -> None:
    url = str(api.client.make_url("/"))
    *found, refusal = json.loads(
        await output([sys.executable, "-m", "tests.support.generated_client", url], ROOT)
    )
    month = {"date": "2019-09", "end_date": "2019-10", "end": "exclusive"}
    (summary,) = await api.records("getSummary", **month)
    assert found == [
        *await api.records("getDataById", id="5,100", columns="date,energy"),
        {name: value for name, value in summary.items() if value is not None},
    ]
    assert refusal == (
        "end_date: expected 2019-09-12 00:00:00 (date) or later, got 2019-09-11 00:00:00"
    )

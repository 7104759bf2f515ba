"""Requests that schemathesis makes of the document of /v1."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.server.api.test_conformance import tried_out
from tests.server.process.test_server_command import Server
from tests.support.databases import BUILDING, DatabaseFixture
from tests.support.promises import Tried

pytestmark = pytest.mark.promise("Bad input")


def taken_at_its_word(url: str) -> dict[str, Any]:
    """Return the document; objects have no other members than it tells of."""
    told: dict[str, Any] = requests.get(f"{url}/openapi.json", timeout=30).json()
    for name, schema in told["components"]["schemas"].items():
        if name != "Links":
            schema["additionalProperties"] = False
    # Where grants are changed, the answer depends on them.
    told["paths"] = {
        path: methods for path, methods in told["paths"].items() if methods.keys() == {"get"}
    }
    for methods in told["paths"].values():
        for parameter in methods["get"]["parameters"]:
            if parameter["name"] == "meter":  # of which there is one
                parameter["schema"]["enum"] = ["main"]
            if parameter["name"] == "group":
                parameter["schema"]["enum"] = [BUILDING]
    return told


@pytest.fixture
def url(sample: DatabaseFixture) -> Iterator[str]:
    """Where a server of the sample listens, which has nothing to complain of until it leaves."""
    with Server(sample.config) as server:
        yield f"http://127.0.0.1:{server.port()}"
        assert server.stop() == 0
        assert not [line for line in server.lines if "unexpected" in line or "mid-response" in line]


@pytest.mark.one_database
def test_answers_of_v1_are_as_the_document_says(url: str) -> None:
    """A few requests of each operation, the same ones each time."""
    statuses = tried_out(url, taken_at_its_word(url), 5, coverage=False)
    assert {200, 400, 401} <= statuses.keys()
    assert statuses[200] >= 10


@pytest.mark.trust
def test_all_answers_of_v1_are_as_the_document_says(
    url: str, tried: Tried, sample: DatabaseFixture
) -> None:
    """Requests at all bounds that the document has, and many others by chance."""
    statuses = tried_out(url, taken_at_its_word(url), 40, coverage=True)
    tried(f"requests made of the document of /v1, {sample.kind}", statuses.total())

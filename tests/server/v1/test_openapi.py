"""The OpenAPI document of /v1."""

import re

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from server.v1.openapi import EXAMPLES
from server.v1.routes import V1_ROUTES
from tests.support.app_client import Api, Document
from tools.v1_examples import answers


@pytest.fixture
async def document(api: Api) -> Document:
    """The document, which needs no token."""
    async with api.client.get("/openapi.json") as response:
        assert response.status == 200
        document: Document = await response.json()
        return document


async def test_document_is_valid_by_its_specification(document: Document) -> None:
    assert document["openapi"] == "3.1.0"
    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []


async def test_document_describes_every_route_of_v1_and_no_other(
    api: Api, document: Document
) -> None:
    served = {
        route.resource.canonical
        for route in api.app.router.routes()
        if route.resource and route.resource.canonical.startswith("/v1/")
        # Which says that groups have it not.
        if not route.resource.canonical.endswith("/{part}")
    }
    assert document["paths"].keys() == served
    for path, methods in document["paths"].items():
        operation = methods["get"]
        in_path = [each["name"] for each in operation["parameters"] if each["in"] == "path"]
        assert in_path == re.findall(r"{(\w+)}", path)
        assert operation["responses"].keys() >= {"200", "304", "400", "401", "406", "429", "503"}


async def test_examples_are_the_beginnings_of_true_answers(api: Api) -> None:
    """`make reference-pages` writes them anew."""
    assert await answers(api.client, api.token) == EXAMPLES
    assert EXAMPLES.keys() == {route.name for route in V1_ROUTES}

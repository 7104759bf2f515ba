"""Swagger UI and the document that it shows."""

import warnings
from typing import Any

from aiohttp import web
from aiohttp_apispec import setup_aiohttp_apispec

from server.security.authentication import TOKEN_HEADER
from server.web.static_files import file_routes, page_route

_POLICY = (
    "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; form-action 'none'"
)

_TAGS = {
    "access": "Authentication",
    "meters": "The meters of the service",
    "readings": "Readings of a meter: energy, power, voltage and related quantities",
    "figures": "Aggregates and statistics: sums, load profile, peaks, summary, data quality",
}


DOCUMENT = web.AppKey("openapi_document", dict[str, object])


async def document_handler(request: web.Request) -> web.Response:
    """Return the description of the API, Swagger 2.0."""
    return web.json_response(request.app[DOCUMENT])


ROUTES = [
    page_route("/", "swagger", _POLICY),
    file_routes("swagger", _POLICY),
    web.get("/swagger.json", document_handler),
]


def build_document(app: web.Application) -> dict[str, Any]:
    """Return the document of an application whose routes have all been added."""
    with warnings.catch_warnings():
        # aiohttp-apispec stores its result under a plain text key.
        warnings.simplefilter("ignore", web.NotAppKeyWarning)
        setup_aiohttp_apispec(
            app,
            url=None,
            in_place=True,
            title="Electricity readings",
            version="1",
            info={
                "description": (
                    "Readings of electricity meters, one for each interval, and statistics "
                    "computed from them. The [dashboard](/dashboard) shows them as charts.\n\n"
                    "Log in at the top of the page. Without it:\n\n"
                    "1. Click **Authorize**, enter user and password under *basic*, and close.\n"
                    "2. Open **POST /login**, click *Execute*, and copy `value_token`.\n"
                    "3. Click **Authorize** again and enter it under *SESSION*.\n\n"
                    "The newer API, /v1, is described in "
                    "[another document](/?definition=%2Fopenapi.json).\n\n"
                    "Every field below contains an example that works with the sample report. "
                    "POST accepts the same parameters as form fields."
                )
            },
            tags=[
                {"name": name, "description": description} for name, description in _TAGS.items()
            ],
            securityDefinitions={
                TOKEN_HEADER: {"type": "apiKey", "in": "header", "name": TOKEN_HEADER},
                "basic": {"type": "basic"},
            },
        )
    document: dict[str, Any] = app["swagger_dict"]
    for operations in document["paths"].values():
        operations.pop("head", None)  # it is that of get
    return document

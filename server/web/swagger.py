"""Swagger UI and the document that it shows."""

import warnings
from typing import Any

from aiohttp import web
from aiohttp_apispec import setup_aiohttp_apispec

from server.security.authentication import TOKEN_HEADER
from server.web.static_files import file_routes, page_route

_SHOWN = {"init.js", "swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png"}
_POLICY = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'"

_TAGS = {
    "access": "A token, which all else needs",
    "readings": "What the meter wrote: energy, power, maximeter, voltage and the rest",
    "figures": "Sums by day or month, load profile, peaks, key figures, and what is missing",
}


DOCUMENT = web.AppKey("openapi_document", dict[str, object])


async def document_handler(request: web.Request) -> web.Response:
    """The description of the API, Swagger 2.0."""
    return web.json_response(request.app[DOCUMENT])


ROUTES = [
    page_route("/", "swagger", _POLICY),
    file_routes("swagger", _SHOWN, _POLICY),
    web.get("/swagger.json", document_handler),
]


def build_document(app: web.Application) -> dict[str, Any]:
    """The document of an application whose routes are all there."""
    with warnings.catch_warnings():
        # aiohttp-apispec keeps its result under plain text keys
        warnings.simplefilter("ignore", web.NotAppKeyWarning)
        setup_aiohttp_apispec(
            app,
            url=None,
            in_place=True,
            title="Electricity readings",
            version="1",
            info={
                "description": (
                    "What an electricity meter has written down, one reading for each interval, "
                    "and figures worked out of it. The [dashboard](/dashboard) draws them.\n\n"
                    "1. Press **Authorize**, give user and password under *basic*, and close.\n"
                    "2. Open **POST /login**, press *Execute*, and copy `value_token`.\n"
                    "3. Press **Authorize** again and put it into *SESSION*.\n\n"
                    "Every field below then holds an example that works on the sample report. "
                    "A route by POST takes as a form what it takes by GET in its address."
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
    return document

"""Swagger UI and the document that it shows."""

import warnings
from typing import Any

from aiohttp import web
from aiohttp_apispec import setup_aiohttp_apispec

from server.assets import files, page
from server.auth import TOKEN_HEADER, public
from server.keys import DOCUMENT

_SHOWN = {"init.js", "swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png"}
_POLICY = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'"


@public
async def document(request: web.Request) -> web.Response:
    """The description of the API, Swagger 2.0."""
    return web.json_response(request.app[DOCUMENT])


ROUTES = [
    page("/", "swagger", _POLICY),
    files("swagger", _SHOWN, _POLICY),
    web.get("/swagger.json", document),
]


def described(app: web.Application) -> dict[str, Any]:
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
                    "Readings of an electricity meter, one for each interval. "
                    "Get a token from /login, press Authorize, and put it into SESSION. "
                    "The [dashboard](/dashboard) draws them."
                )
            },
            securityDefinitions={
                TOKEN_HEADER: {"type": "apiKey", "in": "header", "name": TOKEN_HEADER},
                "basic": {"type": "basic"},
            },
        )
    document: dict[str, Any] = app["swagger_dict"]
    return document

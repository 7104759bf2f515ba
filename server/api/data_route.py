"""The declaration of a data route: it parses, documents and answers from one object."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler
from aiohttp_apispec import docs, form_schema, querystring_schema
from marshmallow import Schema

from server.api.data_request import DataRequest
from server.api.responder import RESPONDER
from server.formats.registry import FORMATS
from server.security.authentication import TOKEN_HEADER
from server.transport.parameters import read_parameters

Params = Mapping[str, str]
"""The parameters of a request, by name."""


@dataclass(frozen=True, slots=True)
class DataRoute:
    """A route by GET and by POST: its parameters, what they ask for, and its documentation."""

    name: str
    parameters: type[Schema]
    request: Callable[[web.Request, Params], DataRequest]
    """Makes a data request of parameters; raises ApiError or QueryError."""
    tag: str
    summary: str
    description: str
    responses: Mapping[str, Any]

    def definitions(self) -> list[web.RouteDef]:
        """Return the routes that an application adds."""
        path = f"/apielec/{self.name}"
        return [
            web.get(path, self._handler(querystring_schema), allow_head=False),
            web.post(path, self._handler(form_schema)),
        ]

    def _handler(self, describe_parameters: Any) -> Handler:
        fields = self.parameters().fields
        required = [name for name, field in fields.items() if field.required]
        optional = [name for name, field in fields.items() if not field.required]

        async def parse(request: web.Request) -> DataRequest:
            return self.request(request, await read_parameters(request, required, optional))

        async def data(request: web.Request) -> web.StreamResponse:
            return await request.app[RESPONDER].respond(request, parse)

        describe = docs(
            tags=[self.tag],
            security=[{TOKEN_HEADER: []}],
            summary=self.summary,
            description=self.description,
            produces=[each.media_type for each in FORMATS.values()],
            responses=self.responses,
        )
        described: Handler = describe(describe_parameters(self.parameters)(data))
        return described

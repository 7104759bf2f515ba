"""The declaration of a data route, from which it is served and documented."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler
from aiohttp_apispec import docs, form_schema, querystring_schema

from domain.parameters import Parameter, Params
from server.api.data_request import DataRequest
from server.api.openapi.fields import parameters_schema
from server.api.openapi.responses import data_responses
from server.api.responder import RESPONDER
from server.formats.registry import MEDIA_TYPES
from server.security.authentication import TOKEN_HEADER
from server.transport.parameters import read_parameters
from storage.common.turns import in_thread

_SHORT = 2**14
"""Characters of parameters that are quicker to parse than to hand to a thread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataRoute:
    """A route by GET and by POST."""

    name: str
    parameters: Sequence[Parameter]
    request: Callable[[web.Request, Params], DataRequest]
    """Makes a data request of parameters; raises ApiError or QueryError."""
    tag: str
    summary: str
    description: str
    success: Mapping[str, Any]
    """The OpenAPI description of a response with status 200."""
    bad_request: str
    """The message of a response with status 400, as an example."""
    more: Mapping[str, Any] = field(default_factory=dict)
    """The OpenAPI descriptions of responses that other data routes do not have."""

    def definitions(self) -> list[web.RouteDef]:
        """Return the routes that an application adds."""
        path = f"/apielec/{self.name}"
        return [
            web.get(path, self._handler(querystring_schema)),
            web.post(path, self._handler(form_schema)),
        ]

    def _long_request(self, request: web.Request, params: Params) -> DataRequest:
        made = self.request(request, params)
        # It is cached, and takes its time as well.
        assert made.key
        return made

    def _handler(self, describe_parameters: Any) -> Handler:
        required = [each.name for each in self.parameters if each.is_required]
        optional = [each.name for each in self.parameters if not each.is_required]

        async def parse(request: web.Request) -> DataRequest:
            params = await read_parameters(request, required, optional)
            if sum(map(len, params.values())) <= _SHORT:
                return self.request(request, params)
            return await in_thread(self._long_request, request, params)

        async def data(request: web.Request) -> web.StreamResponse:
            return await request.app[RESPONDER].respond(request, parse)

        describe = docs(
            tags=[self.tag],
            security=[{TOKEN_HEADER: []}],
            summary=self.summary,
            description=self.description,
            produces=MEDIA_TYPES,
            responses={**data_responses(self.success, self.bad_request), **self.more},
        )
        described: Handler = describe(describe_parameters(parameters_schema(self.parameters))(data))
        return described

"""The declaration of a route of /v1, from which it is served and documented."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from domain.parameters import Parameter, Params
from domain.readings_query import QueryError
from server.api.data_request import DataRequest, parse_meter
from server.api.responder import RESPONDER
from server.errors import ApiError
from server.security.authentication import METER_IN_PATH
from server.transport.parameters import read_parameters
from storage.figures.result import Field

MakeRequest = Callable[[web.Request, Params], DataRequest]
"""Makes a data request of parameters; raises ApiError or QueryError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class V1Route:
    """A route by GET and HEAD."""

    path: str
    name: str
    """What generated clients call it."""
    tag: str
    summary: str
    description: str
    parameters: Sequence[Parameter] = ()
    handler: Handler
    kinds: Sequence[Sequence[Field]]
    """The fields of a record, of each kind of records that there are."""
    is_single: bool = False
    """Whether the data is one record, rather than a list."""
    more_fields: Mapping[str, Any] = field(default_factory=dict)
    """Patterns of further fields of a record."""
    is_paged: bool = False
    """Whether a cursor can be of data that has changed since."""
    has_permission: bool = False
    """Whether a user may lack the permission although the meter is visible."""
    example: Params = field(default_factory=dict)
    """Parameters of the example of an answer."""

    @property
    def definition(self) -> web.RouteDef:
        """The route that an application adds."""
        return web.get(self.path, self.handler)


def data_handler(parameters: Sequence[Parameter], make: MakeRequest) -> Handler:
    """Return the handler of a route whose answers are cached and shared."""
    required = [each.name for each in parameters if each.is_required]
    optional = [each.name for each in parameters if not each.is_required]

    async def parse(request: web.Request) -> DataRequest:
        require_public_id(request)
        params = await read_parameters(request, required, optional, with_body=False)
        return make(request, params)

    async def data(request: web.Request) -> web.StreamResponse:
        return await request.app[RESPONDER].respond(request, parse)

    return data


def require_public_id(request: web.Request) -> None:
    """Raise ApiError if no meter can be called as the path says."""
    try:
        parse_meter(request.match_info)
    except QueryError:
        name = request.match_info[METER_IN_PATH][:80]
        raise ApiError(404, f"meter: there is no meter {name}") from None

"""The route that lists meters."""

import json
import re
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler
from aiohttp_apispec import docs, form_schema, querystring_schema

from domain.parameters import Integer, Parameter, Params
from domain.readings_query import QueryError
from server.api.data_request import METER, parse_meter
from server.api.openapi.fields import parameters_schema
from server.api.openapi.responses import METERS
from server.api.sessions import TOKEN_SECURITY
from server.context import CONTEXT, DATABASE
from server.security.upload import admitted_parameters
from server.transport.streaming import JSON_MEDIA_TYPE
from storage.common.turns import in_thread
from storage.meters import ListedMeter, MeterPage, spans_text

_LIMIT = Integer(
    "limit",
    "Maximum number of meters. If there are more, next is the value of after for the next page.",
    minimum=1,
    maximum=1000,
    default=100,
)
_AFTER = Parameter(
    "after",
    "Continue after a meter: its public id, or the next of a previous page.",
    pattern=METER.pattern,
)
SEARCH = Parameter(
    "search",
    "Only meters with this text in their public id, name or identifier, in upper or lower case.",
    pattern=r"^[^\u0000-\u001f\u007f]{1,100}$",
)
_PARAMETERS = (_LIMIT, _AFTER, SEARCH)
_NAMES = [each.name for each in _PARAMETERS]


def parse_search(params: Params) -> str:
    """Return the text to search for, empty if there is none; raise QueryError."""
    text = params.get(SEARCH.name)
    if text is None:
        return ""
    assert SEARCH.pattern is not None
    if not re.fullmatch(SEARCH.pattern, text) or re.search("[\ud800-\udfff]", text):
        raise QueryError(
            SEARCH.name,
            f"expected 1 to 100 characters without control characters, got {text[:40]!a}",
        )
    return text


def _body(page: MeterPage, default: str | None) -> bytes:
    values: dict[str, Any] = {"numrecs": len(page.meters)}
    if page.following is not None:
        values["next"] = page.following
    if default is not None:
        values["default"] = default
    values["records"] = list(map(_record, page.meters))
    message = "" if page.meters else "No data found"
    document = {"message": message, "status": "OK", "statusCode": 200, "values": values}
    return json.dumps(document, separators=(",", ":")).encode()


def _record(meter: ListedMeter) -> dict[str, str | None]:
    def local(instant: int | None) -> str | None:
        return None if instant is None else meter.zone.text(instant)

    only, first = meter.intervals.only, meter.first_reading
    return {
        "meter": meter.public_id,
        "name": meter.name,
        "identifier": meter.identifier,
        "timezone": meter.timezone,
        "interval_seconds": None if only is None else str(only),
        "intervals": None if first is None else spans_text(meter.intervals, meter.zone, first),
        "first_reading": local(meter.first_reading),
        "last_reading": local(meter.last_reading),
        "readings": str(meter.readings),
    }


def _handler(describe_parameters: Any) -> Handler:
    async def meters(request: web.Request) -> web.Response:
        params = await admitted_parameters(request, optional=_NAMES)
        limit, after, search = (
            _LIMIT.parse(params),
            parse_meter(params, _AFTER),
            parse_search(params),
        )
        context = request[CONTEXT]
        state, token = context.state, context.token
        viewer = None if token is None else token.viewer
        page = await request.app[DATABASE].list_meters(limit, after or "", search, viewer)
        body = await in_thread(_body, page, state and state.meter)
        headers = {"Cache-Control": "private, no-cache"}
        return web.Response(
            body=body, content_type=JSON_MEDIA_TYPE, charset="utf-8", headers=headers
        )

    describe = docs(
        tags=["meters"],
        security=TOKEN_SECURITY,
        summary="The meters, page by page",
        description=(
            "A record for each meter, in the order of the public ids: what it is called, its time "
            "zone and interval, its first and its last reading. Send the public id as meter to "
            "other routes; default is the meter that they mean without."
        ),
        responses=METERS,
    )
    described: Handler = describe(describe_parameters(parameters_schema(_PARAMETERS))(meters))
    return described


ROUTES = [
    web.get("/apielec/getMeters", _handler(querystring_schema)),
    web.post("/apielec/getMeters", _handler(form_schema)),
]

"""The routes of the API."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler
from aiohttp_apispec import docs, form_schema, querystring_schema
from marshmallow import Schema

from domain.readings_query import ReadingsQuery
from domain.record_layout import RangeEnd
from server.api.data_request import DataRequest
from server.api.openapi import responses
from server.api.openapi.fields import AllParameters, DateParameters, IdParameters, RangeParameters
from server.api.openapi.responses import LOGIN, LOGOUT, PING
from server.api.readings_request import parse_enum, readings_request
from server.context import (
    DATA_REQUEST,
    DATA_STATE,
    DATABASE,
    PARSED_REQUESTS,
    REQUEST_ID,
    SETTINGS,
    TOKEN,
    TOKENS,
    WANTS_DEFLATE,
)
from server.errors import RETRY_AFTER, ApiError, ParameterError
from server.formats.registry import FORMATS
from server.formats.text import ENVELOPE_END, envelope_start
from server.security.audit_log import audit
from server.security.authentication import TOKEN_HEADER, public
from server.security.login import authenticate_password
from server.transport.parameters import read_parameters
from server.transport.streaming import JSON_MEDIA_TYPE
from storage.common.errors import NotPrepared, Refused, StorageError

log = logging.getLogger("server")

REMEMBERED = 1024
"""Questions whose meaning is remembered."""

BRIEF = 512
"""Characters of a question that is worth it."""

_SESSION: list[dict[str, list[str]]] = [{TOKEN_HEADER: []}]


Parse = Callable[[web.Request], Awaitable[DataRequest]]


@web.middleware
async def parse_data_request(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Reads what a request asks for, before the cache is looked at."""
    parse: Parse | None = getattr(request.match_info.handler, "parse", None)
    if parse is not None:
        request[DATA_REQUEST] = await _parsed(request, parse)
    return await handler(request)


async def _parsed(request: web.Request, parse: Parse) -> DataRequest:
    """What a request asks for; what was asked lately in the same words is not read again."""
    words = (request.rel_url.raw_query_string, request.headers.get(hdrs.ACCEPT, ""))
    if request.method != hdrs.METH_GET or request.can_read_body or sum(map(len, words)) > BRIEF:
        return await parse(request)
    known = request.app[PARSED_REQUESTS]
    asked = known.get((parse, *words))
    if asked is None:
        asked = known[parse, *words] = await parse(request)
        if len(known) > REMEMBERED:
            del known[next(iter(known))]
    return asked


def _login() -> Handler:
    @docs(
        tags=["access"],
        summary="Get a token",
        description=(
            "Send user and password by Basic authentication; send the token that comes back in "
            "the header SESSION with every other request, or as Authorization: Bearer."
        ),
        security=[{"basic": []}],
        responses=LOGIN,
    )
    @public
    async def login(request: web.Request) -> web.Response:
        user = await authenticate_password(request)
        return web.json_response(
            {
                "Authorization_type": "API Key",
                "In": "header",
                "Key": TOKEN_HEADER,
                "value_token": request.app[TOKENS].issue(user.name, user.generation),
            },
            headers={"Cache-Control": "no-store"},
        )

    described_login: Handler = login
    return described_login


@docs(
    tags=["access"],
    summary="Give a token back",
    description="The token is good no longer, for this server and all others of the database.",
    security=_SESSION,
    responses=LOGOUT,
)
async def logout(request: web.Request) -> web.Response:
    """Revokes the token that the request carries."""
    await read_parameters(request, ())
    token = request[TOKEN]
    try:
        await request.app[DATABASE].users.revoke(token.jti, int(token.expires))
    except StorageError as error:
        log.error("%s %s", request[REQUEST_ID], error)
        raise _still_good(error) from None
    audit(request, "logout", token.user)
    return web.Response(
        body=envelope_start(0, "Logged out") + ENVELOPE_END,
        content_type=JSON_MEDIA_TYPE,
        charset="utf-8",
    )


def _still_good(error: StorageError) -> ApiError:
    """Says why a token could not be revoked."""
    if isinstance(error, NotPrepared | Refused):
        cause = "the database has to be brought up to date by the loader first"
    else:
        cause = "the database cannot be written just now, try again later"
    return ApiError(503, f"The token is still good: {cause}", headers={"Retry-After": RETRY_AFTER})


@docs(
    tags=["access"],
    summary="See whether the service is there and the token is good",
    description="Gives no readings; try it first, once a token stands under Authorize.",
    security=_SESSION,
    responses=PING,
)
async def ping(request: web.Request) -> web.Response:
    """Says that the service is there."""
    await read_parameters(request)
    return web.Response(
        body=envelope_start(0, "I'm here!!") + ENVELOPE_END,
        content_type=JSON_MEDIA_TYPE,
        charset="utf-8",
    )


async def respond(request: web.Request) -> web.StreamResponse:
    """The answer to what was asked: the handler of every route that has a `parse`."""
    return await request[DATA_REQUEST].answer(
        request.app[DATABASE], request[DATA_STATE], compressed=request[WANTS_DEFLATE]
    )


def _readings_routes(
    path: str,
    schema: type[Schema],
    to_query: Callable[[Mapping[str, str]], ReadingsQuery],
    **described: str,
) -> list[web.RouteDef]:
    """The route of a kind of request for readings."""

    fields = schema().fields
    required = [name for name, field in fields.items() if field.required]
    optional = [name for name, field in fields.items() if not field.required]

    async def parse(request: web.Request) -> DataRequest:
        given = await read_parameters(request, required, optional)
        ids, most = given.get("id", "").count(",") + 1, request.app[SETTINGS].limits.ids
        if ids > most:
            raise ParameterError(f"id: expected at most {most} ids, got {ids}")
        return readings_request(request, given, to_query(given))

    def handler(describe_parameters: Any) -> Handler:
        async def readings(request: web.Request) -> web.StreamResponse:
            return await respond(request)

        readings.parse = parse  # type: ignore[attr-defined]  # where the middleware finds it
        describe = docs(
            tags=["readings"],
            security=_SESSION,
            responses=responses.readings_responses(path.rpartition("/")[2]),
            produces=[each.media_type for each in FORMATS.values()],
            **described,
        )
        described_handler: Handler = describe(describe_parameters(schema)(readings))
        return described_handler

    return [
        web.get(path, handler(querystring_schema), allow_head=False),
        web.post(path, handler(form_schema)),
    ]


def _by_range(given: Mapping[str, str]) -> ReadingsQuery:
    is_included = parse_enum(given, "end", RangeEnd.INCLUSIVE) is RangeEnd.INCLUSIVE
    return ReadingsQuery.by_range(given["date"], given["end_date"], end_included=is_included)


ROUTES = [
    web.get("/login", _login(), allow_head=False),
    web.post("/login", _login()),
    web.post("/logout", logout),
    web.get("/apielec/ping", ping, allow_head=False),
    *_readings_routes(
        "/apielec/getData",
        AllParameters,
        lambda _: ReadingsQuery(),
        summary="All readings",
        description=(
            "Every reading of the meter, one for each interval (a quarter of an hour, or an hour), "
            "the first one that was loaded first. It is streamed as it is read from the database "
            "and may be a long answer: limit takes it in parts, format=csv as a table for a "
            "spreadsheet, format=parquet for analysis."
        ),
    ),
    *_readings_routes(
        "/apielec/getDataById",
        IdParameters,
        lambda given: ReadingsQuery.by_ids(given["id"]),
        summary="Readings by number",
        description=(
            "Each reading got a number when it was loaded and keeps it for good, also when a "
            "corrected report changes its values."
        ),
    ),
    *_readings_routes(
        "/apielec/getDataByDate",
        DateParameters,
        lambda given: ReadingsQuery.by_date(given["date"]),
        summary="Readings by a pattern for their time",
        description=(
            "A day, a month, or one hour of every day: what is known of the time, with % and _ for "
            "what isn't. On the night when clocks go back, 2 o'clock is found twice."
        ),
    ),
    *_readings_routes(
        "/apielec/getDataByRange",
        RangeParameters,
        _by_range,
        summary="Readings between two times, both included unless end is exclusive",
        description=(
            "Times are the meter's local ones, and a reading's time is the start of its interval: "
            "2019-09-11 to 2019-09-12 with end=exclusive are the 96 quarters of an hour of one day."
        ),
    ),
]

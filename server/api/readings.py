"""The routes of readings: all, by id, by date pattern, by range."""

from collections.abc import Callable

from aiohttp import web
from marshmallow import Schema

from domain.readings_query import ReadingsQuery
from domain.record_layout import RangeEnd
from server.api.data_request import DataRequest
from server.api.data_route import DataRoute, Params
from server.api.openapi.fields import AllParameters, DateParameters, IdParameters, RangeParameters
from server.api.openapi.responses import readings_responses
from server.api.readings_request import parse_enum, readings_request
from server.context import SETTINGS
from server.errors import ParameterError


def _route(
    name: str,
    parameters: type[Schema],
    to_query: Callable[[Params], ReadingsQuery],
    *,
    summary: str,
    description: str,
) -> list[web.RouteDef]:
    def make_request(request: web.Request, params: Params) -> DataRequest:
        ids, limit = params.get("id", "").count(",") + 1, request.app[SETTINGS].limits.ids
        if ids > limit:
            raise ParameterError(f"id: expected at most {limit} ids, got {ids}")
        return readings_request(request, params, to_query(params))

    return DataRoute(
        name,
        parameters,
        make_request,
        tag="readings",
        summary=summary,
        description=description,
        responses=readings_responses(name),
    ).definitions()


def _by_range(params: Params) -> ReadingsQuery:
    end = parse_enum(params, "end", RangeEnd.INCLUSIVE)
    return ReadingsQuery.by_range(
        params["date"], params["end_date"], end_included=end is RangeEnd.INCLUSIVE
    )


ROUTES = [
    *_route(
        "getData",
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
    *_route(
        "getDataById",
        IdParameters,
        lambda params: ReadingsQuery.by_ids(params["id"]),
        summary="Readings by number",
        description=(
            "Each reading got a number when it was loaded and keeps it for good, also when a "
            "corrected report changes its values."
        ),
    ),
    *_route(
        "getDataByDate",
        DateParameters,
        lambda params: ReadingsQuery.by_date(params["date"]),
        summary="Readings by a pattern for their time",
        description=(
            "A day, a month, or one hour of every day: what is known of the time, with % and _ for "
            "what isn't. On the night when clocks go back, 2 o'clock is found twice."
        ),
    ),
    *_route(
        "getDataByRange",
        RangeParameters,
        _by_range,
        summary="Readings between two times, both included unless end is exclusive",
        description=(
            "Times are the meter's local ones, and a reading's time is the start of its interval: "
            "2019-09-11 to 2019-09-12 with end=exclusive are the 96 quarters of an hour of one day."
        ),
    ),
]

"""The routes of readings: all, by id, by date pattern, by range."""

from collections.abc import Callable, Sequence

from aiohttp import web

from domain.parameters import DATE_PATTERN, Parameter, Params, csv_pattern, enum_choice
from domain.readings_query import ReadingsQuery
from domain.record_layout import RangeEnd
from server.api.data_request import DataRequest
from server.api.data_route import DataRoute
from server.api.openapi.responses import EXPIRED_CURSOR, READINGS_SUCCESS
from server.api.readings_request import COMMON_PARAMETERS, readings_request
from server.context import SETTINGS
from server.errors import ParameterError

_END = enum_choice("end", "Whether the end is part of the range.", RangeEnd)


def _route(
    name: str,
    to_query: Callable[[Params], ReadingsQuery],
    parameters: Sequence[Parameter] = (),
    *,
    summary: str,
    description: str,
    bad_request: str,
) -> list[web.RouteDef]:
    def make_request(request: web.Request, params: Params) -> DataRequest:
        ids, limit = params.get("id", "").count(",") + 1, request.app[SETTINGS].limits.ids
        if ids > limit:
            raise ParameterError(f"id: expected at most {limit} ids, got {ids}")
        return readings_request(request, params, to_query(params))

    return DataRoute(
        name=name,
        parameters=[*parameters, *COMMON_PARAMETERS],
        request=make_request,
        tag="readings",
        summary=summary,
        description=description,
        success=READINGS_SUCCESS,
        bad_request=bad_request,
        more=EXPIRED_CURSOR,
    ).definitions()


def _by_range(params: Params) -> ReadingsQuery:
    end_included = _END.parse(params) is RangeEnd.INCLUSIVE
    return ReadingsQuery.by_range(params["date"], params["end_date"], end_included=end_included)


ROUTES = [
    *_route(
        "getData",
        lambda _: ReadingsQuery(),
        summary="All readings",
        description=(
            "Every reading of the meter, one for each interval (15 minutes or an hour), in the "
            "order of import. The response is streamed and can be long: limit divides it into "
            "pages, format=csv suits spreadsheets, format=parquet suits analysis."
        ),
        bad_request="limit: expected a number from 1 to 100000, got '0'",
    ),
    *_route(
        "getDataById",
        lambda params: ReadingsQuery.by_ids(params["id"]),
        [
            Parameter(
                "id",
                "One or more ids, separated by commas; unknown ids are ignored.",
                "5,100",
                csv_pattern("[0-9]+"),
                is_required=True,
            )
        ],
        summary="Readings by id",
        description=(
            "Each reading has an id from its import on, and keeps it even if a corrected report "
            "changes its values."
        ),
        bad_request="id: expected ids like 5 or 5,100, got 'five'",
    ),
    *_route(
        "getDataByDate",
        lambda params: ReadingsQuery.by_date(params["date"]),
        [
            Parameter(
                "date",
                "Pattern for the whole of YYYY-MM-DD HH:MM:SS: % matches any text, _ any "
                "character. 2019-09-11% is a day, 2019-09-11_0_:00:00 its full hours from 0 to 9.",
                "2019-09-11_0_:00:00",
                DATE_PATTERN,
                is_required=True,
            )
        ],
        summary="Readings whose time matches a pattern",
        description=(
            "A day, a month, or one hour of every day: % and _ replace the unknown part of the "
            "time. On the day when clocks go back, the repeated hour is found twice."
        ),
        bad_request=(
            "date: expected 1 to 64 characters, each a digit, '-', ':', '.', blank, 'T', '%' or "
            "'_', like 2019-09-11%, got '11 September'"
        ),
    ),
    *_route(
        "getDataByRange",
        _by_range,
        [
            Parameter(
                "date",
                "Start, inclusive, in local time. A partial date such as 2019-09, or one with % or "
                "_, means the earliest time that matches.",
                "2019-09-12 10:00:00",
                DATE_PATTERN,
                is_required=True,
            ),
            Parameter(
                "end_date",
                "End, by the same rule.",
                "2019-09-12 10:30:00",
                DATE_PATTERN,
                is_required=True,
            ),
            _END,
        ],
        summary="Readings between two times, both inclusive unless end is exclusive",
        description=(
            "Times are local times of the meter, and the time of a reading is the start of its "
            "interval: 2019-09-11 to 2019-09-12 with end=exclusive is one day, 96 readings of 15 "
            "minutes."
        ),
        bad_request="end_date: missing",
    ),
]

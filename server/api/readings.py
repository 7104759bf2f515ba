"""The routes of readings: all, by id, by date pattern, by range."""

from collections.abc import Callable, Sequence

from aiohttp import web

from domain.parameters import DATE_PATTERN, Parameter, Params, csv_pattern, enum_choice
from domain.readings_query import ReadingsQuery
from domain.record_layout import RangeEnd
from server.api.data_request import DataRequest
from server.api.data_route import DataRoute
from server.api.openapi.responses import READINGS
from server.api.readings_request import COMMON_PARAMETERS, readings_request
from server.context import SETTINGS
from server.errors import ParameterError

_END = enum_choice("end", "Whether the end belongs to the range.", RangeEnd)


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
        success=READINGS,
        bad_request=bad_request,
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
            "Every reading of the meter, one for each interval (a quarter of an hour, or an hour), "
            "the first one that was loaded first. It is streamed as it is read from the database "
            "and may be a long answer: limit takes it in parts, format=csv as a table for a "
            "spreadsheet, format=parquet for analysis."
        ),
        bad_request="limit: expected a number from 1 to 100000, got '0'",
    ),
    *_route(
        "getDataById",
        lambda params: ReadingsQuery.by_ids(params["id"]),
        [
            Parameter(
                "id",
                "One or several ids, separated by commas; unknown ones are left out.",
                "5,100",
                csv_pattern("[0-9]+"),
                is_required=True,
            )
        ],
        summary="Readings by number",
        description=(
            "Each reading got a number when it was loaded and keeps it for good, also when a "
            "corrected report changes its values."
        ),
        bad_request="id: expected ids like 5 or 5,100, got 'five'",
    ),
    *_route(
        "getDataByDate",
        lambda params: ReadingsQuery.by_date(params["date"]),
        [
            Parameter(
                "date",
                "Pattern for YYYY-MM-DD HH:MM:SS as a whole: % stands for any run of characters, "
                "_ for any one. 2019-09-11% is a day, 2019-09-11_0_:00:00 its whole hours to 9.",
                "2019-09-11_0_:00:00",
                DATE_PATTERN,
                is_required=True,
            )
        ],
        summary="Readings by a pattern for their time",
        description=(
            "A day, a month, or one hour of every day: what is known of the time, with % and _ for "
            "what isn't. On the night when clocks go back, 2 o'clock is found twice."
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
                "Begin, included, local time. A part of a date such as 2019-09, or one with % or "
                "_, stands for the earliest instant that matches.",
                "2019-09-12 10:00:00",
                DATE_PATTERN,
                is_required=True,
            ),
            Parameter(
                "end_date",
                "RangeEnd, included, by the same rule.",
                "2019-09-12 10:30:00",
                DATE_PATTERN,
                is_required=True,
            ),
            _END,
        ],
        summary="Readings between two times, both included unless end is exclusive",
        description=(
            "Times are the meter's local ones, and a reading's time is the start of its interval: "
            "2019-09-11 to 2019-09-12 with end=exclusive are the 96 quarters of an hour of one day."
        ),
        bad_request="end_date: missing",
    ),
]

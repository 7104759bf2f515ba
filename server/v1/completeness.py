"""Which readings of which meters are there: one table of all meters."""

import time
from collections.abc import Iterator

from aiohttp import web

from domain.fixed_point import SCALE, divide_rounded
from domain.parameters import Integer, Parameter, either
from server.api.data_request import METER, parse_meter
from server.api.meters import SEARCH, parse_search
from server.context import CONTEXT, DATABASE
from server.transport.parameters import read_parameters
from server.v1.lists import STALE, answer_list, parse_stale
from server.v1.parameters import CURSOR, WRITING
from storage.completeness import MAX_DAYS, CompletenessPage
from storage.figures.result import Field, FieldType, ResultTable, Row, as_chunks

_METER_FIELDS = (
    Field("meter", FieldType.TEXT, "Public id of the meter"),
    Field("name", FieldType.TEXT, "Name for people; null if it has none"),
    Field("newest_reading", FieldType.TEXT, "Start of the newest reading; null without readings"),
)
_COUNT_FIELDS = (
    Field(
        "expected",
        FieldType.COUNT,
        "Readings that the meter should have written; null if its interval is unknown",
    ),
    Field("present", FieldType.COUNT, "Readings with any value"),
    Field("coverage", FieldType.QUANTITY, "Present over expected", "1"),
    Field("estimated", FieldType.COUNT, "Readings that are estimated"),
)
BY_METER_FIELDS = (
    *(*_METER_FIELDS, *_COUNT_FIELDS),
    Field("gaps", FieldType.COUNT, "Days of which readings are missing"),
)
BY_DAY_FIELDS = (
    *_METER_FIELDS,
    Field("day", FieldType.TEXT, "Local day of the meter"),
    *_COUNT_FIELDS,
)
_BY = either(
    "by", "Whether there is a record for each meter, or for each of its days.", ("meter", "day")
)
_DAYS = Integer(
    "days",
    "How many local days before today are looked at. Days before the first reading expect none.",
    minimum=1,
    maximum=MAX_DAYS,
    default=7,
)
_MOST = Integer(
    "limit",
    "Maximum number of meters. If there are more, links.next and the header Link have the URL of"
    " the next page.",
    minimum=1,
    maximum=10_000,
    default=1000,
)
_AFTER = Parameter(CURSOR.name, CURSOR.description, pattern=METER.pattern)
COMPLETENESS_PARAMETERS = (STALE, SEARCH, _DAYS, _BY, _MOST, _AFTER, *WRITING)


async def completeness(request: web.Request) -> web.Response:
    """Return a page of the meters."""
    names = [each.name for each in COMPLETENESS_PARAMETERS]
    params = await read_parameters(request, optional=names, with_body=False)
    token = request[CONTEXT].token
    page = await request.app[DATABASE].completeness(
        int(time.time()),
        _MOST.parse(params),
        parse_meter(params, _AFTER) or "",
        days=_DAYS.parse(params),
        search=parse_search(params),
        stale=parse_stale(params),
        viewer=None if token is None else token.viewer,
    )
    if _BY.parse(params) == "day":
        count = sum(len(meter.days) for meter in page.meters)
        table = ResultTable(BY_DAY_FIELDS, None, count, as_chunks(_by_day(page)))
    else:
        table = ResultTable(BY_METER_FIELDS, None, len(page.meters), as_chunks(_by_meter(page)))
    return await answer_list(request, params, table, page.following, "completeness")


def _by_meter(page: CompletenessPage) -> Iterator[Row]:
    for meter in page.meters:
        newest = meter.newest_reading
        yield (
            *(meter.public_id, meter.name),
            None if newest is None else meter.zone.at(newest).isoformat(),
            *_counts(meter.expected, meter.present, meter.estimated),
            meter.gaps,
        )


def _by_day(page: CompletenessPage) -> Iterator[Row]:
    for meter in page.meters:
        at = meter.newest_reading
        newest = None if at is None else meter.zone.at(at).isoformat()
        for day in meter.days:
            yield (
                *(meter.public_id, meter.name, newest, str(day.day)),
                *_counts(day.expected, day.present, day.estimated),
            )


def _counts(
    expected: int | None, present: int, estimated: int
) -> tuple[int | None, int, int | None, int]:
    coverage = divide_rounded(present * SCALE, expected) if expected else None
    return expected, present, coverage, estimated

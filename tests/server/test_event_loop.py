"""Whatever is asked, no callback holds the event loop for long."""

import random

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from storage.meters import MAIN_METER
from tests.support.app_client import Api
from tests.support.databases import BUILDING
from tests.support.loop_time import longest_callback
from tests.support.neighbours import neighbour

pytestmark = pytest.mark.promise("Bad input")

ALLOWED = 0.02
"""Seconds of the loop's own thread."""

IDS = ",".join(map(str, random.Random(1).sample(range(1, 10**6), 90_000)))  # noqa: S311 - test data

Asked = dict[str, str]


def any_of(*values: str) -> st.SearchStrategy[str]:
    return st.sampled_from(values)


METERS = any_of(MAIN_METER, neighbour(999), "nobody", "x" * 65)


def asked(route: str, **choices: st.SearchStrategy[str]) -> st.SearchStrategy[Asked]:
    """A strategy for requests of a route; each parameter may be left out."""
    optional = {"meter": METERS, **choices}
    return st.fixed_dictionaries({"route": st.just(route)}, optional=optional)


FORMATS = any_of("json", "ndjson", "csv", "parquet")
TIMES = any_of("local", "utc", "offset")
QUALITIES = any_of("raw", "clean")
PATTERNS = any_of("%_" * 32, "%" + "1%" * 31, "____%1%2%3%", "2019-_%", "0001%", "9999-12-31%", "%")
YEARS = any_of("1000", "1700", "2018-12", "2019-09-11 10:45:00", "9600", "9999-12-29", "0001")
LONG = {"date": any_of("1970", "2017", "2019"), "end_date": any_of("2020", "2021-06")}

PAGES = {
    "columns": any_of("flags,date", "energy", "id"),
    "values": any_of("text", "number"),
    "time": TIMES,
    "format": FORMATS,
    "quality": QUALITIES,
    "order": any_of("asc", "desc"),
    "limit": any_of("1", "99", "4001", "100000"),
}
OUTPUT = {"format": FORMATS, "time": TIMES, "values": any_of("text", "number")}

REQUESTS = st.one_of(
    asked("getData", **PAGES),
    asked("getDataById", id=any_of(IDS, IDS[:9000], "5"), **PAGES),
    asked("getDataByDate", date=PATTERNS, **PAGES),
    asked("getDataByRange", date=PATTERNS | YEARS, end_date=PATTERNS | YEARS, **PAGES),
    asked(
        "getAggregate",
        interval=any_of("day", "week", "month", "year"),
        timezone=any_of("UTC", "Africa/Casablanca", "Australia/Lord_Howe", "no/where"),
        **LONG,
        **OUTPUT,
    ),
    asked("getAggregate", interval=any_of("15m", "hour"), date=any_of("2018-10", "2019-10")),
    asked(
        "getProfile",
        by=any_of("both", "none", "weekday"),
        percentiles=st.just(",".join(map(str, range(1, 21)))),
        **LONG,
        **OUTPUT,
    ),
    asked(
        "getPeaks",
        number=any_of("1", "1000"),
        separation=any_of("0", "3600", "86400"),
        quality=QUALITIES,
        **LONG,
    ),
    asked("getSummary", quality=QUALITIES, **LONG, **OUTPUT),
    asked("getQuality", list=any_of("gaps", "flagged", "days"), **LONG, **OUTPUT),
)
HEADERS = st.fixed_dictionaries(
    {"Accept-Encoding": any_of("identity", "gzip", "zstd")},
    optional={"Cache-Control": st.just("no-cache")},
)
PLAIN = {"Accept-Encoding": "identity"}


@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(request=REQUESTS, headers=HEADERS)
@example(
    request={"route": "getAggregate", "interval": "15m", "date": "2018", "format": "parquet"},
    headers=PLAIN,
)
@example(
    request={"route": "getAggregate", "interval": "year", "date": "1700", "timezone": "UTC"},
    headers=PLAIN,
)
@example(request={"route": "getPeaks", "number": "1000", "separation": "3600"}, headers=PLAIN)
@example(request={"route": "getDataById", "id": IDS, "limit": "9000"}, headers=PLAIN)
async def test_no_request_holds_the_event_loop(
    api: Api, request: Asked, headers: dict[str, str]
) -> None:
    params = {name: value for name, value in request.items() if name != "route"}
    with longest_callback() as longest:
        response = await api.request(request["route"], method="POST", json=params, headers=headers)
        async with response:
            async for _ in response.content.iter_any():
                pass
    assert response.status in (200, 400, 404)
    assert longest.seconds < ALLOWED, longest.name


@pytest.mark.parametrize(
    "figure",
    [
        *("peaks", "profile?by=both", "summary", "quality", "members"),
        *("aggregates?resolution=PT15M", "aggregates?resolution=P1D&quality=clean"),
    ],
)
async def test_no_figure_of_a_group_holds_the_event_loop(api: Api, figure: str) -> None:
    with longest_callback() as longest:
        async with await api.v1(f"groups/{BUILDING}/{figure}") as response:
            async for _ in response.content.iter_any():
                pass
    assert response.status == 200
    assert longest.seconds < ALLOWED, longest.name

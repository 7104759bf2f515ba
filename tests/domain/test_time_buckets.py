"""Buckets of local time, where clocks change in every way that they do."""

from datetime import datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.time.time_buckets import BUCKET_SIZES, Buckets, bucket_edges
from domain.time.time_zone import TimeZone


def instant(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


def edges(interval: str, zone: str, start: str, end: str) -> list[str]:
    """The starts of the buckets between two instants, in local time."""
    here = TimeZone(ZoneInfo(zone))
    buckets = Buckets(bucket_edges(BUCKET_SIZES[interval], here, instant(start), instant(end)))
    return [here.at(buckets[place][0]).isoformat() for place in range(len(buckets))]


@pytest.mark.parametrize(
    ("interval", "zone", "start", "end", "starts"),
    [
        pytest.param(
            "hour",
            "Europe/Madrid",
            "2019-10-27T01:00+02:00",
            "2019-10-27T04:00+01:00",
            ["01:00+02:00", "02:00+02:00", "02:00+01:00", "03:00+01:00"],
            id="a repeated hour is two",
        ),
        pytest.param(
            "hour",
            "Europe/Madrid",
            "2019-03-31T01:00+01:00",
            "2019-03-31T04:00+02:00",
            ["01:00+01:00", "03:00+02:00"],
            id="a skipped hour is none",
        ),
        pytest.param(
            "hour",
            "Australia/Lord_Howe",
            "2019-04-07T01:00+11:00",
            "2019-04-07T03:00+10:30",
            ["01:00+11:00", "01:30+10:30", "02:00+10:30"],
            id="a repeated half hour is half a one",
        ),
        pytest.param(
            "hour",
            "Asia/Kathmandu",
            "2019-04-07T00:30+05:45",
            "2019-04-07T02:00+05:45",
            ["00:30+05:45", "01:00+05:45"],
            id="whole hours in local time",
        ),
        pytest.param(
            "hour",
            "America/St_Johns",
            "2006-10-28T23:00-02:30",
            "2006-10-29T01:00-03:30",
            ["23:00-02:30", "00:00-02:30", "00:00-03:30"],
            id="clocks that go back a minute after the hour",
        ),
    ],
)
def test_hours_are_uniform(
    interval: str, zone: str, start: str, end: str, starts: list[str]
) -> None:
    found = edges(interval, zone, start, end)
    assert [text[11:16] + text[19:] for text in found] == starts


@pytest.mark.parametrize(
    ("zone", "start", "end", "starts"),
    [
        pytest.param(
            "America/Sao_Paulo",
            "2018-11-03T00:00-03:00",
            "2018-11-05T00:00-02:00",
            ["2018-11-03T00:00:00-03:00", "2018-11-04T01:00:00-02:00"],
            id="a day that starts at one",
        ),
        pytest.param(
            "America/Sao_Paulo",
            "2019-02-16T00:00-02:00",
            "2019-02-18T00:00-03:00",
            ["2019-02-16T00:00:00-02:00", "2019-02-17T00:00:00-03:00"],
            id="a day whose last hour is repeated",
        ),
        pytest.param(
            "Pacific/Apia",
            "2011-12-29T00:00-10:00",
            "2012-01-01T00:00+14:00",
            ["2011-12-29T00:00:00-10:00", "2011-12-31T00:00:00+14:00"],
            id="a day that never was",
        ),
        pytest.param(
            "America/St_Johns",
            "2006-10-28T00:00-02:30",
            "2006-10-30T00:00-03:30",
            ["2006-10-28T00:00:00-02:30", "2006-10-29T00:00:00-02:30"],
            id="a day with two midnights starts at the first",
        ),
    ],
)
def test_days_follow_local_time(zone: str, start: str, end: str, starts: list[str]) -> None:
    assert edges("day", zone, start, end) == starts


@pytest.mark.parametrize(
    ("interval", "starts"),
    [
        ("week", ["2019-12-15", "2019-12-16", "2019-12-23", "2019-12-30", "2020-01-06"]),
        ("month", ["2019-12-15", "2020-01-01"]),
        ("year", ["2019-12-15", "2020-01-01"]),
    ],
)
def test_longer_ones_start_with_monday_or_the_first(interval: str, starts: list[str]) -> None:
    found = edges(interval, "Europe/Madrid", "2019-12-15T00:00+01:00", "2020-01-08T00:00+01:00")
    assert [text[:10] for text in found] == starts


@given(
    zone=st.sampled_from(["Europe/Madrid", "Australia/Lord_Howe", "Africa/Casablanca", "UTC"]),
    interval=st.sampled_from(list(BUCKET_SIZES)),
    start=st.integers(-(10**9), 2 * 10**9),
    length=st.integers(1, 10**7),
)
def test_every_instant_is_in_one_bucket(zone: str, interval: str, start: int, length: int) -> None:
    here = TimeZone(ZoneInfo(zone))
    buckets = Buckets(bucket_edges(BUCKET_SIZES[interval], here, start, start + length))
    ends = [buckets[place] for place in range(len(buckets))]
    assert ends[0][0] == start
    assert ends[-1][1] == start + length
    assert all(before[1] == after[0] for before, after in pairwise(ends))
    assert all(
        buckets.index(first) == buckets.index(last - 1) == n for n, (first, last) in enumerate(ends)
    )


@given(
    zone=st.sampled_from(
        ["Europe/Madrid", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kathmandu"]
    ),
    at=st.integers(-(10**9), 2 * 10**9),
)
def test_a_local_time_is_first_shown_by_then_and_never_after(zone: str, at: int) -> None:
    here = TimeZone(ZoneInfo(zone))
    local = here.at(at).replace(tzinfo=None, fold=0)
    assert here.first(local) <= at < here.after(local)
    assert here.at(here.first(local)).replace(tzinfo=None, fold=0) == local

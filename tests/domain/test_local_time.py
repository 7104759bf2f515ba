"""From the local times of a report to instants, where clocks change."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.time.local_time import (
    DUPLICATE_TIME,
    NONEXISTENT_TIME,
    LocalTimeResolver,
    is_repeated_anywhere,
)
from tests.support.report_factory import MADRID

SUMMER, WINTER = 7200, 3600
CHANGE = datetime(2019, 10, 27, 1, tzinfo=UTC)
"""When Madrid's clocks go back."""


def autumn(*times: str) -> list[datetime]:
    """Times on the day on which Madrid's clocks go back."""
    return [datetime.fromisoformat(f"2019-10-27 {time}") for time in times]


def offsets(*times: str) -> list[int | str]:
    return LocalTimeResolver(MADRID).offsets(autumn(*times))


# The first pass is summer time, the second winter time.
PASS = ("02:00", "02:15", "02:30", "02:45")


@pytest.mark.parametrize(
    ("times", "summer"),
    [
        pytest.param((*PASS, *PASS), 4, id="one pass after the other"),
        pytest.param(("01:45", *PASS, *PASS, "03:00"), 5, id="with readings around"),
        pytest.param((*PASS[:3], *PASS), 3, id="without the last of the first pass"),
        pytest.param((*PASS, *PASS[1:]), 4, id="without the first of the second pass"),
        pytest.param(("02:30", "02:45", *PASS, "03:00"), 2, id="starting within the first"),
        pytest.param((*PASS, "02:00"), 4, id="ending within the second"),
        pytest.param(("02:45", "02:00"), 1, id="two neighbours"),
        pytest.param(("01:45", *PASS, "03:00"), 5, id="once only"),
    ],
)
def test_repeated_hour_goes_to_winter_once_time_goes_back(
    times: tuple[str, ...], summer: int
) -> None:
    assert offsets(*times) == [SUMMER] * summer + [WINTER] * (len(times) - summer)


def test_repeated_hour_sorted_by_local_time_alternates() -> None:
    twice = sorted((*PASS, *PASS))
    assert offsets("01:45", *twice, "03:00") == [SUMMER, *[SUMMER, WINTER] * 4, WINTER]


def test_newest_first_goes_from_winter_to_summer() -> None:
    times = ("01:30", "01:45", *PASS, *PASS, "03:00", "03:15")
    assert offsets(*times[::-1]) == offsets(*times)[::-1]
    sorted_times = sorted(times)
    assert offsets(*sorted_times[::-1]) == offsets(*sorted_times)[::-1]


def test_third_time_and_a_second_elsewhere_are_refused() -> None:
    assert offsets(*PASS, *PASS, "02:15")[-1] == DUPLICATE_TIME
    assert offsets("04:00", "04:15", "04:15")[-1] == DUPLICATE_TIME


def test_pass_that_was_given_before_leaves_the_other() -> None:
    taken: set[tuple[datetime, int]] = set()
    clock = LocalTimeResolver(MADRID)
    assert clock.offsets(autumn("01:45", *PASS, "03:00"), taken) == [*[SUMMER] * 5, WINTER]
    assert clock.offsets(autumn(*PASS, "03:00"), taken) == [*[WINTER] * 4, DUPLICATE_TIME]


def test_skipped_hour_is_refused_and_its_ends_are_not() -> None:
    times = [datetime.fromisoformat(f"2019-03-31 {time}") for time in ("01:45", *PASS, "03:00")]
    assert LocalTimeResolver(MADRID).offsets(times) == [WINTER, *[NONEXISTENT_TIME] * 4, SUMMER]


@pytest.mark.parametrize(
    ("zone", "day", "offset"),
    [
        ("Europe/Madrid", "2019-10-26", SUMMER),
        ("Europe/Madrid", "2019-10-27", None),
        ("Europe/Madrid", "2019-10-28", WINTER),
        ("Europe/Madrid", "2019-03-31", None),
        ("America/Sao_Paulo", "2018-02-17", None),  # 00:00 of the 18th is 23:00 of the 17th
        ("America/Sao_Paulo", "2018-02-18", -10800),
        ("America/Sao_Paulo", "2018-11-04", None),  # starts at 01:00
        ("America/St_Johns", "2006-10-28", None),  # 00:01 of the 29th is 23:01 of the 28th
        ("America/St_Johns", "2006-10-29", None),
        ("Australia/Lord_Howe", "2019-04-07", None),  # by half an hour
        ("Pacific/Apia", "2011-12-30", None),  # never was
        ("Asia/Kolkata", "2019-10-27", 19800),
        ("UTC", "2019-10-27", 0),
    ],
)
def test_day_has_one_offset_unless_clocks_change(zone: str, day: str, offset: int | None) -> None:
    assert LocalTimeResolver(ZoneInfo(zone)).offset_all_day(date.fromisoformat(day)) == offset


def test_day_that_was_skipped_is_refused_whole() -> None:
    noon = datetime.fromisoformat("2011-12-30 12:00:00")
    assert LocalTimeResolver(ZoneInfo("Pacific/Apia")).offsets([noon]) == [NONEXISTENT_TIME]


TRANSITIONS = [
    ("Europe/Madrid", "2019-10-27 01:00"),
    ("Europe/Madrid", "2019-03-31 01:00"),
    ("America/Sao_Paulo", "2018-02-18 02:00"),
    ("America/Sao_Paulo", "2018-11-04 03:00"),
    ("America/St_Johns", "2006-10-29 02:31"),
    ("America/St_Johns", "2006-04-02 03:31"),
    ("Australia/Lord_Howe", "2019-04-06 15:00"),
    ("Australia/Lord_Howe", "2019-10-05 15:30"),
    ("America/Havana", "2019-11-03 05:00"),
    ("Africa/Casablanca", "2019-05-05 02:00"),
    ("Pacific/Apia", "2011-12-30 10:00"),
    ("America/Caracas", "2016-05-01 07:00"),
]


@given(
    transition=st.sampled_from(TRANSITIONS),
    minutes=st.sampled_from([1, 5, 15, 30]),
    before=st.timedeltas(timedelta(minutes=75), timedelta(hours=20)),
    after=st.timedeltas(timedelta(minutes=75), timedelta(hours=20)),
    newest_first=st.booleans(),
)
def test_instants_survive_the_way_through_local_time(
    transition: tuple[str, str],
    minutes: int,
    before: timedelta,
    after: timedelta,
    newest_first: bool,
) -> None:
    """An unbroken series over a change of clocks, in every kind of zone."""
    zone = ZoneInfo(transition[0])
    change = datetime.fromisoformat(transition[1]).replace(tzinfo=UTC)
    step = timedelta(minutes=minutes)
    first = change - before // step * step
    instants = [first + step * number for number in range((change + after - first) // step)]
    if newest_first:
        instants.reverse()
    local = [instant.astimezone(zone).replace(tzinfo=None) for instant in instants]
    offsets = LocalTimeResolver(zone).offsets(local)
    assert [
        moment.replace(tzinfo=UTC) - timedelta(seconds=offset)
        for moment, offset in zip(local, offsets, strict=True)
        if isinstance(offset, int)
    ] == instants


@pytest.mark.parametrize("transition", TRANSITIONS)
@pytest.mark.parametrize("minutes", [20, 45, 60, 90, 120])
def test_repeated_time_of_one_reading_goes_to_the_pass_in_step_with_those_around(
    transition: tuple[str, str], minutes: int
) -> None:
    """Such as half past one, of hourly readings whose clocks go back by half an hour at two."""
    zone = ZoneInfo(transition[0])
    change = datetime.fromisoformat(transition[1]).replace(tzinfo=UTC)
    for begin in range(0, minutes, 5):
        first = change - timedelta(hours=12, minutes=begin)
        instants = [first + timedelta(minutes=minutes) * n for n in range(24 * 60 // minutes)]
        # Of two gaps, one is beside the repeated times.
        del instants[2], instants[-3]
        local = [instant.astimezone(zone).replace(tzinfo=None) for instant in instants]
        offsets = LocalTimeResolver(zone).offsets(local)
        assert [
            moment.replace(tzinfo=UTC) - timedelta(seconds=offset)
            for moment, offset in zip(local, offsets, strict=True)
            if isinstance(offset, int)
        ] == instants


@given(
    late=st.lists(st.integers(0, 40), min_size=9, max_size=9),
    lost=st.sets(st.sampled_from([0, 1, 6, 7, 8]), max_size=2),
    newest_first=st.booleans(),
)
def test_repeated_hour_of_a_late_logger_is_two(
    late: list[int], lost: set[int], newest_first: bool
) -> None:
    """Whether or not the second pass is as many seconds late as the first."""
    start = datetime(2019, 10, 26, 21, tzinfo=UTC)
    due = [start + timedelta(hours=hour, seconds=each) for hour, each in enumerate(late)]
    instants = [at for place, at in enumerate(due) if place not in lost]
    if newest_first:
        instants.reverse()
    local = [at.astimezone(MADRID) for at in instants]
    found = LocalTimeResolver(MADRID).offsets([at.replace(tzinfo=None) for at in local])
    assert found == [SUMMER if at < CHANGE else WINTER for at in instants]


def test_reading_between_others_is_of_the_same_pass() -> None:
    """Of a report that has one pass only, and a reading too many."""
    times = ("01:30", "01:45", "02:00", "02:07", *PASS[1:], "03:00", "03:15")
    assert offsets(*times) == [SUMMER] * 7 + [WINTER] * 2


def test_repeated_time_out_of_step_with_those_around_goes_to_the_first_pass() -> None:
    """As that of a meter that reads once an hour, and missed the other one."""
    hours = ("00:00", "01:00", "02:00", "03:00", "04:00", "05:00")
    assert offsets(*hours) == [SUMMER] * 3 + [WINTER] * 3


@given(st.lists(st.sampled_from([*PASS, "01:45", "03:00"]), max_size=12))
def test_no_instant_is_given_twice(times: list[str]) -> None:
    """Whatever the order, and each time is given an instant as often as it was shown."""
    given_offsets = offsets(*times)
    instants = [
        local - timedelta(seconds=offset)
        for local, offset in zip(autumn(*times), given_offsets, strict=True)
        if isinstance(offset, int)
    ]
    assert all(earlier != later for earlier, later in pairwise(sorted(instants)))
    shown = {time: 2 if time in PASS else 1 for time in times}
    assert len(instants) == sum(min(times.count(time), most) for time, most in shown.items())


@pytest.mark.parametrize(
    ("zone", "first"),
    [
        ("Europe/Madrid", "2019-10-27"),
        ("Europe/Madrid", "2020-03-29"),
        ("America/Recife", "2000-10-15"),  # a week after they went forward
        ("Australia/Lord_Howe", "2019-04-06"),  # by half an hour
        ("Africa/Casablanca", "2019-05-05"),
        ("America/Caracas", "2007-12-09"),
        ("UTC", "2019-10-27"),
    ],
)
def test_repeated_times_are_those_with_two_offsets(zone: str, first: str) -> None:
    tz = ZoneInfo(zone)
    start = datetime.fromisoformat(first).replace(tzinfo=UTC) - timedelta(days=2)
    instants = [start + timedelta(minutes=5) * number for number in range(4 * 288)]
    ranges = [*LocalTimeResolver(tz).repeated(*(int(instants[end].timestamp()) for end in (0, -1)))]
    for instant in instants:
        local = instant.astimezone(tz).replace(tzinfo=None)
        ahead = [local.replace(tzinfo=tz, fold=fold).utcoffset() for fold in (0, 1)]
        repeated = any(begin <= instant.timestamp() < end for begin, end in ranges)
        assert repeated == (ahead[0] > ahead[1])  # type: ignore[operator]  # both are known


@pytest.mark.parametrize("minutes", [-60, -1, 0, 59])
def test_repeated_time_is_found_where_it_is_all_that_there_is(minutes: int) -> None:
    at = int(datetime(2019, 10, 27, 1, tzinfo=UTC).timestamp()) + minutes * 60
    assert any(begin <= at < end for begin, end in LocalTimeResolver(MADRID).repeated(at, at))


@pytest.mark.parametrize("zone", ["Europe/Madrid", "Asia/Manila", "UTC"])
def test_repeated_times_are_found_from_the_first_day_to_the_last(zone: str) -> None:
    ends = [datetime(1, 1, 1, tzinfo=UTC), datetime(1950, 1, 1, tzinfo=UTC)]
    early = [*LocalTimeResolver(ZoneInfo(zone)).repeated(*(int(end.timestamp()) for end in ends))]
    assert all(begin < end for begin, end in early)
    last = int(datetime(9999, 12, 31, 23, tzinfo=UTC).timestamp())
    late = [*LocalTimeResolver(ZoneInfo(zone)).repeated(last - 100 * 86400, last)]
    assert len(late) == (zone == "Europe/Madrid")


@pytest.mark.parametrize(
    ("local", "is_repeated"),
    [
        ("2023-10-29 01:30", True),  # Lisbon
        ("2023-10-29 03:00", True),  # Athens
        ("2023-11-05 01:00", True),  # New York
        ("2024-04-07 02:45", True),  # Auckland
        ("2023-10-29 05:00", False),
        ("2023-10-28 02:30", False),
    ],
)
def test_time_is_known_to_be_repeated_in_some_zone(local: str, is_repeated: bool) -> None:
    assert is_repeated_anywhere(datetime.fromisoformat(local)) is is_repeated

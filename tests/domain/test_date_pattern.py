import re
import sqlite3
import time
from collections.abc import Iterable
from contextlib import closing
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.time.date_pattern import canonical_pattern, earliest_instant, latest_instant

START = datetime.fromisoformat("1000-01-01 00:00:00")
END = datetime.fromisoformat("9999-12-31 23:59:59")
DAYS = [datetime.fromisoformat("2019-01-01") + timedelta(days=n) for n in range(2 * 365 + 1)]
LEAP_DAYS = [
    datetime.fromisoformat(f"{year}-02-29")
    for year in range(1000, 10000)
    if year % 400 == 0 or (year % 4 == 0 and year % 100)
]
MINUTES = [datetime.fromisoformat("2019-09-11") + timedelta(minutes=n) for n in range(24 * 60)]

instants = st.datetimes(START, END).map(lambda instant: instant.replace(microsecond=0))
fragments = st.lists(st.sampled_from("%%%%__01239-: "), max_size=10).map("".join)


@st.composite
def matching_patterns(draw: st.DrawFn) -> tuple[datetime, str]:
    """An instant and a pattern that matches it."""
    instant = draw(instants)
    pattern = ""
    for char in str(instant):
        pattern += draw(st.sampled_from([char, char, "_", "%", "%" + char]))
    return instant, pattern


def like(pattern: str) -> re.Pattern[str]:
    translated = (
        {"%": ".*", "_": "."}.get(char, re.escape(char)) for char in canonical_pattern(pattern)
    )
    return re.compile("".join(translated))


def extremes(pattern: str, domain: Iterable[datetime]) -> tuple[datetime | None, datetime | None]:
    """The first and the last of the instants, which are in order, that match: by trying all."""
    matches = like(pattern).fullmatch
    found = [instant for instant in domain if matches(str(instant))]
    return (found[0], found[-1]) if found else (None, None)


@pytest.mark.parametrize(
    ("pattern", "first", "last"),
    [
        ("%", "1000-01-01 00:00:00", "9999-12-31 23:59:59"),
        ("2019-09-11%", "2019-09-11 00:00:00", "2019-09-11 23:59:59"),
        ("2019-09-11_0_:00:00", "2019-09-11 00:00:00", "2019-09-11 09:00:00"),
        ("2019-09-11 10:45:00", "2019-09-11 10:45:00", "2019-09-11 10:45:00"),
        ("2019-02%", "2019-02-01 00:00:00", "2019-02-28 23:59:59"),
        ("2020-02%", "2020-02-01 00:00:00", "2020-02-29 23:59:59"),
        ("%-02-29%", "1004-02-29 00:00:00", "9996-02-29 23:59:59"),
        ("__00-02-29%", "1200-02-29 00:00:00", "9600-02-29 23:59:59"),
        ("%-_1 %", "1000-01-01 00:00:00", "9999-12-31 23:59:59"),
        ("%30 %", "1000-01-30 00:00:00", "9999-12-30 23:59:59"),
        ("%:4_:%9", "1000-01-01 00:40:09", "9999-12-31 23:49:59"),
    ],
)
def test_a_pattern_that_matches_gives_its_extremes(pattern: str, first: str, last: str) -> None:
    assert (str(earliest_instant(pattern)), str(latest_instant(pattern))) == (first, last)


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "2019-09-11",
        "2019-13%",
        "2019-02-29%",
        "%-02-30%",
        "%-04-31%",
        "1900-02-29%",
        "0999%",
        "% 24:%",
        "%:60",
        "%.%",
        "2019-09-11T%",
        "2019-09-11 10:45:000",
        "_" * 18,
        "_" * 20 + "%",
    ],
)
def test_a_pattern_that_nothing_matches_gives_none(pattern: str) -> None:
    assert earliest_instant(pattern) is None
    assert latest_instant(pattern) is None


@given(fragments)
def test_over_the_days_of_two_years_the_extremes_are_those_found_by_trying_all(part: str) -> None:
    for year in ("2019", "2020"):
        days = [day for day in DAYS if day.year == int(year)]
        pattern = f"{year}-{part} 00:00:00"
        assert (earliest_instant(pattern), latest_instant(pattern)) == extremes(pattern, days)


@given(fragments)
def test_over_all_leap_days_the_extremes_are_those_found_by_trying_all(part: str) -> None:
    pattern = f"{part}-02-29 00:00:00"
    assert (earliest_instant(pattern), latest_instant(pattern)) == extremes(pattern, LEAP_DAYS)


@given(fragments)
def test_over_the_minutes_of_a_day_the_extremes_are_those_found_by_trying_all(part: str) -> None:
    pattern = f"2019-09-11 {part}:00"
    assert (earliest_instant(pattern), latest_instant(pattern)) == extremes(pattern, MINUTES)


@given(matching_patterns(), st.lists(instants, max_size=20))
def test_no_match_lies_outside_the_extremes(
    matching: tuple[datetime, str], others: list[datetime]
) -> None:
    instant, pattern = matching
    first, last = earliest_instant(pattern), latest_instant(pattern)
    assert first is not None
    assert last is not None
    matches = like(pattern).fullmatch
    assert matches(str(first))
    assert matches(str(last))
    assert all(first <= each <= last for each in [instant, *others] if matches(str(each)))


@given(st.text("01%_", max_size=10), st.lists(st.text("01", max_size=10)))
def test_the_canonical_pattern_matches_the_same_texts(pattern: str, texts: list[str]) -> None:
    with closing(sqlite3.connect(":memory:")) as database:
        for text in texts:
            (same,) = database.execute(
                "SELECT (? LIKE ?) = (? LIKE ?)", (text, pattern, text, canonical_pattern(pattern))
            ).fetchone()
            assert same


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [("%%", "%"), ("%_%", "_%"), ("1%_2%%_", "1_%2_%"), ("__", "__"), ("12", "12"), ("", "")],
)
def test_equal_patterns_have_one_spelling(pattern: str, expected: str) -> None:
    assert canonical_pattern(pattern) == expected


@pytest.mark.parametrize(
    "pattern",
    ["%-02-30%", "%_%_%1%_%", "%1" * 32, "%_1%_2" * 10, "%1_____%2_____% 25%", "_" * 64],
)
def test_a_hostile_pattern_takes_less_than_5_ms(pattern: str) -> None:
    durations = []
    for _ in range(5):
        started = time.perf_counter()
        earliest_instant(pattern)
        durations.append(time.perf_counter() - started)
    assert min(durations) < 0.005

import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.readings_query import QueryError, ReadingsQuery

SECOND = timedelta(seconds=1)
LANDMARKS = [
    datetime.fromisoformat(text)
    for text in (
        "1000-01-01 00:00:00",
        "1999-12-31 23:59:59",
        "2000-01-01 00:00:00",
        "2000-02-29 12:00:00",
        "2019-02-28 23:59:59",
        "2019-09-11 00:00:00",
        "2019-09-11 10:45:00",
        "2019-09-11 23:59:59",
        "2019-09-12 00:00:00",
        "2019-12-31 23:59:59",
        "2020-02-29 00:00:00",
        "2111-11-11 11:11:11",
        "9999-12-31 23:59:59",
    )
] + [datetime.fromisoformat("2019-09-11") + timedelta(minutes=15 * n) for n in range(96)]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def selected(
    query: ReadingsQuery, instants: list[datetime], database: sqlite3.Connection
) -> set[str]:
    """The instants that the query's conditions select when they are given to SQL."""
    if query.ids is not None:
        return set()
    rows = database.execute(
        "SELECT value FROM json_each(?) WHERE value >= ? AND value <= ? AND value LIKE ?",
        (
            json.dumps([str(instant) for instant in instants]),
            str(query.first or ""),
            str(query.last or "~"),
            query.like or "%",
        ),
    )
    return {text for (text,) in rows}


@pytest.fixture(scope="module")
def database() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as connection:
        yield connection


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("5", (5,)),
        ("100,5", (5, 100)),
        (" 5, 5 ,100 ", (5, 100)),
        ("007", (7,)),
        ("2147483647", (2147483647,)),
        ("0" * 5000 + "5", (5,)),
    ],
)
def test_ids_are_sorted_and_unique(text: str, ids: tuple[int, ...]) -> None:
    assert ReadingsQuery.by_ids(text) == ReadingsQuery(ids=ids)


@pytest.mark.parametrize("text", ["0", "000", "2147483648", "99999999999", "9" * 5000])
def test_an_id_that_cannot_exist_is_left_out(text: str) -> None:
    assert ReadingsQuery.by_ids(text) == ReadingsQuery(ids=())
    assert ReadingsQuery.by_ids(f"5,{text}") == ReadingsQuery(ids=(5,))


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        ",",
        "5,",
        ",5",
        "5,,6",
        "-5",
        "+5",
        "5.0",
        "5 6",
        "1_000",
        "abc",
        "5\n",
        "\u0665",
        "\u00b2",
    ],
)
def test_a_malformed_id_is_an_error_that_names_id(text: str) -> None:
    with pytest.raises(QueryError, match=r"^id: expected ids like 5 or 5,100, got '") as caught:
        ReadingsQuery.by_ids(text)
    assert caught.value.parameter == "id"


def test_a_bad_value_is_quoted_short_and_escaped() -> None:
    with pytest.raises(QueryError) as caught:
        ReadingsQuery.by_ids("\x00\n\u0665\ud800")
    assert caught.value.message == r"expected ids like 5 or 5,100, got '\x00\n\u0665\ud800'"
    with pytest.raises(QueryError) as caught:
        ReadingsQuery.by_ids("x" * 41)
    assert caught.value.message.endswith(f"got '{'x' * 37}...'")


@pytest.mark.parametrize("pattern", ["%", "%%", "%" * 64])
def test_pattern_of_percent_signs_selects_all_readings(pattern: str) -> None:
    assert ReadingsQuery.by_date(pattern) == ReadingsQuery()


@pytest.mark.parametrize(
    ("pattern", "first", "last"),
    [
        ("2019-09-11%", "2019-09-11 00:00:00", "2019-09-11 23:59:59"),
        ("2019-09-11T1%", "2019-09-11 10:00:00", "2019-09-11 19:59:59"),
        ("20%%", "2000-01-01 00:00:00", "2099-12-31 23:59:59"),
        ("2019-09-11 10:45:00%", "2019-09-11 10:45:00", "2019-09-11 10:45:00"),
        ("2019-09-11 10:45:00", "2019-09-11 10:45:00", "2019-09-11 10:45:00"),
        ("2019-09-11T10:45:00", "2019-09-11 10:45:00", "2019-09-11 10:45:00"),
        ("2019-09-11_10:45:00", "2019-09-11 10:45:00", "2019-09-11 10:45:00"),
    ],
)
def test_a_pattern_that_a_range_says_needs_no_like(pattern: str, first: str, last: str) -> None:
    assert ReadingsQuery.by_date(pattern) == ReadingsQuery(first=at(first), last=at(last))


@pytest.mark.parametrize(
    ("pattern", "like", "first", "last"),
    [
        (
            "2019-09-11_0_:00:00",
            "2019-09-11_0_:00:00",
            "2019-09-11 00:00:00",
            "2019-09-11 09:00:00",
        ),
        ("2019-09%T1%%", "2019-09% 1%", "2019-09-01 10:00:00", "2019-09-30 19:59:59"),
        ("2019-_2%", "2019-_2%", "2019-02-01 00:00:00", "2019-12-31 23:59:59"),
        ("%:45:00", "%:45:00", "1000-01-01 00:45:00", "9999-12-31 23:45:00"),
    ],
)
def test_another_pattern_keeps_its_like_within_a_range(
    pattern: str, like: str, first: str, last: str
) -> None:
    assert ReadingsQuery.by_date(pattern) == ReadingsQuery(
        like=like, first=at(first), last=at(last)
    )


@pytest.mark.parametrize(
    "pattern", ["2019-09-11", "2019-13%", "2019-02-30%", "2019-09-11 10:45:00.0", "%.%", " %"]
)
def test_pattern_that_no_instant_matches_selects_nothing(pattern: str) -> None:
    assert ReadingsQuery.by_date(pattern) == ReadingsQuery(ids=())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2019\\%",
        "2019'%",
        '2019"',
        "\u0662019%",
        "2019\x00",
        "2019%\n",
        "2019\t",
        "t",
        "1" * 65,
    ],
)
def test_a_malformed_date_is_an_error_that_names_the_parameter(text: str) -> None:
    requests: list[tuple[str, Callable[[], ReadingsQuery]]] = [
        ("date", lambda: ReadingsQuery.by_date(text)),
        ("date", lambda: ReadingsQuery.by_range(text, "2019")),
        ("end_date", lambda: ReadingsQuery.by_range("2019", text)),
    ]
    for parameter, request in requests:
        with pytest.raises(
            QueryError, match=f"^{parameter}: expected 1 to 64 characters"
        ) as caught:
            request()
        assert caught.value.parameter == parameter


patterns = st.text("0123456789-: T.%_", min_size=1, max_size=20) | st.builds(
    lambda instant, wildcards: "".join(
        wildcards.get(place, char) for place, char in enumerate(str(instant))
    ),
    st.sampled_from(LANDMARKS),
    st.dictionaries(st.integers(0, 18), st.sampled_from(["_", "%"]), max_size=10),
)


@given(patterns)
def test_a_date_selects_what_like_selects(database: sqlite3.Connection, pattern: str) -> None:
    query = ReadingsQuery.by_date(pattern)
    instants = list(LANDMARKS)
    for bound in (query.first, query.last):
        if bound:
            instants += [
                bound + step
                for step in (-SECOND, 0 * SECOND, SECOND)
                if LANDMARKS[0] - bound <= step <= at("9999-12-31 23:59:59") - bound
            ]
    expected = ReadingsQuery(like=pattern.replace("T", " "))
    assert selected(query, instants, database) == selected(expected, instants, database)


@pytest.mark.parametrize(
    ("bound", "instant"),
    [
        ("2019-09-11 10:45:00", "2019-09-11 10:45:00"),
        ("2019-09-11T10:45:00", "2019-09-11 10:45:00"),
        ("2019-09-11_10:45:00", "2019-09-11 10:45:00"),
        ("2019-09-11 10:45:00.0", "2019-09-11 10:45:00"),
        ("2019-09-11T10:45:00.000000", "2019-09-11 10:45:00"),
        ("2019-__-11 10:45:00.0", "2019-01-11 10:45:00"),
        ("2019-09-11 12:%", "2019-09-11 12:00:00"),
        ("2019-09-11 1", "2019-09-11 10:00:00"),
        ("2019-09", "2019-09-01 00:00:00"),
        ("2", "2000-01-01 00:00:00"),
        ("2019-__-11 %:45:00", "2019-01-11 00:45:00"),
        ("2019-02-_9", "2019-02-09 00:00:00"),
        ("2019-09-11T10:45:00Z", "2019-09-11 10:45:00+00:00"),
        ("2019-09-11t10:45z", "2019-09-11 10:45:00+00:00"),
        ("2019-09-11 12:45:00.000+02:00", "2019-09-11 10:45:00+00:00"),
        ("2019-09-11T12:45:00 02:00", "2019-09-11 10:45:00+00:00"),
        ("2019-09-11 05:15-0530", "2019-09-11 10:45:00+00:00"),
        ("2019-09-11_12:45:00+02", "2019-09-11 10:45:00+00:00"),
        ("2019-09-11T10:45:00+24:00", None),
        ("2019-02-30T10:45:00Z", None),
        ("9999-12-31T00:00:00Z", None),
        ("2020-02-3%", None),
        ("2019-02-30", None),
        ("2019-13", None),
        ("2019-09-11 10:45.0", None),
        ("0999", None),
    ],
)
def test_a_bound_is_the_earliest_instant_that_matches_or_an_error(
    bound: str, instant: str | None
) -> None:
    if instant is not None:
        zone = "Z" if at(instant).tzinfo else ""
        assert ReadingsQuery.by_range(bound, f"9999-12-29 23:59:59{zone}").first == at(instant)
        assert ReadingsQuery.by_range(f"1000-01-01 00:00:00{zone}", bound).last == at(instant)
        return
    for parameter, date, end_date in (("date", bound, "2019"), ("end_date", "2019", bound)):
        with pytest.raises(
            QueryError, match=rf"^{parameter}: expected a time like .* got '{re.escape(bound)}'"
        ):
            ReadingsQuery.by_range(date, end_date)


@pytest.mark.parametrize("zone", ["", "+01:00"])
def test_readings_at_whole_seconds_lie_between_bounds_with_fractions(zone: str) -> None:
    query = ReadingsQuery.by_range(f"2019-09-11 10:45:00.25{zone}", f"2019-09-11 10:46:00.5{zone}")
    assert query == ReadingsQuery.by_range(
        f"2019-09-11 10:45:01{zone}", f"2019-09-11 10:46:00{zone}"
    )


def test_a_range_holds_both_of_its_ends() -> None:
    assert ReadingsQuery.by_range("2019-09-11 10:45:00", "2019-09-11 12:%") == ReadingsQuery(
        first=at("2019-09-11 10:45:00"), last=at("2019-09-11 12:00:00")
    )
    assert ReadingsQuery.by_range("2019-09-11", "2019-09-11 00") == ReadingsQuery.by_date(
        "2019-09-11 00:00:00"
    )


def test_an_end_before_the_start_is_an_error_that_names_both() -> None:
    with pytest.raises(QueryError) as caught:
        ReadingsQuery.by_range("2019-09-11", "2019-09")
    assert str(caught.value) == (
        "end_date: expected 2019-09-11 00:00:00 (date) or later, got 2019-09-01 00:00:00"
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (ReadingsQuery.by_ids("100,5"), ReadingsQuery.by_ids("5, 5,100")),
        (ReadingsQuery.by_ids("0"), ReadingsQuery.by_date("2019-13%")),
        (ReadingsQuery.by_date("%%"), ReadingsQuery()),
        (ReadingsQuery.by_date("2019%%_1%"), ReadingsQuery.by_date("2019_%%1%")),
        (
            ReadingsQuery.by_date("2019-09-11%"),
            ReadingsQuery.by_range("2019-09-11", "2019-09-11T23:59:59.000"),
        ),
    ],
)
def test_requests_with_the_same_answer_have_the_same_key(
    one: ReadingsQuery, other: ReadingsQuery
) -> None:
    assert one.key == other.key


def test_requests_with_different_answers_have_different_keys() -> None:
    queries = [
        ReadingsQuery(),
        ReadingsQuery.by_ids("0"),
        ReadingsQuery.by_ids("1"),
        ReadingsQuery.by_ids("1,2"),
        ReadingsQuery.by_ids("12"),
        ReadingsQuery.by_date("2019%"),
        ReadingsQuery.by_date("2019%:00"),
        ReadingsQuery(first=at("2019-01-01")),
        ReadingsQuery(last=at("2019-01-01")),
    ]
    assert len({query.key for query in queries}) == len(queries)

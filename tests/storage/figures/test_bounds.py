"""Bounds mean what they say: against a model in Python's own datetime and zoneinfo."""

import asyncio
import csv
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from functools import cache
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from domain.fixed_point import SCALE
from domain.flags import CATCH_UP
from domain.readings_query import QueryError, ReadingsQuery
from storage.figures.aggregate import Aggregate
from storage.figures.data_quality import DataQuality
from storage.figures.peaks import Peaks
from storage.figures.profile import Profile
from storage.figures.result import FigureQuery
from storage.figures.summary import Summary
from tests.support.databases import DatabaseFixture
from tests.support.paths import SAMPLE
from tests.support.reference_figures import STEP, Metered

LENGTHS = {"year": 4, "month": 7, "day": 10, "hour": 13, "minute": 16, "second": 19}
EARLIEST, LATEST = "0000-01-01 00:00:00", "9999-12-31 23:59:59"
MINUTE = timedelta(minutes=1)
TOLERANCE, ALLOWANCE = 2, 90  # the defaults of quality.maximeter_tolerance and _allowance


def readings_of(metered: Metered, **bounds: str) -> int:
    """The number of readings of a period."""
    _, rows = metered.ask(Summary.of(bounds))
    number = (
        rows[0][[field.name for field in Summary.of({}).fields].index("readings")] if rows else 0
    )
    assert isinstance(number, int)
    return number


def modelled(metered: Metered, first: str, last: str, *, inclusive: bool) -> int:
    """The number of readings from when clocks have reached the one text to when they have shown
    the other for the last time or, exclusive, reached it."""
    zone = ZoneInfo(metered.case.zone)
    start = datetime.fromtimestamp(metered.case.start, UTC) - timedelta(days=1)
    minutes = metered.case.readings * metered.case.interval // 60 + 3 * 1440
    moments = [start + n * MINUTE for n in range(minutes)]
    shown = [(str(at.astimezone(zone).replace(tzinfo=None)), at) for at in moments]
    begin = min((at for text, at in shown if text[: len(first)] >= first), default=moments[-1])
    end = min((at for text, at in shown if text[: len(last)] >= last), default=moments[-1])
    if inclusive:
        # The model goes by minutes: a whole second is over after one.
        named = timedelta(seconds=1) if len(last) == LENGTHS["second"] else MINUTE
        end = max((at for text, at in shown if text[: len(last)] <= last), default=start) + named
    return sum(begin.timestamp() <= reading.at < end.timestamp() for reading in metered.readings)


PLACES = st.integers(-8, 330)
NAMES = st.sampled_from(["autumn", "spring", "half an hour back", "hours over a change"])


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    name=NAMES,
    places=st.tuples(PLACES, PLACES),
    lengths=st.tuples(*[st.sampled_from([*LENGTHS])] * 2),
    inclusive=st.booleans(),
)
@example(name="autumn", places=(130, 190), lengths=("day", "day"), inclusive=True)
@example(name="autumn", places=(130, 190), lengths=("day", "day"), inclusive=False)
@example(name="spring", places=(0, 300), lengths=("month", "month"), inclusive=True)
def test_partial_bound_includes_all_that_it_names(
    meters: dict[str, Metered],
    name: str,
    places: tuple[int, int],
    lengths: tuple[str, str],
    inclusive: bool,
) -> None:
    metered = meters[name]
    first, last = (
        str(metered.local(metered.case.start + place * 900))[: LENGTHS[length]]
        for place, length in zip(places, lengths, strict=True)
    )
    bounds = {"date": first, "end_date": last, "end": "inclusive" if inclusive else "exclusive"}
    ends = last + (LATEST if inclusive else EARLIEST)[len(last) :]
    begins = first + (EARLIEST[:4] + "-01-01 00:00:00")[len(first) :]
    if begins > ends:
        with pytest.raises(QueryError, match=r"^end_date: expected .* \(date\) or later"):
            readings_of(metered, **bounds)
    else:
        assert readings_of(metered, **bounds) == modelled(metered, first, last, inclusive=inclusive)


def named(metered: Metered, first: str, last: str, *, inclusive: bool) -> tuple[int, int]:
    """The first instant that two local hours, days or months name, and the first one after them."""
    zone = ZoneInfo(metered.case.zone)
    around = range(metered.case.start - 40 * 86400, metered.case.end + 40 * 86400, STEP)
    instants = range(around.start // STEP * STEP, around.stop, STEP)
    shown = [(str(datetime.fromtimestamp(at, zone))[: LENGTHS["second"]], at) for at in instants]
    begin = min(at for text, at in shown if text[: len(first)] >= first)
    if inclusive:
        return begin, max(at for text, at in shown if text[: len(last)] <= last) + STEP
    return begin, min(at for text, at in shown if text[: len(last)] >= last)


def column(metered: Metered, query: FigureQuery, name: str) -> list[object]:
    """The values of a field of the records of a figure."""
    table, rows = metered.ask(query)
    at = [field.name for field in table.fields].index(name)
    return [row[at] for row in rows]


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    name=NAMES,
    places=st.tuples(st.integers(0, 300), st.integers(0, 300)).map(sorted),
    lengths=st.tuples(*[st.sampled_from(["hour", "day", "month"])] * 2),
    inclusive=st.booleans(),
)
@example(name="autumn", places=[10, 190], lengths=("day", "day"), inclusive=True)
@example(name="spring", places=[0, 290], lengths=("month", "month"), inclusive=True)
def test_peaks_profiles_and_quality_are_of_all_that_bounds_name(
    meters: dict[str, Metered],
    name: str,
    places: list[int],
    lengths: tuple[str, str],
    inclusive: bool,
) -> None:
    metered = meters[name]
    first, last = (
        str(metered.local(metered.case.start + place * 900))[: LENGTHS[length]]
        for place, length in zip(places, lengths, strict=True)
    )
    assume(first[: len(last)] <= last)
    begin, end = named(metered, first, last, inclusive=inclusive)
    assume(begin <= end)
    bounds = {"date": first, "end_date": last, "end": "inclusive" if inclusive else "exclusive"}
    readings = metered.within(begin, end)
    ordinary = [r for r in readings if not r.flags & CATCH_UP.bit]
    with_demand = [r.at for r in ordinary if r.values["maximeter"] is not None]

    peaks = Peaks.of({**bounds, "number": "1000", "separation": "0"})
    if with_demand or not readings:
        assert sorted(map(str, column(metered, peaks, "date"))) == sorted(map(str, with_demand))
    profile = Profile.of({**bounds, "column": "maximeter", "by": "none"})
    assert sum(map(int, map(str, column(metered, profile, "readings")))) == len(with_demand)
    flagged = DataQuality.of({**bounds, "list": "flagged"})
    assert column(metered, flagged, "id") == [r.id for r in readings if r.flags]

    expected = metered.expected(begin, end)
    present = {metered.due(r.at) for r in readings if r.is_present}
    gaps = DataQuality.of({**bounds, "list": "gaps"})
    missing = sum(map(int, map(str, column(metered, gaps, "readings"))))
    assert missing == expected - sum(begin <= due < end for due in present)

    days = DataQuality.of({**bounds, "list": "days"})
    assert sum(map(int, map(str, column(metered, days, "expected")))) == expected
    starts, ends = (map(int, map(str, column(metered, days, each))) for each in ("date", "end"))
    for start, finish, partial in zip(starts, ends, column(metered, days, "partial"), strict=True):
        day = metered.local(start).date()
        midnight, following = (
            int(datetime.combine(each, time(), ZoneInfo(metered.case.zone)).timestamp())
            for each in (day, day + timedelta(days=1))
        )
        cut = metered.expected(midnight, start) + metered.expected(finish, following)
        assert partial == int(cut > 0), (day, start, finish)


def spelled(at: Decimal, offset: timezone, spelling: tuple[str, str, str, int]) -> str:
    """An instant as RFC 3339 or its neighbours write it, with these signs and digits."""
    blank, colon, plus, digits = spelling
    whole = int(at // 1)
    local = datetime.fromtimestamp(whole, offset)
    text = f"{local:%Y-%m-%d}{blank}{local:%H:%M:%S}"
    if local.second == 0 and at == whole and not digits:
        text = text[: -len(":00")]
    elif digits:
        text += f"{at - whole:.{digits}f}"[1:]
    if offset == UTC and plus == " ":
        return f"{text}Z"
    zone = f"{local:%z}"
    return f"{text}{zone[0].replace('+', plus)}{zone[1:3]}{colon}{zone[3:]}"


SPELLINGS = st.tuples(
    st.sampled_from("T t_"), st.sampled_from([":", ""]), st.sampled_from("+ "), st.integers(0, 9)
)
OFFSETS = st.just(UTC) | st.integers(-1080, 1080).map(lambda n: timezone(n * MINUTE))
MOMENTS = st.builds(
    lambda place, tenth: place * 900 + tenth * Decimal("0.1"), PLACES, st.integers(-9, 9)
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    name=NAMES,
    moments=st.tuples(MOMENTS, MOMENTS).map(sorted),
    offsets=st.tuples(OFFSETS, OFFSETS),
    spelling=SPELLINGS,
    inclusive=st.booleans(),
)
def test_bound_with_an_offset_is_that_instant_however_it_is_written(
    meters: dict[str, Metered],
    name: str,
    moments: list[Decimal],
    offsets: tuple[timezone, timezone],
    spelling: tuple[str, str, str, int],
    inclusive: bool,
) -> None:
    """Of figures as of readings."""
    metered = meters[name]
    tenths = spelling[3] > 0
    first, last = (metered.case.start + (moment if tenths else moment // 1) for moment in moments)
    date, end_date = (
        spelled(at, offset, spelling) for at, offset in zip((first, last), offsets, strict=True)
    )
    expected = [
        reading
        for reading in metered.readings
        if first <= reading.at and (reading.at <= last if inclusive else reading.at < last)
    ]
    end = "inclusive" if inclusive else "exclusive"
    assert readings_of(metered, date=date, end_date=end_date, end=end) == len(expected)
    query = ReadingsQuery.by_range(date, end_date, end_included=inclusive)
    records = asyncio.run(metered.database.records(query))
    assert {int(record["id"] or 0) for record in records} == {reading.id for reading in expected}


@cache
def real_report() -> list[tuple[datetime, dict[str, Decimal | None]]]:
    """The rows of the sample report, read with nothing but Python's csv."""
    with SAMPLE.open(encoding="utf-8", newline="") as file:
        heading, *rows = csv.reader(file)
    return [
        (
            datetime.strptime(row[0], "%d %b %Y %H:%M:%S"),  # noqa: DTZ007 - local, as written
            {
                name.partition(" (")[0]: Decimal(text) if text else None
                for name, text in zip(heading[1:], row[1:], strict=True)
            },
        )
        for row in rows
    ]


def added(is_of: Callable[[date], bool], *, clean: bool) -> int:
    """The energy of some days of the sample report in hundred-thousandths of a kWh.

    Clean is without the quarters of an hour that have more energy than docs/reference/quality.md
    allows: their maximeter's over the time since the last energy, and a tolerance.
    """
    total = Decimal(0)
    quarters = 1
    for local, values in real_report():
        energy, maximeter = values["Energy"], values["Maximeter"]
        if energy is None:
            quarters += 1
            continue
        allowed = None
        if maximeter is not None:
            allowed = maximeter * TOLERANCE * quarters / 4 + Decimal(ALLOWANCE) / 4
        quarters = 1
        if is_of(local.date()) and not (clean and allowed is not None and energy > allowed):
            total += energy
    return int(total * SCALE)


def energies(database: DatabaseFixture, query: FigureQuery) -> list[object]:
    async def run() -> list[object]:
        async with database.reader() as reader:
            table = await reader.figures(query, await reader.state())
            at = [field.name for field in table.fields].index("energy")
            return [row[at] async for rows in table.rows for row in rows]

    return asyncio.run(run())


@pytest.mark.parametrize("quality", ["raw", "clean"])
def test_bare_dates_give_the_energy_of_the_report_in_whole_days(
    sample: DatabaseFixture, quality: str
) -> None:
    clean = quality == "clean"
    november = [date(2019, 11, n) for n in range(1, 31)]
    days = [added(each.__eq__, clean=clean) for each in november]
    month = sum(days)
    for bounds in (
        {"date": "2019-11-01", "end_date": "2019-11-30"},
        {"date": "2019-11", "end_date": "2019-11"},
        {"date": "2019-10-31T23:00:00Z", "end_date": "2019-12-01T00:00+01:00", "end": "exclusive"},
    ):
        asked = {**bounds, "quality": quality}
        assert energies(sample, Summary.of(asked)) == [month]
        assert energies(sample, Aggregate.of(asked | {"interval": "month"})) == [month]
        assert energies(sample, Aggregate.of(asked | {"interval": "day"})) == days


def test_day_with_the_repeated_hour_has_a_hundred_readings(sample: DatabaseFixture) -> None:
    bounds = {"date": "2019-10-27", "end_date": "2019-10-27"}
    expected = sum(local.date() == date(2019, 10, 27) for local, _ in real_report())

    async def run() -> list[object]:
        async with sample.reader() as reader:
            table = await reader.figures(Summary.of(bounds), await reader.state())
            names = [field.name for field in table.fields]
            return [row[names.index("readings")] async for rows in table.rows for row in rows]

    assert asyncio.run(run()) == [expected] == [100]

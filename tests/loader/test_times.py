"""However rows tell when they are of: the same instants and lengths are read."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loader.formats.configured_format import ConfiguredFormat
from loader.formats.delimited.rows import BY_START
from loader.formats.registry import known_formats
from settings import FormatSettings, Settings
from tests.support.report_formats import Reading, ReportResult, reading

CHANGES = {
    "Europe/Madrid": ("2019-03-31", "2019-10-27"),
    "Europe/London": ("2020-03-29", "2020-10-25"),
    "Australia/Lord_Howe": ("2025-04-06", "2025-10-05"),
    "America/St_Johns": ("2025-03-09", "2025-11-02"),
    "Asia/Kolkata": ("2024-02-29",),
    "America/Havana": ("2024-03-10", "2024-11-03"),
}
DAYS = [(zone, day) for zone, days in CHANGES.items() for day in days]
MONTHS = [
    "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec",
    "ene feb mar abr may jun jul ago sept oct nov dic",
    "janv. févr. mars avr. mai juin juil. août sept. oct. nov. déc.",
    "JAN FEB MÄRZ APR MAI JUN JUL AUG SEP OKT NOV DEZ",
    "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
    "jan fev mar abr mai jun jul ago set out nov dez",
    "januari februari maart april mei juni juli augustus september oktober november december",
    "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "janvier fevrier mars avril mai juin juillet aout septembre octobre novembre decembre",
    "Januar Februar Maerz April Mai Juni Juli August September Oktober November Dezember",
    "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
]
HALVES = [("AM", "PM"), ("am", "pm"), ("a.m.", "p.m."), ("a. m.", "p.\u00a0m."), ("A", "P")]


@pytest.fixture
def read(tmp_path: Path) -> Reading:
    return reading(tmp_path)


def described(time: dict[str, Any], **changes: Any) -> ConfiguredFormat:
    said = {"columns": {"energy": "kWh"}, "delimiter": ";", "time": time} | changes
    return ConfiguredFormat("any", FormatSettings.model_validate(said))


def wall(at: datetime, zone: tzinfo) -> datetime:
    """What clocks show."""
    return at.astimezone(zone).replace(tzinfo=None)


class Clock:
    """A random way to write local times, and the pattern that says it."""

    def __init__(self, draw: Callable[..., Any], *, has_clock: bool = True) -> None:
        self.months = draw(st.sampled_from(MONTHS)).split()
        self.halves = draw(st.sampled_from(HALVES))
        self.date = draw(
            st.sampled_from(
                [
                    *("%d/%m/%Y", "%Y-%m-%d", "%m.%d.%y", "%d-%b-%Y", "%d %B %Y", "%Y%m%d"),
                    *("%B %d, %Y", "%Y/%j", "* %d.%m.%Y"),
                ]
            )
        )
        self.clock = draw(
            st.sampled_from(["%H:%M", "%H:%M:%S", "%I:%M %p", "%I.%M.%S%p", "%H%M", "%H:%M:%S.%f"])
        )
        self.between = draw(st.sampled_from([" ", "T", " - ", ""])) if has_clock else ""
        if self.between == "" and not self.date.endswith("%m%d"):
            self.between = " "  # only numbers of a fixed length may touch others
        self.pattern = self.date + (self.between + self.clock if has_clock else "")

    def write(self, local: datetime, pattern: str = "") -> str:
        text = (pattern or self.pattern).replace("*", "whatever")
        for name in ("%b", "%B"):
            text = text.replace(name, self.months[local.month - 1])
        text = text.replace("%p", self.halves[local.hour >= 12]).replace("%f", "000")
        return local.strftime(text)

    def write_end(self, local: datetime, pattern: str = "") -> str:
        """With 24:00 for the midnight at the end of a day."""
        pattern = pattern or self.pattern
        if local.hour or local.minute or "%H" not in pattern or local.day % 2:
            return self.write(local, pattern)
        return self.write(local - timedelta(days=1), pattern.replace("%H", "24"))


def starts_around(
    day: str, zone: ZoneInfo, seconds: int, before: int, after: int
) -> list[datetime]:
    """The starts of intervals from the day before one to the day after it, less some."""
    first = datetime.fromisoformat(day).replace(tzinfo=zone) - timedelta(days=1)
    last = first + timedelta(days=3)
    begin, end = (at.astimezone(UTC) for at in (first, last))
    count = int((end - begin).total_seconds()) // seconds
    starts = [begin + timedelta(seconds=seconds * n) for n in range(count)]
    return starts[before : count - after]


def read_rows(
    read: Reading, rows: Sequence[Sequence[str]], names: str, *formats: ConfiguredFormat
) -> ReportResult:
    text = "".join(";".join(row) + "\n" for row in [names.split(), *rows])
    return read(text, *formats)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_local_times_of_any_notation_are_read_as_the_instants_that_were_written(
    read: Reading, data: st.DataObject
) -> None:
    """Begins and ends, the latter by either clock, over both changes, in either order."""
    zone_name, day = data.draw(st.sampled_from(DAYS))
    zone = ZoneInfo(zone_name)
    seconds = data.draw(st.sampled_from([900, 1800]))
    marks = data.draw(st.sampled_from(["start", "end", "end by start"]))
    before, after = data.draw(st.integers(0, 40)), data.draw(st.integers(0, 40))
    starts = starts_around(day, zone, seconds, before, after)
    order = data.draw(st.sampled_from([1, -1]))
    clock = Clock(data.draw)
    length = timedelta(seconds=seconds)
    rows = []
    has_two = clock.between == " " and data.draw(st.booleans())
    for number, start in enumerate(starts):
        shown = wall(start, zone)
        if marks == "end":
            shown = wall(start + length, zone)
        elif marks == "end by start":
            shown += length
        write = clock.write if marks == "start" else clock.write_end
        if has_two:
            # The 24:00 of a day stands in both columns.
            is_late = write(shown) != clock.write(shown)
            date = clock.write(shown - timedelta(days=is_late), clock.date)
            rows.append([date, write(shown, clock.clock), f"{number}"])
        else:
            rows.append([write(shown), f"{number}"])
    time = {"column": ["day", "at"] if has_two else "day", "pattern": clock.pattern}
    time |= {"marks": "start" if marks == "start" else "end", "timezone": zone_name}
    if marks == "end by start" and data.draw(st.booleans()):
        time["end_clock"] = "start"
    names = "day at kWh" if has_two else "day kWh"
    done = read_rows(read, rows[::order], names, described(time, interval=seconds))
    assert not done.row_errors
    assert not done.error
    assert done.instants == starts[::order]
    assert done.quantities("energy") == [f"{n}.00000" for n in range(len(starts))][::order]


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_instants_are_read_in_any_order(read: Reading, data: st.DataObject) -> None:
    """With their offset, as counts since 1970, or in a fixed offset all year."""
    zone_name, day = data.draw(st.sampled_from(DAYS))
    zone = ZoneInfo(zone_name)
    seconds = data.draw(st.sampled_from([60, 900, 3600]))
    starts = data.draw(st.permutations(starts_around(day, zone, seconds, 0, 0)[:100]))
    marks = data.draw(st.sampled_from(["start", "end"]))
    kind = data.draw(st.sampled_from(["iso", "epoch", "epoch-ms", "%d.%m.%Y %H:%M %z", "fixed"]))
    time = {"column": "t", "pattern": kind, "marks": marks, "timezone": zone_name}
    if kind == "fixed":
        time |= {"pattern": "%d.%m.%Y %H:%M", "timezone": "-03:30"}
    rows = []
    for number, start in enumerate(starts):
        shown = start + timedelta(seconds=seconds) * (marks == "end")
        local, count = shown.astimezone(zone), int(shown.timestamp())
        text = {
            "iso": local.isoformat() if number % 2 else shown.strftime("%Y-%m-%dT%H:%MZ"),
            "epoch": f"{count}.0" if number % 2 else f"{count}",
            "epoch-ms": f"{count}000",
            "fixed": f"{shown - timedelta(hours=3.5):%d.%m.%Y %H:%M}",
        }.get(kind) or local.strftime("%d.%m.%Y %H:%M %z")
        rows.append([text, f"{number}"])
    done = read_rows(read, rows, "t kWh", described(time, interval=seconds))
    assert not done.row_errors
    assert done.instants == starts


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_periods_of_days_are_read_counted_by_the_clock_and_by_their_order(
    read: Reading, data: st.DataObject
) -> None:
    """A day has 46 to 50 half hours, or 92 to 100 quarters."""
    zone_name, day = data.draw(st.sampled_from([each for each in DAYS if "Havana" not in each[0]]))
    zone = ZoneInfo(zone_name)
    seconds = data.draw(st.sampled_from([300, 900, 1800]))
    starts = starts_around(day, zone, seconds, 0, 0)
    kind = data.draw(st.sampled_from(["counted", "clock", "order"]))
    first = 1 if kind == "order" else data.draw(st.integers(0, 1))
    clock = Clock(data.draw, has_clock=False)
    time: dict[str, Any] = {"column": "day", "pattern": clock.pattern, "timezone": zone_name}
    rows = []
    for number, start in enumerate(starts):
        local = wall(start, zone)
        midnight = local.replace(hour=0, minute=0).replace(tzinfo=zone).astimezone(UTC)
        gone = start - midnight
        if kind == "clock":
            gone = timedelta(hours=local.hour, minutes=local.minute)
        place = gone // timedelta(seconds=seconds)
        rows.append([clock.write(local), f"{place + first}", f"{number}"])
    time |= {"period": "order"} if kind == "order" else {"period": "sp", "first_period": first}
    if kind != "order" and data.draw(st.booleans()):
        time["hours"] = kind
    if kind == "order":
        rows = [[each[0], "", each[2]] for each in rows]
        done = read_rows(
            read, rows, "day sp kWh", described(time, interval=seconds, ignored=["sp"])
        )
    else:
        order = data.draw(st.sampled_from([1, -1]))
        starts = starts[::order]
        done = read_rows(read, rows[::order], "day sp kWh", described(time, interval=seconds))
    assert not done.row_errors
    assert done.instants == starts


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_row_lasts_from_its_begin_to_its_end(read: Reading, data: st.DataObject) -> None:
    """Rows of several lengths, in either order; the end by either clock; energy from mean power."""
    zone_name, day = data.draw(st.sampled_from(DAYS))
    zone = ZoneInfo(zone_name)
    # A row that is longer than what clocks change by may have two meanings.
    most = [1, 2] if "Howe" in zone_name else [1, 2, 4]
    lengths = [*_lengths(data.draw, most, starts_around(day, zone, 900, 0, 0))]
    clock = Clock(data.draw)
    by_start = data.draw(st.booleans())
    kind = data.draw(st.sampled_from(["whole", "clock", "range", "iso"]))
    pattern = {"clock": "%H:%M", "range": "* - %H:%M"}.get(kind, clock.pattern)
    time: dict[str, Any] = {"column": "from", "pattern": clock.pattern, "timezone": zone_name}
    rows = []
    for start, length in lengths:
        begin = wall(start, zone)
        end = begin + length if by_start else wall(start + length, zone)
        texts = [clock.write(begin), clock.write_end(end, pattern)]
        if kind == "range":
            texts = [f"{begin:%Y-%m-%d %H:%M} - {end:%H:%M}"]
        elif kind == "iso":
            texts = [at.astimezone(zone).isoformat() for at in (start, start + length)]
        rows.append([*texts, "6"])
    time["end"] = {"column": "to", "pattern": pattern}
    if kind == "range":
        time["pattern"], time["end"]["column"] = "%Y-%m-%d %H:%M*", "from"
    elif kind == "iso":
        time |= {"pattern": "iso", "end": "to"}
    order = data.draw(st.sampled_from([1, -1]))
    names = "from kWh" if kind == "range" else "from to kWh"
    energy = {"header": "kWh", "kind": "power"}
    done = read_rows(read, rows[::order], names, described(time, columns={"energy": energy}))
    assert not done.row_errors
    assert done.instants == [start for start, _ in lengths][::order]
    assert (
        done.quantities("energy")
        == [f"{6 * length / timedelta(hours=1):.5f}" for _, length in lengths][::order]
    )
    told: list[tuple[datetime, timedelta]] = []
    for start, length in lengths:
        if not told or told[-1][1] != length:
            told.append((start, length))
    assert [(span.first, span.seconds) for span in done.report.said_spans] == [
        (int(start.timestamp()), int(length.total_seconds())) for start, length in told
    ]


def _lengths(
    draw: Callable[..., Any], quarters_each: list[int], quarters: list[datetime]
) -> Iterator[tuple[datetime, timedelta]]:
    """Intervals of some quarters, which begin where the one before ends."""
    place = 0
    while place + 4 <= len(quarters):
        many = draw(st.sampled_from(quarters_each))
        for _ in range(draw(st.integers(5, 12))):
            if place + 4 <= len(quarters):
                yield quarters[place], timedelta(seconds=900 * many)
                place += many


PLAIN = {"column": "t", "pattern": "%d/%m/%Y %H:%M", "marks": "start"}


@pytest.mark.parametrize(
    ("time", "row", "error"),
    [
        (
            {},
            "31/02/2024 00:00",
            "t: 31/02/2024 00:00: expected a date like 01/08/2019 00:15, from",
        ),
        ({}, "01/03/2024 24:01", "t: 01/03/2024 24:01: expected a date like 01/08/2019 00:15"),
        ({}, "01/03/2024 7:60", "t: 01/03/2024 7:60: expected a date like 01/08/2019 00:15"),
        (
            {"pattern": "%d %b %Y %I:%M %p"},
            "1 Foo 2024 1:15 AM",
            "t: 1 Foo 2024 1:15 AM: expected a date like 01 Aug 2019 12:15 AM, from 1970 to 2199",
        ),
        (
            {"pattern": "%d %b %Y %I:%M %p"},
            "1 Aug 2024 13:15 PM",
            "t: 1 Aug 2024 13:15 PM: expected a date like 01 Aug 2019 12:15 AM",
        ),
        ({"pattern": "%Y%m%d%H%M"}, "202411123", "t: 202411123: expected a date like 201908010015"),
        (
            {"pattern": "%Y-%m-%d %H:%M:%S.%f"},
            "2024-01-01 00:00:00.5",
            "t: 2024-01-01 00:00:00.5: expected a date like 2019-08-01 00:15:00.0",
        ),
        (
            {"pattern": "%Y-%m-%d %H:%M*"},
            "2024-01-01 00:150",
            "t: 2024-01-01 00:150: expected a date like 2019-08-01 00:15...",
        ),
        (
            {"pattern": "epoch"},
            "1654992000.5",
            "t: 1654992000.5: expected seconds since 1970 like 1564618500, whole seconds",
        ),
        (
            {"pattern": "epoch-ms"},
            "1654992000001",
            "t: 1654992000001: expected milliseconds since 1970 like 1564618500000, whole seconds",
        ),
        ({"pattern": "epoch-ms"}, "1654992000", "t: 1654992000: expected milliseconds since 1970"),
        ({"pattern": "epoch"}, "9999999999", "t: 9999999999: expected seconds since 1970 like"),
        ({"pattern": "epoch"}, "1.654E9", "t: 1.654E9: expected seconds since 1970 like"),
        (
            {"column": ["t", "u"], "pattern": "%d/%m/%Y %H:%M"},
            "01/03/2024;late",
            "t + u: 01/03/2024 late: expected a date like 01/08/2019 00:15",
        ),
        (
            {"pattern": "%d/%m/%Y", "period": "u", "marks": None},
            "01/03/2024;49",
            "u: 49: expected a period from 1 to 48",
        ),
        (
            {"pattern": "%d/%m/%Y", "period": "u", "marks": None, "hours": "counted"},
            "31/03/2024;47",
            "u: 47: expected a period from 1 to 46, as many as that day has",
        ),
        (
            {"pattern": "%d/%m/%Y", "period": "u", "marks": None, "first_period": 0},
            "01/03/2024;48",
            "u: 48: expected a period from 0 to 47",
        ),
        (
            {"end": "u", "marks": None},
            "01/03/2024 00:00;01/03/2024",
            "u: 01/03/2024: expected a date like 01/08/2019 00:15, from 1970 to 2199",
        ),
        (
            {"end": {"column": "u", "pattern": "%H:%M"}, "marks": None},
            "01/03/2024 00:00;25:00",
            "u: 25:00: expected a time like 00:15",
        ),
        (
            {"end": "u", "marks": None},
            "01/03/2024 00:30;01/03/2024 00:00",
            "u: 01/03/2024 00:00: expected a time after 2024-03-01 00:30:00 at which the",
        ),
    ],
)
def test_wrong_time_is_said_with_its_column_and_an_example(
    read: Reading, time: dict[str, Any], row: str, error: str
) -> None:
    fields = row.split(";")
    names = "t u" if len(fields) > 1 else "t"
    said = {key: value for key, value in (PLAIN | time).items() if value is not None}
    changes = {} if "end" in said else {"interval": 1800}
    done = read_rows(read, [[*fields, "1"]], f"{names} kWh", described(said, **changes))
    assert len(done.row_errors) == 1
    assert done.row_errors[0].startswith(f"2: {error}")


def test_day_that_does_not_have_all_its_rows_is_refused_where_their_order_tells(
    read: Reading,
) -> None:
    """An invalid row has its place all the same; a day from before the last one is refused, too."""
    days = [("2024-03-01", 4), ("2024-03-02", 3), ("2024-03-03", 4), ("2024-03-02", 4)]
    rows = [[day, f"{number}"] for day, count in days for number in range(count)]
    rows[1][1] = "many"
    time = {"column": "day", "pattern": "%Y-%m-%d", "period": "order", "timezone": "UTC"}
    text = "".join(";".join(row) + "\n" for row in [["day", "kWh"], *rows])
    done = read(text, described(time, interval=21600), skip_bad_rows=True)
    hours = [(1, 0), (1, 12), (1, 18), (3, 0), (3, 6), (3, 12), (3, 18)]
    assert done.instants == [datetime(2024, 3, day, hour, tzinfo=UTC) for day, hour in hours]
    assert done.report.refused_days == ["2024-03-02"]
    assert done.row_errors[1] == (
        "6: day: 2024-03-02: expected 4 rows of this day, since only their order tells when they"
        " are of; there are 3"
    )
    assert done.row_errors[-1].endswith("expected rows in order of time, oldest first, since their"
                                        " order tells when they are of")  # fmt: skip


def test_hour_may_be_written_as_a_clock_and_midnight_as_that_of_either_day(read: Reading) -> None:
    time = {"column": "day", "hour": "hour", "pattern": "%Y-%m-%d", "marks": "end"}
    rows = [["2024-03-01", "23:00"], ["2024-03-01", "24:00"], ["2024-03-03", "00:00"]]
    done = read_rows(read, [[*row, "1"] for row in rows], "day hour kWh", described(time))
    assert not done.row_errors
    assert [time for time, _ in done.times] == [
        *("2024-03-01 22:00:00", "2024-03-01 23:00:00", "2024-03-02 23:00:00")
    ]


def test_ends_that_leave_doubt_are_those_that_clocks_show_unless_a_day_has_told(
    read: Reading,
) -> None:
    """In autumn, an hour is lost: 02:00 and 03:00 are left of two hours that end at 03:00."""
    time = PLAIN | {"marks": "end", "timezone": "Europe/Madrid"}
    autumn = [
        ["27/10/2019 01:00", "0"],
        ["27/10/2019 02:00", "1"],
        ["27/10/2019 03:00", "2"],
        ["27/10/2019 04:00", "3"],
    ]
    spring = [[f"31/03/2019 0{hour}:00", f"{hour}"] for hour in (1, 2, 4, 5)]
    first = datetime(2019, 10, 26, 23, tzinfo=UTC)
    for rows, said, hours in [
        (autumn, {}, (0, 2, 3)),
        (autumn, {"end_clock": "start"}, (0, 1, 3)),
        ([*spring, *autumn], {}, (0, 1, 3)),
    ]:
        done = read_rows(read, rows, "t kWh", described(time | said, interval=3600))
        assert not done.row_errors
        assert done.instants[-3:] == [first + timedelta(hours=hour) for hour in hours]


def test_end_that_no_clock_shows_names_the_key_that_may_be_meant(read: Reading) -> None:
    time = PLAIN | {"marks": "end", "timezone": "Europe/Madrid"}
    rows = [["31/03/2019 02:00", "1"], ["31/03/2019 02:30", "1"], ["31/03/2019 03:00", "1"]]
    done = read_rows(read, rows, "t kWh", described(time, interval=900))
    assert [error.endswith(BY_START) for error in done.row_errors] == [True, False]
    done = read_rows(read, rows, "t kWh", described(time | {"end_clock": "end"}, interval=900))
    assert not any(error.endswith(BY_START) for error in done.row_errors)


def test_interval_cannot_be_asked_for_where_rows_tell_another_one(tmp_path: Path) -> None:
    path = tmp_path / "report.csv"
    path.write_text("day;sp;kWh\n2024-03-01;1;1\n")
    day = {"column": "day", "pattern": "%Y-%m-%d"}
    for time, asked, said in [
        (day | {"end": "sp"}, 900, "--interval 900: the format any has time.end"),
        (day | {"period": "sp"}, 7000, "--interval 7000: the format any counts periods: expected"),
        (day | {"hour": "sp", "marks": "end"}, 900, "--interval 900: the format any counts hours"),
    ]:
        interval = {} if "period" not in time else {"interval": 1800}
        settings_ = FormatSettings.model_validate(
            {"columns": {"energy": "kWh"}, "delimiter": ";", "time": time} | interval
        )
        found = known_formats(Settings.model_construct(formats={"any": settings_}), asked)
        done = ReportResult(path, found, skip_bad_rows=False)
        assert said in done.error


@pytest.mark.parametrize("order", [1, -1])
def test_row_in_the_repeated_hour_is_next_to_the_row_above_it(read: Reading, order: int) -> None:
    """An hour and three quarters: the order of the clocks alone would tell another pass."""
    clocks = ["00:15", "01:15", "01:15", "01:30", "01:45", "02:00", "02:15", "02:30"]
    rows = [[f"25/10/2020 {clock}", f"25/10/2020 {end}", "1"] for clock, end in pairwise(clocks)]
    time = PLAIN | {"end": "u", "timezone": "Europe/London"}
    del time["marks"]
    done = read_rows(read, rows[::order], "t u kWh", described(time))
    minutes = [-45, 15, 75, 90, 105, 120, 135]
    first = datetime(2020, 10, 25, tzinfo=UTC)
    assert done.instants == [first + timedelta(minutes=each) for each in minutes][::order]

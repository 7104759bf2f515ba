"""However rows tell when they are of: the same instants and lengths are read."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loader.formats.registry import ConfiguredFormat
from settings import FormatSettings
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

"""How the rows of a table tell when they are of: the columns, their pattern, the interval."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from loader.inspect.sheet_columns import SheetColumn
from loader.inspect.texts.notations import Moment, WrittenTime
from loader.inspect.texts.words import plain_words, says

EITHER_ORDER = "may be either"
"""What is said of a date whose day and month may be exchanged."""

_DAY = 86400
_MIN_PERIODS = 20
"""Numbers of periods in a day, unless the day is cut off."""
_DAY_COLUMNS = range(23, 151)
"""Columns of the intervals of a day."""
_DAYS_IN_ROW = 24, 48, 96, 144, 288, 1440
_LATE = 120
"""Seconds by which loggers may be late."""
_MANY = 50
"""One in so many rows at least is of a length that rows have."""
_FEW = 20
"""One in so many differences may be another one, as after a gap."""


@dataclass
class RowTimes:
    """The time of the rows, as far as the first lines of a file show it."""

    section: dict[str, Any]
    """The section `time` of the format."""
    used: set[int]
    """The places of the columns that tell the time, those of the end included."""
    label: str
    """The headings of the columns, for people."""
    marks: str = "start"
    interval: int | None = None
    """Seconds, if the rows tell one."""
    is_said: bool = False
    """Whether the format has to say the interval, since rows are told apart by it."""
    starts: list[int] = field(default_factory=list)
    """The time of each row in seconds since 1970, in UTC if offsets are told, else local."""
    lengths: Sequence[int] = ()
    """The different lengths, if rows may last differently long."""
    end_section: dict[str, Any] | None = None
    """The section `time.end`, if columns tell the ends of rows."""
    is_instant: bool = False
    """Whether times tell their offset."""
    is_counted: bool = False
    """Whether intervals are counted in their day, or told by order."""
    varies: bool = False
    """Whether the ends show that rows last differently long."""
    day_columns: Sequence[SheetColumn] = ()
    """The columns of a day in a row."""
    flag_columns: Sequence[SheetColumn] = ()
    """The columns beside these that say something of each interval."""
    doubts: list[str] = field(default_factory=list)
    """What a person has to confirm."""
    evidence: list[str] = field(default_factory=list)
    """What the file shows."""


def find_times(
    columns: Sequence[SheetColumn], zone: ZoneInfo, *, is_whole: bool
) -> RowTimes | None:
    """Return how rows tell their time; None if no column has days."""
    _share_order(columns)
    ways = _days_in_rows, _whole_times, _days_with_clocks, _days_with_periods, _days_alone
    found = [times for look in ways if (times := look(columns)) is not None]
    if not found:
        return None
    # The time of a download, say, does not tell rows apart.
    times = found[0] if found[0].day_columns else max(found, key=lambda each: len({*each.starts}))
    _note_differences(times)
    if not times.is_counted:
        _note_marks(times, zone, is_whole=is_whole)
    return times


# The columns


def _share_order(columns: Sequence[SheetColumn]) -> None:
    """Let columns in which days and months may be exchanged be like those in which they may not."""
    orders = [_orders(column.notations) for column in columns]
    told = {each for order in orders if len(order) == 1 for each in order}
    if len(told) == 1:
        for column in columns:
            (column.order,) = told


def _orders(notations: Sequence[WrittenTime]) -> set[bool]:
    """Return the orders of days and months that notations have, other than that of ISO 8601."""
    return {each.is_month_first for each in notations if each.pattern[:2] in ("%d", "%m")}


def _timed(columns: Sequence[SheetColumn], *, day: bool, clock: bool) -> list[SheetColumn]:
    """Return the columns of times that tell days, clocks or both."""
    return [
        column
        for column in columns
        if any((each.has_day, each.has_clock) == (day, clock) for each in column.notations)
        and not (clock and not day and _may_be_number(column))
    ]


def _may_be_number(column: SheetColumn) -> bool:
    """Return whether clocks such as 0930 may as well be numbers."""
    is_clock = column.says("time") and len(column.values[0]) > len("24")
    return column.is_number and not is_clock


def _changing(columns: Sequence[SheetColumn]) -> list[SheetColumn]:
    """Return the columns that do not hold one time alone, unless there is no other."""
    changing = [column for column in columns if len(column.values) > 1]
    return changing or [column for column in columns[:1] if not column.is_number]


def _whole_times(columns: Sequence[SheetColumn]) -> RowTimes | None:
    """Return times that one column tells, and maybe another one their ends."""
    found = _changing(_timed(columns, day=True, clock=True))
    found.sort(key=lambda column: not column.says("utc"))
    return _with_ends(found, [None] * len(found)) if found else None


def _days_with_clocks(columns: Sequence[SheetColumn]) -> RowTimes | None:
    """Return times whose days and clocks stand in two columns."""
    days = _timed(columns, day=True, clock=False)
    clocks = _changing(_timed(columns, day=False, clock=True))
    # With a clock for each, the days of starts and ends are meant: those of one may be the same.
    days = days if len(days) == len(clocks) else _changing(days)
    if not days or not clocks:
        return None
    if len(days) == 1:
        days *= len(clocks)
    pairs = list(zip(days, clocks, strict=False))
    return _with_ends([day for day, _ in pairs], [clock for _, clock in pairs])


def _with_ends(days: Sequence[SheetColumn], clocks: Sequence[SheetColumn | None]) -> RowTimes:
    """Return the times that rows begin with, and their ends where these stand beside them."""
    pairs = list(zip(days, clocks, strict=True))
    times, *others = (_read_times(day, clock) for day, clock in pairs)
    steps = Counter(abs(after - before) for before, after in pairwise(times.starts))
    step = max(steps, key=lambda each: (steps[each] * (each > 0), -each), default=0)
    for other, (day, clock) in zip(others, pairs[1:], strict=True):
        if other.is_instant is not times.is_instant:
            continue
        is_same_day = day is days[0]
        found = (end - start for start, end in zip(times.starts, other.starts, strict=False))
        distances = Counter(_nearest_day(each) if is_same_day else each for each in found)
        (usual, _), *_ = distances.most_common(1)
        if not usual or abs(usual) > min(_DAY, 2 * step or _DAY) or "timezone" in times.section:
            continue
        start, end = (times, other) if usual > 0 else (other, times)
        start.used |= end.used
        end_clock = clock if usual > 0 else clocks[0]
        start.end_section = end.section
        if is_same_day and end_clock is not None:
            # The day is that of the start, also of a row that ends at midnight.
            notation, _ = _chosen(end_clock, has_clock=True)
            start.end_section = {"column": end_clock.reference, "pattern": notation.pattern}
        start.evidence.append(f"rows tell their start ({start.label}) and their end ({end.label})")
        count = sum(distances.values())
        start.varies = sum(n * _MANY >= count for n in distances.values()) > 1
        return start
    return times


def _nearest_day(seconds: int) -> int:
    """Return the distance of two clocks, which may be of neighbouring days."""
    return (seconds + _DAY // 2) % _DAY - _DAY // 2


def _read_times(day: SheetColumn, clock: SheetColumn | None) -> RowTimes:
    """Return the times that a column tells, or a day and a clock in two columns."""
    half_days = clock is not None and any("%p" in each.pattern for each in clock.notations)
    notation, doubt = _chosen(day, has_clock=clock is None, is_american=half_days)
    texts: Sequence[Moment | None] = [notation.parse(text) for text in day.texts]
    section: dict[str, Any] = {"column": day.reference, "pattern": notation.pattern}
    used = {day.place}
    if clock is not None:
        clock_notation, _ = _chosen(clock, has_clock=True)
        seconds = [clock_notation.parse(text) for text in clock.texts]
        texts = [
            Moment(one.day, two.second) if one and two else None
            for one, two in zip(texts, seconds, strict=True)
        ]
        section = {
            "column": [day.reference, clock.reference],
            "pattern": f"{notation.pattern} {clock_notation.pattern}",
        }
        used.add(clock.place)
    starts = [_seconds(moment) for moment in texts if moment is not None]
    label = day.label if clock is None else f"{day.label}, {clock.label}"
    is_utc = says(label, "utc") and not notation.is_instant
    if is_utc:
        section["timezone"] = "UTC"
    return RowTimes(
        section, used, label, starts=starts, doubts=doubt, is_instant=notation.is_instant or is_utc
    )


def _seconds(moment: Moment) -> int:
    assert moment.day is not None
    return _day_seconds(moment.day) + (moment.second or 0)


def _day_seconds(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


def _chosen(
    column: SheetColumn, *, has_clock: bool, is_american: bool = False
) -> tuple[WrittenTime, list[str]]:
    """Return the notation of a column, and what is in doubt if days and months may be exchanged."""
    fitting = [each for each in column.notations if each.has_clock == has_clock]
    if not fitting:
        fitting = list(column.notations)
    told = [each for each in fitting if each.is_month_first is column.order]
    fitting = told if told and len(_orders(fitting)) > 1 else fitting
    orders = {each.is_month_first for each in fitting if each.has_day}
    if len(orders) < 2:
        return fitting[0], []
    scores = {
        order: max(
            (_neighbours(column.texts, each), -number)
            for number, each in enumerate(fitting)
            if each.is_month_first is order
        )
        for order in (False, True)
    }
    is_american = is_american or "%p" in fitting[0].pattern
    has_points = "." in fitting[0].pattern[:3]
    is_month_first = scores[True][0] > scores[False][0] and not has_points
    doubt = []
    is_alike = scores[True][0] == scores[False][0]
    # If each row is of a day of its own, the other order makes months of the days.
    has_days = not fitting[0].has_clock and len({*column.texts}) == len(column.texts)
    if (is_alike or has_days) and not has_points:
        is_month_first = is_american if is_alike else is_month_first
        order = "the month before the day" if is_month_first else "the day before the month"
        doubt = [f"{column.label}: {order}? {column.filled[0]!r} {EITHER_ORDER}"]
    number = -scores[is_month_first][1]
    return fitting[number], doubt


def _neighbours(texts: Sequence[str], notation: WrittenTime) -> int:
    """Return how many rows are of the same day as the row above, or of a day beside it."""
    days = [moment.day for moment in map(notation.parse, texts) if moment and moment.day]
    return sum(abs(after - before) <= timedelta(days=1) for before, after in pairwise(days))


def _days_with_periods(columns: Sequence[SheetColumn]) -> RowTimes | None:
    """Return times whose days are counted in hours or other periods, in a column of their own."""
    days = _changing(_timed(columns, day=True, clock=False))
    if not days:
        return None
    day = days[0]
    for column in columns:
        if column.place in {each.place for each in days} or not column.is_number:
            continue
        if not all(text.isdigit() and len(text) <= 3 for text in column.values):
            continue
        numbers = [int(text) if text.isdigit() else 0 for text in column.texts]
        if len({*numbers}) < _MIN_PERIODS or not _rises_daily(day.texts, numbers):
            continue
        return _counted(day, column, numbers)
    return None


def _rises_daily(days: Sequence[str], numbers: Sequence[int]) -> bool:
    """Return whether numbers go up by one within a day, or down, nearly always."""
    steps = Counter(
        after - before
        for (day, before), (other, after) in pairwise(zip(days, numbers, strict=True))
        if day == other
    )
    (step, count), *_ = steps.most_common(1) or [(0, 0)]
    return step in (1, -1) and count * 10 >= 9 * sum(steps.values())


def _counted(day: SheetColumn, column: SheetColumn, numbers: Sequence[int]) -> RowTimes:
    """Return the times of days with the numbers of hours or other periods."""
    notation, doubt = _chosen(day, has_clock=False)
    first = min(*numbers, 1)
    periods = max(numbers) - first + 1
    usual = min((24, 48, 96), key=lambda count: abs(count - periods))
    interval = _DAY // usual
    moments = [notation.parse(text) for text in day.texts]
    starts = [
        _seconds(moment) + (number - first) * interval
        for moment, number in zip(moments, numbers, strict=True)
        if moment is not None
    ]
    section: dict[str, Any] = {"column": day.reference, "pattern": notation.pattern}
    if usual == 24:
        section |= {"hour": column.reference}
    else:
        section |= {"period": column.reference, "first_period": first}
    return RowTimes(
        section,
        {day.place, column.place},
        f"{day.label}, {column.label}",
        marks="end" if first and usual == 24 else "start",
        interval=interval,
        is_said=usual != 24,
        is_counted=True,
        starts=starts,
        doubts=doubt,
        evidence=[f"{column.label} counts the intervals of a day from {first}"],
    )


def _days_in_rows(columns: Sequence[SheetColumn]) -> RowTimes | None:
    """Return times of rows that hold a day each, one interval in a column."""
    days = _changing(_timed(columns, day=True, clock=False))
    run, flags = _longest_run(columns), list[SheetColumn]()
    if len(run) not in _DAY_COLUMNS:
        run, flags = _longest_pairs(columns)
    if not days or len(run) not in _DAY_COLUMNS or days[0].place in {c.place for c in run}:
        return None
    day = days[0]
    notation, doubt = _chosen(day, has_clock=False)
    usual = min(_DAYS_IN_ROW, key=lambda count: abs(count - len(run)))
    moments = [notation.parse(text) for text in day.texts]
    return RowTimes(
        {"column": day.reference, "pattern": notation.pattern},
        {day.place, *(column.place for column in (*run, *flags))},
        day.label,
        interval=_DAY // usual,
        is_said=True,
        is_counted=True,
        starts=[_seconds(moment) for moment in moments if moment is not None],
        day_columns=run,
        flag_columns=flags,
        doubts=doubt,
        evidence=[
            f"a row holds a day, in {len(run)} columns" + " with a flag behind each" * bool(flags)
        ],
    )


def _longest_pairs(
    columns: Sequence[SheetColumn],
) -> tuple[list[SheetColumn], list[SheetColumn]]:
    """Return the most columns of numbers with one of words behind each, and these."""
    best: tuple[list[SheetColumn], list[SheetColumn]] = [], []
    for begin in (0, 1):
        numbers: list[SheetColumn] = []
        flags: list[SheetColumn] = []
        for column, flag in zip(columns[begin::2], columns[begin + 1 :: 2], strict=False):
            is_pair = (column.is_number or not column.filled) and _may_be_flag(flag)
            if not is_pair or column.says("time"):
                numbers, flags = [], []
                continue
            if column.filled or numbers:
                numbers, flags = [*numbers, column], [*flags, flag]
            if len(numbers) > len(best[0]):
                best = numbers, flags
    return best


def _may_be_flag(column: SheetColumn) -> bool:
    """Return whether a column has one of a few words in each row, or nothing."""
    if not column.filled:
        return True
    is_few = len(column.values) <= _MAX_FLAGS and not column.notations
    return is_few and not column.is_number and not column.is_identifier


_MAX_FLAGS = 4
"""Different words in a column that says something of the interval beside it."""
_SUMS = {"somme", "sum", "suma", "summe", "total", "totale"}


def _longest_run(columns: Sequence[SheetColumn]) -> list[SheetColumn]:
    """Return the most columns side by side that hold numbers or nothing."""
    longest: list[SheetColumn] = []
    run: list[SheetColumn] = []
    for column in columns:
        is_sum = bool(_SUMS & {*plain_words(column.name).split()})
        if (column.is_number or not column.filled) and not column.says("time") and not is_sum:
            run = [*run, column]
        else:
            run = []
        if len(run) > len(longest):
            longest = run
    while longest and not longest[0].filled:
        longest = longest[1:]
    return longest


def _days_alone(columns: Sequence[SheetColumn]) -> RowTimes | None:
    """Return times of rows that tell their day alone: their order tells the rest."""
    days = _changing(_timed(columns, day=True, clock=False))
    if not days:
        return None
    day = days[0]
    notation, doubt = _chosen(day, has_clock=False)
    counts = Counter(day.texts)
    (usual, _), *_ = Counter(counts.values()).most_common(1)
    moments = [notation.parse(text) for text in day.texts]
    starts = [_seconds(moment) for moment in moments if moment is not None]
    section: dict[str, Any] = {"column": day.reference, "pattern": notation.pattern}
    times = RowTimes(section, {day.place}, day.label, starts=starts, doubts=doubt)
    if usual == 1:
        return times
    if usual not in _DAYS_IN_ROW:
        return None
    section["period"] = "order"
    times.interval, times.is_said, times.is_counted = _DAY // usual, True, True
    times.evidence.append(f"a day has {usual} rows, which only their order tells apart")
    return times


# The interval, and which end of it a time marks


def _note_differences(times: RowTimes) -> None:
    """Note the interval that times tell, and that they are some seconds late."""
    if times.interval is not None:
        return
    ordered = sorted({*times.starts})
    differences = Counter(after - before for before, after in pairwise(ordered))
    if not differences:
        return
    usual, _ = differences.most_common(1)[0]
    least = min(differences)
    if least < usual and usual % least == 0 and differences[least] * _FEW >= len(ordered):
        usual = least
    late = {each: _late(ordered, each) for each in (900, 1800, 3600) if usual % 60}
    for interval, seconds in late.items():
        if seconds is not None and abs(usual - interval) <= _LATE:
            times.interval, times.is_said = interval, True
            times.section["tolerance"] = 60 if seconds <= 60 else _LATE
            times.evidence.append(f"times are up to {seconds} seconds late")
            return
    times.interval = usual
    twice = [each for each in differences if each in (2 * usual, 3 * usual, 4 * usual)]
    if not times.lengths and twice and usual in (900, 1800):
        times.lengths = [usual, *sorted(twice)[:1]]


def _late(ordered: Sequence[int], interval: int) -> int | None:
    """Return the seconds by which times are late at most; None if they aren't of an interval."""
    late = [each % interval for each in ordered]
    return max(late) if 0 < max(late) <= _LATE else None


def _note_marks(times: RowTimes, zone: ZoneInfo, *, is_whole: bool) -> None:
    """Note which end of its interval a time marks, by headings and by the first and last row."""
    if times.end_section is not None:
        return
    votes = list(_votes(times, zone, is_whole=is_whole))
    if votes:
        times.marks = votes[0][0]
    if len({mark for mark, _ in votes}) == 1:
        reasons = ", ".join(reason for _, reason in votes)
        times.evidence.append(f"times mark the {times.marks} of intervals: {reasons}")
    else:
        times.doubts.append(f"do times mark the start or the end of intervals? here: {times.marks}")


def _votes(times: RowTimes, zone: ZoneInfo, *, is_whole: bool) -> Iterator[tuple[str, str]]:
    """Yield what headings and the first and last time say, the surest first, each with why."""
    for mark in ("end", "start"):
        if says(times.label, mark):
            yield mark, f"the heading is {times.label}"
    interval = times.interval or 0
    first, last = (_clock(times, each, zone) for each in (min(times.starts), max(times.starts)))
    if not interval or (_DAY % interval and interval % _DAY):
        return
    if first == 0:
        yield "start", "the first is 00:00"
    elif first == interval:
        yield "end", f"the first is {first // 3600:02}:{first // 60 % 60:02}"
    if is_whole and interval < _DAY and last in (0, _DAY - interval):
        yield "end" if last == 0 else "start", f"the last is {last // 3600:02}:{last // 60 % 60:02}"


def _clock(times: RowTimes, second: int, zone: ZoneInfo) -> int:
    """Return the second of the local day."""
    if not times.is_instant:
        return second % _DAY
    offset = datetime.fromtimestamp(second, zone).utcoffset()
    assert offset is not None
    return (second + int(offset.total_seconds())) % _DAY

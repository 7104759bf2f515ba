"""Making readings for a layout: random spans over both changes of clocks, with gaps."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from itertools import pairwise
from random import Random
from zoneinfo import ZoneInfo

from tests.support.known_reports.made import Layout, Made

_NEAR = timedelta(hours=3)
"""Around a change of clocks, rows tell their times by their neighbours: there are no gaps."""


@cache
def changes(zone: ZoneInfo) -> list[datetime]:
    """Return when clocks change, in some years."""
    first, last = (datetime(year, 1, 1, tzinfo=UTC) for year in (2021, 2026))
    days = [first + timedelta(days=place) for place in range((last - first).days)]
    return [
        hour
        for day, after in pairwise(days)
        if day.astimezone(zone).utcoffset() != after.astimezone(zone).utcoffset()
        for hour in (day + timedelta(hours=place) for place in range(1, 25))
        if hour.astimezone(zone).utcoffset()
        != (hour - timedelta(hours=1)).astimezone(zone).utcoffset()
    ]


def made_readings(layout: Layout, chance: Random) -> list[Made]:
    """Return the readings of one to three days, mostly about a change of clocks."""
    step = timedelta(seconds=layout.seconds)
    change = chance.choice(
        [each for each in changes(layout.zone) if layout.has_repeated or each.month < 6]
    )
    day = change.astimezone(layout.zone) - timedelta(days=chance.choice([0, 0, 1, 1, 30]))
    begin = day.replace(hour=0, minute=0, tzinfo=layout.zone).astimezone(UTC)
    count = int(timedelta(days=chance.randint(1, 3)) / step)
    if layout.is_whole_days:
        last = (day + timedelta(days=2)).replace(hour=0, minute=0).astimezone(UTC)
        count = (last - begin) // step
    else:
        begin += step * chance.randrange(8)
        count += chance.randint(-6, 6)
    starts = [begin + step * place for place in range(count)]
    if any(
        abs(end - each) < _NEAR for end in (starts[0], starts[-1]) for each in changes(layout.zone)
    ):
        return made_readings(layout, chance)
    return _with_gap(layout, [_made(layout, start, chance) for start in starts], chance)


def _made(layout: Layout, start: datetime, chance: Random) -> Made:
    is_missing = layout.has_missing and chance.random() < 0.03

    def energy(*, has_it: bool) -> Decimal | None:
        thousandths = chance.choice([0, 1, chance.randrange(3000)]) or not layout.has_zeros
        return None if is_missing or not has_it else Decimal(thousandths) / 1000

    return Made(
        start,
        layout.seconds,
        energy(has_it=layout.has_energy),
        energy(has_it=layout.has_exported),
        layout.has_estimated and chance.random() < 0.1,
    )


def _with_gap(layout: Layout, made: Sequence[Made], chance: Random) -> list[Made]:
    if not layout.has_gaps or chance.random() < 0.5:
        return list(made)
    first = chance.randrange(len(made))
    lost = made[first : first + chance.randint(layout.least_gap, 9)]
    near = [
        each
        for each in lost
        if any(abs(each.start - change) < _NEAR for change in changes(layout.zone))
    ]
    kept = [each for each in made if each not in lost or near or len(lost) < layout.least_gap]
    return kept or list(made)

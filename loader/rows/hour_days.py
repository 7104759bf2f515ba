"""Rows with the number of an hour or another part of a day on which clocks change.

The parts may be counted, or those of the clock.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import Enum

from domain.time.local_time import LocalTimeResolver

DOUBTFUL_HOURS = (
    "time.hours: counted or clock in the format, since clocks change on this day and its rows do"
    " not show which its hours are"
)

_CLOCK_HOURS = 24


class HourKind(Enum):
    """What the number of an hour, or of another part of a day, stands for."""

    COUNTED = "how many hours have passed since midnight"
    CLOCK = "what clocks show"


def kind_of_hours(
    places: Sequence[int],
    midnight: datetime,
    count: int,
    resolver: LocalTimeResolver,
    length: timedelta = timedelta(hours=1),
) -> HourKind | None:
    """Return what the parts of a day stand for, as far as that matters; None if they do not tell.

    Places are the parts' numbers from 0, in the order of the report; the day begins at `midnight`,
    a local time, and has so many parts of this length.
    """
    counts = Counter(places)
    usual = timedelta(hours=_CLOCK_HOURS) // length
    is_counted = is_clock = differs = False
    begin = resolver.instant(midnight)
    assert begin is not None, "a day begins"
    for place, number in counts.items():
        local = midnight + length * place
        instant = resolver.instant(local)
        is_clock |= place >= count or (number == 2 and resolver.is_repeated(local))
        is_counted |= place >= usual or instant is None
        differs |= instant != begin + length * place
    if not differs and not is_clock:
        return HourKind.COUNTED
    if is_clock is is_counted:
        return None
    return HourKind.CLOCK if is_clock else HourKind.COUNTED

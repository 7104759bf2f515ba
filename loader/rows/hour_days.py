"""Rows with the number of an hour, on days on which clocks change: counted, or of the clock."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import Enum

from domain.time.local_time import LocalTimeResolver

DOUBTFUL_HOURS = (
    "time.hours: counted or clock in the format, since clocks change on this day and its rows do"
    " not show which its hours are"
)

_HOUR = timedelta(hours=1)
_CLOCK_HOURS = 24


class HourKind(Enum):
    """What the number of an hour stands for."""

    COUNTED = "how many hours have passed since midnight"
    CLOCK = "what clocks show"


def kind_of_hours(
    places: Sequence[int], midnight: datetime, hours: int, resolver: LocalTimeResolver
) -> HourKind | None:
    """Return what the hours of a day stand for, as far as that matters; None if they do not tell.

    Places are the hours' numbers from 0, in the order of the report; the day begins at `midnight`,
    a local time, and has so many hours.
    """
    counts = Counter(places)
    is_counted = is_clock = differs = False
    begin = resolver.instant(midnight)
    assert begin is not None, "a day begins"
    for place, number in counts.items():
        local = midnight + _HOUR * place
        instant = resolver.instant(local)
        is_clock |= place >= hours or (number == 2 and resolver.is_repeated(local))
        is_counted |= place >= _CLOCK_HOURS or instant is None
        differs |= instant != begin + _HOUR * place
    if not differs and not is_clock:
        return HourKind.COUNTED
    if is_clock is is_counted:
        return None
    return HourKind.CLOCK if is_clock else HourKind.COUNTED

"""Times that are some seconds early where clocks go back.

Such a time may be of the first pass of the repeated hour, or of the second one and then that of the
first reading behind it. Only readings without a gap tell which.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from domain.time.local_time import LocalTimeResolver

UNTOLD_EARLY_TIME = (
    "all readings around the hour that clocks repeat, since some times are early and only readings"
    " without a gap tell which pass these are of; or times with their UTC offset"
)


def offsets_of_early(
    times: Sequence[datetime],
    resolver: LocalTimeResolver,
    moved: Callable[[datetime], datetime],
    step: timedelta,
) -> list[int] | None:
    """Return the offsets of the repeated ones of a day's times, in their order.

    They are told by moving instants to where readings are expected, one step after the other. None
    if they do not tell.
    """
    if times[0] > times[-1]:
        newest_last = offsets_of_early(times[::-1], resolver, moved, step)
        return None if newest_last is None else newest_last[::-1]
    places = [place for place, local in enumerate(times) if resolver.is_repeated(local)]
    first, last = places[0] - 1, places[-1] + 1
    if first < 0 or last == len(times):
        return None
    found = dict[tuple[datetime, ...], list[int]]()
    for switch in range(len(places) + 1):
        passes = dict(zip(places, [0] * switch + [1] * (len(places) - switch), strict=False))
        offsets = {
            place: resolver.offset(times[place], passes.get(place, 0))
            for place in range(first, last + 1)
        }
        instants = tuple(
            moved(times[place].replace(tzinfo=UTC) - timedelta(seconds=offset))
            for place, offset in offsets.items()
        )
        if all(later - earlier == step for earlier, later in pairwise(instants)):
            found.setdefault(instants, [offsets[place] for place in places])
    return next(iter(found.values())) if len(found) == 1 else None

"""Local times of many instants at once."""

from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np

from domain.columns import Integers
from domain.time.time_zone import DAY_SECONDS, TimeZone

_BLOCK_SECONDS = 500 * DAY_SECONDS
"""Clock changes are searched, and kept, for so many seconds at once."""

_KEPT_BLOCKS = 1000


def local_times(zone: TimeZone, utc: Integers) -> Integers:
    """Return what clocks show at instants, which are in order, as seconds since 1970."""
    if not len(utc):
        return utc
    blocks = range(int(utc[0]) // _BLOCK_SECONDS, int(utc[-1]) // _BLOCK_SECONDS + 1)
    periods = [period for block in blocks for period in _offset_periods(zone.info, block)]
    starts = utc.searchsorted([start for start, _ in periods])
    offsets = np.array([offset for _, offset in periods])
    local: Integers = utc + np.repeat(offsets, np.diff(starts, append=len(utc)))
    return local


@lru_cache(maxsize=_KEPT_BLOCKS)
def _offset_periods(info: ZoneInfo, block: int) -> list[tuple[int, int]]:
    """Return since when local time has been how many seconds ahead of UTC."""
    start = block * _BLOCK_SECONDS
    periods = TimeZone(info).offset_periods(start, start + _BLOCK_SECONDS)
    return [(period.start, period.offset) for period in periods]

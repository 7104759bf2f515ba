"""The list of meters sorted by what they are called or by their last month, or those to look at."""

import time
import unicodedata
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from storage.access.viewer import Viewer
from storage.backends.base import ReadEngine
from storage.common.single_flight import SingleFlights
from storage.common.turns import in_pieces, in_thread
from storage.figures.days.recent import RecentTotals, recent_totals
from storage.meters import MeterPage

MOST_SORTED = 20_000
"""Meters that can be sorted: all of them are looked at."""

STALE_SECONDS = 2 * 86400
"""The age from which the newest reading of a meter is not recent."""

LOW_COVERAGE = 95
"""The percentage of the expected readings below which coverage is low."""

KEPT_SECONDS = 60
"""How long an order holds."""

_MOST_KEPT = 8
"""Lists that are remembered, of some megabytes each."""

_METERS_AT_ONCE = 1000


class UnsortableError(Exception):
    """There are more meters than can be sorted."""


class ListMeters(Protocol):
    """Returns a page of the meters that a client may see, see `Database.list_meters`."""

    def __call__(
        self, limit: int, after: str, search: str, viewer: Viewer | None
    ) -> Awaitable[MeterPage]: ...


@dataclass(frozen=True, slots=True)
class MeterOrder:
    """Which meters of a list are shown, and in which order."""

    by: str = "id"
    """A name of `ORDERS`; meters that are equal in it are in the order of their public ids."""
    is_descending: bool = False
    """Meters of which it is unknown come last in either order."""
    warning: str | None = None
    """A name of `WARNINGS`: only meters that have it."""
    stale: int | None = None
    """Only meters whose newest reading began more than so many seconds ago, or that have none."""


@dataclass(frozen=True, slots=True)
class _Listed:
    """A meter, and what it is sorted by."""

    id: int
    public_id: str
    name: str | None
    last_reading: int | None
    totals: RecentTotals | None

    def warnings(self, now: float) -> set[str]:
        """Return what is wrong with it, by names of `WARNINGS`."""
        if self.last_reading is None or self.totals is None:
            return {"stale"}
        found = set()
        totals = self.totals
        if now - self.last_reading >= STALE_SECONDS:
            found.add("stale")
        if totals.expected is not None and totals.present < totals.expected:
            found.add("gaps")
            if totals.present * 100 < totals.expected * LOW_COVERAGE:
                found.add("low-coverage")
        if totals.implausible:
            found.add("implausible")
        return found

    @property
    def coverage(self) -> float | None:
        if self.totals is None or not self.totals.expected:
            return None
        return min(1.0, self.totals.present / self.totals.expected)


WARNINGS: Mapping[str, str] = {
    "any": "any of these",
    "stale": f"no reading in the last {STALE_SECONDS // 86400} days, or none at all",
    "gaps": "readings are missing in the last month",
    "low-coverage": f"fewer than {LOW_COVERAGE} % of the expected readings are there",
    "implausible": "some readings of the last month are implausible",
}
"""What may be wrong with a meter, in words."""

ORDERS: Mapping[str, Callable[[_Listed, float], Any]] = {
    "id": lambda meter, _: meter.public_id,
    "name": lambda meter, _: _folded(meter.name or meter.public_id),
    "energy": lambda meter, _: meter.totals and meter.totals.energy,
    "coverage": lambda meter, _: meter.coverage,
    "newest": lambda meter, _: meter.last_reading,
    "warnings": lambda meter, now: len(meter.warnings(now) - {"low-coverage"}),
}
"""What meters can be sorted by, as of an instant; None is unknown."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """Whose list it is, and of what."""

    viewer: Viewer | None
    search: str
    is_clean: bool
    version: Hashable | None
    """The state of the grants."""


@dataclass(frozen=True, slots=True)
class _KeptOrder:
    """The meters of a list, and the orders that were asked for."""

    meters: Sequence[_Listed]
    at: float
    until: float
    orders: dict[MeterOrder, Sequence[int]] = field(default_factory=dict)


class SortedMeters:
    """Sorts the meters that a client may see. Calls raise a StorageError if the database fails."""

    def __init__(self, engine: ReadEngine, list_meters: ListMeters) -> None:
        self._engine = engine
        self._list_meters = list_meters
        self._kept: OrderedDict[_Asked, _KeptOrder] = OrderedDict()
        self._lists = SingleFlights(self._list)

    async def ids(
        self,
        order: MeterOrder,
        search: str,
        viewer: Viewer | None,
        *,
        is_clean: bool,
        version: Hashable | None,
    ) -> Sequence[int]:
        """Return the ids of all meters in an order, which may be a minute old.

        Another version of the grants is looked at anew. Raises UnsortableError.
        """
        kept = await self._lists(_Asked(viewer, search, is_clean, version))
        ids = kept.orders.get(order)
        if ids is None:
            ids = await in_thread(_sorted, kept.meters, order, kept.at)
            kept.orders[order] = ids
        return ids

    async def _list(self, asked: _Asked) -> _KeptOrder:
        now = time.time()
        kept = self._kept.get(asked)
        if kept is None or not kept.at <= now < kept.until:
            meters, until = await self._listed(asked)
            kept = self._kept[asked] = _KeptOrder(meters, now, min(until, now + KEPT_SECONDS))
        self._kept.move_to_end(asked)
        if len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)
        return kept

    async def _listed(self, asked: _Asked) -> tuple[Sequence[_Listed], float]:
        """Return the meters in the order of their public ids, and until when they may be seen."""
        found: list[_Listed] = []
        following: str | None = ""
        until = float("inf")
        while following is not None:
            page = await self._list_meters(_METERS_AT_ONCE, following, asked.search, asked.viewer)
            totals = await recent_totals(
                self._engine, page.meters, page.windows, is_clean=asked.is_clean
            )
            async for piece in in_pieces(page.meters):
                found += (
                    _Listed(
                        *(meter.id, meter.public_id, meter.name, meter.last_reading),
                        totals.get(meter.id),
                    )
                    for meter in piece
                )
            following, until = page.following, min(until, page.until)
            if len(found) + (following is not None) > MOST_SORTED:
                raise UnsortableError
        return found, until


def _sorted(meters: Iterable[_Listed], order: MeterOrder, now: float) -> Sequence[int]:
    """Return the ids of the meters of an order, given in that of their public ids."""
    keys = {each.id: ORDERS[order.by](each, now) for each in meters if _is_in(each, order, now)}
    known = [meter_id for meter_id, key in keys.items() if key is not None]
    # Equal ones stay in the order of their public ids, also in descending order.
    known.sort(key=keys.__getitem__, reverse=order.is_descending)
    return [*known, *(meter_id for meter_id, key in keys.items() if key is None)]


def _is_in(meter: _Listed, order: MeterOrder, now: float) -> bool:
    if order.stale is not None and (meter.last_reading or 0) >= now - order.stale:
        return False
    if order.warning is None:
        return True
    warnings = meter.warnings(now)
    return bool(warnings) if order.warning == "any" else order.warning in warnings


def _folded(name: str) -> str:
    """Return a name without marks such as accents, in lower case."""
    parts = unicodedata.normalize("NFKD", name)
    return "".join(each for each in parts if not unicodedata.combining(each)).casefold()

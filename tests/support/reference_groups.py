"""Sums of groups, reckoned reading by reading from the rows of the tables."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from domain.flags import CATCH_UP, ESTIMATED, IMPLAUSIBLE
from domain.quantities import ALL_QUANTITY_NAMES, EXPORTED_QUANTITIES
from storage.backends.base import WriteEngine

STEP = 60
"""Every clock change, and every bound of a bucket, falls on a multiple of it."""

SHORT = {"15m": 900, "30m": 1800, "hour": 3600}
LETTERS = {"month": 7, "year": 4}

EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - local times without a zone are reckoned from it

Range = tuple[int, int]


@dataclass(frozen=True)
class Way:
    """A way from a group to a meter: its sign, and from when to when it counts."""

    meter: int
    sign: int
    start: int
    end: int


@dataclass(frozen=True)
class StoredReading:
    at: int
    values: Mapping[str, int | None]
    flags: int
    seconds: int | None

    @property
    def is_present(self) -> bool:
        return any(value is not None for value in self.values.values())


@dataclass
class StoredMeter:
    public_id: str
    readings: list[StoredReading]
    spans: list[tuple[int, int | None]]
    """From when the interval is, and how many seconds."""

    def due(self, start: int, end: int, first: int | None = None) -> list[int] | None:
        """Return when readings are expected between two instants, None if that is unknown.

        The first reading that may be seen, if it is not the first of all, is at an instant.
        """
        moments: list[int] = []
        if first is None:
            first = self.readings[0].at if self.readings else 0
        spans = [(max(begin, first), length) for begin, length in self.spans]
        spans = [
            span for at, span in enumerate(spans) if span[0] not in [s[0] for s in spans[at + 1 :]]
        ]
        spans = spans or [(0, None)]
        for number, (origin, length) in enumerate(spans):
            since = start if number == 0 else max(start, origin)
            until = end if number == len(spans) - 1 else min(end, spans[number + 1][0])
            if since >= until:
                continue
            if length is None:
                return None
            moments += [at for at in range(since, until) if (at - origin) % length == 0]
        return moments

    def shown(self, start: int, end: int) -> "StoredMeter":
        """Return the meter with the readings between two instants."""
        some = [reading for reading in self.readings if start <= reading.at < end]
        return StoredMeter(self.public_id, some, self.spans)

    def end_of(self, readings: Sequence[StoredReading]) -> int:
        """Return when the last of some readings ends: it is meant for the nearest moment."""
        last = readings[-1]
        if last.seconds is None:
            return last.at + 1
        near = self.due(last.at - last.seconds, last.at + last.seconds, readings[0].at) or []
        nearest = min(near, key=lambda at: (abs(at - last.at), -at))
        return nearest + last.seconds


class Calendar:
    """Local days of a zone, looked at minute by minute."""

    def __init__(self, zone: str, start: int, end: int) -> None:
        self.info = ZoneInfo(zone)
        self.start, self.end = start // STEP * STEP, end
        self._locals = {
            at: datetime.fromtimestamp(at, UTC).astimezone(self.info).replace(tzinfo=None)
            for at in range(self.start - STEP, end + STEP, STEP)
        }

    def start_of(self, day: date) -> int:
        """Return the first minute of a day, or of a later one if clocks leap over it."""
        return next(at for at, local in self._locals.items() if local.date() >= day)

    def first(self, time: datetime) -> int:
        """Return the first minute at which clocks show a local time, or a later one."""
        return next(at for at, local in self._locals.items() if local >= time)

    def edges(self, size: str) -> list[int]:
        """Return when buckets begin."""
        return [*(self._short(SHORT[size]) if size in SHORT else self._long(size))]

    def _short(self, size: int) -> Iterator[int]:
        for at, local in self._locals.items():
            seconds = local - EPOCH
            before = self._locals.get(at - STEP)
            if before is None:
                continue
            ended = before + timedelta(seconds=STEP) - EPOCH
            if not (seconds % timedelta(seconds=size) and ended % timedelta(seconds=size)):
                yield at

    def _long(self, size: str) -> Iterator[int]:
        reached = ""
        for at, local in self._locals.items():
            day = local.date()
            if size == "week":
                day -= timedelta(days=day.weekday())
            name = str(day)[: LETTERS.get(size)]
            if reached and name > reached:
                yield at
            reached = max(reached, name)


async def stored_meters(engine: WriteEngine) -> dict[int, StoredMeter]:
    """Return the meters with their readings."""
    flags = {
        (meter, number): bits
        for meter, number, bits in await engine.fetch(
            "SELECT meter_id, reading_id, flags FROM flags"
        )
    }
    meters = {
        number: StoredMeter(public_id, [], [(0, seconds)] if seconds else [])
        for number, public_id, seconds in await engine.fetch(
            "SELECT id, public_id, interval_seconds FROM meters"
        )
    }
    spans = await engine.fetch(
        "SELECT meter_id, first_utc, seconds FROM intervals ORDER BY meter_id, first_utc"
    )
    for meter, first, seconds in spans:
        if meters[meter].spans[:1] != [(0, seconds)]:
            meters[meter].spans.append((plain(first), seconds))
    rows = await engine.fetch(
        f"SELECT meter_id, id, utc, {', '.join(ALL_QUANTITY_NAMES)} FROM readings"
        " ORDER BY meter_id, utc"
    )
    for meter, number, utc, *values in rows:
        at = plain(utc)
        known = [seconds for first, seconds in meters[meter].spans if first <= at]
        lengths = known or [seconds for _, seconds in meters[meter].spans[:1]] or [None]
        meters[meter].readings.append(
            StoredReading(
                *(at, dict(zip(ALL_QUANTITY_NAMES, map(plain, values), strict=True))),
                *(flags.get((meter, number), 0), lengths[-1]),
            )
        )
    return meters


def plain(value: Any) -> Any:
    """Return an instant or a quantity from either database as a whole number."""
    if isinstance(value, datetime):
        return int(value.replace(tzinfo=UTC).timestamp())
    if value is None or isinstance(value, int):
        return value
    return int(value.scaleb(5))


def reckoned_sums(
    meters: Mapping[int, StoredMeter],
    ways: Sequence[Way],
    bucket: Range,
    most_named: int,
    *,
    is_clean: bool,
) -> dict[str, Any]:
    """Return the sums of a group in a bucket."""
    by_meter: dict[int, list[Way]] = defaultdict(list)
    for way in ways:
        start, end = max(way.start, bucket[0]), min(way.end, bucket[1])
        if start < end:
            by_meter[way.meter].append(Way(way.meter, way.sign, start, end))
    members = [
        _reckoned_member(meters[meter], some, bucket, is_clean=is_clean)
        for meter, some in by_meter.items()
    ]
    lacking = sorted(member["public_id"] for member in members if member["is_lacking"])
    reactive = [member["reactive_energy"] for member in members]
    means = [member["power_mean"] for member in members]
    expected = _sum_if_all(member["expected"] for member in members)
    present = sum(member["present"] for member in members)
    power = _sum_if_all(means) if means else None
    exported: dict[str, int | None] = {}
    for quantity in EXPORTED_QUANTITIES:
        energies = [member[quantity.name] for member in members]
        exported[quantity.name] = _sum_of_known(energies)
        exported[f"{quantity.name}_members"] = sum(energy is not None for energy in energies)
    return {
        **exported,
        "estimated": sum(member["estimated"] for member in members),
        "members": len(members),
        "energy": _sum_of_known(member["energy"] for member in members),
        "reactive_energy": _sum_of_known(reactive),
        "reactive_energy_members": sum(energy is not None for energy in reactive),
        "power_mean": None if power is None else rounded(power),
        "expected": expected,
        "present": present,
        "coverage": rounded(Fraction(present * 10**5, expected)) if expected else None,
        "members_lacking": len(lacking),
        "lacking": " ".join(lacking[:most_named]),
    }


def reckoned_partial(
    meters: Mapping[int, StoredMeter], ways: Sequence[Way], missing: Sequence[Range]
) -> int | None:
    """Return 1 if readings are expected in what is missing of a bucket, None if that is unknown."""
    due = [
        meters[way.meter].due(max(way.start, start), min(way.end, end))
        for start, end in missing
        for way in ways
        if max(way.start, start) < min(way.end, end)
    ]
    return 1 if any(due) else None if None in due else 0


def reckoned_left_out(
    meters: Mapping[int, StoredMeter], ways: Sequence[Way], period: Range
) -> dict[str, str]:
    """Return the implausible readings of a period, counted on each way, and their energy."""
    found = [
        way.sign * (reading.values["energy"] or 0)
        for way in ways
        for reading in meters[way.meter].readings
        if max(way.start, period[0]) <= reading.at < min(way.end, period[1])
        and reading.flags & IMPLAUSIBLE.bit
    ]
    energy = Decimal(sum(found)).scaleb(-5)
    return {"readings": str(len(found)), "energy": f"{energy:.5f}"}


def _sum_of_known(numbers: Iterable[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None


def _sum_if_all(numbers: Iterable[Any]) -> Any:
    all_numbers = [*numbers]
    return None if None in all_numbers else sum(all_numbers)


def _reckoned_member(
    meter: StoredMeter, ways: Sequence[Way], bucket: Range, *, is_clean: bool
) -> dict[str, Any]:
    """Return what a meter is counted as in a bucket, by the ways to it that are clipped to it."""
    counted = [
        (reading, [way for way in ways if way.start <= reading.at < way.end])
        for reading in meter.readings
        if not (is_clean and reading.flags & IMPLAUSIBLE.bit)
    ]
    counted = [(reading, through) for reading, through in counted if through]
    moments = [meter.due(way.start, way.end) for way in ways]
    due = {at for some in moments for at in some or ()}
    with_energy = sum(reading.values["energy"] is not None for reading, _ in counted)
    sums = {
        name: _sum_of_known(
            sum(way.sign for way in through) * value
            for reading, through in counted
            if (value := reading.values[name]) is not None
        )
        for name in ("energy", "reactive_energy", *(each.name for each in EXPORTED_QUANTITIES))
    }
    return sums | {
        "public_id": meter.public_id,
        "present": sum(reading.is_present * len(through) for reading, through in counted),
        "estimated": sum(
            len(through) for reading, through in counted if reading.flags & ESTIMATED.bit
        ),
        "expected": _sum_if_all(None if some is None else len(some) for some in moments),
        "is_lacking": not with_energy if None in moments else with_energy < len(due),
        "power_mean": _mean_power([reading for reading, _ in counted], ways, bucket),
    }


def _mean_power(
    readings: Sequence[StoredReading], ways: Sequence[Way], bucket: Range
) -> Fraction | None:
    """Return the mean power of a meter, as often as it counts; None unless that is all the time."""
    ends = {at for way in ways for at in (way.start, way.end) if bucket[0] < at < bucket[1]}
    counts = {
        (sum(w.sign for w in through), len(through))
        for at in {bucket[0], *ends}
        for through in [[way for way in ways if way.start <= at < way.end]]
    }
    if len(counts) != 1 or (0, 0) in counts:
        return None
    weighed, seconds, measured = Fraction(), 0, []
    has_unknown = False
    for each in readings:
        power, energy = each.values["power"], each.values["energy"]
        is_derived = power is None and energy is not None and not each.flags & CATCH_UP.bit
        if power is None and not is_derived:
            continue
        if each.seconds is None:
            has_unknown = True
            if power is not None:
                measured.append(power)
            continue
        seconds += each.seconds
        weighed += energy * 3600 if is_derived else power * each.seconds  # type: ignore[operator]  # one of them is there
    (weight, _), *_ = counts
    if has_unknown:
        return weight * Fraction(sum(measured), len(measured)) if measured and not seconds else None
    return weight * weighed / seconds if seconds else None


def rounded(number: Fraction) -> int:
    """Return the nearest whole number, a half away from zero."""
    return int(abs(number) + Fraction(1, 2)) * (1 if number >= 0 else -1)

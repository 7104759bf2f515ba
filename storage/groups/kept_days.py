"""Sums of many members from the kept sums of their days, in one statement."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from itertools import islice
from typing import Any

from domain.fixed_point import parse_scaled
from domain.time.time_buckets import Buckets, BucketSize
from domain.time.time_zone import HOUR_SECONDS, TimeZone
from storage.backends.base import ReadEngine
from storage.backends.dialect import Condition, Dialect
from storage.common.turns import in_turns, turn
from storage.groups.members import CountedMeter
from storage.groups.selection import GroupSelection
from storage.groups.sums import MEMBER_SUMS, GroupSums

_DAY = timedelta(days=1)
_LENGTHS = {"month": 7, "year": 4}
"""How much of a day names its month or year."""

_NAMED = ("day", "week", *_LENGTHS)
"""Sizes of buckets that days name; of any other size, there is only one."""


@dataclass(frozen=True, slots=True)
class Alike:
    """What members have in common that are summed up together."""

    start: int
    end: int
    weight: int
    times: int
    seconds: int
    """The interval of their readings."""


class KeptDays:
    """Sums up days of members that are counted alike, by buckets of days or longer."""

    def __init__(
        self,
        engine: ReadEngine,
        selection: GroupSelection,
        size: BucketSize,
        buckets: Buckets,
        *,
        has_power: bool,
        exported: Sequence[str],
    ) -> None:
        """Sum up days, with the exported energies that are named."""
        self._engine = engine
        self._exported = exported
        self._selection = selection
        self._size = size
        self._buckets = buckets
        self._has_power = has_power
        self._label = _label_of(engine.dialect, size)
        self._labels = [
            _label(size, selection.zone, buckets[index][0]) for index in range(len(buckets))
        ]
        self._places = {label: index for index, label in enumerate(self._labels)}

    async def add(
        self, sums: Sequence[GroupSums], alike: Alike, members: Sequence[CountedMeter]
    ) -> set[int]:
        """Take in the days of members, by bucket; return which buckets have to be scanned.

        These are those whose days have readings of other buckets, as when clocks go back over
        midnight, and those that the interval does not divide.
        """
        spans = {
            index: span
            for index in range(len(self._buckets))
            if (span := self._span(index, alike)) is not None
        }
        uneven = {index for index, (start, end) in spans.items() if (end - start) % alike.seconds}
        if len(uneven) == len(spans):
            return uneven
        expected = {
            self._labels[index]: (end - start) // alike.seconds
            for index, (start, end) in spans.items()
        }
        rows = await self._engine.fetch(*self._sums(alike, members, expected))
        found, misplaced = await self._placed(rows, spans)
        scanned = {index for index in uneven | misplaced if index in spans}
        by_id = {member.id: member.public_id for member in members}
        absent: list[int] = []
        await turn()
        for index, (start, end) in spans.items():
            if index in scanned:
                continue
            total = sums[index]
            total.members += len(members)
            total.add_expected(alike.times * len(members) * ((end - start) // alike.seconds))
            count = self._add_rows(total, found[index], alike, by_id)
            if count < len(members):
                total.lacking += len(members) - count
                if total.may_name(members[0].public_id):
                    absent.append(index)
            if count < len(members) or (start, end) != self._buckets[index]:
                total.add_power(None)
        if absent:
            await self._name_absent(sums, alike, by_id, absent)
        return scanned

    def _span(self, index: int, alike: Alike) -> tuple[int, int] | None:
        """Return the part of a bucket in which the members are counted."""
        start, end = self._buckets[index]
        start, end = max(start, alike.start), min(end, alike.end)
        return (start, end) if start < end else None

    async def _placed(
        self, rows: Sequence[Sequence[Any]], spans: Mapping[int, tuple[int, int]]
    ) -> tuple[Mapping[int, list[Sequence[Any]]], set[int]]:
        """Return rows by bucket, and the buckets of rows with readings of others."""
        found: dict[int, list[Sequence[Any]]] = defaultdict(list)
        misplaced: set[int] = set()
        async for label, first, last, *row in in_turns(rows):
            index = self._places.get(label.decode(), -1)
            start, end = spans.get(index, (0, 0))
            if start <= first and last < end:
                found[index].append(row)
            else:
                reached = range(self._buckets.index(first), self._buckets.index(last) + 1)
                misplaced |= {index, *reached}
        return found, misplaced

    def _add_rows(
        self,
        total: GroupSums,
        rows: Sequence[Sequence[Any]],
        alike: Alike,
        by_id: Mapping[int, str],
    ) -> int:
        """Take in the rows of a bucket; return of how many members they are."""
        count = 0
        for members, reactive_members, readings, lacking, names, *values in rows:
            numbers = iter(map(parse_scaled, values))
            energy, _, reactive, present, power, _, derived, _, estimated = islice(
                numbers, len(MEMBER_SUMS)
            )
            for name, exported, number in zip(self._exported, numbers, numbers, strict=False):
                total.add_exported(name, exported, alike.weight, number or 0)
            count += members
            total.add_energy(energy, alike.weight)
            total.add_reactive_energy(reactive, alike.weight)
            total.reactive_members += reactive_members
            total.present += alike.times * (present or 0)
            total.estimated += alike.times * (estimated or 0)
            total.lacking += lacking
            if names:
                ids = (by_id[int(number)] for number in names.split(b","))
                total.name(sorted(name for name in ids if total.may_name(name)))
            if self._has_power:
                weighed = (power or 0) * alike.seconds + (derived or 0) * HOUR_SECONDS
                number = int(readings)
                total.add_power(
                    Fraction(alike.weight * weighed, alike.seconds * number) if number else None
                )
        return count

    async def _name_absent(
        self,
        sums: Sequence[GroupSums],
        alike: Alike,
        by_id: Mapping[int, str],
        absent: Sequence[int],
    ) -> None:
        """Name the members that have no day in some buckets."""
        zone, buckets = self._selection.zone, self._buckets
        days = days_between(zone, buckets[absent[0]][0], buckets[absent[-1]][1])
        kept = self._kept(alike, by_id, days)
        rows = await self._engine.fetch(
            f"SELECT {self._label} AS label, GROUP_CONCAT(DISTINCT meter_id) FROM {kept.text}"
            " GROUP BY label",
            kept.args,
        )
        there = {label.decode(): ids for label, ids in rows}
        async for index in in_turns(absent):
            ids = there.get(self._labels[index])
            present = set() if ids is None else {*map(int, ids.split(b","))}
            sums[index].name(name for number, name in by_id.items() if number not in present)

    def _kept(self, alike: Alike, ids: Iterable[int], days: str) -> Condition:
        bounds = alike.start, alike.end
        dialect, is_clean = self._engine.dialect, self._selection.is_clean
        return kept_days(dialect, ids, days, bounds, is_clean=is_clean)

    def _sums(
        self, alike: Alike, members: Sequence[CountedMeter], expected: Mapping[str, int]
    ) -> tuple[str, Sequence[object]]:
        """Return the statement that sums up days, by bucket and by readings that have a power.

        The sum of the means of as many readings each is the sum of all over that number.
        """
        seconds = self._engine.dialect.unix_seconds
        days = days_between(self._selection.zone, alike.start, alike.end)
        found = self._kept(alike, [member.id for member in members], days)
        kept = found.text
        number = "power_count + derived_energy_count"
        if self._size.name != "day":
            names = (*MEMBER_SUMS, *self._exported)
            sums = ", ".join(f"SUM({name}) AS {name}" for name in names)
            grouping = self._engine.dialect.grouping_in_order
            kept = (
                f"(SELECT {grouping} meter_id, {self._label} AS label, {sums},"
                f" MIN(first_utc) AS first_utc, MAX(last_utc) AS last_utc"
                f" FROM {kept} GROUP BY meter_id, label) AS some"
            )
        label = "day" if self._size.name == "day" else "label"
        lacks = f"CASE WHEN energy_count < {_case(label, expected)} THEN meter_id END"
        group = f"GROUP BY {label}, {number}" if self._has_power else f"GROUP BY {label}"
        return (
            f"SELECT {label}, {seconds('MIN(first_utc)')}, {seconds('MAX(last_utc)')}, COUNT(*),"
            f" COUNT(reactive_energy), {f'MIN({number})' if self._has_power else 0},"
            f" COUNT({lacks}), GROUP_CONCAT({lacks}),"
            f" {', '.join(f'SUM({name})' for name in MEMBER_SUMS)}"
            f"{''.join(f', SUM({name}), COUNT({name})' for name in self._exported)}"
            f" FROM {kept} {group}"
        ), found.args


def days_between(zone: TimeZone, start: int, end: int) -> str:
    """Return the condition of all days with readings between two instants, and a few more."""
    # The rules of the zone may have changed since the local times were written.
    first, last = zone.at(start).date() - _DAY, zone.at(end).date() + _DAY
    return f"day BETWEEN '{first}' AND '{last}'"


def kept_days(
    dialect: Dialect, ids: Iterable[int], days: str, bounds: tuple[int, int], *, is_clean: bool
) -> Condition:
    """Return what follows FROM to select the days of meters that reach into a time."""
    quality = "(clean = 1 OR implausible = 0)" if is_clean else "clean = 0"
    mark = dialect.placeholder
    return Condition(
        f"days WHERE meter_id IN ({', '.join(map(str, ids))}) AND {days} AND {quality}"
        f" AND last_utc >= {mark} AND first_utc < {mark}",
        tuple(map(dialect.utc, bounds)),
    )


def _label_of(dialect: Dialect, size: BucketSize) -> str:
    """Return the SQL of what names the bucket of a day."""
    if size.name not in _NAMED:
        return f"'{size.name}'"
    if size.name in _LENGTHS:
        return f"SUBSTR(day, 1, {_LENGTHS[size.name]})"
    return dialect.monday("day") if size.name == "week" else "day"


def _label(size: BucketSize, zone: TimeZone, start: int) -> str:
    """Return the name of a bucket."""
    if size.name not in _NAMED:
        return size.name
    day = zone.at(start).date()
    if size.name == "week":
        day = date.fromordinal(day.toordinal() - day.weekday())
    return str(day)[: _LENGTHS.get(size.name)]


def _case(label: str, numbers: Mapping[str, int]) -> str:
    """Return the SQL of numbers by label."""
    by_number: dict[int, list[str]] = defaultdict(list)
    for text, number in numbers.items():
        by_number[number].append(f"'{text}'")
    (usual, _), *_ = Counter(numbers.values()).most_common(1)
    others = " ".join(
        f"WHEN {label} IN ({', '.join(texts)}) THEN {number}"
        for number, texts in by_number.items()
        if number != usual
    )
    return f"CASE {others} ELSE {usual} END" if others else str(usual)

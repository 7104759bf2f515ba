"""Sums of the members of a group by time bucket, and what each bucket lacks."""

from collections import defaultdict
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import ClassVar, Self

from domain.fixed_point import SCALE, divide_rounded
from domain.parameters import Choice, Parameter, Params, csv_pattern
from domain.quantities import EXPORTED_QUANTITIES
from domain.readings_query import QueryError
from domain.time.time_buckets import (
    BUCKET_SIZES,
    MAX_BUCKETS,
    Buckets,
    BucketSize,
    bucket_edges,
    edges_around,
)
from domain.time.time_zone import DAY_SECONDS
from storage.backends.base import ReadEngine
from storage.common.turns import in_pieces, in_turns
from storage.figures.aggregate import BOUNDS, FOLLOWING, PARTIAL
from storage.figures.result import Field, FieldType, ResultTable, Row, as_chunks
from storage.figures.selection import MAX_PERIOD, PERIOD_PARAMETERS, QUALITY, Period
from storage.groups.kept_days import Alike, KeptDays
from storage.groups.left_out import group_left_out
from storage.groups.members import METERS_AT_ONCE, CountedMeter
from storage.groups.scanning.scan import Scan
from storage.groups.selection import MAX_NAMED, GroupSelection
from storage.groups.sums import GroupSums

_COLUMN_FIELDS = {
    "energy": (Field("energy", FieldType.QUANTITY, "Energy (kWh), sum of all members", "kWh"),),
    "reactive_energy": (
        Field(
            "reactive_energy",
            FieldType.QUANTITY,
            "Reactive energy (kVArh), sum of the members that have any",
            "kVArh",
        ),
        Field(
            "reactive_energy_members",
            FieldType.COUNT,
            "Members that have any reactive energy",
        ),
    ),
    "power": (
        Field(
            "power_mean",
            FieldType.QUANTITY,
            "Sum of the members' mean powers (kW); null unless all of them have one and are counted"
            " all the time",
            "kW",
        ),
    ),
    **{
        quantity.name: (
            Field(
                quantity.name,
                FieldType.QUANTITY,
                f"{quantity.comment}, sum of the members that have any",
                quantity.unit,
            ),
            Field(
                f"{quantity.name}_members",
                FieldType.COUNT,
                f"Members that have any {quantity.title.lower()}",
            ),
        )
        for quantity in EXPORTED_QUANTITIES
    },
}
GROUP_COLUMNS = tuple(_COLUMN_FIELDS)
_EXPORTED = tuple(quantity.name for quantity in EXPORTED_QUANTITIES)
USUAL_GROUP_COLUMNS = tuple(name for name in GROUP_COLUMNS if name not in _EXPORTED)
COLUMNS_MEAN = (
    f"Quantities to add up: any of {', '.join(GROUP_COLUMNS)}; by default all but"
    f" {' and '.join(_EXPORTED)}."
)

GROUP_COVERAGE = (
    Field("members", FieldType.COUNT, "Meters that are counted"),
    Field("expected", FieldType.COUNT, "Readings that the members should have written"),
    Field("present", FieldType.COUNT, "Readings of the members with any value"),
    Field("estimated", FieldType.COUNT, "Readings of the members that are estimated"),
    Field("coverage", FieldType.QUANTITY, "Present over expected", "1"),
    Field("members_lacking", FieldType.COUNT, "Members of which readings with energy are missing"),
    Field(
        "lacking",
        FieldType.TEXT,
        f"The first {MAX_NAMED} of these, in the order of their names, separated by spaces",
    ),
)

_INTERVAL = Choice(
    "interval",
    "Length of the interval of a record.",
    "day",
    is_required=True,
    choices=BUCKET_SIZES,
    expected=f"one of {', '.join(BUCKET_SIZES)}",
)
_COLUMNS = Parameter(
    "columns",
    COLUMNS_MEAN,
    ",".join(GROUP_COLUMNS),
    csv_pattern("|".join(GROUP_COLUMNS)),
)

_PIECES = {"day": 400, "week": 200, "month": 60, "year": 10}
"""Buckets that all members are added up in at once; shorter ones are more."""
_SHORT_PIECE = 20_000

_DAYS_AT_ONCE = 200_000
"""Days of all members that one statement adds up."""

_PLANNED_AT_ONCE = 200
"""Members that are looked at in one go."""


@dataclass(frozen=True, slots=True)
class GroupAggregate:
    """A query for the sums of a group by buckets of one size."""

    period: Period
    interval: BucketSize
    columns: tuple[str, ...] = USUAL_GROUP_COLUMNS
    limit: int | None = None
    """How many records there are at most; `FOLLOWING` says where the next one begins."""

    parameters: ClassVar[Sequence[Parameter]] = (
        *(_INTERVAL, *PERIOD_PARAMETERS),
        _COLUMNS,
        QUALITY,
    )

    @property
    def key(self) -> str:
        """A text that is equal for queries with the same result."""
        return (
            f"group aggregate {self.interval.name} {','.join(self.columns)} {self.period.key}"
            f"{'' if self.limit is None else f' {self.limit}'}"
        )

    @property
    def fields(self) -> Sequence[Field]:
        """The fields of a row."""
        columns = [field for name in self.columns for field in _COLUMN_FIELDS[name]]
        return (*BOUNDS, *columns, *GROUP_COVERAGE, PARTIAL)

    @classmethod
    def of(cls, params: Params) -> Self:
        """Parse the parameters of a request; raise QueryError."""
        interval = _INTERVAL.parse(params)
        return cls(Period.of(params), interval, _parse_columns(params.get("columns")))

    async def scanned(self, selection: GroupSelection) -> int:
        """Return how many readings are read, about: not those of days that are kept."""
        readings = 0
        async for each in in_turns(selection.members):
            is_kept = (
                self.interval.number is not None
                and selection.keeps(each)
                and len(each.lengths(selection.start, selection.until)) == 1
            )
            readings += 0 if is_kept else selection.readings_of(each)
        return readings

    async def table(self, engine: ReadEngine, selection: GroupSelection) -> ResultTable:
        """Return a row for each bucket; raise QueryError if the size does not fit."""
        await self._require_length(selection)
        buckets = await _buckets(selection, self.interval)
        page: dict[str, str] = {}
        if self.limit is not None and len(buckets) > self.limit:
            following, _ = buckets[self.limit]
            buckets = buckets.first(self.limit)
            selection = selection.up_to(following)
            page[FOLLOWING] = str(following)
        rows = _GroupRows(engine, selection, self).rows(buckets)
        metadata = {
            **await selection.metadata(),
            **await group_left_out(engine, selection),
            **page,
        }
        return ResultTable(self.fields, selection.zone, len(buckets), rows, metadata)

    def values(self, sums: GroupSums) -> Row:
        """Return the values of the fields that sums give."""
        power = sums.power if sums.members else None
        values = {
            "energy": (sums.energy,),
            "reactive_energy": (sums.reactive_energy, sums.reactive_members),
            "power": (
                None if power is None else divide_rounded(power.numerator, power.denominator),
            ),
            **{
                name: (sums.exported.get(name), sums.exported_members.get(name, 0))
                for name in _EXPORTED
            },
        }
        own = (value for name in self.columns for value in values[name])
        return (*own, *coverage_values(sums))

    async def _require_length(self, selection: GroupSelection) -> None:
        """Raise QueryError if a member's interval is longer than the buckets."""
        async for member in in_turns(selection.members):
            known = {seconds or 0 for seconds in member.lengths(selection.start, selection.until)}
            wrong, expected = max(known), "no less than"
            if self.interval.is_exact:
                uneven = [each for each in known if each and self.interval.size % each]
                wrong, expected = max(uneven, default=0), "a multiple of"
            if wrong > self.interval.min_seconds or (wrong and self.interval.is_exact):
                raise QueryError(
                    "interval",
                    f"expected {expected} the {wrong} seconds between readings of"
                    f" {member.public_id}, got {self.interval.name}",
                )


def coverage_values(sums: GroupSums) -> Row:
    """Return the values of `GROUP_COVERAGE`."""
    expected, present = sums.expected, sums.present
    return (
        *(sums.members, expected, present, sums.estimated),
        divide_rounded(present * SCALE, expected) if expected else None,
        *(sums.lacking, " ".join(sums.named)),
    )


PERIOD_SIZE = BucketSize("period", DAY_SECONDS, MAX_PERIOD, lambda days: 0 * days)
"""One bucket, as long as a period."""


@dataclass(frozen=True, slots=True)
class GroupSummary:
    """A query for the sums of a group over a period."""

    period: Period

    parameters: ClassVar[Sequence[Parameter]] = (*PERIOD_PARAMETERS, QUALITY)

    @property
    def key(self) -> str:
        """A text that is equal for queries with the same result."""
        return f"group summary {self.period.key}"

    @property
    def fields(self) -> Sequence[Field]:
        """The fields of a row."""
        return [each for each in self._sums.fields if each is not PARTIAL]

    @property
    def _sums(self) -> GroupAggregate:
        return GroupAggregate(self.period, PERIOD_SIZE, GROUP_COLUMNS)

    async def scanned(self, selection: GroupSelection) -> int:
        """Return how many readings are read, about: not those of days that are kept."""
        return await self._sums.scanned(selection)

    async def table(self, engine: ReadEngine, selection: GroupSelection) -> ResultTable:
        """Return one row."""
        buckets = Buckets([selection.start, selection.until])
        (sums,) = await _GroupRows(engine, selection, self._sums).sums(buckets)
        row = (selection.start, selection.until, *self._sums.values(sums))
        metadata = {**await selection.metadata(), **await group_left_out(engine, selection)}
        return ResultTable(self.fields, selection.zone, 1, as_chunks([row]), metadata)


def _parse_columns(text: str | None) -> tuple[str, ...]:
    """Return columns such as `energy,power`, by default the usual ones; raise QueryError."""
    if text is None:
        return USUAL_GROUP_COLUMNS
    names = [name.strip(" ") for name in text.split(",")]
    for name in names:
        if name not in _COLUMN_FIELDS:
            raise QueryError(
                "columns", f"expected some of {', '.join(GROUP_COLUMNS)}, got {name[:40]!a}"
            )
    return tuple(name for name in GROUP_COLUMNS if name in names)


async def _buckets(selection: GroupSelection, interval: BucketSize) -> Buckets:
    start, end = selection.start, selection.until
    if (end - start) // interval.min_seconds <= MAX_BUCKETS:
        buckets = Buckets()
        async for piece in in_pieces(bucket_edges(interval, selection.zone, start, end), 60):
            buckets.extend(piece)
        if len(buckets) <= MAX_BUCKETS:
            return buckets
    raise QueryError(
        "interval",
        f"expected at most {MAX_BUCKETS:,} records, and this would be more: "
        "choose a longer interval, or a shorter time with date and end_date",
    )


class _GroupRows:
    """Makes the rows of a group's aggregate, some buckets at a time over all members."""

    def __init__(
        self, engine: ReadEngine, selection: GroupSelection, query: GroupAggregate
    ) -> None:
        self._engine = engine
        self._selection = selection
        self._query = query
        self._has_power = "power" in query.columns
        self._exported = [name for name in _EXPORTED if name in query.columns]

    async def rows(self, buckets: Buckets) -> AsyncGenerator[Sequence[Row]]:
        """Yield the rows of all buckets, in order."""
        most = _PIECES.get(self._query.interval.name, _SHORT_PIECE)
        cut = await self._cut(buckets)
        for at in range(0, len(buckets), most):
            edges = [buckets[at][0]]
            edges += [buckets[index][1] for index in range(at, min(at + most, len(buckets)))]
            piece = Buckets(edges)
            sums = await self.sums(piece)
            rows = (
                (
                    *(start, end, *self._query.values(each)),
                    _partial(cut, start, end),
                )
                for (start, end), each in zip(
                    (piece[index] for index in range(len(piece))), sums, strict=True
                )
            )
            async for chunk in as_chunks(rows):
                yield chunk

    async def sums(self, buckets: Buckets) -> list[GroupSums]:
        """Return the sums of all members in some buckets."""
        sums = [GroupSums() async for _ in in_turns(range(len(buckets)))]
        alike, others = await self._planned(buckets)
        size = self._query.interval
        if alike:
            days = KeptDays(
                *(self._engine, self._selection, size, buckets),
                has_power=self._has_power,
                exported=self._exported,
            )
            (start, _), (_, end) = buckets[0], buckets[len(buckets) - 1]
            most = max(1, min(METERS_AT_ONCE, _DAYS_AT_ONCE // ((end - start) // DAY_SECONDS + 1)))
            for each, members in alike.items():
                for at in range(0, len(members), most):
                    some = members[at : at + most]
                    indexes = sorted(await days.add(sums, each, some))
                    await self._scan(sums, buckets, some, indexes)
        await self._scan(sums, buckets, others, range(len(buckets)))
        return sums

    async def _scan(
        self,
        sums: Sequence[GroupSums],
        buckets: Buckets,
        members: Sequence[CountedMeter],
        indexes: Sequence[int],
    ) -> None:
        """Take in the readings of members in the buckets of some places, which are in order."""
        if not members:
            return
        names = [name for name in self._query.columns if name not in ("energy", "power")]
        scan = Scan(self._engine, self._selection, ["energy", *names], has_power=self._has_power)
        for first, after in _runs(indexes):
            arrays = await scan.arrays(members, buckets.edges[first : after + 1])
            async for place in in_turns(range(len(arrays))):
                arrays.add_to(sums[first + place], place)

    async def _planned(
        self, buckets: Buckets
    ) -> tuple[Mapping[Alike, list[CountedMeter]], list[CountedMeter]]:
        """Return the members whose days can be added up together, and all others."""
        selection = self._selection
        (start, _), (_, end) = buckets[0], buckets[len(buckets) - 1]
        alike: dict[Alike, list[CountedMeter]] = defaultdict(list)
        others: list[CountedMeter] = []
        async for piece in in_pieces(selection.members, _PLANNED_AT_ONCE):
            for member in piece:
                segments = selection.segments(member, start, end)
                if not segments:
                    continue
                (segment, *more), lengths = segments, member.lengths(start, end)
                seconds = lengths.pop()
                is_other = more or lengths or not selection.keeps(member)
                if self._query.interval.number is None or is_other or seconds is None:
                    others.append(member)
                    continue
                place = Alike(*(segment.start, segment.end, segment.weight, segment.times, seconds))
                alike[place].append(member)
        return alike, others

    async def _cut(self, buckets: Buckets) -> Mapping[int, int | None]:
        """Return, by the start of the first bucket and the end of the last, how many readings are
        expected in what is missing of it, None if that is unknown."""
        (start, _), (_, end) = buckets[0], buckets[len(buckets) - 1]
        zone, size = self._selection.zone, self._query.interval
        begin, _ = edges_around(size, zone, start)
        _, finish = edges_around(size, zone, end)
        cut: dict[int, int | None] = {start: 0, end: 0}
        for edge, *bounds in ((start, begin, start), (end, end, finish)):
            if bounds[0] >= bounds[1]:
                continue
            is_unknown = False
            readings = 0
            async for member in in_turns(self._selection.members):
                grid = member.grid
                for segment in self._selection.segments(member, bounds[0], bounds[1]):
                    expected = grid.expected(segment.start, segment.end)
                    readings += expected or 0
                    is_unknown |= expected is None
            cut[edge] = None if is_unknown and not readings else readings
        return cut


def _runs(places: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Yield runs of places that follow each other: the first one, and the place after the last."""
    for _, run in groupby(enumerate(places), lambda each: each[1] - each[0]):
        (_, first), *others = run
        yield first, first + 1 + len(others)


def _partial(cut: Mapping[int, int | None], start: int, end: int) -> int | None:
    missing = [cut.get(start, 0), cut.get(end, 0)]
    if any(missing):
        return 1
    return None if None in missing else 0

"""The imports of a meter, and the values that each of them replaced, for the server."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from domain.fixed_point import parse_scaled
from domain.quantities import ALL_QUANTITIES, ALL_QUANTITY_NAMES
from domain.report_source import ESTIMATED_FIELD
from domain.time.time_zone import TimeZone
from storage.backends.base import ReadEngine
from storage.backends.dialect import Condition
from storage.common.turns import in_pieces, in_turns
from storage.figures.result import Field, FieldType, ResultTable, Row, as_chunks
from storage.meters import Meter

_COLUMNS = (
    *("id", "finished", "file", "format", "sha256"),
    *("new", "changed", "unchanged", "kept", "rejected"),
)
_METERS_AT_ONCE = 500
"""Meters whose imports one statement looks for."""

_LOCAL_TIMES = ("first_reading", "last_reading")

IMPORT_FIELDS = (
    Field("import", FieldType.COUNT, "Number of the import of its meter, from 1"),
    Field("finished", FieldType.INSTANT, "When it was written"),
    Field("file", FieldType.TEXT, "Name of the report"),
    Field("format", FieldType.TEXT, "Format of the report; null if the import is older"),
    Field("sha256", FieldType.TEXT, "SHA-256 of the report, uncompressed"),
    Field("added", FieldType.COUNT, "Readings that it added"),
    Field("changed", FieldType.COUNT, "Readings of which it replaced values"),
    Field("unchanged", FieldType.COUNT, "Readings that it found as they were"),
    Field("kept", FieldType.COUNT, "Values that stayed because the report has an empty field"),
    Field("rejected", FieldType.COUNT, "Rows of the report that are no readings"),
    Field("first_reading", FieldType.INSTANT, "Earliest local time in the report, with its offset"),
    Field("last_reading", FieldType.INSTANT, "Latest local time in the report, with its offset"),
)

MEMBER_IMPORT_FIELDS = (
    Field("meter", FieldType.TEXT, "Public id of the meter"),
    Field("name", FieldType.TEXT, "Name of the meter for people; null if it has none"),
    *IMPORT_FIELDS,
)

REPLACED_FIELDS = (
    Field("id", FieldType.COUNT, "Id of the reading"),
    Field("start", FieldType.INSTANT, "Its start"),
    Field(
        "replaced",
        FieldType.TEXT,
        "Quantities that were replaced, separated by spaces; also estimated",
    ),
    Field("previous_import", FieldType.COUNT, "Import that wrote them; null if it is older"),
    *(
        Field(
            quantity.name,
            FieldType.QUANTITY,
            f"The value before of a replaced quantity: {quantity.comment}",
            quantity.result_unit,
        )
        for quantity in ALL_QUANTITIES
    ),
    Field(
        ESTIMATED_FIELD,
        FieldType.COUNT,
        "1 if the reading was estimated before; null if not, or if that was not replaced",
    ),
)


@dataclass(frozen=True, slots=True)
class ImportPage:
    """Rows of a list, and after which number the next page begins, None for the last page."""

    rows: Sequence[Row]
    following: int | None

    def table(self, fields: Sequence[Field], meter: Meter) -> ResultTable:
        """Return the rows as a table of a meter."""
        return ResultTable(fields, meter.zone, len(self.rows), as_chunks(self.rows))


@dataclass(frozen=True, slots=True)
class ImportPlace:
    """The place of an import among those of several meters."""

    finished: int
    """When it was written, seconds since 1970."""
    meter_id: int
    number: int


@dataclass(frozen=True, slots=True)
class MemberImports:
    """Imports of several meters, and after which one the next page begins, None for the last."""

    rows: Sequence[Row]
    following: ImportPlace | None


class ImportHistory:
    """Reads imports. Every call raises a StorageError if the database fails."""

    def __init__(self, engine: ReadEngine) -> None:
        self._engine = engine

    async def imports(self, meter: Meter, limit: int, before: int | None) -> ImportPage:
        """Return the latest imports of a meter, the latest first, or the ones before a number."""
        condition = Condition(f"meter_id = {meter.id}")
        if before is not None:
            condition &= Condition(f"id < {self._engine.dialect.placeholder}", (before,))
        rows = await self._engine.fetch(
            f"{self._selected()} WHERE {condition.text} ORDER BY id DESC LIMIT {limit + 1}",
            condition.args,
        )
        found = [_import(row, meter.zone) for row in rows[:limit]]
        return ImportPage(found, rows[limit - 1][0] if len(rows) > limit else None)

    async def of_meters(
        self, meter_ids: Sequence[int], zone: TimeZone, limit: int, before: ImportPlace | None
    ) -> MemberImports:
        """Return the latest imports of some meters, the latest first, or the ones before a place.

        Local times without a reading are those of a zone.
        """
        places: list[ImportPlace] = []
        async for some in in_pieces(meter_ids, _METERS_AT_ONCE):
            places += await self._latest(some, limit + 1, before)
        # Each piece was in order: to merge them takes milliseconds.
        places.sort(key=_in_time, reverse=True)
        found: dict[tuple[int, int], Row] = {}
        names: dict[int, Row] = {}
        async for page in in_pieces(places[:limit]):
            wanted: dict[int, list[int]] = defaultdict(list)
            for place in page:
                wanted[place.meter_id].append(place.number)
            which = " OR ".join(
                f"(meter_id = {meter_id} AND id IN ({', '.join(map(str, numbers))}))"
                for meter_id, numbers in wanted.items()
            )
            rows = await self._engine.fetch(f"{self._selected('meter_id')} WHERE {which}")
            found |= {(row[0], row[1]): _import(row[1:], zone) for row in rows}
            rows = await self._engine.fetch(
                "SELECT id, public_id, name FROM meters"
                f" WHERE id IN ({', '.join(map(str, wanted))})"
            )
            names |= {row[0]: (row[1].decode(), row[2] and row[2].decode()) for row in rows}
        listed = [
            (*names[place.meter_id], *found[place.meter_id, place.number])
            async for place in in_turns(places[:limit])
        ]
        return MemberImports(listed, places[limit - 1] if len(places) > limit else None)

    async def _latest(
        self, meter_ids: Sequence[int], limit: int, before: ImportPlace | None
    ) -> list[ImportPlace]:
        """Return where the latest imports of some meters are, or the ones before a place."""
        condition = Condition(f"meter_id IN ({', '.join(map(str, meter_ids))})")
        if before is not None:
            mark = self._engine.dialect.placeholder
            finished = str(datetime.fromtimestamp(before.finished, UTC).replace(tzinfo=None))
            condition &= Condition(
                f"(finished < {mark} OR finished = {mark} AND (meter_id < {before.meter_id}"
                f" OR meter_id = {before.meter_id} AND id < {before.number}))",
                (finished, finished),
            )
        rows = await self._engine.fetch(
            f"SELECT finished, meter_id, id FROM imports WHERE {condition.text}"
            f" ORDER BY finished DESC, meter_id DESC, id DESC LIMIT {limit}",
            condition.args,
        )
        return [ImportPlace(_instant(row[0]), *row[1:]) async for row in in_turns(rows)]

    async def one(self, meter: Meter, number: int) -> Row | None:
        """Return an import, None if there is none of that number."""
        rows = await self._engine.fetch(
            f"{self._selected()} WHERE meter_id = {meter.id} AND id = {number}"
        )
        return _import(rows[0], meter.zone) if rows else None

    async def replaced(self, meter_id: int, number: int, limit: int, after: int) -> ImportPage:
        """Return the values that an import replaced, by the ids of readings after one."""
        dialect = self._engine.dialect
        values = ", ".join(f"p.{name}" for name in (*ALL_QUANTITY_NAMES, ESTIMATED_FIELD))
        rows = await self._engine.fetch(
            f"SELECT p.reading_id, {dialect.unix_seconds('r.utc')}, p.quantities,"
            f" p.previous_import_id, {values}"
            " FROM replaced_values AS p LEFT JOIN readings AS r"
            " ON r.meter_id = p.meter_id AND r.id = p.reading_id"
            f" WHERE p.meter_id = {meter_id} AND p.import_id = {number} AND p.reading_id > {after}"
            f" ORDER BY p.reading_id LIMIT {limit + 1}"
        )
        found = [_replaced(row) for row in rows[:limit]]
        return ImportPage(found, rows[limit - 1][0] if len(rows) > limit else None)

    def _selected(self, *first: str) -> str:
        """Return what selects the columns of imports, with the instants of their local times.

        Other columns may come first.
        """
        instants = [
            self._engine.dialect.unix_seconds(
                f"(SELECT {which}(r.utc) FROM readings AS r"
                f" WHERE r.meter_id = imports.meter_id AND r.date = imports.{name})"
            )
            for which, name in zip(("MIN", "MAX"), _LOCAL_TIMES, strict=True)
        ]
        return f"SELECT {', '.join((*first, *_COLUMNS, *_LOCAL_TIMES, *instants))} FROM imports"


def _in_time(place: ImportPlace) -> tuple[int, int, int]:
    return place.finished, place.meter_id, place.number


def _instant(utc: bytes) -> int:
    return int(datetime.fromisoformat(utc.decode()).replace(tzinfo=UTC).timestamp())


def _import(row: Sequence[Any], zone: TimeZone) -> Row:
    number, finished, file, format_, sha256, *counts, first, last, start, end = row
    texts = [value and value.decode() for value in (file, format_, sha256)]
    # Other programs may have deleted the readings.
    if start is None and first is not None:
        start = zone.first(datetime.fromisoformat(first.decode()))
    if end is None and last is not None:
        end = zone.after(datetime.fromisoformat(last.decode())) - 1
    return (number, _instant(finished), *texts, *counts, start, end)


def _replaced(row: Sequence[Any]) -> Row:
    number, start, bits, previous, *values, estimated = row
    columns = (*ALL_QUANTITY_NAMES, ESTIMATED_FIELD)
    names = [name for place, name in enumerate(columns) if bits >> place & 1]
    return (number, start, " ".join(names), previous or None, *map(parse_scaled, values), estimated)

"""Merging a report with the readings that are there, in the transaction that imports it.

A report writes the quantities that it has columns for. An empty field leaves the value that is
there, unless it is to erase it. A report that tells which readings were estimated says so of all of
its own; others leave that as it is. What is replaced stays on record.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from domain.fixed_point import format_scaled
from domain.quantities import ALL_QUANTITIES, ALL_QUANTITY_NAMES
from domain.record_layout import TimeStyle
from domain.report_source import ESTIMATED_FIELD, ReportSource
from storage.backends.base import WriteEngine
from storage.backends.dialect import Dialect
from storage.common.errors import Disagreement

MAX_CORRECTIONS = 20
"""Corrections that are told in full."""

MIN_COMPARED = 96
"""Values that a report must share with a meter before they can disagree: those of a day of quarters
of an hour. Fewer may well be a correction."""
MIN_COMPARED_NEW_FORMAT = 2
"""The same, for a report in a format that the meter never had."""

_UNITS = {quantity.name: quantity.unit for quantity in ALL_QUANTITIES}


@dataclass(frozen=True, slots=True)
class MergeOptions:
    """What is asked of an import into readings that are there."""

    empty_erases: bool = False
    """Whether an empty field erases the value that is there."""
    is_confirmed: bool = False
    """Whether the report is known to be the meter's, however much it differs."""


DEFAULT_OPTIONS = MergeOptions()


@dataclass(frozen=True, slots=True)
class Correction:
    """The values of a reading that an import has replaced."""

    date: str
    """Its local time, with the UTC offset."""
    old: Mapping[str, str | None]
    """By quantity, and 1 by ESTIMATED_FIELD; None if there was none."""
    new: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Merged:
    """What became of rows that are not later than all readings."""

    staged: int = 0
    """The number of these rows."""
    inserted: int = 0
    changed: int = 0
    kept: int = 0
    """Values that stayed because the report has an empty field."""
    corrections: Sequence[Correction] = ()
    """The first ones."""


class ReadingsMerger:
    """Merges `incoming` with readings. Every call raises a StorageError if the database fails."""

    def __init__(self, engine: WriteEngine) -> None:
        self._engine = engine

    async def merge(
        self,
        report: ReportSource,
        meter_id: int,
        import_id: int,
        options: MergeOptions,
        staged: int,
    ) -> Merged:
        """Correct and add readings from the rows in `incoming`, of which there are so many.

        Raises Disagreement if the report may be another meter's.
        """
        sql = _MergeSql(self._engine.dialect, meter_id, import_id, report, options)
        kept = 0
        if sql.keeps:
            kept = int((await self._engine.fetch(sql.kept()))[0][0] or 0)
        if await self._is_known(sql, staged):
            return Merged(staged, kept=kept)
        now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
        changed = await self._engine.execute(sql.record_replaced(), (now,))
        corrections: Sequence[Correction] = ()
        if changed:
            if not options.is_confirmed:
                await self._require_agreement(sql, report, meter_id, changed)
            await self._engine.execute(sql.update())
            corrections = await self._corrections(sql)
        inserted = await self._engine.execute(sql.insertion())
        return Merged(staged, inserted, changed, kept, corrections)

    async def _is_known(self, sql: "_MergeSql", staged: int) -> bool:
        """Return whether `incoming` is a run of unchanged readings: quick, if ids tell."""
        rows = await self._engine.fetch(sql.first_offset())
        if not rows:
            return False
        rows = await self._engine.fetch(sql.count_unchanged(rows[0][0]))
        return bool(rows[0][0] == staged)

    async def _require_agreement(
        self, sql: "_MergeSql", report: ReportSource, meter_id: int, changed: int
    ) -> None:
        """Raise Disagreement if nearly all values are others than those that are there.

        For a report in a format that the meter never had, if most are.
        """
        # As many as can differ at most: usually found among the first rows.
        enough = changed * len(sql.quantities)
        if (await self._engine.fetch(sql.count_agreeing(enough)))[0][0] >= enough:
            return
        counts = (await self._engine.fetch(sql.comparison()))[0]
        compared, different = (int(count or 0) for count in counts)
        is_new_format = await self._is_new_format(report, meter_id)
        if is_new_format:
            is_other = compared >= MIN_COMPARED_NEW_FORMAT and different * 2 > compared
        else:
            is_other = compared >= MIN_COMPARED and different * 10 > compared * 9
        if not is_other:
            return
        name, date, old, new = await self._first_difference(sql)
        of_format = " in a format that it never had" if is_new_format else ""
        raise Disagreement(
            f"{report.name}: {different} of {compared} values{of_format} differ from those of the"
            f" meter at the same times, first {name} at {date}: {old} {_UNITS[name]} there,"
            f" {new} {_UNITS[name]} in the report, which does not say whose it is: if it corrects"
            " them, add --allow-corrections; if it is another meter's, --meter NAME, and --register"
            " if that one is new"
        )

    async def _is_new_format(self, report: ReportSource, meter_id: int) -> bool:
        """Return whether all earlier reports of a meter, as far as is known, had other formats."""
        placeholder = self._engine.dialect.placeholder
        rows = await self._engine.fetch(
            f"SELECT COUNT(*), SUM(CASE WHEN format = {placeholder} THEN 1 ELSE 0 END) FROM imports"
            f" WHERE meter_id = {meter_id} AND format IS NOT NULL",
            (report.format,),
        )
        known, same = rows[0]
        return bool(known) and not same

    async def _first_difference(self, sql: "_MergeSql") -> tuple[str, str, str, str]:
        """Return the quantity, the local time and both values of the first difference."""
        date, *values = (await self._engine.fetch(sql.first_difference()))[0]
        pairs = zip(values[::2], values[1::2], strict=True)
        name, old, new = next(
            (name, old, new)
            for name, (old, new) in zip(sql.quantities, pairs, strict=True)
            if None not in (old, new) and old != new
        )
        return name, str(date), plain_decimal(_text(old)), plain_decimal(_text(new))

    async def _corrections(self, sql: "_MergeSql") -> list[Correction]:
        found = []
        for date, quantities, *values in await self._engine.fetch(sql.corrections()):
            olds = _texts(values[: len(_BITS)])
            news = _texts(values[len(_BITS) :])
            names = [name for name, bit in _BITS.items() if quantities & bit]
            found.append(
                Correction(
                    str(date),
                    {name: olds[name] for name in names},
                    {name: news[name] for name in names},
                )
            )
        return found


_BITS = {name: 1 << number for number, name in enumerate((*ALL_QUANTITY_NAMES, ESTIMATED_FIELD))}
"""The bit of each column in replaced_values.quantities."""


class _MergeSql:
    """The rules as SQL, for rows `i` of `incoming` and readings `c` of a meter."""

    def __init__(
        self,
        dialect: Dialect,
        meter_id: int,
        import_id: int,
        report: ReportSource,
        options: MergeOptions,
    ) -> None:
        self._dialect = dialect
        self._meter_id = meter_id
        self._import_id = import_id
        self.quantities = report.quantities
        self.keeps = report.missing > 0 and not options.empty_erases
        """Whether empty fields may leave values as they are."""
        # Whether a reading was estimated counts for nothing when values are compared.
        self._columns = (*self.quantities, *([ESTIMATED_FIELD] if report.tells_estimated else []))
        self._differs = {
            name: f"NOT ({dialect.equal(f'c.{name}', self._value(name))})" for name in self._columns
        }
        self._is_changed = f"({' OR '.join(self._differs.values())})"
        self._there = (
            f"FROM incoming i CROSS JOIN readings c ON c.meter_id = {meter_id} AND c.utc = i.utc"
        )

    def kept(self) -> str:
        """Count the values that stay because the report has an empty field."""
        kept = _sum(f"i.{name} IS NULL AND c.{name} IS NOT NULL" for name in self.quantities)
        return f"SELECT {kept} {self._there}"

    def first_offset(self) -> str:
        """Select by how much the id of the first reading that is there exceeds its row's number."""
        return f"SELECT c.id - i.number {self._there} ORDER BY i.number LIMIT 1"

    def count_unchanged(self, offset: int) -> str:
        """Count the rows that change nothing, if the ids of their readings follow each other."""
        return (
            "SELECT COUNT(*) FROM incoming i JOIN readings c"
            f" ON c.meter_id = {self._meter_id} AND c.id = i.number + {offset}"
            f" WHERE c.utc = i.utc AND NOT {self._is_changed}"
        )

    def record_replaced(self) -> str:
        """Record the values that are going to be replaced; the time is left open."""
        bits = " + ".join(
            f"CASE WHEN {differs} THEN {_BITS[name]} ELSE 0 END"
            for name, differs in self._differs.items()
        )
        values = ", ".join(
            f"CASE WHEN {differs} THEN c.{name} END" for name, differs in self._differs.items()
        )
        return (
            "INSERT INTO replaced_values (meter_id, import_id, reading_id, previous_import_id,"
            f" replaced, quantities, {', '.join(self._columns)})"
            f" SELECT {self._meter_id}, {self._import_id}, c.id, c.import_id,"
            f" {self._dialect.placeholder}, {bits}, {values} {self._there} WHERE {self._is_changed}"
        )

    def update(self) -> str:
        """Give the readings that differ their new values."""
        values = {name: self._value(name) for name in self._columns}
        return self._dialect.update_readings(
            self._meter_id, values | {"import_id": str(self._import_id)}, self._is_changed
        )

    def insertion(self) -> str:
        """Add the readings whose instants are new."""
        last = f"(SELECT COALESCE(MAX(id), 0) FROM readings WHERE meter_id = {self._meter_id})"
        columns = ", ".join(("date", "utc", *self._columns))
        values = ", ".join(f"i.{name}" for name in ("date", "utc", *self._columns))
        return (
            f"INSERT INTO readings (meter_id, import_id, id, {columns})"
            f" SELECT {self._meter_id}, {self._import_id},"
            f" {last} + ROW_NUMBER() OVER (ORDER BY i.number), {values}"
            f" FROM incoming i LEFT JOIN readings c"
            f" ON c.meter_id = {self._meter_id} AND c.utc = i.utc"
            f" WHERE c.id IS NULL ORDER BY i.number"
        )

    def count_agreeing(self, limit: int) -> str:
        """Count the readings that agree in a value other than zero, up to a limit."""
        agrees = " OR ".join(f"(i.{name} = c.{name} AND i.{name} <> 0)" for name in self.quantities)
        some = f"SELECT 1 {self._there} WHERE {agrees} LIMIT {limit}"
        return f"SELECT COUNT(*) FROM ({some}) AS agreeing"

    def comparison(self) -> str:
        """Count the values that both have, and those of them that differ.

        Zeros on both sides count for nothing: all meters have them.
        """
        both = _sum(
            f"i.{name} IS NOT NULL AND c.{name} IS NOT NULL AND (i.{name} <> 0 OR c.{name} <> 0)"
            for name in self.quantities
        )
        different = _sum(f"i.{name} <> c.{name}" for name in self.quantities)
        return f"SELECT {both}, {different} {self._there}"

    def first_difference(self) -> str:
        """Select the first reading that has other values: its time, and both of each quantity."""
        values = ", ".join(f"c.{name}, i.{name}" for name in self.quantities)
        differs = " OR ".join(f"i.{name} <> c.{name}" for name in self.quantities)
        return f"SELECT c.date, {values} {self._there} WHERE {differs} ORDER BY i.number LIMIT 1"

    def corrections(self) -> str:
        """Select the first corrections: time, bits, all old values and all new ones."""
        date = self._dialect.concat(["", ""], [self._dialect.dates[TimeStyle.OFFSET]])
        columns = ", ".join(f"{table}.{name}" for table in "pc" for name in _BITS)
        return (
            f"SELECT {date}, p.quantities, {columns} FROM replaced_values p CROSS JOIN readings c"
            " ON c.meter_id = p.meter_id AND c.id = p.reading_id"
            f" WHERE p.meter_id = {self._meter_id} AND p.import_id = {self._import_id}"
            f" ORDER BY c.utc LIMIT {MAX_CORRECTIONS}"
        )

    def _value(self, name: str) -> str:
        """Return the value that a reading is to have."""
        if self.keeps and name != ESTIMATED_FIELD:
            return f"COALESCE(i.{name}, c.{name})"
        return f"i.{name}"


def plain_decimal(text: str | None) -> str:
    """Return a quantity without superfluous zeros, for people."""
    return "nothing" if text is None else f"{Decimal(text).normalize():f}"


def _sum(conditions: Iterable[str]) -> str:
    return f"SUM({' + '.join(f'CASE WHEN {each} THEN 1 ELSE 0 END' for each in conditions)})"


def _texts(values: Sequence[Any]) -> dict[str, str | None]:
    """Return the values of a reading, by their columns."""
    *quantities, estimated = values
    texts = [*map(_text, quantities), None if estimated is None else str(estimated)]
    return dict(zip(_BITS, texts, strict=True))


def _text(value: Any) -> str | None:
    """Return a quantity from either database with all its decimals."""
    if value is None:
        return None
    return format_scaled(value) if isinstance(value, int) else str(value)

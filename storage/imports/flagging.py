"""Quality flags: of appended readings from arrays, of others computed by the database.

The rules of domain/flags.py stand as SQL here and for arrays in domain/flag_rules.py. Whether an
energy is flagged depends on its own maximeter and, after a gap, on the gap's length. Few readings
come near the limit, and only they are examined.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fractions import Fraction
from hashlib import sha256
from typing import TypeVar
from zoneinfo import ZoneInfo

from domain.flag_rules import EnergyLimit
from domain.flags import (
    CATCH_UP,
    ESTIMATED,
    FLAGS,
    IMPLAUSIBLE,
    MISSING,
    REPEATED_HOUR,
    ZERO_VOLTAGE,
)
from domain.quantities import ALL_QUANTITY_NAMES, DECIMALS, INTEGER_DIGITS
from domain.report_source import ESTIMATED_FIELD
from domain.time.local_time import LocalTimeResolver
from domain.time.sampling_interval import SamplingIntervals
from domain.time.time_zone import DAY_SECONDS
from settings import QualitySettings
from storage.backends.base import WriteEngine
from storage.backends.dialect import Dialect
from storage.imports.appended import AppendedReadings, KeptDay, Suspect
from storage.meters import MeterRecord

T = TypeVar("T")

BATCH_SIZE = 400
"""Terms of one compound SELECT: SQLite takes 500."""

MAX_FACTOR = 2**63 // (10 ** (INTEGER_DIGITS + DECIMALS))
"""The factor that keeps the largest scaled quantity in an integer of 64 bits."""

RANGE_GROWTH = 8
"""The growth of the range each time none is found."""

Instants = tuple[int, int]
"""The first and the last instant of some readings, in seconds since 1970."""


@dataclass(frozen=True, slots=True)
class FlagParameters:
    """The parameters of flagging; the text is stored with the meter, to notice changes."""

    timezone: str
    intervals: SamplingIntervals
    quality: QualitySettings

    def __str__(self) -> str:
        return (
            f"maximeter_tolerance {self.quality.maximeter_tolerance.normalize():f},"
            f" maximeter_allowance {self.quality.maximeter_allowance.normalize():f} kW,"
            f" {self._intervals}, {self.timezone}"
        )

    @property
    def _intervals(self) -> str:
        spans = self.intervals.spans
        if len(spans) > 1:
            text = ", ".join(f"{span.first} {span.seconds}" for span in spans)
            return f"intervals {sha256(text.encode()).hexdigest()[:32]}"
        seconds = spans[0].seconds
        return "interval unknown" if seconds is None else f"interval {seconds} s"


@dataclass(frozen=True, slots=True)
class Flagged:
    """What an update of flags has done."""

    meter: MeterRecord
    """With the parameters, which are to be recorded."""
    has_any: bool
    """Whether readings of the report may have flags."""
    has_changed: bool
    """Whether the flags of older readings may have changed."""
    is_of_all: bool = False
    """Whether all readings were flagged anew."""
    merged_days: tuple[str, str] | None = None
    """The first and last local day of what was added or corrected anywhere, and what it touched."""
    days: Sequence[KeptDay] | None = None
    """The days of the appended readings that are left to record; None if they are not known."""


class FlagUpdater:
    """Updates the quality flags of a meter within the import's transaction."""

    def __init__(self, engine: WriteEngine, quality: QualitySettings) -> None:
        self._engine = engine
        self._limit = energy_limit(quality)
        self._quality = quality

    async def record(self, meter_id: int, flags: Sequence[tuple[int, int]]) -> None:
        """Record the ids and bits of readings that have no flags yet."""
        if flags:
            rows = [(meter_id, *each) for each in flags]
            await self._engine.insert("flags", ("meter_id", "reading_id", "flags"), rows)

    async def update(
        self,
        meter: MeterRecord,
        intervals: SamplingIntervals,
        span: tuple[str, str],
        appended: range,
        readings: AppendedReadings | None,
        *,
        merged: bool,
        tells_estimated: bool,
    ) -> "Flagged":
        """Flag the readings that an import can have changed, or all if parameters changed.

        Those with the ids `appended` come after all others; `readings` tell of them, unless the
        database is to be asked.
        If `merged`, those of `incoming` were added or corrected anywhere. All are between the local
        times of the span. Unless the report `tells_estimated`, none of them is.
        """
        parameters = FlagParameters(meter.timezone, intervals, self._quality)
        sql = _FlagSql(self._engine.dialect, meter.id, parameters)
        is_first = appended.start == 1 and not merged
        if str(parameters) != meter.quality and not is_first:
            ends = await self._ends(sql)
            await self._engine.execute(f"DELETE FROM flags WHERE meter_id = {meter.id}")
            await self._flag(sql, sql.all, ends)
            meter = replace(meter, quality=str(parameters))
            return Flagged(meter, has_any=True, has_changed=True, is_of_all=True)
        meter = replace(meter, quality=str(parameters))
        if not merged and readings is not None and readings.can_judge(intervals):
            verdicts = await self._verdicts(sql, [*readings.suspects()], intervals, is_first)
            settled = readings.judged(verdicts)
            await self.record(meter.id, settled.flags)
            is_flagged = readings.flagged > 0
            return Flagged(meter, has_any=is_flagged, has_changed=False, days=settled.days)
        flagged = 0
        if appended:
            if readings is not None and readings.flagged:
                await self._engine.execute(
                    f"DELETE FROM flags WHERE meter_id = {meter.id}"
                    f" AND reading_id >= {appended.start}"
                )
            # To look at one more column of all readings would slow down the usual import.
            ids = sql.with_ids(appended, may_be_estimated=tells_estimated)
            flagged = await self._flag(sql, ids, _around(span))
        if not merged:
            return Flagged(meter, has_any=flagged > 0, has_changed=False)
        first, last = await self._touched(sql)
        touched = sql.between(first, last)
        before = await self._flags_before(appended.start, touched)
        await self._engine.execute(
            f"DELETE FROM flags WHERE meter_id = {meter.id} AND EXISTS"
            f" (SELECT 1 FROM readings c WHERE c.id = reading_id AND {touched.readings})"
        )
        await self._flag(sql, touched, (first, last))
        after = await self._flags_before(appended.start, touched)
        days = await self._days(touched)
        return Flagged(meter, has_any=True, has_changed=before != after, merged_days=days)

    async def counts(
        self, meter: MeterRecord, span: tuple[str, str] | None, ids: range | None
    ) -> dict[str, int]:
        """Return how many readings between two local times have which flag.

        Without any others between them, the readings are those with the ids.
        """
        if span is None:
            return {}
        placeholder = self._engine.dialect.placeholder
        args: Sequence[object] = ()
        if ids is None:
            selected = (
                "EXISTS (SELECT 1 FROM readings c WHERE c.meter_id = flags.meter_id"
                f" AND c.id = reading_id AND c.date BETWEEN {placeholder} AND {placeholder})"
            )
            args = span
        else:
            selected = f"reading_id BETWEEN {ids.start} AND {ids.stop - 1}"
        rows = await self._engine.fetch(
            f"SELECT flags, COUNT(*) FROM flags WHERE meter_id = {meter.id} AND {selected}"
            " GROUP BY flags",
            args,
        )
        counts = {
            flag.name: sum(count for flags, count in rows if flags & flag.bit) for flag in FLAGS
        }
        return {name: count for name, count in counts.items() if count}

    async def _flags_before(self, first_new: int, part: "_Part") -> Sequence[Sequence[int]]:
        """Return the flags of readings of a part that are no new ones."""
        return await self._engine.fetch(
            f"SELECT f.reading_id, f.flags FROM flags f WHERE {part.flags}"
            f" AND f.reading_id < {first_new} AND EXISTS"
            f" (SELECT 1 FROM readings c WHERE c.id = f.reading_id AND {part.readings})"
            " ORDER BY f.reading_id"
        )

    async def _days(self, part: "_Part") -> tuple[str, str]:
        """Return the first and the last local day of a part's readings."""
        rows = await self._engine.fetch(
            f"SELECT MIN(c.date), MAX(c.date) FROM readings c WHERE {part.readings}"
        )
        first, last = rows[0]
        return str(first)[:10], str(last)[:10]

    async def _ends(self, sql: "_FlagSql") -> Instants:
        """Return the instants of the meter's first and last reading."""
        readings = f"FROM readings WHERE {sql.of_meter}"
        ends = [sql.seconds(f"(SELECT {end}(utc) {readings})") for end in ("MIN", "MAX")]
        first, last = (await self._engine.fetch(f"SELECT {', '.join(ends)}"))[0]
        return first, last

    async def _touched(self, sql: "_FlagSql") -> Instants:
        """Return the instants of the first of `incoming` and of the next energy after its last."""
        ends = [sql.seconds(f"(SELECT {end}(utc) FROM incoming)") for end in ("MIN", "MAX")]
        first, last = (await self._engine.fetch(f"SELECT {', '.join(ends)}"))[0]
        _, latest = await self._ends(sql)
        end = reached = last
        search_seconds = DAY_SECONDS
        while reached < latest:
            reached = min(last + search_seconds, latest)
            rows = await self._engine.fetch(sql.following(last, reached))
            if rows:
                end = rows[0][0]
                break
            search_seconds *= RANGE_GROWTH
        return first, end

    async def _flag(self, sql: "_FlagSql", part: "_Part", instants: Instants) -> int:
        """Flag the readings of a part, none of which has flags yet; return how many have now.

        They are between the instants. Some may lose their flags again.
        """
        flagged = await self._engine.execute(sql.insertion(part, instants))
        if not flagged:
            return 0
        gaps = await self._engine.fetch(sql.after_gaps(part))
        if gaps:
            first, _ = await self._ends(sql)
            for batch in _batches(gaps):
                since = await self._seconds_since_energy(sql, batch, first)
                await self._correct_catch_ups(sql, {row[0]: row[1] for row in batch}, since)
        return flagged

    async def _verdicts(
        self,
        sql: "_FlagSql",
        suspects: Sequence[Suspect],
        intervals: SamplingIntervals,
        is_first: bool,
    ) -> dict[int, int]:
        """Return the bits of suspects' flags by their ids.

        If they are of the first import, no energy was there before those of the report.
        """
        found = []
        for each in suspects:
            own = intervals.at(each.utc)
            if own is not None and self._limit.exceeds(each.energy, each.maximeter, own):
                found.append((each, own))
        unknown = [(each.id, each.utc) for each, _ in found if each.since is None]
        since: Mapping[int, int | None] = {}
        if unknown and not is_first:
            first, _ = await self._ends(sql)
            since = await self._seconds_since_energy(sql, unknown, first)
        sooner = [
            each.utc - own for each, own in found if each.since is not None and each.since < own
        ]
        energies: set[int] = set()
        for batch in _batches(sooner):
            energies.update(row[0] for row in await self._engine.fetch(sql.energies_at(batch)))
        verdicts = {}
        for each, own in found:
            elapsed = since.get(each.id) if each.since is None else each.since
            if elapsed is None:
                continue
            follows = elapsed == own or each.utc - own in energies
            gap = own if follows else _gap(intervals, each.utc, elapsed, own)
            verdicts[each.id] = self._limit.verdict(each.energy, each.maximeter, own, gap)
        return verdicts

    async def _seconds_since_energy(
        self, sql: "_FlagSql", gaps: Sequence[Sequence[int]], first: int
    ) -> dict[int, int | None]:
        """Return the seconds from the last energy to each reading, None if there was none."""
        since: dict[int, int | None] = {number: None for number, _ in gaps}
        gaps = [gap for gap in gaps if gap[1] > first]
        search_seconds = DAY_SECONDS
        while gaps:
            rows = await self._engine.fetch(sql.before(gaps, search_seconds, first))
            since.update((number, seconds) for number, seconds in rows)
            gaps = [
                gap for gap in gaps if since[gap[0]] is None and gap[1] - search_seconds > first
            ]
            search_seconds *= RANGE_GROWTH
        return since

    async def _correct_catch_ups(
        self, sql: "_FlagSql", starts: dict[int, int], since: dict[int, int | None]
    ) -> None:
        """Change the flags of readings that are no catch-ups after all."""
        wrong = {0: [number for number, seconds in since.items() if seconds is None]}
        for interval, known in sql.by_interval(starts, since).items():
            for number, verdict in await self._engine.fetch(sql.verdicts(known, interval)):
                wrong.setdefault(verdict, []).append(number)
        for verdict, numbers in wrong.items():
            if numbers:
                ids = f"{sql.of_meter} AND reading_id IN ({', '.join(map(str, numbers))})"
                change = f"flags + {verdict} - {CATCH_UP.bit}"
                await self._engine.execute(f"UPDATE flags SET flags = {change} WHERE {ids}")
                await self._engine.execute(f"DELETE FROM flags WHERE flags = 0 AND {ids}")


@dataclass(frozen=True, slots=True)
class _Part:
    """Some readings of a meter: conditions for readings `c`, and for their flags `f`."""

    readings: str
    flags: str
    may_be_estimated: bool = True


class _FlagSql:
    """The rules as SQL, for readings `c` of a meter."""

    def __init__(self, dialect: Dialect, meter_id: int, parameters: FlagParameters) -> None:
        self._dialect = dialect
        self._meter_id = meter_id
        self.of_meter = f"meter_id = {meter_id}"
        """The condition that selects the meter in one table."""
        self.all = _Part(f"c.{self.of_meter}", f"f.{self.of_meter}")
        self._intervals = parameters.intervals
        self._resolver = LocalTimeResolver(ZoneInfo(parameters.timezone))
        limit = energy_limit(parameters.quality)
        self._hundredths, self._allowance = limit.tolerance, limit.allowance

    def with_ids(self, ids: range, *, may_be_estimated: bool) -> _Part:
        """Select the readings with some ids."""
        between = f"BETWEEN {ids.start} AND {ids.stop - 1}"
        return _Part(
            f"{self.all.readings} AND c.id {between}",
            f"{self.all.flags} AND f.reading_id {between}",
            may_be_estimated,
        )

    def between(self, first: int, last: int) -> _Part:
        """Select the readings between two instants."""
        between = f"BETWEEN {self.instant(first)} AND {self.instant(last)}"
        return _Part(f"{self.all.readings} AND c.utc {between}", self.all.flags)

    def instant(self, seconds: int) -> str:
        """Return an instant, from the seconds since 1970."""
        return self._dialect.instant(seconds)

    def seconds(self, instant: str) -> str:
        """Return the seconds since 1970 of an instant."""
        return self._dialect.unix_seconds(instant)

    def insertion(self, part: _Part, instants: Instants) -> str:
        """Flag the readings of a part.

        Those that follow a gap, or may, are flagged as catch-ups for the time being.
        """
        repeated = "".join(
            f" UNION ALL SELECT c.id, {REPEATED_HOUR.bit} FROM readings c"
            f" WHERE ({' OR '.join(ranges)}) AND {part.readings}"
            for ranges in _batches([*self._repeated(*instants)])
        )
        return (
            f"INSERT INTO flags (meter_id, reading_id, flags)"
            f" SELECT {self._meter_id}, id, SUM(bits) FROM (SELECT id, bits FROM"
            f" ({self._flagged(part, instants)}) AS flagged WHERE bits > 0{repeated})"
            " AS found GROUP BY id"
        )

    def after_gaps(self, part: _Part) -> str:
        """Select the ids and instants of the readings that are flagged as catch-ups."""
        # Flags are few: SQLite, which keeps the order of a CROSS JOIN, is to begin with them.
        return (
            f"SELECT c.id, {self.seconds('c.utc')} FROM flags f CROSS JOIN readings c"
            f" ON c.id = f.reading_id WHERE {part.flags} AND f.flags & {CATCH_UP.bit} <> 0"
            f" AND {part.readings}"
        )

    def before(self, gaps: Sequence[Sequence[int]], search_seconds: int, first: int) -> str:
        """Select the ids of readings, and the seconds since the last energy within some before."""
        return " UNION ALL ".join(
            f"SELECT {number}, (SELECT {self._dialect.elapsed('p.utc', self.instant(at))}"
            f" {self._energy(max(at - search_seconds, first), at - 1)} ORDER BY p.utc DESC LIMIT 1)"
            for number, at in gaps
        )

    def following(self, instant: int, last: int) -> str:
        """Select the instant of the first energy after an instant, up to another."""
        return (
            f"SELECT {self.seconds('p.utc')} {self._energy(instant + 1, last)}"
            " ORDER BY p.utc LIMIT 1"
        )

    def by_interval(
        self, starts: Mapping[int, int], since: Mapping[int, int | None]
    ) -> Mapping[int, Sequence[tuple[int, int]]]:
        """Return readings with the seconds since an energy, by their intervals.

        After one of another interval, these are as many as if that had been as long.
        """
        found: dict[int, list[tuple[int, int]]] = {}
        for number, seconds in since.items():
            own = self._intervals.at(starts[number])
            if seconds is not None and own is not None:
                gap = _gap(self._intervals, starts[number], seconds, own)
                found.setdefault(own, []).append((number, gap))
        return found

    def verdicts(self, since: Sequence[tuple[int, int]], interval: int) -> str:
        """Select the ids of readings that are no catch-ups, and the bit each gets instead."""
        known = " UNION ALL ".join(
            f"SELECT {number} AS id, {seconds} AS since" for number, seconds in since
        )
        longer = f"CASE WHEN b.since > {interval} THEN b.since ELSE {interval} END"
        return (
            "SELECT id, verdict FROM (SELECT c.id,"
            f" CASE WHEN {self._exceeds(longer, self._allowance * interval)} THEN {IMPLAUSIBLE.bit}"
            f" WHEN b.since > {interval} THEN {CATCH_UP.bit} ELSE 0 END AS verdict"
            f" FROM ({known}) AS b CROSS JOIN readings c"
            f" ON c.{self.of_meter} AND c.id = b.id) AS judged"
            f" WHERE verdict <> {CATCH_UP.bit}"
        )

    def energies_at(self, instants: Sequence[int]) -> str:
        """Select those of some instants at which there is an energy."""
        listed = ", ".join(map(self.instant, instants))
        return (
            f"SELECT {self.seconds('p.utc')} FROM readings p WHERE p.{self.of_meter}"
            f" AND p.energy IS NOT NULL AND p.utc IN ({listed})"
        )

    def _energy(self, first: int, last: int) -> str:
        """Return the readings with energy between two instants.

        The instants are written out and near each other: MariaDB would search a wide range, or
        one that another row gives, from the end of the index.
        """
        return (
            f"FROM readings p WHERE p.{self.of_meter} AND p.energy IS NOT NULL"
            f" AND p.utc BETWEEN {self.instant(first)} AND {self.instant(last)}"
        )

    def _flagged(self, part: _Part, instants: Instants) -> str:
        first, last = instants
        spans = self._intervals.within(first, last + 1)
        if len(spans) == 1:
            return self._flagged_alike(part, part.readings, spans[0].seconds)
        ends = [*(span.first for span in spans[1:]), last + 1]
        return " UNION ALL ".join(
            self._flagged_alike(
                part,
                f"{part.readings} AND c.utc >= {self.instant(span.first)}"
                f" AND c.utc < {self.instant(end)}",
                span.seconds,
            )
            for span, end in zip(spans, ends, strict=True)
        )

    def _flagged_alike(self, part: _Part, where: str, interval: int | None) -> str:
        """Select readings of a part, of one interval, that may have flags."""
        rules = {
            MISSING: " AND ".join(f"c.{name} IS NULL" for name in ALL_QUANTITY_NAMES),
            ZERO_VOLTAGE: "c.voltage = 0 AND c.intensity > 0",
        }
        if part.may_be_estimated:
            rules[ESTIMATED] = f"c.{ESTIMATED_FIELD} = 1"
        bits = " + ".join(
            f"CASE WHEN {rule} THEN {flag.bit} ELSE 0 END" for flag, rule in rules.items()
        )
        found = " OR ".join(f"({rule})" for rule in rules.values())
        if interval is None:
            return f"SELECT c.id, {bits} AS bits FROM readings c WHERE ({found}) AND {where}"
        suspect = self._suspect(interval)
        implausible = self._exceeds(str(interval), self._allowance * interval)
        return (
            f"SELECT c.id, {bits}"
            f" + CASE WHEN {suspect} THEN CASE WHEN NOT {self._follows(interval)}"
            f" THEN {CATCH_UP.bit} WHEN {implausible} THEN {IMPLAUSIBLE.bit}"
            f" ELSE 0 END ELSE 0 END AS bits FROM readings c"
            f" WHERE ({found} OR {suspect}) AND {where}"
        )

    def _follows(self, interval: int) -> str:
        """Return whether there is an energy exactly one interval before."""
        before = self._dialect.add_seconds("c.utc", -interval)
        return (
            f"EXISTS (SELECT 1 FROM readings p WHERE p.{self.of_meter}"
            f" AND p.utc = {before} AND p.energy IS NOT NULL)"
        )

    def _suspect(self, interval: int) -> str:
        """Return whether energy exceeds the maximeter in an interval, for every reading.

        The usual way is quick, and exact as long as SQLite's integers hold the products.
        """
        factor = Fraction(self._hundredths * interval, 360_000)
        if max(factor.numerator, factor.denominator) > MAX_FACTOR:
            return self._exceeds(str(interval), 0)
        times = "" if factor.numerator == 1 else f" * {factor.numerator}"
        return f"c.energy * {factor.denominator} > c.maximeter{times}"

    def _exceeds(self, seconds: str, allowance: int) -> str:
        """Return whether energy exceeds the maximeter in so many seconds."""
        return self._dialect.exceeds(f"{self._hundredths} * {seconds}", allowance)

    def _repeated(self, first: int, last: int) -> Iterator[str]:
        for begin, end in self._resolver.repeated(first, last):
            yield (
                f"c.{self.of_meter} AND c.utc >= {self.instant(begin)}"
                f" AND c.utc < {self.instant(end)}"
            )


def energy_limit(quality: QualitySettings) -> EnergyLimit:
    """Return the limit of energy that the settings give."""
    return EnergyLimit(
        int(quality.maximeter_tolerance * 100), int(quality.maximeter_allowance * 100)
    )


def _gap(intervals: SamplingIntervals, start: int, since: int, own: int) -> int:
    """Return the seconds since an energy as if it had been of the interval of a later one."""
    earlier = intervals.at(start - since)
    return since if earlier is None else since - earlier + own


def _around(span: tuple[str, str]) -> Instants:
    """Return instants that local times of any zone are between."""
    first, last = (
        int(datetime.fromisoformat(local).replace(tzinfo=UTC).timestamp()) for local in span
    )
    return first - DAY_SECONDS, last + DAY_SECONDS


def _batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for at in range(0, len(items), BATCH_SIZE):
        yield items[at : at + BATCH_SIZE]

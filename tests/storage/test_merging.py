"""Importing over readings that are there: what is written, what stays, and what is on record."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.flags import ESTIMATED
from domain.quantities import ALL_QUANTITY_NAMES, QUANTITY_NAMES
from domain.report_source import ESTIMATED_FIELD, RowBatch
from domain.time.sampling_interval import Differences, IntervalSpan
from storage.common.errors import Disagreement
from storage.factory import WritableDatabase, open_importer
from storage.imports.merging import MergeOptions
from tests.support.databases import DatabaseFixture
from tests.support.reference_days import kept_days, reckoned_days

START = datetime(2019, 10, 26, 22, tzinfo=UTC)
BITS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
COLUMNS = (*ALL_QUANTITY_NAMES, ESTIMATED_FIELD)
Values = tuple[int | None, ...]
"""The values of COLUMNS, quantities in hundred-thousandths."""
Table = Mapping[int, Values]
"""Quantities by the number of a quarter of an hour."""


def written(value: int | None) -> str:
    return "" if value is None else f"{value // 100_000}.{value % 100_000:05}"


@dataclass
class Rows:
    """Readings on their way in, some in a block; UTC is the local time."""

    readings: Sequence[tuple[int, Values]]
    quantities: Sequence[str]
    format: str = "monitoring"
    identifier: str | None = None
    tells_estimated: bool = False
    batch_rows: int = 4
    name: str = field(default="rows.csv", init=False)
    sha256: str = field(default="0" * 64, init=False)
    rejected: int = field(default=0, init=False)

    @property
    def differences(self) -> Differences:
        starts = [int(START.timestamp()) + 900 * number for number, _ in self.readings]
        return Differences.of_runs((at, (0,)) for at in starts)

    @property
    def said_spans(self) -> Sequence[IntervalSpan]:
        return [IntervalSpan(self.differences.first or 0, 900, is_said=True)]

    @property
    def missing(self) -> int:
        places = [COLUMNS.index(name) for name in self.quantities]
        return sum(values[place] is None for _, values in self.readings for place in places)

    @property
    def span(self) -> tuple[str, str]:
        times = [self.time(number) for number, _ in self.readings]
        return min(times), max(times)

    def time(self, number: int) -> str:
        return f"{START + timedelta(minutes=15) * number:%Y-%m-%d %H:%M:%S}"

    @property
    def is_full(self) -> bool:
        return self.tells_estimated or not {*self.quantities} <= {*QUANTITY_NAMES}

    def batches(self) -> Iterator[RowBatch]:
        for at in range(0, len(self.readings), self.batch_rows):
            some = self.readings[at : at + self.batch_rows]
            most = len(ALL_QUANTITY_NAMES if self.is_full else QUANTITY_NAMES)
            lines = [
                ",".join((str(line), self.time(number), "0", *map(written, values[:most])))
                + (f",{values[most] or ''}" if self.is_full else "")
                for line, (number, values) in enumerate(some, at + 1)
            ]
            times = [self.time(number) for number, _ in some]
            rows = "".join(f"{line}\n" for line in lines).encode()
            yield RowBatch(rows, len(some), min(times), max(times), self.is_full)


@dataclass(frozen=True)
class Step:
    rows: Rows
    erases: bool


@st.composite
def steps(draw: st.DrawFn) -> list[Step]:
    """Reports in any order, each with some columns, some fields of which are empty.

    Some tell which readings were estimated.
    """
    value = st.none() | st.integers(0, 3).map(lambda number: number * 50_000)
    found = []
    for _ in range(draw(st.integers(1, 6))):
        known = draw(st.sampled_from([QUANTITY_NAMES, ALL_QUANTITY_NAMES]))
        names = draw(st.lists(st.sampled_from(known), min_size=1, unique=True))
        columns = [name for name in ALL_QUANTITY_NAMES if name in names]
        tells_estimated = draw(st.booleans())
        mark = st.sampled_from([None, 1]) if tells_estimated else st.none()
        # Before and after midnight: later rows than all others take another way.
        numbers = draw(st.lists(st.integers(90, 101), min_size=1, max_size=9, unique=True))
        readings = [
            (
                number,
                (
                    *(draw(value) if name in columns else None for name in ALL_QUANTITY_NAMES),
                    draw(mark),
                ),
            )
            for number in numbers
        ]
        rows = Rows(readings, columns, tells_estimated=tells_estimated)
        found.append(Step(rows, draw(st.booleans())))
    return found


@dataclass
class Model:
    """What readings are to be after some imports, made apart from the code under test."""

    table: dict[int, Values] = field(default_factory=dict)
    ids: dict[int, int] = field(default_factory=dict)
    replaced: set[tuple[Any, ...]] = field(default_factory=set)
    """Import, reading, its import before, bits of the quantities, and their old values."""
    writers: dict[int, int] = field(default_factory=dict)

    def add(self, number: int, step: Step) -> tuple[int, int, int, int]:
        """Add a report; return how many readings are new, changed, unchanged, and values kept."""
        new = changed = unchanged = kept = 0
        for quarter, values in step.rows.readings:
            if quarter not in self.table:
                self.ids[quarter] = len(self.ids) + 1
                self.table[quarter], self.writers[quarter] = values, number
                new += 1
                continue
            before, after, bits = self.table[quarter], [], 0
            old: list[int | None] = []
            for place, name in enumerate(COLUMNS):
                has_column = name in step.rows.quantities
                stays = not has_column or (values[place] is None and not step.erases)
                kept += has_column and stays and before[place] is not None
                if name == ESTIMATED_FIELD:
                    stays = not step.rows.tells_estimated
                after.append(before[place] if stays else values[place])
                differs = after[place] != before[place]
                bits += BITS[place] if differs else 0
                old.append(before[place] if differs else None)
            if bits:
                row = (number, self.ids[quarter], self.writers[quarter], bits, *old)
                self.replaced.add(row)
                self.table[quarter], self.writers[quarter] = tuple(after), number
            changed += bool(bits)
            unchanged += not bits
        return new, changed, unchanged, kept


async def scaled(writer: WritableDatabase, sql: str) -> set[tuple[Any, ...]]:
    """Rows with their quantities in hundred-thousandths."""
    rows = await writer.engine.fetch(sql)
    return {
        tuple(
            value if value is None or isinstance(value, int) else int(str(value).replace(".", ""))
            for value in row
        )
        for row in rows
    }


async def prepared(database: DatabaseFixture) -> WritableDatabase:
    """A writer of a database that has its tables."""
    writer = open_importer(database.settings)
    async for _ in writer.engine.prepare():
        pass
    return writer


async def check(writer: WritableDatabase, some: Sequence[Step]) -> None:
    """Import reports in a transaction that is undone, and compare with the model."""
    engine, model = writer.engine, Model()
    names = ", ".join(COLUMNS)
    await engine.begin(keeps_triggers=True)
    try:
        meter = await writer.meters.register("main", "UTC")
        for number, step in enumerate(some, 1):
            options = MergeOptions(empty_erases=step.erases, is_confirmed=True)
            result = await writer.imports.load(step.rows, meter, options)
            counts = (result.new, result.changed, result.unchanged, result.kept)
            assert counts == model.add(number, step)
            assert len(result.corrections) == result.changed
        found = await scaled(writer, f"SELECT id, import_id, {names} FROM readings")
        assert found == {
            (model.ids[quarter], model.writers[quarter], *values)
            for quarter, values in model.table.items()
        }
        flagged = await scaled(
            writer, f"SELECT reading_id FROM flags WHERE flags & {ESTIMATED.bit}"
        )
        assert flagged == {
            (model.ids[quarter],) for quarter, values in model.table.items() if values[-1]
        }
        columns = f"import_id, reading_id, previous_import_id, quantities, {names}"
        replaced = await scaled(writer, f"SELECT {columns} FROM replaced_values")
        assert replaced == model.replaced
        recorded = await engine.fetch("SELECT SUM(kept), COUNT(format) FROM imports")
        assert int(recorded[0][1]) == len(some)
        assert await kept_days(engine) == await reckoned_days(engine)
    finally:
        await engine.rollback()


def test_readings_are_those_of_the_model_in_whatever_order_reports_come(
    database: DatabaseFixture,
) -> None:
    with asyncio.Runner() as runner:
        writer = runner.run(prepared(database))

        @settings(max_examples=25)
        @given(some=steps())
        def run(some: list[Step]) -> None:
            runner.run(check(writer, some))

        try:
            run()
        finally:
            runner.run(writer.engine.close())


# Reports that may be another meter's


def full(numbers: range, value: int) -> list[tuple[int, Values]]:
    """Readings whose eight values are this one or, where it is 0, 0."""
    return [(number, (value,) * 8) for number in numbers]


def energy(numbers: range, value: int) -> list[tuple[int, Values]]:
    """Readings that have energy only."""
    return [(number, (value, *[None] * 7)) for number in numbers]


FULL = Rows(full(range(24), 100_000), QUANTITY_NAMES)
DAY = Rows(energy(range(96), 100_000), ["energy"])
OTHER_DAY = Rows(energy(range(96), 200_000), ["energy"])


@pytest.mark.parametrize(
    ("there", "report", "what"),
    [
        (FULL, Rows(full(range(12), 200_000), QUANTITY_NAMES), "96 of 96 values differ"),
        (DAY, OTHER_DAY, "96 of 96 values differ"),
        # The usual home has zeros at the same times: they prove nothing.
        (
            Rows(energy(range(96), 1) + energy(range(96, 150), 0), ["energy"]),
            Rows(energy(range(96), 2) + energy(range(96, 150), 0), ["energy"]),
            "96 of 96 values differ",
        ),
        (
            FULL,
            Rows(energy(range(2), 200_000), ["energy"], format="portal"),
            "2 of 2 values in a format that it never had differ",
        ),
        (DAY, Rows(OTHER_DAY.readings, ["energy"], identifier="B"), "96 of 96 values differ"),
        (
            DAY,
            Rows(energy(range(5), 100_000) + energy(range(5, 96), 200_000), ["energy"]),
            "91 of 96 values differ",
        ),
    ],
    ids=[
        "all-quantities",
        "energy-only",
        "zeros",
        "new-format",
        "identifier-not-on-record",
        "few-agree",
    ],
)
async def test_report_that_disagrees_with_nearly_all_is_refused_unless_confirmed(
    database: DatabaseFixture, there: Rows, report: Rows, what: str
) -> None:
    writer = await prepared(database)
    await writer.engine.begin()
    try:
        meter = await writer.meters.register("main", "UTC")
        await writer.imports.load(there, meter)
        before = await writer.engine.fetch("SELECT * FROM readings ORDER BY id")
        with pytest.raises(Disagreement) as refused:
            await writer.imports.load(report, meter)
        assert what in str(refused.value)
        assert "--allow-corrections" in str(refused.value)
        assert await writer.engine.fetch("SELECT * FROM readings ORDER BY id") == before
    finally:
        await writer.engine.rollback()
        await writer.engine.close()


@pytest.mark.parametrize(
    ("there", "report", "is_confirmed", "changed"),
    [
        (DAY, OTHER_DAY, True, 96),
        # Half a day may well be a correction.
        (DAY, Rows(energy(range(48, 144), 200_000), ["energy"]), False, 48),
        (
            DAY,
            Rows(energy(range(10, 96), 200_000) + energy(range(10), 100_000), ["energy"]),
            False,
            86,
        ),
        (FULL, Rows(energy(range(24), 100_000), ["energy"], format="portal"), False, 0),
    ],
    ids=["confirmed", "few", "a-tenth-agrees", "new-format-agrees"],
)
async def test_report_that_may_be_the_meters_is_imported(
    database: DatabaseFixture, there: Rows, report: Rows, *, is_confirmed: bool, changed: int
) -> None:
    writer = await prepared(database)
    await writer.engine.begin()
    try:
        meter = await writer.meters.register("main", "UTC")
        await writer.imports.load(there, meter)
        options = MergeOptions(is_confirmed=is_confirmed)
        assert (await writer.imports.load(report, meter, options)).changed == changed
    finally:
        await writer.engine.rollback()
        await writer.engine.close()

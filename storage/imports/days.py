"""Sums of local days, kept in the transaction that changes the readings."""

from collections.abc import Sequence
from dataclasses import replace

from storage.backends.base import WriteEngine
from storage.backends.day_sums import DaySpan, day_sums, run_steps
from storage.imports.appended import KeptDay
from storage.imports.summed_days import INSTANTS, is_quantity


class DayUpdater:
    """Keeps the table `days`. Every call raises a StorageError if the database fails."""

    def __init__(self, engine: WriteEngine) -> None:
        self._engine = engine
        self._sums = day_sums(engine.dialect)

    async def update(self, *spans: DaySpan) -> None:
        """Sum up the days that an import has touched, once their flags are known.

        A span's ids hold unless it shares days with another one.
        """
        apart: list[DaySpan] = []
        for span in sorted(spans, key=lambda span: span.first):
            if apart and span.first <= apart[-1].last:
                last = max(apart[-1].last, span.last)
                apart[-1] = replace(apart[-1], last=last, ids=None)
            else:
                apart.append(span)
        for span in apart:
            await run_steps(self._engine, self._sums.update(span))

    async def add(self, meter_id: int, days: Sequence[KeptDay]) -> None:
        """Record the sums of days that are not there."""
        if not days:
            return
        dialect = self._engine.dialect
        names = [*days[0].sums]
        convert = [
            dialect.quantity if is_quantity(name) else dialect.utc if name in INSTANTS else int
            for name in names
        ]
        rows = [
            (
                meter_id,
                each.day,
                int(each.is_clean),
                *(
                    None if value is None else to_value(value)
                    for to_value, value in zip(convert, each.sums.values(), strict=True)
                ),
            )
            for each in days
        ]
        await self._engine.insert("days", ("meter_id", "day", "clean", *names), rows)

    async def forget(self, meter_id: int) -> None:
        """Remove the days of a meter that has no readings."""
        await self._engine.post(f"DELETE FROM days WHERE meter_id = {meter_id}")

    async def rebuild(self, meter_id: int, ids: range | None) -> None:
        """Sum up all days of a meter, the ids of whose readings may be known."""
        await run_steps(self._engine, self._sums.rebuild(meter_id, ids))

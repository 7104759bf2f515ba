"""Sums of local days, kept in the transaction that changes the readings."""

from dataclasses import replace

from domain.report_source import ParsedRows
from storage.backends.base import WriteEngine
from storage.backends.day_sums import FLAG_COUNTS, DaySpan, day_sums, run_steps
from storage.imports.summed_days import summed_days


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

    async def add(self, meter_id: int, rows: ParsedRows) -> None:
        """Record the days of a meter's rows without flags, which had no readings before."""
        dialect = self._engine.dialect
        for day, sums in summed_days(rows):
            values: dict[str, object] = {
                "meter_id": meter_id,
                "day": day,
                "clean": 0,
                **dict.fromkeys(FLAG_COUNTS, 0),
                **sums.counts,
            }
            for name, scaled in sums.quantities.items():
                values[name] = None if scaled is None else dialect.quantity(scaled)
            for name, seconds in sums.instants.items():
                values[name] = None if seconds is None else dialect.utc(seconds)
            await self._engine.post(dialect.insert("days", tuple(values)), tuple(values.values()))

    async def rebuild(self, meter_id: int, ids: range | None) -> None:
        """Sum up all days of a meter, the ids of whose readings may be known."""
        await run_steps(self._engine, self._sums.rebuild(meter_id, ids))

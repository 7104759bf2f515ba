"""Sums of local days, kept in the transaction that changes the readings."""

from dataclasses import replace

from storage.backends.base import WriteEngine
from storage.backends.day_sums import DaySpan, day_sums, run_steps


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

    async def rebuild(self, meter_id: int, ids: range | None) -> None:
        """Sum up all days of a meter, the ids of whose readings may be known."""
        await run_steps(self._engine, self._sums.rebuild(meter_id, ids))

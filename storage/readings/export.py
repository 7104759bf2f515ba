"""Exports of a meter's readings, as a report that loads again."""

from collections.abc import AsyncGenerator

from domain.quantities import ALL_QUANTITY_NAMES, EXPORTED_QUANTITIES, QUANTITY_NAMES
from domain.record_layout import FLAGS_COLUMN, Encoding, RecordLayout, TimeStyle
from domain.report_source import ESTIMATED_FIELD
from storage.backends.base import WriteEngine
from storage.backends.dialect import readings_of
from storage.common.errors import Inconsistent
from storage.readings.page_store import PAGE_READINGS

_LAYOUT = RecordLayout(("date", *QUANTITY_NAMES), Encoding.CSV_REPORT, TimeStyle.OFFSET)
"""Times have their UTC offsets, so that each is read as the instant that it was."""

_FULL_LAYOUT = RecordLayout(
    ("date", *ALL_QUANTITY_NAMES, FLAGS_COLUMN), Encoding.CSV_REPORT, TimeStyle.OFFSET
)
"""That of a meter with exported energy or estimated readings."""

_NEEDS_FULL = ", ".join((*(quantity.name for quantity in EXPORTED_QUANTITIES), ESTIMATED_FIELD))


class ReadingsExport:
    """Exports readings. Every call raises a StorageError if the database fails."""

    def __init__(self, engine: WriteEngine) -> None:
        self._engine = engine

    async def report(self, meter_id: int) -> AsyncGenerator[tuple[int, bytes]]:
        """Yield the parts of a report with all readings of a meter, by their ids, at one moment.

        Each part comes with the number of its readings.
        """
        dialect, table = self._engine.dialect, readings_of(meter_id)
        last_id = 0
        await self._engine.execute("BEGIN")
        try:
            needs_full = await self._engine.fetch(
                f"SELECT 1 FROM readings WHERE meter_id = {meter_id}"
                f" AND COALESCE({_NEEDS_FULL}) IS NOT NULL LIMIT 1"
            )
            layout = _FULL_LAYOUT if needs_full else _LAYOUT
            yield 0, layout.heading.encode()
            while True:
                rows = await self._engine.fetch(
                    f"SELECT MIN(id) FROM readings WHERE meter_id = {meter_id} AND id > {last_id}"
                )
                if rows[0][0] is None:
                    return
                last_id = rows[0][0] + PAGE_READINGS - 1
                where = dialect.between(rows[0][0], last_id)
                ((count, records),) = await self._engine.fetch(
                    dialect.page(table, where, layout), where.args
                )
                page = records.encode()
                if layout.count_records(page) != int(count):
                    raise Inconsistent(
                        "the database cut a page short: raise its max_allowed_packet"
                    )
                yield int(count), page
        finally:
            await self._engine.rollback()

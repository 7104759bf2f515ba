"""Exports of a meter's readings, as a report that loads again."""

from collections.abc import AsyncGenerator

from domain.quantities import QUANTITY_NAMES
from domain.record_layout import Encoding, RecordLayout, TimeStyle
from storage.backends.base import WriteEngine
from storage.backends.dialect import readings_of
from storage.common.errors import Inconsistent
from storage.readings.page_store import PAGE_READINGS

_LAYOUT = RecordLayout(("date", *QUANTITY_NAMES), Encoding.CSV_REPORT, TimeStyle.OFFSET)
"""Times have their UTC offsets, so that each is read as the instant that it was."""


class ReadingsExport:
    """Exports readings. Every call raises a StorageError if the database fails."""

    def __init__(self, engine: WriteEngine) -> None:
        self._engine = engine

    async def report(self, meter_id: int) -> AsyncGenerator[tuple[int, bytes]]:
        """Yield the parts of a report with all readings of a meter, by their ids, at one moment.

        Each part comes with the number of its readings.
        """
        yield 0, _LAYOUT.heading.encode()
        dialect, table = self._engine.dialect, readings_of(meter_id)
        last_id = 0
        await self._engine.execute("BEGIN")
        try:
            while True:
                rows = await self._engine.fetch(
                    f"SELECT MIN(id) FROM readings WHERE meter_id = {meter_id} AND id > {last_id}"
                )
                if rows[0][0] is None:
                    return
                last_id = rows[0][0] + PAGE_READINGS - 1
                where = dialect.between(rows[0][0], last_id)
                ((count, records),) = await self._engine.fetch(
                    dialect.page(table, where, _LAYOUT), where.args
                )
                page = records.encode()
                if _LAYOUT.count_records(page) != int(count):
                    raise Inconsistent(
                        "the database cut a page short: raise its max_allowed_packet"
                    )
                yield int(count), page
        finally:
            await self._engine.rollback()

"""The page store: compressed pages of formatted records, beside the readings.

A page holds the records of PAGE_READINGS readings with consecutive ids, the first one a multiple of
that plus one. It is written in the transaction that writes its readings; a trigger removes it when
one of them changes in any way, so that a stored page is always right. A reader that finds none lets
the database format the readings.
"""

from collections.abc import Iterator
from itertools import count
from operator import itemgetter

from domain.quantities import QUANTITY_NAMES, RECORD_KEYS
from storage.common.deflate import DeflateBlock, deflate_block

PAGE_READINGS = 4000
"""Readings in a page: enough to keep the database busy, few enough to keep other requests fast. The
triggers of the schema know this number."""

_FIELDS = ("id", "date", "seconds_ahead", *QUANTITY_NAMES)
_in_order = itemgetter(*(_FIELDS.index(key) for key in RECORD_KEYS))
_WHOLE = "{" + ",".join(f'"{key}":"%s"' for key in RECORD_KEYS) + "}"
_WITH_NULL = _WHOLE.replace('"%s"', "%s")


def first_id_of_page(number: int) -> int:
    """Return the first id of the page that a reading belongs to."""
    return (number - 1) // PAGE_READINGS * PAGE_READINGS + 1


def slice_page(records: bytes, first_id: int, last_id: int) -> bytes:
    """Return the records of a page from one id to another, both of which must be in it."""
    start = records.rindex(b"{", 0, records.index(b'"id":"%d"' % first_id))
    end = records.index(b"}", records.index(b'"id":"%d"' % last_id, start)) + 1
    return records[start:end]


class PageBuilder:
    """Formats pages of new readings while the database inserts them.

    It writes records exactly as the databases do, see the dialects. They could do it, but are busy
    at that time, while another core is idle.
    """

    def __init__(self, last_id: int) -> None:
        self._first_id = last_id + 1
        self._rows: list[str] = []

    def add(self, rows: bytes) -> Iterator[tuple[int, DeflateBlock]]:
        """Add rows, see `domain.report_source`, and yield the pages that they complete."""
        self._rows += rows.decode("ascii").splitlines()
        # The database formats the page that the first new readings share with older ones.
        shared = first_id_of_page(self._first_id + PAGE_READINGS - 1) - self._first_id
        if len(self._rows) < shared:
            return
        del self._rows[:shared]
        self._first_id += shared
        while len(self._rows) >= PAGE_READINGS:
            page, self._rows = self._rows[:PAGE_READINGS], self._rows[PAGE_READINGS:]
            records = map(_record, count(self._first_id), page)
            yield self._first_id, deflate_block(",".join(records).encode("ascii"))
            self._first_id += PAGE_READINGS


def _record(number: int, row: str) -> str:
    """Return a reading as a JSON object, with its id."""
    fields = row.split(",")
    fields[0] = str(number)
    if "" in fields:
        return _WITH_NULL % tuple(f'"{field}"' if field else "null" for field in _in_order(fields))
    text: str = _WHOLE % _in_order(fields)
    return text

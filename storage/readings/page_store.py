"""Pages of records that are kept ready, compressed, beside the readings.

A page holds the records of PAGE readings whose ids follow each other, the first one a multiple of
PAGE plus one. It is written in the transaction that writes its readings; a trigger removes it when
one of them changes by whatever hand, so that a page which is there is right. A reader that finds
none lets the database format the readings.
"""

from collections.abc import Iterator
from operator import itemgetter

from domain.quantities import QUANTITY_NAMES, RECORD_KEYS
from storage.common.deflate import DeflateBlock, deflate_block

PAGE_READINGS = 4000
"""Readings in a page: as many as keep the database busy and other requests quick. The triggers
of the schema know this number."""

_FIELDS = ("id", "date", "seconds_ahead", *QUANTITY_NAMES)
_in_order = itemgetter(*(_FIELDS.index(key) for key in RECORD_KEYS))
_WHOLE = "{" + ",".join(f'"{key}":"%s"' for key in RECORD_KEYS) + "}"
_WITH_NULL = _WHOLE.replace('"%s"', "%s")


def first_id_of_page(number: int) -> int:
    """The first id of the page that a reading belongs to."""
    return (number - 1) // PAGE_READINGS * PAGE_READINGS + 1


def slice_page(records: bytes, first_id: int, last_id: int) -> bytes:
    """The records of a page from one id to another, both of which are there."""
    start = records.rindex(b"{", 0, records.index(b'"id":"%d"' % first_id))
    end = records.index(b"}", records.index(b'"id":"%d"' % last_id, start)) + 1
    return records[start:end]


class PageBuilder:
    """Makes pages of new readings while they are on their way into the database.

    It writes records exactly as the databases do, see the dialects. They could do it themselves,
    but have their hands full then, while another core is free.
    """

    def __init__(self, last_id: int) -> None:
        self._next_id = last_id + 1
        self._records: list[str] = []
        self._first_id = self._next_id

    def add(self, rows: bytes) -> Iterator[tuple[int, DeflateBlock]]:
        """Takes rows, see `storage.incoming`, and gives the pages that they complete."""
        for row in rows.decode("ascii").splitlines():
            fields = row.split(",")
            fields[0] = str(self._next_id)
            self._records.append(_record(fields))
            self._next_id += 1
        yield from self._completed()

    def _completed(self) -> Iterator[tuple[int, DeflateBlock]]:
        # The page that the first new readings share with older ones is the database's to format.
        shared = first_id_of_page(self._first_id + PAGE_READINGS - 1) - self._first_id
        if len(self._records) < shared:
            return
        del self._records[:shared]
        self._first_id += shared
        while len(self._records) >= PAGE_READINGS:
            page, self._records = self._records[:PAGE_READINGS], self._records[PAGE_READINGS:]
            yield self._first_id, deflate_block(",".join(page).encode("ascii"))
            self._first_id += PAGE_READINGS


def _record(fields: list[str]) -> str:
    """The fields of a reading, its id the first of them, as the text of a JSON object."""
    if "" in fields:
        return _WITH_NULL % tuple(f'"{field}"' if field else "null" for field in _in_order(fields))
    text: str = _WHOLE % _in_order(fields)
    return text

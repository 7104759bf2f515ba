"""Runs of appended readings, each of which gets a page and a block."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from domain.columns import Columns, Integers
from storage.readings.page_store import PAGE_READINGS


class Run(NamedTuple):
    """Readings whose ids follow each other, as many as a page has."""

    first_id: int
    columns: Columns
    ahead: Integers
    """The UTC offsets, in seconds."""


class AppendedRuns:
    """Cuts readings into runs that are added after the one with a last id."""

    def __init__(self, last_id: int) -> None:
        self._first_id = last_id + 1
        self._skipped = -last_id % PAGE_READINGS
        """Readings of a run that older ones begin: the database is asked for all of it."""
        self._rest: list[tuple[Columns, Integers]] = []

    def add(self, columns: Columns, ahead: Integers) -> Iterator[Run]:
        """Add readings with their UTC offsets, and yield the runs that they complete."""
        self._rest.append((columns, ahead))
        if sum(len(each) for each, _ in self._rest) < self._skipped + PAGE_READINGS:
            return
        columns = Columns.joined([each for each, _ in self._rest])[self._skipped :]
        ahead = np.concatenate([each for _, each in self._rest])[self._skipped :]
        self._first_id += self._skipped
        self._skipped = 0
        while len(columns) >= PAGE_READINGS:
            yield Run(self._first_id, columns[:PAGE_READINGS], ahead[:PAGE_READINGS])
            columns, ahead = columns[PAGE_READINGS:], ahead[PAGE_READINGS:]
            self._first_id += PAGE_READINGS
        self._rest = [(columns, ahead)]

"""The rows of a report, each checked and dated, whatever the format.

What is right becomes a line that the storage takes, see `storage.incoming`; what is wrong becomes
a Fault.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Generic, TypeVar
from zoneinfo import ZoneInfo

from domain.local_time import LocalTimeResolver
from domain.report_source import RowBatch
from domain.sampling_interval import usual_interval
from loader.rows.dst_days import DstDayBuffer
from loader.rows.errors import RowError

FIRST_YEAR, LAST_YEAR = 1970, 2199

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class ParseContext:
    """What the rows of a report are read with."""

    path: str
    zone: ZoneInfo
    """That of the readings; the times of a report may stand in another."""
    skip_bad_rows: bool
    on_faults: Callable[[list[RowError], bytes], None]
    """Is told what is wrong in a row, and the row's own text, in the order of the lines."""


class TimeOfDayIndex(dict[str, int]):
    """A place for every time of day that occurs, as HH:MM:SS, in the order of occurrence."""

    def __init__(self) -> None:
        self._seconds: dict[bytes, tuple[int, ...]] = {}

    def __missing__(self, key: str) -> int:
        self[key] = place = len(self)
        return place

    def seconds(self, seen: bytes) -> tuple[int, ...]:
        """The seconds of the day, ascending, of the places that are not 0."""
        if seen not in self._seconds:
            taken = (clock for clock, place in self.items() if place < len(seen) and seen[place])
            self._seconds[seen] = tuple(sorted(map(_second, taken)))
        return self._seconds[seen]


class RowReader(ABC, Generic[Row]):
    """The rows of a report: `take` reads some, `block` gives what is ready."""

    def __init__(self, around: ParseContext, zone: ZoneInfo) -> None:
        self.readings = 0
        self.missing = 0
        self.rejected = 0
        self.identifier: str | None = None
        """What the report calls the meter."""
        self._around = around
        self._clock = LocalTimeResolver(zone)
        self._changing: DstDayBuffer[Row] = DstDayBuffer(self._clock)
        self._places = TimeOfDayIndex()
        self._lines: list[str] = []
        self._dates: list[str] = []
        self._is_holding = False
        self._held: list[tuple[list[RowError], bytes]] = []

    @abstractmethod
    def take(self, part: bytes, line: int) -> None:
        """Reads whole lines, the first of which has this number."""

    @abstractmethod
    def _take_dated(self, line: int, local: datetime, offset: int | str, row: Row) -> None:
        """Takes a row that waited, with its offset, or what was expected instead."""

    @abstractmethod
    def _runs(self) -> Iterator[tuple[int, tuple[int, ...]]]:
        """The instants of the readings, as `usual_interval` takes them."""

    def interval(self) -> int | None:
        """Seconds from one reading to the next, as the readings tell."""
        return usual_interval(self._runs())

    def block(self) -> Iterator[RowBatch]:
        """The rows that became ready since the last block."""
        lines, dates, self._lines, self._dates = self._lines, self._dates, [], []
        if lines:
            self.readings += len(lines)
            yield RowBatch("".join(lines).encode(), len(lines), min(dates), max(dates))

    def settle(self) -> None:
        """Takes the rows that wait; none that comes later belongs to their days."""
        if not self._is_holding:
            return
        for line, local, row, offset in self._changing.dated():
            self._take_dated(line, local, offset, row)
        self._is_holding = False
        self._tell()

    def _wait(self, line: int, local: datetime, row: Row) -> None:
        """Lets a row wait for others of a day on which clocks change."""
        self._changing.add(line, local, row)
        self._is_holding = True

    def _leave_out(self, faults: list[RowError], raw: bytes, local: datetime | None) -> None:
        """Rejects a row that is wrong in itself; its place among the others counts as well."""
        if self._around.skip_bad_rows:
            self._changing.leave_out(faults[0].line, local)
        self._reject(faults, raw)

    def _reject(self, faults: list[RowError], raw: bytes) -> None:
        self.rejected += 1
        self._held.append((faults, raw))
        if not self._is_holding:
            self._tell()

    def _tell(self) -> None:
        held, self._held = self._held, []
        for faults, raw in sorted(held, key=lambda item: item[0][0].line):
            self._around.on_faults(faults, raw)


def seconds_since_1970(local: datetime) -> int:
    """The instant of a time in UTC."""
    return int(local.replace(tzinfo=UTC).timestamp())


def midnight(day: date) -> datetime:
    """The beginning of a day."""
    return datetime.combine(day, time.min)


def _second(clock: str) -> int:
    hours, minutes, seconds = clock.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + int(seconds)

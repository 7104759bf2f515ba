"""Readings that an import adds after all others: their flags, and the sums of their days.

Both are made from the rows on their way into the database. What an energy's flag depends on is
known at the end only, when the interval is: the few readings that may have one are kept until then.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np

from domain.columns import Columns, Integers
from domain.flag_rules import EnergyLimit, own_flags
from domain.flags import IMPLAUSIBLE
from domain.report_source import RowBatch
from domain.time.local_time import LocalTimeResolver
from domain.time.sampling_interval import SamplingIntervals
from domain.time.time_zone import DAY_SECONDS
from storage.imports.summed_days import Day, merged_day, summed_days

MAX_UNSETTLED = 20_000
"""Readings that are kept at most; with more, the database is asked about all."""

OPEN_DAYS = 1
"""Days before the last one that may get more readings: clocks may go back over midnight."""

_DAY_1970 = date(1970, 1, 1).toordinal()
_NEVER = np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True)
class KeptDay:
    """The sums of a local day, YYYY-MM-DD."""

    day: str
    is_clean: bool
    """Whether they are those without implausible readings."""
    sums: Day


@dataclass(frozen=True, slots=True)
class Settled:
    """What is final: days, and the ids and bits of readings with flags."""

    days: Sequence[KeptDay]
    flags: Sequence[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Suspect:
    """An energy that may have a flag."""

    id: int
    utc: int
    energy: int
    maximeter: int
    since: int | None
    """The seconds since the energy before, if that is of the report, too."""


class AppendedReadings:
    """The readings of a report, as long as each batch is later than the one before."""

    def __init__(
        self,
        last_id: int,
        resolver: LocalTimeResolver,
        limit: EnergyLimit,
        intervals: SamplingIntervals,
    ) -> None:
        """Take the last id of the meter so far, and the intervals on record."""
        self._last_id = last_id
        self._resolver = resolver
        self._limit = limit
        self._intervals = intervals
        self.is_usable = True
        """Whether batches are in order, and the readings that may have flags are few."""
        self.flagged = 0
        """Readings that have flags, as far as is known."""
        self._last_utc: int | None = None
        self._last_energy = _NEVER
        self._looked_for: list[tuple[int, int, int]] = []
        """Pairs of instants, with the shortest interval that was expected between them."""
        self._unsettled: list[tuple[Columns, Integers, Integers]] = []
        """Readings, their local days, and the instants of the energies before them."""
        self._days: dict[int, list[Day]] = {}
        """Parts of days that are not final."""
        self._unsettled_days: set[int] = set()
        self._flags: list[tuple[int, int]] = []

    def add(self, batch: RowBatch) -> None:
        """Take the next rows."""
        if not self.is_usable:
            return
        columns, days = batch.columns, (batch.columns.utc + batch.ahead) // DAY_SECONDS
        if (columns.utc[1:] < columns.utc[:-1]).any():
            order = np.argsort(columns.utc, kind="stable")
            columns, days = columns[order], days[order]
        utc = columns.utc
        first, last = int(utc[0]), int(utc[-1])
        if self._last_utc is not None and first < self._last_utc:
            self._give_up()
            return
        flags = own_flags(columns, self._resolver.repeated(first, last))
        columns = Columns(columns.ids + self._last_id, utc, columns.quantities, flags)
        may_exceed = self._limit.may_exceed(columns, self._shortest(utc))
        self._last_utc = last
        has_energy = np.flatnonzero(columns.quantities["energy"].present)
        energies = np.concatenate(([self._last_energy], utc[has_energy]))
        self._last_energy = int(energies[-1])
        if may_exceed.any():
            places = np.flatnonzero(may_exceed)
            before = energies[np.searchsorted(has_energy, places)]
            self._keep(columns[places], days[places], before)
            columns, days = columns[~may_exceed], days[~may_exceed]
        self._note_flags(columns)
        _add_days(self._days, columns, days)
        if sum(len(kept) for kept, _, _ in self._unsettled) > MAX_UNSETTLED:
            self._give_up()

    def settled(self) -> Settled:
        """Return what became final since the last call."""
        end = max(self._days, default=0) - OPEN_DAYS
        final = [day for day in self._days if day < end and day not in self._unsettled_days]
        return self._taken(
            [KeptDay(_text(day), False, merged_day(self._days.pop(day))) for day in final]
        )

    def can_judge(self, intervals: SamplingIntervals) -> bool:
        """Return whether the readings that were kept are all that may have flags."""
        return self.is_usable and all(
            shortest
            <= min((each for each in intervals.lengths(first, last) if each), default=shortest)
            for first, last, shortest in self._looked_for
        )

    def suspects(self) -> Iterator[Suspect]:
        """Yield the readings that are to be judged."""
        for columns, _, before in self._unsettled:
            energy, maximeter = (columns.quantities[name] for name in ("energy", "maximeter"))
            for number, utc, least, most, earlier in zip(
                columns.ids.tolist(),
                columns.utc.tolist(),
                energy.values.tolist(),
                maximeter.values.tolist(),
                before.tolist(),
                strict=True,
            ):
                since = None if earlier == _NEVER else utc - earlier
                yield Suspect(number, utc, least, most, since)

    def judged(self, verdicts: Mapping[int, int]) -> Settled:
        """Return all that is left, with the bits of the suspects' flags by their ids."""
        with_implausible: set[int] = set()
        plausible: dict[int, list[Day]] = {}
        of_suspects: dict[int, list[Day]] = {}
        for columns, days, _ in self._unsettled:
            bits = [verdicts.get(number, 0) for number in columns.ids.tolist()]
            judged = replace(columns, flags=columns.flags | np.array(bits, np.uint8))
            self._note_flags(judged)
            is_implausible = judged.flags & IMPLAUSIBLE.bit != 0
            with_implausible.update(days[is_implausible].tolist())
            _add_days(plausible, judged[~is_implausible], days[~is_implausible])
            _add_days(of_suspects, judged, days)
        found = []
        for day in sorted(self._days.keys() | of_suspects.keys()):
            settled = self._days.get(day, [])
            found.append(
                KeptDay(_text(day), False, merged_day([*settled, *of_suspects.get(day, [])]))
            )
            left = [*settled, *plausible.get(day, [])]
            if day in with_implausible and left:
                found.append(KeptDay(_text(day), True, merged_day(left)))
        return self._taken(found)

    def _give_up(self) -> None:
        self.is_usable = False
        self._days, self._unsettled, self._flags = {}, [], []

    def _shortest(self, utc: Integers) -> int:
        """Return the shortest interval that is expected of readings, 0 if none is."""
        first, last = int(utc[0]), int(utc[-1])
        found = [each for each in self._intervals.lengths(first, last) if each]
        if len(utc) > 1:
            found.append(int((utc[1:] - utc[:-1]).min()))
        if self._last_utc is not None:
            found.append(first - self._last_utc)
        shortest = min(found, default=0)
        if self._looked_for and self._looked_for[-1][2] == shortest:
            first = self._looked_for.pop()[0]
        self._looked_for.append((first, last, shortest))
        return shortest

    def _keep(self, columns: Columns, days: Integers, before: Integers) -> None:
        self._unsettled.append((columns, days, before))
        self._unsettled_days.update(days.tolist())

    def _note_flags(self, columns: Columns) -> None:
        is_flagged = columns.flags != 0
        if is_flagged.any():
            found = zip(
                columns.ids[is_flagged].tolist(), columns.flags[is_flagged].tolist(), strict=True
            )
            self._flags += found

    def _taken(self, days: Sequence[KeptDay]) -> Settled:
        flags, self._flags = self._flags, []
        self.flagged += len(flags)
        return Settled(days, flags)


def _add_days(found: dict[int, list[Day]], columns: Columns, days: Integers) -> None:
    """Add the sums of the days of readings to those of other parts of the days."""
    if len(columns):
        for day, sums in summed_days(columns, days):
            found.setdefault(day, []).append(sums)


def _text(day: int) -> str:
    return date.fromordinal(day + _DAY_1970).isoformat()

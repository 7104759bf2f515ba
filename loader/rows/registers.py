"""Recognizing a cumulative register in a column that is to hold the energy of each interval."""

from dataclasses import dataclass

import numpy as np

from domain.quantities import DECIMALS, EXPORTED_QUANTITIES
from domain.report_source import RowBatch
from domain.time.time_zone import DAY_SECONDS

REGISTER_QUANTITIES = ("energy", "reactive_energy", *(each.name for each in EXPORTED_QUANTITIES))

MAX_REGISTER_ROWS = 20_000
"""Rows that are looked at, unless a fall shows sooner that they are of no register."""

MIN_RISES = 12
"""Rises of a register for each time that it restarts."""

_RESTART, _MIDNIGHT_RESTART = 10, 2
"""A register restarts at such a part of what it had, within a day and at midnight.

At midnight, it has the first hour of the day already.
"""

_MAX_CHANGE = 2 * 3600
"""By which clocks may go back."""
_LONG_RISE = 36 * 3600
"""For which no load and no sun rises without a fall."""
_MIN_RATIO = 10
"""A register's values are so many times its rises at least."""
_DAILY_RISES, _DAILY_RATIO = 6, 2
"""The same of one that restarts every midnight and never falls otherwise: no load does that."""
_RISES_OF_DAY, _HIGH_RATIO = 24, 50
"""Rises of a register that began high above them; a shorter one may be a load in the morning."""
_FEW_RISES, _HUGE_RATIO = 8, 10_000
"""Rises in succession that a steady load would have once in 40,000 reports."""


@dataclass(slots=True)
class _Piece:
    """What happened since a register may have restarted."""

    first: int
    rises: int = 0
    total: int = 0
    """The sum of the rises."""
    greatest: int = 0
    """The greatest of them."""
    last_rise: int | None = None
    """The local time of the last rise."""
    elapsed: int = 0
    """The seconds from one rise to the next, unless these were more than a day."""


class RegisterWatch:
    """Watches a quantity, in the order of the rows of a report, oldest or newest first."""

    def __init__(self, quantity: str) -> None:
        self.quantity = quantity
        self._is_over = False
        self._rows = 0
        self._sum = 0
        self._is_newest_first: bool | None = None
        self._value: int | None = None
        self._time = 0
        self._pieces: list[_Piece] = []
        self._falls = 0
        """Restarts within a day: the meter may have been replaced once."""

    def add(self, batch: RowBatch) -> None:
        """Look at further rows, as long as they may be of a register."""
        if self._is_over or self._rows >= MAX_REGISTER_ROWS:
            return
        column = batch.columns.quantities.get(self.quantity)
        if column is None:
            return
        local, values = (batch.columns.utc + batch.ahead), np.abs(column.values)
        if column.known is not None:
            local, values = local[column.known], values[column.known]
        for time, value in zip(local.tolist(), values.tolist(), strict=True):
            self._rows += 1
            self._sum += value
            if self._value is None:
                self._pieces.append(_Piece(value))
            elif not self._may_follow(time, self._value, value):
                self._is_over = True
                return
            self._value, self._time = value, time
            if self._rows >= MAX_REGISTER_ROWS:
                return

    @property
    def is_register(self) -> bool:
        """Whether the rows are beyond doubt those of a register."""
        rises = sum(piece.rises for piece in self._pieces)
        total = sum(piece.total for piece in self._pieces)
        restarts = len(self._pieces) - 1
        if self._is_over or not rises:
            return False
        is_daily = restarts > 1 and not self._falls
        least, ratio = (_DAILY_RISES, _DAILY_RATIO) if is_daily else (MIN_RISES, _MIN_RATIO)
        if rises < least * restarts or self._sum * rises < ratio * total * self._rows:
            return False
        return is_daily or any(self._is_of_register(piece) for piece in self._pieces)

    @property
    def span(self) -> str:
        """The smallest and the greatest value."""
        values = [piece.first for piece in self._pieces]
        values += [piece.first + piece.total for piece in self._pieces]
        return f"from {_decimal(min(values))} to {_decimal(max(values))}"

    def _may_follow(self, time: int, before: int, value: int) -> bool:
        """Return whether a value may follow another one in a register, and note it."""
        if self._is_newest_first is None:
            self._is_newest_first = time < self._time
        elif (time < self._time) != self._is_newest_first and abs(time - self._time) > _MAX_CHANGE:
            return False
        earlier, later = before, value
        if self._is_newest_first:
            earlier, later = later, earlier
        piece = self._pieces[-1]
        if later > earlier:
            piece.rises += 1
            piece.total += later - earlier
            piece.greatest = max(piece.greatest, later - earlier)
            piece.first = min(piece.first, earlier)
            before_it = self._time if piece.last_rise is None else piece.last_rise
            piece.elapsed += _within_a_day(before_it, time)
            piece.last_rise = time
        elif later < earlier:
            is_midnight = time // DAY_SECONDS != self._time // DAY_SECONDS
            self._falls += not is_midnight
            self._pieces.append(_Piece(value))
            ratio = _MIDNIGHT_RESTART if is_midnight else _RESTART
            return later * ratio <= earlier and self._falls <= 1
        return True

    def _is_of_register(self, piece: _Piece) -> bool:
        if piece.rises < _FEW_RISES:
            return False
        first = piece.first * piece.rises
        if first >= _HUGE_RATIO * piece.total:
            return True
        if piece.greatest * piece.rises == piece.total:
            return False  # numbers in a row: no load is so steady
        is_high = first >= _HIGH_RATIO * piece.total and piece.first >= piece.total
        if piece.rises >= _RISES_OF_DAY and is_high:
            return True
        return piece.rises >= MIN_RISES and piece.elapsed >= _LONG_RISE


def _within_a_day(time: int, other: int) -> int:
    """Return the seconds between two local times, 0 if they are more than a day."""
    elapsed = abs(time - other)
    return elapsed if elapsed <= DAY_SECONDS else 0


def _decimal(value: int) -> str:
    return f"{value / 10**DECIMALS:.3f}"

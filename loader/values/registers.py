"""What cumulative registers did from one state to the next."""

from bisect import bisect
from enum import Enum
from fractions import Fraction
from itertools import accumulate
from typing import NamedTuple

from domain.fixed_point import SCALE
from settings import HOURLY_INTERVAL

_MIN_RISES = 12
"""Rises that tell what a register usually does in an hour."""

_ROLL_OVER_PART = 200
"""A register that rolls over rises by such a part of its range at most, in each interval."""
_GAP_PART = 20
"""The same over a gap however long."""
_TOO_MUCH = 10
"""Times what a register usually does, that it does not do after a fall."""
_LIKELY = 2
"""Times what a register usually does, that it may well do."""
_PEAK_HOURS = 2
"""Hours for which the greatest power may last."""
_NEAR_ZERO = 10
"""A register that nothing else is known of restarts at such a part of what it had at most."""
_JUMP = 1000
"""Times all rises but one in a hundred, which only another meter explains."""
_JUMP_POWER = 100 * SCALE
"""And at least so many kW, scaled."""
_RARE = 100
_MIN_DAILY = 2
"""Restarts at midnight that show a register which counts each day anew."""
_MAX_BITS = 64


class RegisterChange(Enum):
    """What a register did from one state to the next."""

    RISE = "rose"
    ROLL_OVER = "rolled over"
    RESET = "restarted"
    EXCHANGE = "of another meter"


class Step(NamedTuple):
    """From one state of a register to the next: both, scaled, and the seconds in between."""

    before: int
    after: int
    seconds: int
    is_midnight: bool = False
    """Whether a local day ended meanwhile."""

    def rolled_over(self, unit: Fraction) -> Fraction:
        """Return the energy if the register went over its greatest state, scaled."""
        return _capacity(self.before, unit) - self.before + self.after

    def may_roll_over(self, unit: Fraction, interval: int | None) -> bool:
        """Return whether the register was at the end of its range and is at its beginning."""
        intervals = Fraction(self.seconds, interval) if interval else Fraction(1)
        part = min(max(intervals, Fraction(1)) / _ROLL_OVER_PART, Fraction(1, _GAP_PART))
        return self.rolled_over(unit) <= part * _capacity(self.before, unit)


class UsualRises:
    """What a register usually does, by all steps of a report."""

    def __init__(self, unit: Fraction) -> None:
        """Take the register's own unit in scaled ones."""
        self._unit = unit
        self._counts = [0] * (_MAX_BITS + 1)
        """Of rises, by the number of binary digits of their scaled power."""
        self._rises = 0
        self._risen = 0
        self._seconds = 0
        self._restarts = 0
        self._at_midnight = 0
        self._known_jump: int | None = None

    def add(self, step: Step, interval: int | None) -> None:
        """Take a step into account."""
        self._known_jump = None
        if step.after < step.before:
            if not step.may_roll_over(self._unit, interval):
                self._restarts += 1
                self._at_midnight += step.is_midnight
            return
        self._seconds += step.seconds
        if step.after > step.before:
            power = (step.after - step.before) * HOURLY_INTERVAL // step.seconds
            self._counts[min(power.bit_length(), _MAX_BITS)] += 1
            self._rises += 1
            self._risen += step.after - step.before

    def change(self, step: Step, interval: int | None) -> RegisterChange:
        """Return what the register did in a step."""
        is_known = self._rises >= _MIN_RISES
        if step.after >= step.before:
            power = (step.after - step.before) * HOURLY_INTERVAL // step.seconds
            return (
                RegisterChange.EXCHANGE if is_known and power > self._jump else RegisterChange.RISE
            )
        likely, most = self._bounds(step.seconds) if is_known else (None, None)
        is_end = step.may_roll_over(self._unit, interval) and not self._is_daily
        if is_end and (likely is None or step.rolled_over(self._unit) <= likely):
            return RegisterChange.ROLL_OVER
        if step.after * 2 > step.before:
            return RegisterChange.EXCHANGE
        is_small = step.after * _NEAR_ZERO <= step.before if most is None else step.after <= most
        return RegisterChange.RESET if is_small else RegisterChange.EXCHANGE

    @property
    def _is_daily(self) -> bool:
        """Whether it restarts at midnight, day by day."""
        return self._at_midnight >= max(_MIN_DAILY, self._restarts - 1)

    @property
    def _jump(self) -> int:
        """The scaled power from which a rise is that to the state of another meter."""
        if self._known_jump is None:
            sums = [*accumulate(self._counts)]
            rare = max(1, self._rises // _RARE)
            usual = 1 << bisect(sums, self._rises - rare - 1)
            self._known_jump = max(_JUMP * usual, _JUMP_POWER)
        return self._known_jump

    def _bounds(self, seconds: int) -> tuple[Fraction, Fraction]:
        """Return what energy the register may well have counted, and at most, both scaled."""
        bits = [bits for bits, count in enumerate(self._counts) if count]
        greatest = max((1 << each for each in bits if 1 << each <= self._jump), default=0)
        hours = Fraction(seconds, HOURLY_INTERVAL)
        mean = Fraction(self._risen * HOURLY_INTERVAL, self._seconds)
        likely = _LIKELY * (greatest * min(hours, Fraction(_PEAK_HOURS)) + mean * hours)
        return likely, likely * _TOO_MUCH / _LIKELY


def _capacity(state: int, unit: Fraction) -> Fraction:
    """Return the least power of ten of a register's unit that is above a state, scaled."""
    power = unit
    while power <= state:
        power *= 10
    return power

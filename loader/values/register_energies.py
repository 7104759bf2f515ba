"""The energies of intervals, from the states of cumulative registers in order of time."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from domain.fixed_point import SCALE, divide_rounded, format_scaled
from domain.quantities import INTEGER_DIGITS
from domain.time.sampling_interval import Differences, IntervalSpan, SamplingIntervals, told_spans
from loader.rows.sorted_rows import MAX_HELD_BYTES
from loader.rows.spool import Spool
from loader.values.collected_values import RegisterColumn, plain_state
from loader.values.joined_rows import JoinedReading
from loader.values.registers import RegisterChange, Step, UsualRises

MAX_EVENTS = 20
"""Events of registers that are told; more are counted."""

_BLOCK_ROWS = 10_000


@dataclass(slots=True)
class RegisterEvents:
    """What happened to the registers of a report, in order of time."""

    texts: list[str] = field(default_factory=list)
    """The first of them."""
    count: int = 0

    def add(self, text: str) -> None:
        """Add an event."""
        self.count += 1
        if len(self.texts) < MAX_EVENTS:
            self.texts.append(text)


class _HeldReadings:
    """Readings that are read twice, in a temporary file if there are many."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._blocks: list[bytes | tuple[int, int]] = []
        self._held_bytes = 0
        self._lines: list[str] = []

    def add(self, reading: JoinedReading) -> None:
        self._lines.append(f"{reading.start},{reading.estimated},{','.join(reading.cells)}")
        if len(self._lines) >= _BLOCK_ROWS:
            self._keep()

    def __iter__(self) -> Iterator[JoinedReading]:
        """Yield the readings in the order in which they were added."""
        self._keep()
        for block in self._blocks:
            text = block if isinstance(block, bytes) else self._spool.read(*block)
            for line in text.decode("ascii").split("\n"):
                start, estimated, *cells = line.split(",")
                yield JoinedReading(int(start), estimated, cells)

    def _keep(self) -> None:
        if not self._lines:
            return
        block = "\n".join(self._lines).encode("ascii")
        self._lines = []
        self._held_bytes += len(block)
        if self._held_bytes <= MAX_HELD_BYTES:
            self._blocks.append(block)
            return
        self._blocks.append((self._spool.size, len(block)))
        self._spool.append(block)


@dataclass(slots=True)
class _Register:
    """The registers of a quantity, and what they had last."""

    column: RegisterColumn
    usual: Sequence[UsualRises]
    time: int = 0
    states: Sequence[int] = ()


class RegisterEnergies:
    """Turns states into energies: that between two is of the interval that ends at the later one.

    A reading may have other quantities, which stay those of the interval that its time marks.
    """

    def __init__(
        self,
        registers: Mapping[int, RegisterColumn],
        spool: Spool,
        local_time: Callable[[int], str],
        local_day: Callable[[int], int],
        *,
        interval: int | None,
        shift: int,
        has_others: bool,
    ) -> None:
        """Take the registers by their place among the cells.

        The states are of so many seconds after the start of their reading.
        """
        self._registers = {
            at: _Register(column, [UsualRises(column.unit) for _ in column.headers])
            for at, column in registers.items()
        }
        self._readings = _HeldReadings(spool)
        self._local_time = local_time
        self._local_day = local_day
        self._interval = interval
        self._shift = shift
        self._has_others = has_others
        self.events = RegisterEvents()

    def energies(self, readings: Iterator[JoinedReading]) -> Iterator[JoinedReading]:
        """Yield the readings with energies instead of states, in order of time."""
        intervals = self._watch(readings)
        above: int | None = None
        """The time of the row above."""
        waiting: JoinedReading | None = None
        for reading in self._readings:
            time = reading.start + self._shift
            seconds = None if above is None else intervals.at(above)
            energies = {
                at: self._energy(register, time, reading.cells[at], seconds)
                for at, register in self._registers.items()
            }
            if self._shift:
                # The interval that the row marks the end of is that of its energies.
                if above is not None or self._has_others:
                    yield _with(reading, energies)
            else:
                if above is not None:
                    start = max(time - seconds, above) if seconds else above
                    earlier = JoinedReading(start, reading.estimated, [""] * len(reading.cells))
                    if waiting is not None and waiting.start == start:
                        earlier, waiting = waiting, None
                    elif waiting is not None:
                        yield waiting
                    yield _with(earlier, energies, reading.estimated)
                waiting = _with(reading, dict.fromkeys(energies, "")) if self._has_others else None
            above = time
        if waiting is not None:
            yield waiting

    def _watch(self, readings: Iterator[JoinedReading]) -> SamplingIntervals:
        """Learn what the registers usually do, and return the intervals of the readings."""
        differences = Differences()
        for reading in readings:
            self._readings.add(reading)
            time = reading.start + self._shift
            differences.add(time)
            for at, register in self._registers.items():
                if reading.cells[at]:
                    states = _states(reading.cells[at])
                    for step, usual in zip(
                        self._steps(register, time, states), register.usual, strict=False
                    ):
                        usual.add(step, self._interval)
                    register.time, register.states = time, states
        for register in self._registers.values():
            register.states = ()
        if self._interval is not None:
            return SamplingIntervals([IntervalSpan(0, self._interval)])
        return SamplingIntervals(told_spans(differences))

    def _steps(self, register: _Register, time: int, states: Sequence[int]) -> list[Step]:
        """Return the steps from the last states; none if these are the first."""
        seconds = time - register.time
        is_midnight = self._local_day(register.time - 1) != self._local_day(time)
        return [
            Step(before, after, seconds, is_midnight)
            for before, after in zip(register.states, states, strict=False)
        ]

    def _energy(self, register: _Register, time: int, cell: str, interval: int | None) -> str:
        """Return the energy since the last states as a RowBatch has it, and note what happened."""
        if not cell:
            return ""
        states = _states(cell)
        steps = self._steps(register, time, states)
        since, register.time, register.states = register.time, time, states
        headers = register.column.headers
        if not steps:
            local = self._local_time(time)
            for header, state in zip(headers, states, strict=True):
                first = f"first state {plain_state(state)}"
                self.events.add(f"{local}: {header}: {first}: energy is known from here on")
            return ""
        if interval is not None and time - since > interval:
            local, last = self._local_time(time), self._local_time(since)
            self.events.add(
                f"{local}: {', '.join(headers)}: no state since {last}: the energy since then is in"
                " one reading"
            )
        energies = []
        for header, step, usual in zip(headers, steps, register.usual, strict=True):
            change = usual.change(step, interval)
            energies.append(_energy_of(change, step, register.column.unit))
            if change is not RegisterChange.RISE:
                self.events.add(f"{self._local_time(time)}: {header}: {_told(change, step)}")
        known = [energy for energy in energies if energy is not None]
        energy = sum(known)
        scaled = (
            divide_rounded(energy.numerator, energy.denominator)
            if isinstance(energy, Fraction)
            else energy
        )
        if len(known) < len(energies) or scaled >= SCALE * 10**INTEGER_DIGITS:
            return ""
        return format_scaled(scaled)


def _energy_of(change: RegisterChange, step: Step, unit: Fraction) -> Fraction | int | None:
    """Return the energy of a step, scaled; None if it is not known."""
    if change is RegisterChange.EXCHANGE:
        return None
    if change is RegisterChange.ROLL_OVER:
        return step.rolled_over(unit)
    return step.after if change is RegisterChange.RESET else step.after - step.before


def _told(change: RegisterChange, step: Step) -> str:
    """Return what happened, and what was made of it."""
    states = f"from {plain_state(step.before)} to {plain_state(step.after)}"
    if change is RegisterChange.ROLL_OVER:
        return f"rolled over {states}: the energy goes on"
    if change is RegisterChange.RESET:
        return f"restarted, {states}: the energy is that since it restarted"
    return f"{states}, as the register of another meter: the energy in between is not known"


def _states(cell: str) -> Sequence[int]:
    return [*map(int, cell.split("+"))]


def _with(
    reading: JoinedReading, energies: Mapping[int, str], estimated: str = ""
) -> JoinedReading:
    """Return a reading with the energies of its interval."""
    cells = [energies.get(at, cell) for at, cell in enumerate(reading.cells)]
    return JoinedReading(reading.start, reading.estimated or estimated, cells)

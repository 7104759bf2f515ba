"""Meters in one database that get reports in any order, and what each then has, in plain Python."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from domain.fixed_point import SCALE
from domain.flags import CATCH_UP, IMPLAUSIBLE, MISSING, REPEATED_HOUR, ZERO_VOLTAGE
from domain.quantities import QUANTITY_NAMES
from loader.importer import Importer
from settings import QualitySettings
from tests.support import reference_readings
from tests.support.databases import SILENT, DatabaseFixture
from tests.support.reference_figures import Case, Metered, Reading, decimal, line
from tests.support.report_factory import report

Values = dict[str, int | None]
"""Quantities in hundred-thousandths by their names."""

CHANGES = {
    "Europe/Madrid": ("2019-03-31", "2019-10-27"),
    "Atlantic/Canary": ("2019-03-31", "2019-10-27"),
    "Australia/Lord_Howe": ("2019-04-07", "2019-10-06"),
    "America/St_Johns": ("2019-03-10", "2019-11-03"),
    "Asia/Kolkata": ("2019-03-31", "2019-10-27"),
    "UTC": ("2019-03-31", "2019-10-27"),
}
"""Zones, and days of the year on which their clocks change, if they do."""

QUALITY = QualitySettings(maximeter_tolerance=Decimal(2), maximeter_allowance=Decimal(90))

_EARLIEST_GAP = 5
"""The first hour of a day on which the clocks change in which readings may be left out.

Only the order of its rows tells the two passes of the repeated hour apart.
"""


_KINDS = [(zone, interval) for zone in CHANGES for interval in (900, 1800, 3600)]


@dataclass(frozen=True, slots=True)
class Delivery:
    """A report: the days that it is of, by their numbers, and whether the newest comes first."""

    days: tuple[int, ...]
    newest_first: bool
    seed: int
    """Of its quantities, and of the readings that it leaves out."""


@dataclass
class FleetMeter:
    """A meter, and the readings that it has after the deliveries so far."""

    name: str
    zone: str
    interval: int
    quantities: dict[datetime, Values] = field(default_factory=dict)
    ids: dict[datetime, int] = field(default_factory=dict)
    new: int = 0
    """How many readings the last report has added."""

    @property
    def days(self) -> list[str]:
        """The local days that it has readings of: two around each change of the clocks."""
        changes = [datetime.fromisoformat(day) for day in CHANGES[self.zone]]
        return [f"{day - timedelta(days=n):%Y-%m-%d}" for day in changes for n in (1, 0)]

    def take(self, delivery: Delivery) -> str:
        """Add and correct readings; return the report that does the same in the database.

        What a field leaves empty stays as it was.
        """
        chance = random.Random(delivery.seed)  # noqa: S311 - test data
        instants = [at for day in delivery.days for at in self._instants(self.days[day], chance)]
        if delivery.newest_first:
            instants.reverse()
        self.new = len([at for at in instants if at not in self.ids])
        lines = []
        for at in instants:
            values = _values(chance)
            known = self.quantities.get(at, values)
            self.quantities[at] = {
                name: known[name] if value is None else value for name, value in values.items()
            }
            self.ids.setdefault(at, len(self.ids) + 1)
            lines.append(line(Reading(0, int(at.timestamp()), values, 0, self.interval), self.zone))
        return report(*lines)

    def _instants(self, day: str, chance: random.Random) -> list[datetime]:
        zone = ZoneInfo(self.zone)
        first = datetime.fromisoformat(day).replace(tzinfo=zone).astimezone(UTC)
        due = [first + timedelta(seconds=self.interval) * n for n in range(100)]
        there = [at for at in due if f"{at.astimezone(zone):%Y-%m-%d}" == day]
        is_whole = day in CHANGES[self.zone]
        return [
            at
            for at in there
            if (is_whole and at.astimezone(zone).hour < _EARLIEST_GAP) or chance.random() > 0.08
        ]

    @property
    def readings(self) -> list[Reading]:
        """Its readings in order of time, with their flags."""
        flags = _flags(self)
        return [
            Reading(
                self.ids[at], int(at.timestamp()), self.quantities[at], flags[at], self.interval
            )
            for at in sorted(self.quantities)
        ]

    @property
    def by_id(self) -> list[reference_readings.Reading]:
        """Its readings in order of id, as texts."""
        readings = [
            reference_readings.Reading(
                each.id,
                datetime.fromtimestamp(each.at, UTC),
                tuple(None if value is None else decimal(value) for value in each.values.values()),
                each.flags,
                ZoneInfo(self.zone),
            )
            for each in self.readings
        ]
        return sorted(readings, key=lambda reading: reading.id)

    def metered(self, database: DatabaseFixture) -> Metered:
        """Return its readings as the models of figures take them."""
        readings = self.readings
        first = datetime.fromtimestamp(readings[0].at, ZoneInfo(self.zone))
        expected = (readings[-1].at - readings[0].at) // self.interval + 1
        case = Case(self.zone, self.interval, f"{first:%Y-%m-%d %H:%M}", expected)
        return Metered(case, database, readings)


def _values(chance: random.Random) -> Values:
    """Return quantities: mostly ordinary ones, some missing, some that get a flag."""
    if chance.random() < 0.06:
        return dict.fromkeys(QUANTITY_NAMES)
    values: Values = {
        name: None if chance.random() < 0.05 else chance.randrange(-(10**6), 10**8)
        for name in QUANTITY_NAMES
    }
    # Few distinct demands, so that several readings share the maximum.
    maximeter = chance.randrange(3, 9) * SCALE // 2
    energy = chance.randrange(0, maximeter // 2)
    if chance.random() < 0.1:
        energy = chance.randrange(20, 160) * SCALE
    if values["energy"] is not None:
        values["energy"] = energy
    if values["reactive_energy"] is not None:
        values["reactive_energy"] = chance.randrange(0, SCALE)
    if values["maximeter"] is not None:
        values["maximeter"] = maximeter
    if chance.random() < 0.05:
        values["voltage"] = 0
    return values


def _flags(meter: FleetMeter) -> Mapping[datetime, int]:
    """Return the flags of readings by the rules, reading by reading."""
    zone = ZoneInfo(meter.zone)
    flags = {}
    previous: datetime | None = None
    for at in sorted(meter.quantities):
        values = meter.quantities[at]
        bits = 0
        if not any(value is not None for value in values.values()):
            bits |= MISSING.bit
        if values["voltage"] == 0 and (values["intensity"] or 0) > 0:
            bits |= ZERO_VOLTAGE.bit
        local = at.astimezone(zone)
        if local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset():
            bits |= REPEATED_HOUR.bit
        energy, maximeter = values["energy"], values["maximeter"]
        if energy is not None and maximeter is not None and previous is not None:
            since = max(int((at - previous).total_seconds()), meter.interval)
            more = QUALITY.maximeter_allowance * SCALE * meter.interval
            allowed = maximeter * QUALITY.maximeter_tolerance
            if energy * 3600 > allowed * meter.interval:
                if energy * 3600 > allowed * since + more:
                    bits |= IMPLAUSIBLE.bit
                elif since > meter.interval:
                    bits |= CATCH_UP.bit
        if energy is not None:
            previous = at
        flags[at] = bits
    return flags


class Fleet:
    """The meters of a database, and the loader that they get their deliveries from."""

    def __init__(self, database: DatabaseFixture, meters: Sequence[FleetMeter]) -> None:
        self.meters = meters
        self._database = database

    async def deliver(self, deliveries: Sequence[tuple[int, Delivery]]) -> None:
        """Load reports, each into the meter with a number."""
        async with self._database.writer() as writer:
            for number, delivery in deliveries:
                meter = self.meters[number]
                path = self._database.file(meter.take(delivery), f"{meter.name}.csv")
                # The zone of a meter that is new.
                zone = self._database.settings.meter.model_copy(
                    update={"timezone": ZoneInfo(meter.zone)}
                )
                importer = Importer(
                    self._database.settings.model_copy(update={"meter": zone}),
                    writer,
                    SILENT,
                    meter_name=meter.name,
                    register=True,
                )
                if not await writer.engine.is_prepared():
                    await importer.prepare()
                await importer.run([path], skip_bad_rows=False)


deliveries = st.builds(
    Delivery,
    st.sets(st.integers(0, 3), min_size=1).map(lambda days: tuple(sorted(days))),
    st.booleans(),
    st.integers(0, 2**32),
)


@st.composite
def fleets(
    draw: st.DrawFn, meters: int = 5
) -> tuple[list[tuple[str, int]], list[tuple[int, Delivery]]]:
    """Return the zones and intervals of some meters, and what is delivered to which, in order."""
    kinds = draw(st.lists(st.sampled_from(_KINDS), min_size=2, max_size=meters))
    each = st.lists(deliveries, min_size=1, max_size=3)
    steps = [(number, step) for number in range(len(kinds)) for step in draw(each)]
    return kinds, draw(st.permutations(steps))

"""The readings of a short report, looked at before the database is asked about them.

Of a statement that sums up a day, the readings are the smallest part.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from domain.quantities import QUANTITIES, QUANTITY_NAMES, AggregationRule
from domain.report_source import BATCH_FIELDS
from storage.backends.derived import CAPACITIVE_POWER, DERIVED_ENERGY, INDUCTIVE_POWER

QuantityValues = Sequence[int | None]
"""The values of a quantity in hundred-thousandths."""


@dataclass(frozen=True, slots=True)
class FewReadings:
    """Some readings that have no flags, by columns."""

    rows: bytes
    """As `domain.report_source` describes them."""
    dates: Sequence[str]
    """Their local times, as YYYY-MM-DD HH:MM:SS."""
    offsets: Sequence[str]
    """The seconds that these are ahead of UTC."""
    values: Mapping[str, QuantityValues]
    """By quantity."""

    @property
    def has_one_offset(self) -> bool:
        """Whether the order of the local times is that of the instants."""
        return self.offsets.count(self.offsets[0]) == len(self.offsets)

    def days(self) -> Iterator[tuple[str, "SummedDay"]]:
        """Yield the local days with their sums, unless their readings have several offsets."""
        assert self.has_one_offset, "the order of the local times is that of the instants"
        offset = int(self.offsets[0])
        places: dict[str, list[int]] = defaultdict(list)
        for place, local in enumerate(self.dates):
            places[local[:10]].append(place)
        for day, found in places.items():
            if len(places) == 1:
                yield day, SummedDay(self.dates, offset, self.values)
                return
            values = {name: [each[at] for at in found] for name, each in self.values.items()}
            yield day, SummedDay([self.dates[at] for at in found], offset, values)


def few_readings(rows: bytes) -> FewReadings:
    """Return the readings of at least one row."""
    # All decimals are there: the digits alone are the number of hundred-thousandths.
    text = rows.decode("ascii").replace(".", "").removesuffix("\n")
    fields = text.replace("\n", ",").split(",")
    _, dates, offsets, *columns = (
        fields[place :: len(BATCH_FIELDS)] for place in range(len(BATCH_FIELDS))
    )
    values = dict(zip(QUANTITY_NAMES, map(_integers, columns), strict=True))
    return FewReadings(rows, dates, offsets, values)


class SummedDay:
    """The columns of a row of `days`, of readings without flags and with one offset.

    They are those of `storage.backends.day_sums`.
    """

    def __init__(
        self, dates: Sequence[str], offset: int, values: Mapping[str, QuantityValues]
    ) -> None:
        self.counts: dict[str, int] = {"readings": len(dates)}
        self.quantities: dict[str, int | None] = {}
        """In hundred-thousandths."""
        self.instants: dict[str, int | None] = {
            "first_utc": _instant(min(dates), offset),
            "last_utc": _instant(max(dates), offset),
            "maximeter_utc": None,
        }
        """In seconds since 1970."""
        self.counts["present"] = _present(values, len(dates))
        for quantity in QUANTITIES:
            self._add(quantity.name, quantity.rule, _known(values[quantity.name]))
        energies = zip(values["energy"], values["power"], strict=True)
        derived = [energy for energy, power in energies if power is None and energy is not None]
        self._add(DERIVED_ENERGY, AggregationRule.LEVEL, derived)
        self._add_reactive(values["power"], values["reactive_power"])
        if (greatest := self.quantities["maximeter"]) is not None:
            maximeters = zip(dates, values["maximeter"], strict=True)
            first = min(local for local, each in maximeters if each == greatest)
            self.instants["maximeter_utc"] = _instant(first, offset)

    def _add(self, name: str, rule: AggregationRule, known: Sequence[int]) -> None:
        """Add the columns of a quantity that has these values."""
        if rule is AggregationRule.DEMAND:
            self.quantities[name] = max(known, default=None)
            return
        self.quantities[name] = sum(known) if known else None
        if rule is not AggregationRule.TOTAL or name == "energy":
            self.counts[f"{name}_count"] = len(known)
        if rule is AggregationRule.LEVEL:
            self.quantities[f"{name}_min"] = min(known, default=None)
            self.quantities[f"{name}_max"] = max(known, default=None)

    def _add_reactive(self, powers: QuantityValues, reactive_powers: QuantityValues) -> None:
        """Add the reactive powers of each sign, of readings that do not give power back."""
        reactive = [
            each
            for power, each in zip(powers, reactive_powers, strict=True)
            if each is not None and (power is None or power >= 0)
        ]
        inductive = sum(each for each in reactive if each > 0)
        self.quantities[INDUCTIVE_POWER] = inductive if reactive else None
        self.quantities[CAPACITIVE_POWER] = inductive - sum(reactive) if reactive else None


def _integers(texts: Sequence[str]) -> QuantityValues:
    if "" in texts:
        return [int(text) if text else None for text in texts]
    return [*map(int, texts)]


def _known(values: QuantityValues) -> Sequence[int]:
    return [value for value in values if value is not None]


def _present(values: Mapping[str, QuantityValues], readings: int) -> int:
    """Return how many readings have any value."""
    if any(None not in each for each in values.values()):
        return readings
    return sum(any(each is not None for each in row) for row in zip(*values.values(), strict=True))


def _instant(local: str, offset: int) -> int:
    """Return a local time in seconds since 1970."""
    return int(datetime.fromisoformat(local).replace(tzinfo=UTC).timestamp()) - offset

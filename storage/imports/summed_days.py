"""Sums of the local days of a short report.

To have a database sum up a day takes long for the statement alone, however few the readings are.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from domain.quantities import ALL_QUANTITIES, AggregationRule
from domain.report_source import ParsedRows, QuantityValues
from storage.backends.derived import CAPACITIVE_POWER, DERIVED_ENERGY, INDUCTIVE_POWER


def summed_days(rows: ParsedRows) -> Iterator[tuple[str, "SummedDay"]]:
    """Yield the local days of rows without flags, and their sums."""
    places: dict[str, list[int]] = defaultdict(list)
    for place, local in enumerate(rows.dates):
        places[local[:10]].append(place)
    for day, found in places.items():
        if len(places) == 1:
            yield day, SummedDay(rows.instants, rows.values)
            return
        values = {name: [each[at] for at in found] for name, each in rows.values.items()}
        yield day, SummedDay([rows.instants[at] for at in found], values)


class SummedDay:
    """The columns of a row of `days`, of readings without flags.

    They are those of `storage.backends.day_sums`.
    """

    def __init__(self, instants: Sequence[int], values: Mapping[str, QuantityValues]) -> None:
        self.counts: dict[str, int] = {"readings": len(instants)}
        self.quantities: dict[str, int | None] = {}
        """In hundred-thousandths."""
        self.instants: dict[str, int | None] = {
            "first_utc": min(instants),
            "last_utc": max(instants),
            "maximeter_utc": None,
        }
        """In seconds since 1970."""
        self.counts["present"] = _present(values, len(instants))
        for quantity in ALL_QUANTITIES:
            if quantity.name in values:
                self._add(quantity.name, quantity.rule, _known(values[quantity.name]))
        energies = zip(values["energy"], values["power"], strict=True)
        derived = [energy for energy, power in energies if power is None and energy is not None]
        self._add(DERIVED_ENERGY, AggregationRule.LEVEL, derived)
        self._add_reactive(values["power"], values["reactive_power"])
        if (greatest := self.quantities["maximeter"]) is not None:
            maximeters = zip(instants, values["maximeter"], strict=True)
            first = min(instant for instant, each in maximeters if each == greatest)
            self.instants["maximeter_utc"] = first

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


def _known(values: QuantityValues) -> Sequence[int]:
    return [value for value in values if value is not None]


def _present(values: Mapping[str, QuantityValues], readings: int) -> int:
    """Return how many readings have any value."""
    if any(None not in each for each in values.values()):
        return readings
    return sum(any(each is not None for each in row) for row in zip(*values.values(), strict=True))

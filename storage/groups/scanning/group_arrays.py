"""What is known of a group in each of some buckets, as arrays."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Self

import numpy as np

from domain.columns import Integers, Truths
from storage.columns.aggregates import SAFE, as_large, magnitude
from storage.groups.selection import MAX_NAMED
from storage.groups.sums import GroupSums

Places = Integers | Truths | slice
"""Some of the elements of an array, each once."""

_ALL = slice(None)


class ExactSums:
    """Sums by place, exact however large they are."""

    def __init__(self, values: Integers) -> None:
        """Begin with some values."""
        self.values = values
        self._greatest = magnitude(values)

    @classmethod
    def zeros(cls, count: int) -> Self:
        """Return as many sums of nothing."""
        return cls(np.zeros(count, np.int64))

    def __getitem__(self, places: Places) -> "ExactSums":
        return ExactSums(self.values[places])

    def add(self, values: Integers, places: Places = _ALL) -> None:
        """Add values to the sums of some places."""
        self._greatest += magnitude(values)
        if self._greatest >= SAFE and self.values.dtype != object:
            self.values = as_large(self.values)
        self.values[places] += values


@dataclass(slots=True)
class ArrayOfSums:
    """The sums of a quantity by bucket."""

    sums: ExactSums
    has_any: Truths
    members: Integers
    """Members that have any of it."""

    @classmethod
    def zeros(cls, count: int) -> Self:
        """Return sums of nothing."""
        return cls(ExactSums.zeros(count), np.zeros(count, bool), np.zeros(count, np.int64))

    def __getitem__(self, places: Places) -> "ArrayOfSums":
        return ArrayOfSums(self.sums[places], self.has_any[places], self.members[places])

    def followed_by(self, other: "ArrayOfSums") -> "ArrayOfSums":
        """Return the sums of both."""
        return ArrayOfSums(
            ExactSums(np.concatenate([self.sums.values, other.sums.values])),
            np.concatenate([self.has_any, other.has_any]),
            np.concatenate([self.members, other.members]),
        )

    def at(self, place: int) -> int | None:
        """Return the sum of a bucket, None of nothing."""
        return int(self.sums.values[place]) if self.has_any[place] else None


@dataclass(slots=True)
class GroupArrays:
    """Sums over members of a group by bucket, see `GroupSums`."""

    starts: Integers
    ends: Integers
    public_ids: Sequence[str]
    """Of the members, in order; other arrays have their places here."""
    quantities: dict[str, ArrayOfSums]
    """By the name of the quantity, that of energy among them."""
    members: Integers
    expected: Integers
    is_expected_unknown: Truths
    present: Integers
    estimated: Integers
    lacking: Integers
    named: Integers
    """The places of the first members that lack readings, by bucket; -1 where there are fewer."""
    powers: dict[int, ExactSums] = field(default_factory=dict)
    """Numerators of the sum of mean powers, by their denominator."""
    is_power_unknown: Truths = field(default_factory=lambda: np.zeros(0, bool))

    @classmethod
    def zeros(cls, edges: Integers, public_ids: Sequence[str], names: Sequence[str]) -> Self:
        """Return sums of nothing, with some quantities, in the buckets between edges."""
        count = len(edges) - 1

        def zeros() -> Integers:
            return np.zeros(count, np.int64)

        return cls(
            *(edges[:-1], edges[1:], public_ids),
            {name: ArrayOfSums.zeros(count) for name in names},
            *(zeros(), zeros()),
            np.zeros(count, bool),
            *(zeros(), zeros(), zeros()),
            np.full((count, MAX_NAMED), -1, np.int32),
            is_power_unknown=np.zeros(count, bool),
        )

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, places: Places) -> "GroupArrays":
        """Return some of the buckets."""
        return GroupArrays(
            *(self.starts[places], self.ends[places], self.public_ids),
            {name: each[places] for name, each in self.quantities.items()},
            *(self.members[places], self.expected[places], self.is_expected_unknown[places]),
            *(self.present[places], self.estimated[places], self.lacking[places]),
            self.named[places],
            {denominator: each[places] for denominator, each in self.powers.items()},
            self.is_power_unknown[places],
        )

    def followed_by(self, other: "GroupArrays") -> "GroupArrays":
        """Return the buckets of both; none have powers."""

        def joined(*arrays: Integers) -> Integers:
            return np.concatenate(arrays)

        return GroupArrays(
            *(joined(self.starts, other.starts), joined(self.ends, other.ends), self.public_ids),
            {
                name: each.followed_by(other.quantities[name])
                for name, each in self.quantities.items()
            },
            *(joined(self.members, other.members), joined(self.expected, other.expected)),
            np.concatenate([self.is_expected_unknown, other.is_expected_unknown]),
            *(joined(self.present, other.present), joined(self.estimated, other.estimated)),
            *(joined(self.lacking, other.lacking), joined(self.named, other.named)),
            is_power_unknown=np.concatenate([self.is_power_unknown, other.is_power_unknown]),
        )

    def add_lacking(self, member: int, places: Integers) -> None:
        """Take in that a member, after those before it, lacks readings in some buckets."""
        before = self.lacking[places]
        few = before < MAX_NAMED
        self.named[places[few], before[few]] = member
        self.lacking[places] += 1

    def add_power(self, numerators: Integers, denominators: Integers, places: Integers) -> None:
        """Add mean powers to the sums of some buckets."""
        for denominator in np.unique(denominators).tolist():
            some = denominators == denominator
            if denominator not in self.powers:
                self.powers[denominator] = ExactSums.zeros(len(self))
            self.powers[denominator].add(numerators[some], places[some])

    def add_to(self, total: GroupSums, place: int) -> None:
        """Add the sums of a bucket to others."""
        total.members += int(self.members[place])
        total.add_energy(self.quantities["energy"].at(place), 1)
        for name, quantity in self.quantities.items():
            if name == "reactive_energy":
                total.add_reactive_energy(quantity.at(place), 1)
                total.reactive_members += int(quantity.members[place])
            elif name != "energy":
                total.add_exported(name, quantity.at(place), 1, int(quantity.members[place]))
        is_unknown = self.is_expected_unknown[place]
        total.add_expected(None if is_unknown else int(self.expected[place]))
        total.present += int(self.present[place])
        total.estimated += int(self.estimated[place])
        if lacking := int(self.lacking[place]):
            total.lacking += lacking
            total.name(self.public_ids[member] for member in self.named_at(place))
        total.add_power(self._power(place))

    def named_at(self, place: int) -> Sequence[int]:
        """Return the places of the first members that lack readings in a bucket."""
        members: list[int] = self.named[place].tolist()
        return members[: int(self.lacking[place])]

    def _power(self, place: int) -> Fraction | None:
        if self.is_power_unknown[place]:
            return None
        power = Fraction(0)
        for denominator, sums in self.powers.items():
            if numerator := int(sums.values[place]):
                power += Fraction(numerator, denominator)
        return power

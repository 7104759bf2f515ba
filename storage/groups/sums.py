"""What is known of a group in a bucket, member after member."""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction

from storage.groups.selection import MAX_NAMED

MEMBER_SUMS = (
    *("energy", "energy_count", "reactive_energy", "present"),
    *("power", "power_count", "derived_energy", "derived_energy_count"),
    "estimated",
)
"""The columns of the table `days` that are summed up; exported energies follow if asked for."""


@dataclass(slots=True)
class GroupSums:
    """Sums over the members of a group in a bucket, quantities scaled by 10^5."""

    members: int = 0
    energy: int | None = None
    reactive_energy: int | None = None
    reactive_members: int = 0
    """Members that have any reactive energy."""
    expected: int | None = 0
    """None if that of a member is unknown."""
    present: int = 0
    estimated: int = 0
    exported: dict[str, int] = field(default_factory=dict)
    """Exported energies by their names."""
    exported_members: dict[str, int] = field(default_factory=dict)
    """Members that have any of them."""
    lacking: int = 0
    """Members that lack readings with energy."""
    named: list[str] = field(default_factory=list)
    """The first of these by their public ids."""
    power: Fraction | None = Fraction(0)
    """The sum of mean powers; None if that of a member is unknown."""

    def add_energy(self, energy: int | None, weight: int) -> None:
        """Take in the energy of a member."""
        if energy is not None:
            self.energy = (self.energy or 0) + weight * energy

    def add_reactive_energy(self, energy: int | None, weight: int) -> None:
        """Take in the reactive energy of a member."""
        if energy is not None:
            self.reactive_energy = (self.reactive_energy or 0) + weight * energy

    def add_exported(self, name: str, energy: int | None, weight: int, members: int) -> None:
        """Take in an exported energy of members, and how many of them have any."""
        if energy is not None:
            self.exported[name] = self.exported.get(name, 0) + weight * energy
        self.exported_members[name] = self.exported_members.get(name, 0) + members

    def add_expected(self, readings: int | None) -> None:
        """Take in how many readings of a member are expected."""
        if self.expected is not None:
            self.expected = None if readings is None else self.expected + readings

    def add_power(self, power: Fraction | None) -> None:
        """Take in the mean power of a member, or the sum of those of several."""
        if self.power is not None:
            self.power = None if power is None else self.power + power

    def may_name(self, public_id: str) -> bool:
        """Return whether a member is one of the first that are named, if it lacks readings."""
        return len(self.named) < MAX_NAMED or public_id < self.named[-1]

    def name(self, public_ids: Iterable[str]) -> None:
        """Name members that lack readings, unless others come first."""
        for public_id in public_ids:
            if self.may_name(public_id):
                self.named.insert(bisect_left(self.named, public_id), public_id)
                del self.named[MAX_NAMED:]

"""The meters of a group and of the groups in it, and on which days each is counted how often."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from graphlib import CycleError, TopologicalSorter

from domain.access import Window


@dataclass(frozen=True, slots=True)
class GroupMember:
    """A meter or a group, one of the two, that a group counts on some days."""

    meter_id: int | None
    group_id: int | None
    sign: int
    """1 if its energy is added, -1 if it is subtracted."""
    days: Window


@dataclass(frozen=True, slots=True)
class Membership:
    """Days on which a meter is counted alike."""

    days: Window
    weight: int
    """What its energy is multiplied by: the sum of the signs of all ways to it."""
    times: int
    """The number of ways to it."""


class GroupCircleError(ValueError):
    """A group is a member of itself, also in turn."""


def counted_meters(
    group_id: int, members: Mapping[int, Sequence[GroupMember]]
) -> dict[int, Sequence[Membership]]:
    """Return the memberships of each meter of a group in order of time, none of which overlap.

    `members` are those of the group and of all groups below it. Raise GroupCircleError.
    """
    below = {
        group: [each.group_id for each in some if each.group_id is not None]
        for group, some in members.items()
    }
    try:
        # Members come before the groups that they belong to.
        order = [*TopologicalSorter(below).static_order()]
    except CycleError:
        raise GroupCircleError from None
    found: dict[int, dict[int, Sequence[Membership]]] = {}
    for group in order:
        ways: dict[int, list[Membership]] = defaultdict(list)
        for member in members.get(group, ()):
            if member.meter_id is not None:
                ways[member.meter_id].append(Membership(member.days, member.sign, 1))
            elif member.group_id is not None:
                for meter_id, some in found[member.group_id].items():
                    ways[meter_id] += _clipped(some, member)
        found[group] = {meter_id: _joined(some) for meter_id, some in ways.items() if some}
    return found.get(group_id, {})


def _clipped(memberships: Iterable[Membership], member: GroupMember) -> Iterable[Membership]:
    for each in memberships:
        days = each.days & member.days
        if days is not None:
            yield Membership(days, each.weight * member.sign, each.times)


def _joined(ways: Sequence[Membership]) -> Sequence[Membership]:
    """Return memberships that add up those of all ways, as few as possible."""
    if len(ways) == 1:
        return ways
    changes: dict[int, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for way in ways:
        for day, sign in ((way.days.first.toordinal(), 1), (way.days.last.toordinal() + 1, -1)):
            weight, times = changes[day]
            changes[day] = weight + sign * way.weight, times + sign * way.times
    joined: list[Membership] = []
    begun, weight, times = 0, 0, 0
    for day, (more_weight, more_times) in sorted(changes.items()):
        if not (more_weight or more_times):
            continue
        if times:
            days = Window(date.fromordinal(begun), date.fromordinal(day - 1))
            joined.append(Membership(days, weight, times))
        begun, weight, times = day, weight + more_weight, times + more_times
    return joined

"""What clean sums of a group leave out."""

from collections import defaultdict

from domain.fixed_point import format_scaled
from domain.flags import IMPLAUSIBLE
from storage.backends.base import ReadEngine
from storage.common.turns import in_pieces, in_turns
from storage.groups.members import METERS_AT_ONCE
from storage.groups.selection import GroupSelection, Segment


async def group_left_out(
    engine: ReadEngine, selection: GroupSelection
) -> dict[str, dict[str, str]]:
    """Return how many readings clean sums leave out, and their energy (kWh); nothing of raw ones.

    Both as the group counts them: of a meter in several ways as often, of a subtracted one with
    a minus before its energy.
    """
    if not selection.is_clean:
        return {}
    counted: dict[Segment, list[int]] = defaultdict(list)
    async for member in in_turns(selection.members):
        for segment in selection.segments(member, selection.start, selection.until):
            counted[segment].append(member.id)
    dialect, mark = engine.dialect, engine.dialect.placeholder
    readings = energy = 0
    for segment, ids in counted.items():
        async for some in in_pieces(ids, METERS_AT_ONCE):
            ((count, scaled),) = await engine.fetch(
                f"SELECT COUNT(*), {dialect.energy_sum_scaled}"
                # Few readings have flags: these come first, whatever the database reckons.
                f" FROM flags AS f {dialect.join_in_order} readings AS r"
                " ON r.meter_id = f.meter_id AND r.id = f.reading_id"
                f" WHERE f.meter_id IN ({', '.join(map(str, some))})"
                f" AND f.flags & {IMPLAUSIBLE.bit} AND r.utc >= {mark} AND r.utc < {mark}",
                (dialect.utc(segment.start), dialect.utc(segment.end)),
            )
            readings += segment.times * count
            energy += segment.weight * scaled
    return {"left_out": {"readings": str(readings), "energy": format_scaled(energy)}}

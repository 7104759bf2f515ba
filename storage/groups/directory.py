"""Lists of groups."""

from collections.abc import Sequence
from dataclasses import dataclass

from storage.backends.base import ReadEngine
from storage.backends.dialect import Condition
from storage.groups.selection import NamedGroup


@dataclass(frozen=True, slots=True)
class GroupPage:
    """Some groups in the order of their public ids."""

    groups: Sequence[NamedGroup]
    following: str | None
    """The public id after which the next page begins; None on the last page."""


async def group_page(
    engine: ReadEngine, limit: int, after: str, search: str, visible: Condition | None = None
) -> GroupPage:
    """Return at most so many groups whose public ids come after one.

    Where a text is searched for, only those that have it, in upper or lower case, in their public
    id or name. A condition on the groups, named `g`, selects some.
    """
    dialect = engine.dialect
    condition = Condition(f"g.public_id > {dialect.placeholder}", (after,))
    if search:
        condition &= dialect.contains(("g.public_id", "g.name"), search)
    if visible is not None:
        condition &= visible
    rows = await engine.fetch(
        f"SELECT g.id, g.public_id, g.name FROM meter_groups AS g WHERE {condition.text}"
        f" ORDER BY g.public_id LIMIT {limit + 1}",
        condition.args,
        small=True,
        quick=False,
    )
    groups = [
        NamedGroup(group_id, public_id.decode(), name and name.decode())
        for group_id, public_id, name in rows[:limit]
    ]
    return GroupPage(groups, groups[-1].public_id if len(rows) > limit else None)

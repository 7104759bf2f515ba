"""The state of a group: which members it has, and of which state the data of each is."""

import hashlib

from storage.backends.base import ReadEngine
from storage.common.turns import in_pieces
from storage.groups.members import BELOW, METERS_AT_ONCE, memberships_of
from storage.groups.selection import NamedGroup


async def group_state(engine: ReadEngine, public_id: str) -> tuple[NamedGroup, str, int] | None:
    """Return a group, the version of its data, and the number of changes of users, grants and keys.

    The version is a digest: it moves with the members and the data of each. None if there is no
    such group; one statement.
    """
    dialect = engine.dialect
    newest = (
        f"(SELECT r.id FROM readings AS r {dialect.by_id}"
        " WHERE r.meter_id = s.meter_id ORDER BY r.id DESC LIMIT 1)"
    )
    # What other programs change is counted, except by TRUNCATE.
    columns = dialect.concat(
        ["", ".", ".", ".", ""], ["s.meter_id", "s.version", "s.changes", f"COALESCE({newest}, 0)"]
    )
    meters = (
        "SELECT g.meter_id FROM below JOIN group_members AS g ON g.group_id = below.id"
        " WHERE g.meter_id IS NOT NULL"
    )
    states = f"SELECT GROUP_CONCAT({columns}) FROM states AS s WHERE s.meter_id IN ({meters})"
    itself = f"public_id = {dialect.placeholder}"
    rows = await engine.fetch(
        f"{BELOW.format(itself)} SELECT m.id, m.public_id, m.name, a.changes, ({states})"
        f" FROM meter_groups AS m, access AS a WHERE m.{itself}",
        (public_id, public_id),
    )
    if not rows:
        return None
    group_id, found_id, name, changes, texts = rows[0]
    group = NamedGroup(group_id, found_id.decode(), name and name.decode())
    digest = hashlib.sha256(f"{group_id} {changes}".encode())
    for text in sorted((texts or b"").split(b",")):
        digest.update(text)
    return group, digest.hexdigest()[:32], changes


async def group_corrections(engine: ReadEngine, group: NamedGroup) -> tuple[int, bytes]:
    """Return what pages of a group's sums have in common.

    That is how many corrections there were of the readings of its meters, and a digest of which
    meters it counts on which days: readings that come later change neither.
    """
    memberships = await memberships_of(engine, group.id)
    digest = hashlib.sha256(f"group {group.id}".encode())
    corrections = 0
    async for ids in in_pieces(sorted(memberships), METERS_AT_ONCE):
        digest.update(repr([(each, memberships[each]) for each in ids]).encode())
        ((count,),) = await engine.fetch(
            "SELECT CAST(COALESCE(SUM(corrections), 0) AS CHAR) FROM states"
            f" WHERE meter_id IN ({', '.join(map(str, ids))})"
        )
        corrections += int(count)
    return corrections, digest.digest()[:8]

"""What grants, API keys and groups are about: meters and groups, by their public ids."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from domain.access import PERMISSIONS, Permission, Window
from storage.backends.base import WriteEngine
from storage.common.errors import Conflict
from storage.meters import MeterAdmin

PAGE_ROWS = 500
"""Rows that one statement reads."""

ALL_DAYS = Window()


@dataclass(frozen=True, slots=True)
class Target:
    """A meter or a group, by its public id; a grant without either is for all meters."""

    meter: str | None = None
    group: str | None = None

    def __str__(self) -> str:
        if self.meter is not None:
            return f"the meter {self.meter}"
        return "all meters" if self.group is None else f"the group {self.group}"


def next_grant_number(mark: str) -> str:
    """Return the SQL of the next number of a user's grants, which none has had before.

    Its two placeholders are for the user.
    """
    return (
        f"(SELECT COALESCE(MAX(used.id), 0) + 1 FROM (SELECT id FROM grants WHERE user = {mark}"
        f" UNION ALL SELECT last_id FROM grant_numbers WHERE user = {mark}) AS used)"
    )


@dataclass(frozen=True, slots=True)
class TargetIds:
    """The row ids of a target, and the target by its public id."""

    meter_id: int | None
    group_id: int | None
    target: Target


class TargetDirectory:
    """Finds meters and groups, in the transaction that is open."""

    def __init__(self, engine: WriteEngine) -> None:
        self._engine = engine
        self._meters = MeterAdmin(engine)

    async def find(self, target: Target) -> TargetIds:
        """Return the ids of a target, whose meter may be named by its identifier as well.

        Raises Conflict if there is none.
        """
        if target.meter is not None:
            meter = await self._meters.find(target.meter)
            if meter is None:
                raise Conflict(f"no such meter: {target.meter}")
            if not await self._engine.fetch(
                f"SELECT id FROM meters WHERE id = {meter.id} AND removed IS NULL"
            ):
                raise Conflict(f"the meter {meter.public_id} is being removed")
            return TargetIds(meter.id, None, Target(meter.public_id))
        if target.group is not None:
            return TargetIds(None, await self.group_id(target.group), target)
        return TargetIds(None, None, target)

    async def group_id(self, public_id: str) -> int:
        """Return the id of a group; raise Conflict if there is none."""
        rows = await self._engine.fetch(
            f"SELECT id FROM meter_groups WHERE public_id = {self._engine.dialect.placeholder}",
            (public_id,),
        )
        if not rows:
            raise Conflict(f"no such group: {public_id}")
        return int(rows[0][0])

    async def groups_above(self, target: TargetIds) -> set[int]:
        """Return the ids of the groups that a meter or a group is in, directly or not."""
        found: set[int] = set()
        column = "member_group_id" if target.meter_id is None else "meter_id"
        ids = {each for each in (target.meter_id, target.group_id) if each is not None}
        while ids:
            rows = await self._engine.fetch(
                "SELECT group_id FROM group_members"
                f" WHERE {column} IN ({', '.join(map(str, sorted(ids)))})"
            )
            column, ids = "member_group_id", {row[0] for row in rows} - found
            found |= ids
        return found


async def begin_access_change(engine: WriteEngine) -> None:
    """Wait until nobody else adds or removes meters, groups and what is about them.

    It is the first statement of a transaction, so that all that follow see what others did.
    """
    await engine.lock_meters()


async def count_access_change(engine: WriteEngine) -> None:
    """Let servers look up anew who may do what, once the transaction is committed."""
    await engine.execute("UPDATE access SET changes = changes + 1")


async def require_user(engine: WriteEngine, user: str) -> None:
    """Raise Conflict if there is no such user; nobody can remove one until the transaction ends."""
    rows, *_ = await engine.fetch_locked(
        f"SELECT user FROM users WHERE user = {engine.dialect.placeholder}", (user,)
    )
    if not any(found == user for (found,) in rows):
        raise Conflict(f"no such user: {user}")


def day_columns(window: Window) -> tuple[str | None, str | None]:
    """Return the values of the columns first_day and last_day."""
    return (
        None if window.first == date.min else window.first.isoformat(),
        None if window.last == date.max else window.last.isoformat(),
    )


def window_of(first_day: Any, last_day: Any) -> Window:
    """Return the days in the columns first_day and last_day."""
    return Window(
        date.min if first_day is None else date.fromisoformat(str(first_day)),
        date.max if last_day is None else date.fromisoformat(str(last_day)),
    )


def assignments(engine: WriteEngine, columns: Mapping[str, object]) -> str:
    """Return what follows SET in a statement that gives columns new values."""
    return ", ".join(f"{column} = {engine.dialect.placeholder}" for column in columns)


def permission_of(word: str) -> Permission:
    """Return a permission as it is stored; raise Conflict if it is none."""
    if word not in PERMISSIONS:
        raise Conflict(f"{word[:40]!a} in the database is no permission, of {list(PERMISSIONS)}")
    return PERMISSIONS[word]

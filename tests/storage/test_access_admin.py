"""The administration of grants, groups and API keys, and what the server finds of it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date

import pytest

from domain.access import Permission, Window
from storage.access.api_keys import ApiKey, KeyProperties, hash_api_key
from storage.access.grant_admin import GrantProperties
from storage.access.groups import GroupProperties, MemberProperties
from storage.access.targets import Target
from storage.access.viewer import KeyScope
from storage.backends.transaction import transaction
from storage.common.errors import Conflict
from storage.factory import WritableDatabase
from storage.meter_directory import MeterProperties
from tests.support.databases import DatabaseFixture

pytestmark = pytest.mark.promise("Getting in")

YEAR = Window(date(2020, 1, 1), date(2020, 12, 31))
HASHED = hash_api_key("elecdata_x")


@asynccontextmanager
async def prepared(database: DatabaseFixture) -> AsyncIterator[WritableDatabase]:
    """A database of three meters and of rick, for the loader."""
    async with database.writer() as writer:
        async for _ in writer.engine.prepare():
            pass
        async with transaction(writer.engine):
            for public_id in ("m1", "m2", "m3"):
                await writer.directory.add_one(MeterProperties(public_id, "UTC"))
        await writer.users.add("rick", "0" * 64, grants=False)
        await writer.engine.admit_reader()
        yield writer


async def in_groups(writer: WritableDatabase, *members: tuple[str, Target]) -> None:
    """Add groups, as far as they are not there, and a member to each."""
    for group, member in members:
        async with transaction(writer.engine):
            if not await writer.groups.exists(group):
                await writer.groups.add(GroupProperties(group))
            await writer.groups.add_member(group, MemberProperties(member))


async def add_grant(writer: WritableDatabase, target: Target) -> None:
    async with transaction(writer.engine):
        await writer.grants.add("rick", GrantProperties(target, Permission.READ), "test")


async def add_key(writer: WritableDatabase, *targets: Target) -> None:
    async with transaction(writer.engine):
        await writer.api_keys.add("rick", KeyProperties("k", targets=targets), HASHED)


def changes_counted(database: DatabaseFixture) -> int:
    ((changes,),) = database.run("SELECT changes FROM access")
    return int(changes)


async def found_key(database: DatabaseFixture, hashed: str = HASHED) -> ApiKey | None:
    """The key that the server finds."""
    async with database.reader() as reader:
        await reader.state()
        return await reader.api_keys.key(hashed)


async def test_grants_about_a_meter_are_all_that_cover_it(database: DatabaseFixture) -> None:
    async with prepared(database) as writer:
        east, west = Target(group="east"), Target(group="west")
        await in_groups(writer, ("east", Target("m1")), ("west", east), ("north", Target("m2")))
        for target in (Target("m1"), Target("m2"), east, west, Target(group="north"), Target()):
            await add_grant(writer, target)

        async def about(target: Target) -> list[str]:
            found = writer.grants.grants(about=target)
            return [str(grant.properties.target) async for grant in found]

        assert await about(Target("m1")) == [
            *("the meter m1", "the group east", "the group west", "all meters"),
        ]
        assert await about(Target("m3")) == ["all meters"]
        assert await about(east) == ["the group east", "the group west", "all meters"]
        with pytest.raises(Conflict, match=r"^no such group: south$"):
            await about(Target(group="south"))


async def test_group_that_would_be_in_itself_is_refused_with_the_way_round(
    database: DatabaseFixture,
) -> None:
    async with prepared(database) as writer:
        a, b, c = (Target(group=name) for name in "abc")
        await in_groups(writer, ("c", Target("m1")), ("b", c), ("a", b))
        with pytest.raises(Conflict, match=r"a cannot be a member of c, .*: a > b > c; remove"):
            await in_groups(writer, ("c", a))
        with pytest.raises(Conflict, match="a cannot be a member of itself"):
            await in_groups(writer, ("a", a))
        # Two ways to the same group are no circle.
        await in_groups(writer, ("a", c))


async def test_member_may_not_count_twice_on_a_day(database: DatabaseFixture) -> None:
    async with prepared(database) as writer:
        later = Window(date(2021, 1, 1))
        async with transaction(writer.engine):
            await writer.groups.add(GroupProperties("a"))
            for window in (YEAR, later):
                await writer.groups.add_member("a", MemberProperties(Target("m1"), 1, window))
        changes: list[Callable[[], Awaitable[object]]] = [
            lambda: writer.groups.add_member("a", MemberProperties(Target("m1"), -1, later)),
            lambda: writer.groups.change_member(
                "a", 1, lambda member: replace(member, window=Window())
            ),
        ]
        for change in changes:
            with pytest.raises(Conflict, match=r"m1 is a member of a already, as number 2 \(from"):
                async with transaction(writer.engine):
                    await change()


async def test_every_change_counts_with_it_or_not_at_all(database: DatabaseFixture) -> None:
    """Servers look up anew what a user may do where access.changes has moved."""
    async with prepared(database) as writer:
        grants, groups, keys = writer.grants, writer.groups, writer.api_keys
        meter = await writer.meters.find("m1")
        assert meter is not None
        reads = GrantProperties(Target("m1"), Permission.READ)
        changes: list[Callable[[], Awaitable[object]]] = [
            lambda: grants.add("rick", reads, "test"),
            lambda: grants.change("rick", 1, lambda grant: replace(grant, expires=2_000_000_000)),
            lambda: grants.remove("rick", 1),
            lambda: groups.add(GroupProperties("a")),
            lambda: groups.change("a", {"public_id": "b"}),
            lambda: groups.add_member("b", MemberProperties(Target("m1"))),
            lambda: groups.change_member("b", 1, lambda member: replace(member, sign=-1)),
            lambda: groups.remove_member("b", 1),
            lambda: keys.add("rick", KeyProperties("k", targets=[Target(group="b")]), HASHED),
            lambda: keys.change("rick", "k", {"permission": Permission.WRITE, "targets": []}),
            lambda: groups.remove("b"),
            lambda: keys.revoke("rick", "k"),
            lambda: keys.remove("rick", "k"),
            lambda: writer.directory.change(meter, {"public_id": "m4"}),
        ]
        for change in changes:
            before = changes_counted(database)
            await writer.engine.begin_change()
            await change()
            await writer.engine.rollback()
            assert changes_counted(database) == before
            async with transaction(writer.engine):
                await change()
            assert changes_counted(database) > before


async def test_what_is_unknown_or_there_already_is_refused(database: DatabaseFixture) -> None:
    async with prepared(database) as writer:
        await add_grant(writer, Target("m1"))
        await add_key(writer)
        with pytest.raises(Conflict, match=r"^rick has this grant already, as number 1$"):
            await add_grant(writer, Target("m1"))
        with pytest.raises(Conflict, match=r"^no such meter: m4$"):
            await add_grant(writer, Target("m4"))
        with pytest.raises(Conflict, match=r"^rick has a key k already$"):
            await add_key(writer)
        refused: list[tuple[str, Callable[[], Awaitable[object]]]] = [
            ("no such user: Rick", lambda: writer.api_keys.add("Rick", KeyProperties("k"), "h")),
            ("rick has no grant of the number 2", lambda: writer.grants.remove("rick", 2)),
            ("rick has no key K", lambda: writer.api_keys.revoke("rick", "K")),
            ("no such group: a", lambda: writer.groups.remove("a")),
        ]
        for text, change in refused:
            with pytest.raises(Conflict, match=f"^{text}$"):
                async with transaction(writer.engine):
                    await change()


async def test_number_of_a_grant_is_never_that_of_a_later_one(database: DatabaseFixture) -> None:
    """Whoever adds it: a command, a server, or the trigger of a new user."""
    async with prepared(database) as writer, database.reader() as reader:
        await reader.state()

        async def numbers(user: str = "rick") -> list[int]:
            return [each.number async for each in writer.grants.grants(user)]

        await add_grant(writer, Target("m1"))
        (first,) = await numbers()
        async with transaction(writer.engine):
            await writer.grants.remove("rick", first)
        granted = GrantProperties(Target("m2"), Permission.READ)
        added = await reader.managed_grants.add("rick", granted, "beth")
        assert added is not None
        assert await numbers() == [added.number] == [first + 1]
        await reader.managed_grants.remove("rick", added.number)
        await add_grant(writer, Target("m3"))
        assert await numbers() == [first + 2]
        await writer.engine.execute("UPDATE users SET user = 'morty'")
        await writer.users.add("rick", "0" * 64)
        assert (await numbers(), await numbers("morty")) == ([first + 3], [first + 2])
        await writer.users.remove("rick")
        await writer.users.add("rick", "0" * 64, grants=False)
        await add_grant(writer, Target("m1"))
        assert await numbers() == [first + 4]


async def test_key_is_good_for_its_meters_and_groups_while_they_are_there(
    database: DatabaseFixture,
) -> None:
    async with prepared(database) as writer:
        await in_groups(writer, ("a", Target("m1")))
        await add_key(writer, Target("m1"))
        async with transaction(writer.engine):
            of_group = KeyProperties("g", targets=[Target(group="a")])
            await writer.api_keys.add("rick", of_group, "hash")
        await add_grant(writer, Target("m1"))
        key = await found_key(database)
        assert key is not None
        assert (key.user, key.name, key.permission) == ("rick", "k", Permission.READ)
        assert key.scope == KeyScope(frozenset([1]), frozenset())
        async with transaction(writer.engine):
            await writer.groups.remove("a")
        meter = await writer.meters.find("m1")
        assert meter is not None
        before = changes_counted(database)
        async with transaction(writer.engine):
            await writer.removals.begin(meter)
        with pytest.raises(Conflict, match="m1 is being removed"):
            await add_grant(writer, Target("m1"))
        await writer.removals.finish(meter)
        assert changes_counted(database) > before
        assert list(database.run("SELECT user FROM grants")) == []
        for hashed in (HASHED, "hash"):
            key = await found_key(database, hashed)
            assert key is not None
            assert key.scope == KeyScope(frozenset(), frozenset())
        async with transaction(writer.engine):
            for name in ("k", "g"):
                await writer.api_keys.remove("rick", name)
        assert list(database.run("SELECT hash FROM api_key_scopes")) == []


async def test_key_is_found_by_its_hash_while_it_and_its_user_are_good(
    database: DatabaseFixture,
) -> None:
    async with prepared(database) as writer:
        await add_key(writer)
        key = await found_key(database)
        assert key is not None
        assert key.scope is None
        assert await found_key(database, HASHED.upper()) is None
        await writer.users.set_enabled("rick", enabled=False)
        assert await found_key(database) is None
        await writer.users.set_enabled("rick", enabled=True)
        assert await found_key(database) is not None
        async with transaction(writer.engine):
            await writer.api_keys.revoke("rick", "k")
        assert await found_key(database) is None

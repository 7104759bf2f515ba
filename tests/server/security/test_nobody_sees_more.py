"""Whatever grants, groups and users there are: nobody is told of what was not granted."""

import asyncio
import json
import random
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import fresh
from tests.support.app_client import Api, Serve
from tests.support.databases import DatabaseFixture
from tests.support.granting import add_group, add_member, grant, revoke_all
from tests.support.report_factory import quarters, report, row

METERS, GROUPS, DAYS = 5, 3, 4
FIRST = date(2019, 10, 26)
"""The day before one of 25 hours."""

LISTS = ("getMeters", "v1/meters", "v1/completeness", "v1/groups", "v1/grants")
OF_A_METER = (
    *("getData?columns=date,energy", "getDataById?id={ids}&columns=energy", "getMeter"),
    *("getDataByDate?date=2019-10-2%25&columns=energy", "getAggregate?interval=day"),
    *("getDataByRange?date=2019-10-26&end_date=2019-10-28&columns=energy", "getSummary"),
    *("getPeaks", "getProfile?column=energy", "getQuality?list=days"),
    *(
        "v1/meters/{meter}",
        "v1/meters/{meter}/readings?fields=start,energy",
        "v1/meters/{meter}/peaks",
    ),
    *("v1/meters/{meter}/aggregates?resolution=P1D", "v1/meters/{meter}/summary"),
    *("v1/meters/{meter}/profile", "v1/meters/{meter}/quality?list=days"),
    *("v1/meters/{meter}/imports", "v1/readings?meter={meter}&fields=start,energy"),
)
OF_A_GROUP = (
    *("", "/readings", "/aggregates?resolution=P1D", "/summary", "/members", "/quality"),
    *("/peaks", "/profile?by=none"),
)


def day(number: int) -> date:
    return FIRST + timedelta(days=number)


@dataclass
class World:
    """Meters with readings that are told apart, groups, and what one user was granted."""

    database: DatabaseFixture
    names: list[str]
    energies: dict[tuple[int, int], list[int]]
    """Of each meter and day, in kWh; no two readings have the same."""
    groups: list[str] = field(default_factory=list)
    members: list[tuple[int, str, int, range]] = field(default_factory=list)
    """A group, `meter` or `group`, which of these, and on which days."""
    grants: list[tuple[str, int, range]] = field(default_factory=list)
    """`meter`, `group` or `all`, which of these, and on which days."""

    def days(self, kind: str, number: int) -> set[int]:
        """The days of a meter or group that were granted, also by what it is a member of."""
        found = {
            each
            for of, which, days in self.grants
            if of == "all" or (of, which) == (kind, number)
            for each in days
        }
        for group, of, which, days in self.members:
            if (of, which) == (kind, number):
                found |= self.days("group", group) & {*days}
        return found

    def members_on(self, group: int, days: set[int]) -> set[tuple[int, int]]:
        """The meters of a group on some days, each with the number of the day."""
        found = set()
        for of_group, kind, which, within in self.members:
            if of_group == group and kind == "group":
                found |= self.members_on(which, days & {*within})
            elif of_group == group:
                found |= {(which, each) for each in days & {*within}}
        return found

    def readings(self, group: int, days: set[int]) -> list[tuple[str, int]]:
        """The readings of a group on some days, by meter and time."""
        return [
            (name, energy)
            for meter, name in sorted(enumerate(self.names), key=lambda each: each[1])
            for number in range(DAYS)
            if (meter, number) in self.members_on(group, days)
            for energy in self.energies[meter, number]
        ]

    def quarters(self, group: int, days: set[int]) -> dict[tuple[int, int], Fraction]:
        """The energy of a group in the quarters of an hour of some days, by day and number.

        A meter counts as often as it is in the group.
        """
        found: dict[tuple[int, int], Fraction] = {}
        for of_group, kind, which, within in self.members:
            if of_group != group:
                continue
            if kind == "group":
                part = self.quarters(which, days & {*within})
            else:
                part = {
                    (each, number): Fraction(energy)
                    for each in days & {*within}
                    for number, energy in enumerate(self.energies[which, each])
                }
            for place, energy in part.items():
                found[place] = found.get(place, Fraction()) + energy
        return found

    def sums(self, group: int, days: set[int]) -> dict[int, Fraction]:
        """The energy of a group on some days, by day."""
        found: dict[int, Fraction] = {}
        for (each, _), energy in self.quarters(group, days).items():
            found[each] = found.get(each, Fraction()) + energy
        return found


@pytest.fixture(scope="module", params=["sqlite", "mariadb"])
def loaded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """A database of each kind with meters whose readings are told apart."""
    with fresh(request, tmp_path_factory.mktemp("world")) as database:
        chance = random.Random(7)  # noqa: S311 - test data
        numbers = iter(chance.sample(range(10**6, 10**7), METERS * DAYS * 100))
        names = [f"m{secrets.token_hex(6)}" for _ in range(METERS)]
        energies: dict[tuple[int, int], list[int]] = {}
        for meter, name in enumerate(names):
            lines = []
            for number in range(DAYS):
                moments = quarters(f"{day(number)}", 100 if number == 1 else 96)
                energies[meter, number] = [next(numbers) for _ in moments]
                lines += [
                    row(at, str(energy))
                    for at, energy in zip(moments, energies[meter, number], strict=True)
                ]
            asyncio.run(database.load(report(*lines), meter=name, register=True))
        asyncio.run(database.admit("rick"))
        yield World(database, names, energies)


@st.composite
def accesses(draw: st.DrawFn) -> tuple[list[Any], list[Any]]:
    """Members of groups, of which later ones may be in earlier ones, and grants."""
    spans = st.tuples(st.integers(0, DAYS - 1), st.integers(0, DAYS - 1)).map(
        lambda ends: range(min(ends), max(ends) + 1)
    )
    every = st.just(range(DAYS))
    members = [
        (group, "meter", meter, draw(every | spans))
        for group in range(GROUPS)
        for meter in draw(st.sets(st.integers(0, METERS - 1), max_size=3))
    ]
    members += [
        (group, "group", other, draw(every | spans))
        for group in range(GROUPS)
        for other in range(group + 1, GROUPS)
        if draw(st.booleans())
    ]
    targets = st.sampled_from(
        [*(("meter", each) for each in range(METERS)), *(("group", each) for each in range(GROUPS))]
    )
    grants = [(*draw(targets), draw(every | spans)) for _ in range(draw(st.integers(0, 3)))]
    if not draw(st.integers(0, 4)):
        grants.append(("all", 0, draw(spans)))
    return members, grants


def arrange(world: World, members: list[Any], grants: list[Any]) -> World:
    """Put groups and grants into the database in place of those before."""
    for table in ("group_members", "meter_groups"):
        world.database.run(f"DELETE FROM {table}")
    revoke_all(world.database, "rick")
    groups = [f"g{secrets.token_hex(6)}" for _ in range(GROUPS)]
    for group in groups:
        add_group(world.database, group)

    def bounds(days: range) -> tuple[date, date]:
        whole = len(days) == DAYS
        return (date.min, date.max) if whole else (day(days[0]), day(days[-1]))

    made = World(world.database, world.names, world.energies, groups, members, grants)
    for group, kind, which, days in members:
        add_member(
            world.database,
            groups[group],
            meter=world.names[which] if kind == "meter" else None,
            member=groups[which] if kind == "group" else None,
            days=bounds(days),
        )
    for kind, which, days in grants:
        names = {"meter": world.names, "group": groups}
        grant(
            world.database,
            "rick",
            meter=names["meter"][which] if kind == "meter" else None,
            group=names["group"][which] if kind == "group" else None,
            days=bounds(days),
        )
    return made


async def asked(api: Api, path: str, headers: Mapping[str, str] | None = None) -> tuple[int, str]:
    headers = {"Authorization": f"Bearer {api.token}", **(headers or {})}
    url = f"/{path}" if path.startswith("v1/") else f"/apielec/{path}"
    async with api.client.get(url, headers=headers) as response:
        return response.status, await response.text() + str(response.headers)


def data_of(text: str) -> list[dict[str, Any]]:
    """The records of a document, after which there are headers."""
    data: list[dict[str, Any]] = json.loads(text[: text.rindex("]}") + 2], parse_float=Fraction)[
        "data"
    ]
    return data


def hidden_texts(world: World) -> list[str]:
    """What no answer may contain: names of what is hidden, and energies of hidden readings."""
    texts = [name for n, name in enumerate(world.names) if not world.days("meter", n)]
    texts += [name for n, name in enumerate(world.groups) if not world.days("group", n)]
    for (meter, number), energies in world.energies.items():
        if number not in world.days("meter", meter):
            texts += [f"{energy}." for energy in energies]
    return texts


def lists(world: World) -> Iterator[tuple[str, str]]:
    """Lists, also from any name on, with that name."""
    yield from ((path, "-") for path in LISTS)
    for path, names in (
        *(("v1/meters", world.names), ("v1/completeness", world.names)),
        ("v1/groups", world.groups),
    ):
        yield from ((f"{path}?limit=1&cursor={name}", name) for name in ("0", *names))


def separate(days: set[int]) -> bool:
    """Whether days are of several windows, which no figure joins."""
    return bool(days) and max(days) - min(days) >= len(days)


@pytest.fixture
async def api(serve: Serve, loaded: World) -> Api:
    return await serve(loaded.database)


@given(accesses())
@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_nobody_is_told_of_what_was_not_granted(
    loaded: World, api: Api, access: tuple[list[Any], list[Any]]
) -> None:
    """No name, reading or sum; and all that was granted is there."""
    world = arrange(loaded, *access)
    hidden = hidden_texts(world)

    async def seen(path: str, name: str = "-") -> tuple[int, str]:
        """Ask for a name, which an answer may repeat."""
        status, text = await asked(api, path)
        assert status in (200, 400, 403, 404), text
        assert [each for each in hidden if each in text.replace(name, "")] == [], path
        return status, text

    for path, name in lists(world):
        assert (await seen(path, name))[0] == 200
    for number, name in enumerate(world.names):
        days = world.days("meter", number)
        for template in OF_A_METER:
            path = template.format(meter=name, ids=",".join(map(str, range(1, 400))))
            if not path.startswith("v1/"):
                path += f"{'&' if '?' in path else '?'}meter={name}"
            status, text = await seen(path, name)
            assert (status == 404) == (not days), path
            if "getData?" in path or "/readings?" in path:
                shown = {energy for each in days for energy in world.energies[number, each]}
                found = [energy for energy in shown if f"{energy}." in text]
                assert len(found) == len(shown), path
    for number, name in enumerate(world.groups):
        days = world.days("group", number)
        for part in OF_A_GROUP:
            status, _ = await seen(f"v1/groups/{name}{part}", name)
            assert (status == 404) == (not days), part
        status, text = await seen(f"v1/readings?group={name}&fields=energy", name)
        assert (status == 404) == (not days)
        told = [(each["meter"], each["energy"]) for each in data_of(text)] if days else []
        assert told == world.readings(number, days)
        if not days or separate(days):
            continue
        status, text = await seen(f"v1/groups/{name}/aggregates?resolution=P1D&fields=energy")
        assert status == 200
        data = data_of(text)
        sums = {each["start"][:10]: each["energy"] for each in data if each["energy"] is not None}
        assert sums == {f"{day(n)}": energy for n, energy in world.sums(number, days).items()}
        status, text = await seen(f"v1/groups/{name}/peaks?limit=1")
        assert status == 200
        highest = sorted(world.quarters(number, days).values())[-1:]
        assert [each["demand"] for each in data_of(text)] == [4 * energy for energy in highest]

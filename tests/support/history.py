"""Readings that keep changing, and what is right to be told of them at any moment."""

import json
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from aiohttp import ClientPayloadError, ClientSession

from tests.support.databases import DatabaseFixture
from tests.support.report_factory import report, row, written

FIRST = datetime.fromisoformat("2019-06-01")
"""Local time of the first reading; clocks change long after the last one."""

UTC_OFFSET = timedelta(hours=2)

Content = Mapping[int, tuple[int, int]]
"""The quarter of an hour, counted from the first, and the energy of each reading by its id."""


def local(quarter: int) -> datetime:
    return FIRST + timedelta(minutes=15) * quarter


def records(content: Content) -> list[tuple[int, str, str]]:
    """The id, the date and the energy of each reading, in order of id."""
    return [
        (number, str(local(quarter)), f"{energy}.00000")
        for number, (quarter, energy) in sorted(content.items())
    ]


def by_day(content: Content) -> dict[str, str]:
    """The energy of each day that has readings."""
    days: Counter[str] = Counter()
    for quarter, energy in content.values():
        days[f"{local(quarter):%Y-%m-%d}"] += energy
    return {day: f"{energy}.00000" for day, energy in sorted(days.items())}


class History:
    """The contents of a database, one after the other: by its loader, and by hand.

    What is right at some moment is one of those from the last that was surely written before it to
    the last that was begun.
    """

    def __init__(self, database: DatabaseFixture, seed: int) -> None:
        self._database = database
        self._random = random.Random(seed)  # noqa: S311 - no secret
        self._quarters = 0
        self.contents: list[Content] = []
        self.written = -1
        """The place of the last content that was surely written."""

    async def begin(self, readings: int) -> None:
        """Load the first readings."""
        await self._load([(quarter, 1) for quarter in range(readings)])

    async def change(self) -> str:
        """Change the readings in some way; return its name."""
        ways = [self._append, self._correct, self._update, self._delete, self._insert]
        way = self._random.choice(ways)
        await way()
        return way.__name__.removeprefix("_")

    async def _append(self) -> None:
        count = self._random.randint(1, 30)
        await self._load([(self._quarters + n, self._energy()) for n in range(count)])

    async def _correct(self) -> None:
        there = [quarter for quarter, _ in self.contents[-1].values()]
        some = sorted(self._random.sample(there, 5))
        await self._load([(quarter, self._energy()) for quarter in some])

    async def _update(self) -> None:
        content = dict(self.contents[-1])
        ids, energy = self._random.sample(sorted(content), 3), self._energy()
        content |= {number: (content[number][0], energy) for number in ids}
        await self._by_hand(
            content,
            f"UPDATE readings SET energy = {self._stored(energy)}"
            f" WHERE id IN ({', '.join(map(str, ids))})",
        )

    async def _delete(self) -> None:
        content = dict(self.contents[-1])
        number = self._random.choice(sorted(content))
        del content[number]
        await self._by_hand(content, f"DELETE FROM readings WHERE id = {number}")

    async def _insert(self) -> None:
        content = dict(self.contents[-1])
        gaps = sorted(set(range(1, max(content))) - content.keys())
        number = self._random.choice([*gaps, max(content) + 1])
        quarter, energy = self._quarters, self._energy()
        self._quarters += 1
        content[number] = quarter, energy
        utc = local(quarter) - UTC_OFFSET
        instant = f"'{utc}'"
        if self._database.kind == "sqlite":
            instant = str(int((utc - datetime.fromisoformat("1970-01-01")).total_seconds()))
        await self._by_hand(
            content,
            "INSERT INTO readings (id, date, energy, meter_id, utc) VALUES"
            f" ({number}, '{local(quarter)}', {self._stored(energy)}, 1, {instant})",
        )

    async def _load(self, readings: Sequence[tuple[int, int]]) -> None:
        content = dict(self.contents[-1]) if self.contents else {}
        ids = {quarter: number for number, (quarter, _) in content.items()}
        following = max(content, default=0) + 1
        for quarter, energy in readings:
            if quarter not in ids:
                ids[quarter] = following
                following += 1
            content[ids[quarter]] = quarter, energy
        self._quarters = max(self._quarters, readings[-1][0] + 1)
        self.contents.append(content)
        lines = [row(written(local(quarter)), str(energy)) for quarter, energy in readings]
        await self._database.load(report(*lines), allow_corrections=True)
        self.written = len(self.contents) - 1

    async def _by_hand(self, content: Content, sql: str) -> None:
        self.contents.append(content)
        await self._database.rows(sql)
        self.written = len(self.contents) - 1

    def _energy(self) -> int:
        return self._random.randint(1, 10**6)

    def _stored(self, energy: int) -> int:
        return energy * 10**5 if self._database.kind == "sqlite" else energy


@dataclass
class Witness:
    """A client that compares all that it is told with a history."""

    history: History
    session: ClientSession
    seed: int
    outcomes: Counter[str] = field(default_factory=Counter)
    tags: dict[str, object] = field(default_factory=dict)
    """What each tag was seen to name; all witnesses of a history share it."""

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - no secret
        self._known: dict[str, str] = {}

    async def ask(self) -> None:
        """Ask for something and compare."""
        ways = [self._everything, self._by_id, self._figures, self._walk]
        way = self._random.choice(ways)
        try:
            outcome = await way()
        except (ClientPayloadError, ConnectionResetError):
            outcome = "broken off"
        self.outcomes[outcome] += 1

    async def _everything(self) -> str:
        return await self._compare("getData", records)

    async def _by_id(self) -> str:
        ids = {self._random.randint(1, 200) for _ in range(3)}

        def expected(content: Content) -> object:
            return [record for record in records(content) if record[0] in ids]

        return await self._compare(f"getDataById?id={','.join(map(str, sorted(ids)))}", expected)

    async def _figures(self) -> str:
        return await self._compare("getAggregate?interval=day", by_day)

    async def _compare(self, path: str, expected: Callable[[Content], object]) -> str:
        earliest = self.history.written
        status, tag, found = await self._told(path, self._known.get(path))
        if status == 503:
            return "refused"
        right = [expected(content) for content in self.history.contents[earliest:]]
        assert found in right, (path, tag, status)
        assert tag is not None
        self._known[path] = tag
        return "unchanged" if status == 304 else "whole"

    async def _walk(self) -> str:
        """Fetch everything page by page: it is what there was at the first page."""
        limit, order = self._random.randint(20, 90), self._random.choice(["asc", "desc"])
        path = f"getData?limit={limit}&order={order}"
        earliest = latest = self.history.written
        found: list[Any] = []
        after = ""
        while True:
            status, _, some = await self._told(f"{path}{after}", None)
            if status == 503:
                return "refused"
            if status == 410:
                assert after
                return "walk to begin again"
            if not after:
                latest = len(self.history.contents)
            found += some[0]
            if some[1] is None:
                break
            after = f"&after={some[1]}"
        right = map(records, self.history.contents[earliest:latest])
        assert (found if order == "asc" else found[::-1]) in right, path
        return "walk"

    async def _told(self, path: str, known: str | None) -> tuple[int, str | None, Any]:
        """The status, the tag, and the content, of a 304 that which its tag names."""
        headers = {} if known is None else {"If-None-Match": known}
        async with self.session.get(f"/apielec/{path}", headers=headers) as response:
            body = await response.read()
            tag = response.headers.get("ETag")
        if response.status in (410, 503):
            return response.status, tag, None
        assert response.status in (200, 304), body
        assert tag is not None
        if response.status == 304:
            return 304, tag, self.tags[tag]
        values = json.loads(body)["values"]
        content = _content(path, values)
        # The same tag may be of another coding, and never of another content.
        assert self.tags.setdefault(tag, content) == content, path
        return 200, tag, content


def _content(path: str, values: Mapping[str, Any]) -> object:
    if path.startswith("getAggregate"):
        return {
            record["date"][:10]: record["energy"]
            for record in values["records"]
            if record["energy"] is not None
        }
    found = [(int(each["id"]), each["date"], each["energy"]) for each in values["records"]]
    return (found, values.get("next")) if "limit" in path else found

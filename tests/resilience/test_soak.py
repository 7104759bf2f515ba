"""Ten minutes of mixed load with imports: flat memory, flat descriptors, every answer right."""

import asyncio
import os
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from aiohttp import ClientPayloadError, ClientSession, TCPConnector

from tests.resilience.readings import numbered_report
from tests.server.process.test_server_command import Server, children
from tests.support.app_client import token
from tests.support.databases import DatabaseFixture, Record
from tests.support.promises import Tried

pytestmark = [
    pytest.mark.promise("Bad nights"),
    pytest.mark.trust,
    pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read in /proc"),
]

SECONDS = float(os.environ.get("SOAK_SECONDS", "600"))
COUNT = 9000
VERSIONS = (1, 100_001)
"""What the numbers of the report begin with, by turns."""

BETWEEN_IMPORTS = SECONDS / 40
BETWEEN_LOOKS = SECONDS / 120
CLIENTS = 6
KIB = 1024
PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // KIB


def version(records: Sequence[Record], *, whole: bool) -> set[int]:
    """The versions that records are of; fails where a reading is lost, doubled or wrong."""
    ids = [int(record["id"] or 0) for record in records]
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    if whole:
        assert (ids[0], len(ids)) == (1, COUNT)
    found = {
        round(float(record["energy"] or 0)) - number + 1
        for number, record in zip(ids, records, strict=True)
    }
    assert found <= set(VERSIONS)
    return found


class Soak:
    """Clients that ask for everything in turn, and check what comes."""

    def __init__(self, session: ClientSession) -> None:
        self._session = session
        self.answers: Counter[str] = Counter()
        self.is_over = False

    async def client(self, turn: int) -> None:
        kinds = (self.all, self.day, self.one, self.months, self.login)
        while not self.is_over:
            await kinds[turn % len(kinds)]()
            turn += 1

    async def _get(self, path: str, **params: str) -> list[Record]:
        async with self._session.get(f"/apielec/{path}", params=params) as response:
            try:
                body = await response.json()
            except ClientPayloadError:
                body = {}
            if response.status == 503 or not body:
                # What an import meets is refused or cut off: no part is taken for the whole.
                self.answers["put off"] += 1
                return []
            assert response.status == 200, body
            records: list[Record] = body["values"]["records"]
            assert body["values"]["numrecs"] == len(records) > 0
            self.answers["right"] += 1
            return records

    async def all(self) -> None:
        if records := await self._get("getData"):
            version(records, whole=True)

    async def day(self) -> None:
        records = await self._get("getDataByDate", date="2019-02-11%")
        if records:
            assert len(records) == 96
            assert len(version(records, whole=False)) == 1

    async def one(self) -> None:
        records = await self._get("getDataById", id="4242")
        if records:
            assert len(records) == 1
            version(records, whole=False)

    async def months(self) -> None:
        records = await self._get("getAggregate", interval="month")
        if records:
            total = round(sum(float(record["energy"] or 0) for record in records))
            assert total in {sum(range(first, first + COUNT)) for first in VERSIONS}

    async def login(self) -> None:
        headers = {"Authorization": "Basic cmljazpyaWNr"}
        async with self._session.post("/login", headers=headers) as response:
            # Of a busy machine a login may have to wait, which the answer says.
            assert response.status == 200 or response.headers["Retry-After"]
        self.answers["right"] += response.status == 200
        await asyncio.sleep(1)


def looked_at(workers: Sequence[int]) -> tuple[float, int]:
    """Memory of processes in MiB, and their descriptors."""
    pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in workers)
    descriptors = sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in workers)
    return pages * PAGE_KIB / KIB, descriptors


async def test_memory_and_descriptors_stay_flat_and_every_answer_is_right(
    database: DatabaseFixture, tried: Tried
) -> None:
    reports = [numbered_report(COUNT, first) for first in VERSIONS]
    await database.load(reports[0])
    await database.admit("rick")
    server = await asyncio.to_thread(
        lambda: Server(
            database.config,
            ELECDATA_SERVER__WORKERS="2",
            ELECDATA_CACHE__TTL="2",
            # It is full soon: what it may take is not what is asked here.
            ELECDATA_CACHE__MAX_BYTES="8MiB",
            ELECDATA_LOG__LEVEL="info",
        )
    )
    with server:
        port = await asyncio.to_thread(server.port)
        session = ClientSession(
            f"http://127.0.0.1:{port}",
            headers={"SESSION": token()},
            connector=TCPConnector(limit=0),
        )
        looks: list[tuple[float, int]] = []
        imports = 0
        async with session, asyncio.TaskGroup() as group:
            soak = Soak(session)
            for turn in range(CLIENTS):
                group.create_task(soak.client(turn))
            began = next_import = time.monotonic()
            while time.monotonic() < began + SECONDS:
                await asyncio.sleep(BETWEEN_LOOKS)
                looks.append(looked_at(children(server.process)))
                if time.monotonic() > next_import:
                    imports += 1
                    await database.load(reports[imports % 2], allow_corrections=True)
                    next_import = time.monotonic() + BETWEEN_IMPORTS
            soak.is_over = True
        assert await asyncio.to_thread(server.stop) == 0
    third = len(looks) // 3
    middle, last = looks[third : 2 * third], looks[2 * third :]
    # A password takes 64 MiB while it is hashed: the least tells what is kept.
    memory = [min(look[0] for look in part) for part in (middle, last)]
    descriptors = [max(look[1] for look in part) for part in (middle, last)]
    assert soak.answers["put off"] < soak.answers["right"] / 10
    print(looks)  # shown where the test fails
    assert memory[1] < memory[0] * 1.05 + 4
    assert descriptors[1] <= descriptors[0] + CLIENTS
    tried(
        f"A soak of {SECONDS / 60:.0f} min with {imports} imports, {database.kind}",
        sum(soak.answers.values()),
        f"{soak.answers['right']} answers right, {soak.answers['put off']} refused or visibly cut,"
        f" as an import was written meanwhile; two workers at least {memory[0]:.0f} MiB in the"
        f" second third, {memory[1]:.0f} in the last; descriptors {descriptors[0]}"
        f" and {descriptors[1]}",
    )

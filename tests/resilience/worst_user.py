"""A user who asks for the dearest there is, in a process of its own.

    python -m tests.resilience.worst_user URL SECONDS

with the token in TOKEN. Prints a line once it has begun, and at the end how often each status came.
"""

import asyncio
import json
import os
import random
import sys
from collections import Counter
from collections.abc import Mapping, Sequence

from aiohttp import ClientError, ClientSession, TCPConnector

CLIENTS = 64
PAUSE = 0.01
"""Seconds until a client that was refused asks again."""

IDS = ",".join(str(number) for number in random.Random(1).sample(range(1, 2**31), 90_000))  # noqa: S311 - test data

DEAREST: Sequence[tuple[str, Mapping[str, str]]] = (
    # A million records, nearly all without a reading.
    ("getAggregate", {"interval": "15m", "date": "1995"}),
    ("getAggregate", {"interval": "15m", "date": "1995", "format": "csv", "time": "local"}),
    ("getAggregate", {"interval": "15m", "date": "1995", "format": "parquet"}),
    ("getAggregate", {"interval": "day", "date": "1700", "values": "number"}),
    ("getAggregate", {"interval": "hour", "timezone": "Africa/Casablanca", "quality": "clean"}),
    ("getAggregate", {"interval": "year", "date": "1700", "timezone": "UTC"}),
    # All quantities are held, and sorted.
    ("getProfile", {"by": "both", "percentiles": ",".join(map(str, range(1, 21)))}),
    ("getProfile", {"by": "none", "column": "energy", "quality": "clean"}),
    # The table is sorted again and again.
    ("getPeaks", {"number": "1000", "separation": "86400"}),
    ("getPeaks", {"number": "1000", "separation": "0", "quality": "clean"}),
    ("getSummary", {"quality": "clean"}),
    ("getQuality", {"list": "gaps"}),
    ("getQuality", {"list": "flagged"}),
    ("getQuality", {"list": "days", "date": "1700"}),
    # Every reading is compared with a pattern, or formatted by the database.
    ("getDataByDate", {"date": "%1%2%:_5:%", "order": "desc"}),
    ("getDataByDate", {"date": "%_%:00", "columns": "flags,date", "time": "offset"}),
    ("getData", {"order": "desc", "quality": "clean", "time": "offset", "columns": "flags,date"}),
    ("getData", {"format": "parquet", "columns": "date,energy"}),
    ("getData", {"format": "csv", "time": "utc"}),
    ("getDataByRange", {"date": "1000", "end_date": "9999", "quality": "clean"}),
    ("getDataById", {"id": IDS}),
    ("getDataById", {"id": IDS, "quality": "clean", "limit": "100000", "order": "desc"}),
)
"""What costs the service most of what a user may ask for."""

FORCED = {"Cache-Control": "no-cache"}
HEADERS: Sequence[Mapping[str, str]] = (
    FORCED | {"Accept-Encoding": "identity"},
    {"Accept-Encoding": "gzip"},
    FORCED | {"Accept-Encoding": "zstd"},
)


class WorstUser:
    """Clients that ask for the dearest, as often as they can."""

    def __init__(self, session: ClientSession) -> None:
        self._session = session
        self.statuses: Counter[str] = Counter()
        self.is_over = False

    async def client(self, turn: int) -> None:
        while not self.is_over:
            route, params = DEAREST[turn % len(DEAREST)]
            headers = HEADERS[turn // len(DEAREST) % len(HEADERS)]
            # Its own stride, so that clients do not ask for the same at the same time.
            turn += 7
            try:
                await self._ask(route, params, headers)
            except (ClientError, TimeoutError):
                self.statuses["broken"] += 1

    async def _ask(self, route: str, params: Mapping[str, str], headers: Mapping[str, str]) -> None:
        path = f"/apielec/{route}"
        async with self._session.post(path, json=params, headers=headers) as answer:
            while await answer.content.read(2**16):
                if self.is_over:
                    answer.close()
                    self.statuses["left"] += 1
                    return
            self.statuses[str(answer.status)] += 1
        if answer.status != 200:
            await asyncio.sleep(PAUSE)


async def run(url: str, seconds: float) -> Counter[str]:
    """Ask for so many seconds; return how often each status came."""
    # One client does not take the machine from the service: it would run on another.
    os.nice(10)
    headers = {"SESSION": os.environ["TOKEN"]}
    session = ClientSession(url, headers=headers, connector=TCPConnector(limit=0))
    async with session, asyncio.TaskGroup() as group:
        user = WorstUser(session)
        tasks = [group.create_task(user.client(number)) for number in range(CLIENTS)]
        await asyncio.sleep(1)
        print("begun", flush=True)
        await asyncio.sleep(seconds)
        user.is_over = True
        _, waiting = await asyncio.wait(tasks, timeout=1)
        for task in waiting:  # no first byte has come yet
            task.cancel()
    return user.statuses


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run(sys.argv[1], float(sys.argv[2])))))

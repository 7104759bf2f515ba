"""One user asks for the dearest there is, as often as he can, and another is served as ever."""

import asyncio
import json
import os
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import ClientSession

from tests.resilience.readings import numbered_report
from tests.server.process.test_server_command import Server
from tests.support.app_client import token
from tests.support.databases import DatabaseFixture
from tests.support.paths import ROOT
from tests.support.promises import Tried

pytestmark = [
    pytest.mark.promise("Bad nights"),
    pytest.mark.trust,
    pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="waits are read in /proc"),
]

SECONDS = float(os.environ.get("WORST_USER_SECONDS", "60"))
ALLOWED = 0.05
IDLE = 0.01
"""Seconds that a ping takes at most on a machine that does nothing else."""

IDLE_SECONDS = 2
PAUSE = 0.02
"""Seconds between two requests of the quiet user."""

READINGS = 50_000


def waits(process: int) -> dict[str, float]:
    """The seconds for which each thread of a process has waited for a processor."""
    found = {}
    for thread in Path(f"/proc/{process}/task").iterdir():
        with suppress(OSError):  # it has just ended
            found[thread.name] = int((thread / "schedstat").read_text().split()[1]) / 1e9
    return found


def waited(process: int, before: dict[str, float]) -> float:
    """How long the event loop has waited since: itself, and for the thread that ran Python's code.

    Which thread that was is not known: the one that waited longest is.
    """
    since = {thread: at - before.get(thread, 0.0) for thread, at in waits(process).items()}
    loop = since.pop(str(process))
    return loop + max(since.values(), default=0.0)


@dataclass
class Pings:
    """How many seconds the pings of a quiet user took, and how many without what others took.

    The second is without the time for which server and client waited for a processor, which on a
    machine that others load is no fault of theirs.
    """

    wall: list[float] = field(default_factory=list)
    net: list[float] = field(default_factory=list)

    @classmethod
    async def sent(cls, session: ClientSession, server: int, seconds: float) -> "Pings":
        """Ping for so many seconds."""
        pings = cls()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            ours, theirs = waits(os.getpid()), waits(server)
            began = time.monotonic()
            async with session.get("/apielec/ping") as answer:
                assert answer.status == 200
            took = time.monotonic() - began
            pings.wall.append(took)
            others = waited(server, theirs) + waits(own := os.getpid())[str(own)] - ours[str(own)]
            pings.net.append(max(0.0, took - others))
            await asyncio.sleep(PAUSE)
        return pings


def p99(seconds: list[float]) -> float:
    return sorted(seconds)[len(seconds) * 99 // 100]


async def test_quiet_user_is_served_while_another_does_his_worst(
    database: DatabaseFixture, tried: Tried
) -> None:
    database.configure(api_users={"rick": "morty", "morgan": "quiet"})
    await database.load(numbered_report(READINGS))
    async with database.writer() as writer:
        assert await writer.engine.is_prepared()
        tokens = {
            user.name: token(user.name, user.generation) for user in await writer.users.users()
        }
    with await asyncio.to_thread(Server, database.config) as server:
        url = f"http://127.0.0.1:{await asyncio.to_thread(server.port)}"
        async with ClientSession(url, headers={"SESSION": tokens["morgan"]}) as session:
            pid = server.process.pid
            before = await Pings.sent(session, pid, IDLE_SECONDS)
            worst = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.resilience.worst_user", url, str(SECONDS + 2)),
                cwd=ROOT,
                env={**os.environ, "TOKEN": tokens["rick"]},
                stdout=asyncio.subprocess.PIPE,
            )
            assert worst.stdout is not None
            await worst.stdout.readline()  # it has begun
            pings = await Pings.sent(session, pid, SECONDS)
            output, _ = await worst.communicate()
        assert await asyncio.to_thread(server.stop) == 0
    statuses = json.loads(output)
    is_idle = p99(before.wall) < IDLE
    shown = (
        f"p99 of ping {p99(before.wall) * 1000:.0f} ms before and {p99(pings.wall) * 1000:.0f} ms"
        f" meanwhile, {p99(pings.net) * 1000:.0f} ms of it not waiting for a processor;"
        f" {statuses} to the other user"
    )
    print(shown)
    assert statuses.keys() <= {"200", "429", "503", "left"}
    assert statuses.get("200", 0) > 0
    assert p99(pings.wall if is_idle else pings.net) < ALLOWED, shown
    tried(f"A user who does his worst for {SECONDS:g} s, {database.kind}", len(pings.wall), shown)

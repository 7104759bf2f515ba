"""A wall clock that jumps while the server runs."""

import asyncio
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from tests.conftest import require
from tests.server.process.test_server_command import Server
from tests.support.databases import DatabaseFixture
from tests.support.promises import Tried

pytestmark = [pytest.mark.promise("Bad nights"), pytest.mark.trust]

HOUR = 3600
LIBRARIES = ("/usr/lib", "/usr/local/lib")
LOGIN = {"Authorization": "Basic " + b64encode(b"rick:morty").decode()}


def library() -> str:
    """What lets a program see another time."""
    require("faketime")
    found = [path for folder in LIBRARIES for path in Path(folder).rglob("libfaketimeMT.so.1")]
    return str(found[0])


async def test_tokens_follow_the_clock_and_everything_else_goes_on(
    sample: DatabaseFixture, tmp_path: Path, tried: Tried
) -> None:
    """What was issued in a time that is gone is refused; a login gives what is good again."""
    offset = tmp_path / "offset"
    offset.write_text("+0")
    server = await asyncio.to_thread(
        lambda: Server(
            sample.config,
            LD_PRELOAD=library(),
            FAKETIME_TIMESTAMP_FILE=str(offset),
            FAKETIME_NO_CACHE="1",
            FAKETIME_DONT_FAKE_MONOTONIC="1",
            DONT_FAKE_MONOTONIC="1",
        )
    )
    with server:
        port = await asyncio.to_thread(server.port)
        async with ClientSession(f"http://127.0.0.1:{port}") as session:

            async def login() -> dict[str, str]:
                async with session.post("/login", headers=LOGIN) as response:
                    assert response.status == 200
                    return {"SESSION": (await response.json())["value_token"]}

            async def day(token: dict[str, str]) -> tuple[int, Any]:
                path = "/apielec/getDataByDate?date=2019-09-11%25"
                async with session.get(path, headers=token) as response:
                    return response.status, await response.json()

            first = await login()
            status, expected = await day(first)
            assert status == 200
            for hours in (2, -48, 24 * 365, 0):
                long_answer = await session.get("/apielec/getData", headers=await login())
                offset.write_text(f"{hours * HOUR:+d}")
                assert len((await long_answer.json())["values"]["records"]) == 11716
                status, _ = await day(first)
                assert status == (406 if hours > 0 else 200)
                assert await day(await login()) == (200, expected)
                async with session.get("/health/ready") as response:
                    assert response.status == 200
        assert await asyncio.to_thread(server.stop) == 0
    tried(f"The clock jumps by 2 h, -2 days and a year, and back, {sample.kind}", 4)

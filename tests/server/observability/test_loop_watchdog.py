"""The watchdog tells for how long the event loop let others wait, and where it was meanwhile."""

import asyncio
import logging
import re
import time
from bisect import bisect_left

import pytest

from server.observability.counters import BUCKETS
from server.observability.loop_watchdog import LOOP_WATCHDOG
from tests.server.observability.test_metrics import scraped
from tests.support.app_client import Api

pytestmark = [pytest.mark.promise("Seeing"), pytest.mark.one_database]

SECONDS = 0.5


async def held(api: Api, times: int) -> None:
    """Hold the loop until the watchdog has noticed so often."""

    def hold_the_loop() -> None:
        time.sleep(SECONDS)

    long = bisect_left(BUCKETS, SECONDS / 2)
    lag = api.app[LOOP_WATCHDOG].lag
    async with asyncio.timeout(30):
        while sum(lag.counts[long:]) < times:
            asyncio.get_running_loop().call_soon(hold_the_loop)
            await asyncio.sleep(0.01)


async def test_held_loop_is_measured_and_a_warning_says_where_it_was(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    """One warning for any number of times in a while."""
    with caplog.at_level(logging.WARNING, "server"):
        await held(api, times=2)
    (warning,) = [message for message in caplog.messages if "event loop" in message]
    told = re.fullmatch(
        r"the event loop was (\d+) ms late, and served nobody .*; it was in (.*)", warning
    )
    assert told is not None
    assert SECONDS * 1000 / 4 < float(told[1]) < 30_000
    assert "hold_the_loop (observability/test_loop_watchdog.py:" in told[2]
    found = await scraped(api)
    name = "elecdata_event_loop_lag_seconds"
    assert found[f"{name}_sum", ()] > SECONDS / 2
    late = found[f"{name}_bucket", (("le", "+Inf"),)] - found[f"{name}_bucket", (("le", "0.1"),)]
    assert late >= 2
    assert found[f"{name}_count", ()] == found[f"{name}_bucket", (("le", "+Inf"),)]

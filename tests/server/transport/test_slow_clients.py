"""Clients that read too slowly are disconnected; merely slow ones are served to the end."""

import asyncio
import logging
import ssl
import time
from pathlib import Path

import pytest

from server.observability.counters import COUNTERS
from server.security.rate_limits import STREAM_LIMITER
from server.transport.streaming import STREAM_STATISTICS
from tests.server.process.test_server_command import Server, connected
from tests.support.app_client import Serve, token
from tests.support.certificates import make_certificate
from tests.support.databases import DatabaseFixture
from tests.support.slow_client import limited, rest, small_buffers, stalled  # noqa: F401 - a fixture

pytestmark = [pytest.mark.promise("Getting in"), pytest.mark.usefixtures("small_buffers")]

QUICK = limited(slow_after=0.3, slowest_client="64KiB")


@pytest.mark.parametrize("ttl", ["0", "600"])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_client_that_reads_nothing_more_is_cut_off(
    serve: Serve, sample: DatabaseFixture, caplog: pytest.LogCaptureFixture, ttl: str, version: str
) -> None:
    caplog.set_level(logging.WARNING)
    api = await serve(sample, ELECDATA_CACHE__TTL=ttl, **QUICK)
    client = await stalled(api, api.head("getData", version))
    async with asyncio.timeout(30):
        while api.app[STREAM_LIMITER]._users:
            await asyncio.sleep(0.01)
    with pytest.raises(ConnectionResetError):
        await rest(client)
    client.close()
    assert api.app[STREAM_STATISTICS].left == api.app[COUNTERS].clients_let_go == 1
    assert "127.0.0.1 reads too slowly and is disconnected" in caplog.text
    await api.settled()
    assert len(await api.records("getData")) == 11716


async def test_client_below_the_floor_is_cut_off(serve: Serve, sample: DatabaseFixture) -> None:
    """A byte now and then does not keep a connection."""
    api = await serve(sample, **QUICK)
    client = await stalled(api, api.head("getData"))
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(30):
        while api.app[STREAM_LIMITER]._users:
            assert await loop.sock_recv(client, 1)
            await asyncio.sleep(0.001)
    with pytest.raises(ConnectionResetError):
        await rest(client)
    client.close()


async def test_slow_client_above_the_floor_is_served_to_the_end(
    serve: Serve, sample: DatabaseFixture
) -> None:
    """However long it takes in all."""
    api = await serve(sample, **QUICK)
    client = await stalled(api, api.head("getData", "1.1", "Connection: close"))
    loop, began, received = asyncio.get_running_loop(), time.monotonic(), 0
    tail = b""
    while part := await loop.sock_recv(client, 65536):
        received, tail = received + len(part), (tail + part)[-5:]
        await asyncio.sleep(len(part) / 2**21)
    client.close()
    assert tail == b"0\r\n\r\n"
    assert received > 2**21
    assert time.monotonic() - began > 3 * 0.3


@pytest.mark.one_database
@pytest.mark.parametrize("reads", [True, False])
async def test_what_is_left_to_send_decides_where_the_kernel_does_not_tell(
    serve: Serve, sample: DatabaseFixture, monkeypatch: pytest.MonkeyPatch, *, reads: bool
) -> None:
    monkeypatch.setattr("server.transport.connection._TCP_INFO", None)
    api = await serve(sample, **QUICK)
    client = await stalled(api, api.head("getData", "1.1", "Connection: close"))
    loop = asyncio.get_running_loop()
    if reads:
        tail = b""
        while part := await loop.sock_recv(client, 65536):
            tail = (tail + part)[-5:]
            await asyncio.sleep(len(part) / 2**22)
        assert tail == b"0\r\n\r\n"
    else:
        async with asyncio.timeout(30):
            while api.app[STREAM_LIMITER]._users:
                await asyncio.sleep(0.01)
        with pytest.raises(ConnectionResetError):
            await rest(client)
    client.close()
    assert api.app[COUNTERS].clients_let_go == (not reads)


async def test_answers_that_nobody_reads_are_cut_off_too(
    serve: Serve, sample: DatabaseFixture
) -> None:
    """Many brief ones, asked for one behind the other."""
    api = await serve(sample, **QUICK)
    loop = asyncio.get_running_loop()
    ids = ",".join(map(str, range(1, 100)))
    client = await stalled(api, api.head(f"getDataById?id={ids}"))
    with pytest.raises(ConnectionError):  # noqa: PT012 - it breaks when the buffers are full
        while True:
            await loop.sock_sendall(client, api.head(f"getDataById?id={ids}"))
    client.close()


async def test_client_is_cut_off_over_tls(sample: DatabaseFixture, tmp_path: Path) -> None:
    certificate, key, _ = make_certificate(tmp_path)
    environ = {
        "ELECDATA_SERVER__TLS__CERTIFICATE": str(certificate),
        "ELECDATA_SERVER__TLS__KEY": str(key),
    }
    await sample.admit("rick")
    context = ssl.create_default_context(cafile=certificate)
    with Server(sample.config, **environ, **QUICK) as server:
        port = int(server.wait_for_line("listening on https://").rpartition(":")[2])
        with context.wrap_socket(
            connected(port), server_hostname="127.0.0.1", suppress_ragged_eofs=False
        ) as client:
            request = f"GET /apielec/getData HTTP/1.1\r\nHost: x\r\nSESSION: {token()}\r\n\r\n"
            client.sendall(request.encode() * 4)
            assert client.recv(12).startswith(b"HTTP/1.1 200")
            await asyncio.to_thread(server.wait_for_line, "reads too slowly and is disconnected")
            with pytest.raises(OSError, match=r"reset|EOF"):  # noqa: PT012 - at whichever part
                while client.recv(65536):
                    pass
        assert server.stop() == 0

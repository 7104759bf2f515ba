"""Leaving without losing a request."""

import asyncio
import os
import socket
import ssl

from aiohttp import web

from server.context import SHUTTING_DOWN

DRAIN_SECONDS = 1.0
"""Seconds for which clients that keep a connection open may still send a request on it."""

_BETWEEN_LOOKS = 0.02


async def stop_accepting(
    runner: web.AppRunner, site: web.TCPSite, secured: ssl.SSLContext | None
) -> None:
    """Accepts whoever has connected by now, and nobody after.

    From now on, answers tell clients that keep their connection that this was the last one.
    """
    runner.app[SHUTTING_DOWN].set()
    sockets = getattr(site._server, "sockets", ())  # aiohttp offers no other way to them
    listening = [socket.socket(fileno=os.dup(each.fileno())) for each in sockets]
    await site.stop()
    # The kernel resets connections that were made and not accepted when the last handle is closed.
    accepted = []
    for listener in listening:
        with listener:
            while client := _accepted(listener):
                accepted.append(client)
    assert runner.server is not None
    loop = asyncio.get_running_loop()
    for client in accepted:
        await loop.connect_accepted_socket(runner.server, client, ssl=secured)


async def drain(runner: web.AppRunner) -> None:
    """Waits until no client keeps a connection, though not for long.

    A client may be sending its next request just when an idle connection is closed.
    """
    assert runner.server is not None
    loop = asyncio.get_running_loop()
    deadline = loop.time() + DRAIN_SECONDS
    while runner.server.connections and loop.time() < deadline:  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(_BETWEEN_LOOKS)


def _accepted(listener: socket.socket) -> socket.socket | None:
    try:
        return listener.accept()[0]
    except BlockingIOError:
        return None

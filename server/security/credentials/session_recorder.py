"""Records of the sessions that logins begin."""

import asyncio
import logging
import time

from aiohttp import hdrs, web

from server.context import Token
from server.transport.client_address import client_address
from storage.common.errors import Outdated, StorageError
from storage.sessions import SessionStore, UserSession

log = logging.getLogger("server")

_WAIT = 0.5
"""Seconds that a login waits for its record; after that, the record is written behind it."""

_MAX_LENGTH = 64


class SessionRecorder:
    """Writes a record for each login. A login succeeds even if its record cannot be written."""

    def __init__(self, sessions: SessionStore) -> None:
        self._sessions = sessions
        self._writing: set[asyncio.Task[None]] = set()

    async def record(self, request: web.Request, token: Token) -> None:
        """Record the session of a new token, and who asked for it."""
        session = UserSession(
            jti=token.jti,
            user=token.user,
            generation=token.generation,
            issued=int(time.time()),
            expires=int(token.expires),
            address=client_address(request)[:_MAX_LENGTH],
            agent=_printable(request.headers.get(hdrs.USER_AGENT, ""))[:_MAX_LENGTH],
        )
        task = asyncio.create_task(self._write(session))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)
        await asyncio.wait([task], timeout=_WAIT)

    async def _write(self, session: UserSession) -> None:
        try:
            await self._sessions.add(session)
        except Outdated:
            pass  # the next loader makes the table
        except StorageError as error:
            log.warning(
                "a session of user %s will be missing in the list: %s", ascii(session.user), error
            )

    async def close(self) -> None:
        """Return once all records are written, or were given up."""
        await asyncio.gather(*self._writing)


SESSION_RECORDER = web.AppKey("session_recorder", SessionRecorder)


def _printable(text: str) -> str:
    """Return a text without what a terminal would obey."""
    return "".join(letter for letter in text if letter.isprintable())

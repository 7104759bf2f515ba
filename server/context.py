"""What each request carries along, and the application's keys that every part needs."""

import asyncio
import time
from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from settings import Settings
from storage.backends.statistics import QueryTimer
from storage.database import Database, DataState

if TYPE_CHECKING:
    from domain.access import Access


@dataclass(slots=True)
class Token:
    """The claims of a verified token, and what the database said of its user."""

    user: str
    generation: int
    jti: str
    expires: float
    auth_version: Hashable | None = None
    """The state of users and revocations in which the token was found good."""
    role: str = "read"
    """The user's role in that state."""


class RequestContext(QueryTimer):
    """One request: its id, who asks, the state of the data, and how long it takes."""

    __slots__ = ("access", "began", "first_byte", "id", "meter", "state", "token", "user")

    def __init__(self, request_id: str) -> None:
        self.id = request_id
        self.began = time.perf_counter()
        self.first_byte = 0.0
        """Seconds from the beginning until the response could be sent."""
        self.user: str | None = None
        """The user, once known and admitted."""
        self.token: Token | None = None
        self.meter: str | None = None
        """The public id of the meter that the URL names, if any."""
        self.state: DataState | None = None
        """The state of the meter's data when the token was checked, as far as the user may see it:
        that of no meter, if the user may not see it at all."""
        self.access: Access | None = None
        """What the user may do with the meter; None if nothing."""


CONTEXT = web.RequestKey("context", RequestContext)

SETTINGS = web.AppKey("settings", Settings)
DATABASE = web.AppKey("database", Database)
SHUTTING_DOWN = web.AppKey("shutting_down", asyncio.Event)


def request_id(request: web.BaseRequest) -> str:
    """Return the id of a request, or `-` for one that never reached the application."""
    context = request.get(CONTEXT)
    return "-" if context is None else context.id

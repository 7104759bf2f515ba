"""What each request carries along, and the application's keys that every part needs."""

import asyncio
import time
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import web

from settings import Settings
from storage.access.api_keys import ApiKey
from storage.access.viewer import Viewer
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
    viewer: Viewer = field(init=False)
    """The user with the role in that state, as far as the API key allows."""
    key: ApiKey | None = None
    """The API key that stands for a token; it has no session."""

    def __post_init__(self) -> None:
        self.admit("read", None)

    def admit(self, role: str, auth_version: Hashable | None) -> None:
        """Note that the database found the token good, and its user of this role."""
        self.auth_version = auth_version
        if self.key is None:
            self.viewer = Viewer(self.user, role == "admin")
        else:
            self.viewer = Viewer(self.user, role == "admin", self.key.permission, self.key.scope)

    @property
    def named(self) -> dict[str, str]:
        """What logs call it by: the name of the key, or the id of the token."""
        return {"jti": self.jti} if self.key is None else {"key": self.key.name}


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

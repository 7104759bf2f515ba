"""What each request carries along, and the application's keys that every part needs."""

import asyncio
import time
from collections.abc import Hashable
from dataclasses import dataclass, field

from aiohttp import web

from domain.access import Access, Permission
from settings import Settings
from storage.access.api_keys import ApiKey
from storage.access.viewer import Viewer
from storage.backends.statistics import QueryTimer
from storage.database import Database, DataState


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
    """The API key that the request carries instead of a token."""
    is_basic: bool = False
    """Whether the request carries name and password instead, and may only read."""

    def __post_init__(self) -> None:
        self.admit("read", None)

    def admit(self, role: str, auth_version: Hashable | None) -> None:
        """Note that the database found the token good, and its user of this role."""
        self.auth_version = auth_version
        is_admin = role == "admin"
        if self.key is not None:
            self.viewer = Viewer(self.user, is_admin, self.key.permission, self.key.scope)
        else:
            # A browser sends name and password by itself, also where another site has it ask.
            most = Permission.READ if self.is_basic else Permission.MANAGE
            self.viewer = Viewer(self.user, is_admin, most)

    @property
    def named(self) -> dict[str, str]:
        """What logs call it by: the name of the key, or the id of the token."""
        if self.key is not None:
            return {"key": self.key.name}
        return {"login": "basic"} if self.is_basic else {"jti": self.jti}

    @property
    def has_session(self) -> bool:
        """Whether a login began a session, which can be ended."""
        return self.key is None and not self.is_basic


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

"""The interface of a parsed request for data, readings and figures alike."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from aiohttp import web

from server.transport.streaming import Payload
from storage.database import Database, DataState
from storage.figures.compute import Admit

EXPORT = "export"
"""Names, in a payload's metadata, the number of its readings if it is an export; no header."""


class DataRequest(Protocol):
    """A parsed request for data whose response can be cached and shared."""

    @property
    def key(self) -> str:
        """A text that is equal for requests, of whatever route, with equal responses."""

    @property
    def media_type(self) -> str:
        """The media type of the response."""

    @property
    def varies_by_accept(self) -> bool:
        """Whether the header Accept decided the format."""

    def headers(self, metadata: Mapping[str, str]) -> Mapping[str, str]:
        """Return the headers of a success, given the payload's metadata."""

    @property
    def is_figure(self) -> bool:
        """Whether the response is worked out of readings, rather than made of them."""

    async def payload(self, database: Database, state: DataState, admit: Admit) -> Payload:
        """Query the database; figures call `admit` first."""


Parser = Callable[[web.Request], Awaitable[DataRequest]]
"""Reads a request; raises ApiError or QueryError."""

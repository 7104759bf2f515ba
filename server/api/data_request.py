"""What a route of readings, or of what is worked out from them, asks for."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from storage.database import Database, DataState

if TYPE_CHECKING:
    from server.transport.streaming import StreamingResponse


class DataRequest(Protocol):
    """A question that the middleware can look up, share and keep the answer of.

    A handler's `parse` makes it from a request, before the cache is looked at.
    """

    @property
    def key(self) -> str:
        """A text that is the same for questions, of whatever route, whose answers are equal."""

    @property
    def media_type(self) -> str:
        """The media type of the answer."""

    @property
    def by_accept(self) -> bool:
        """Whether the header Accept had a say in it."""

    def headers(self, notes: Mapping[str, str]) -> Mapping[str, str]:
        """The headers of a success with these notes, see `Streamed`."""

    async def answer(
        self, reader: Database, state: DataState, *, compressed: bool
    ) -> "StreamingResponse":
        """The answer; with `compressed`, its parts had better be compressed pieces."""

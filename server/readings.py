"""Requests for readings: what they ask for, and how it is answered."""

from collections.abc import Mapping
from dataclasses import dataclass

from server.streaming import JSON, Streamed, envelope
from storage.query import Query
from storage.reader import Reader, State


@dataclass(frozen=True, slots=True)
class Readings:
    """Some readings, see `server.asked`."""

    query: Query
    media_type: str = JSON
    by_accept: bool = False

    @property
    def key(self) -> str:
        """The same for questions that have the same answer."""
        return f"readings {self.query.key}"

    def headers(self, _notes: Mapping[str, str]) -> Mapping[str, str]:
        """None beside those of every answer."""
        return {}

    async def answer(self, reader: Reader, state: State, *, compressed: bool) -> Streamed:
        """The readings, as the contract has them."""
        answer = await reader.answer(self.query, state, compressed=compressed)
        return Streamed(envelope(answer), answer.count)

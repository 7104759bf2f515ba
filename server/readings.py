"""Requests for readings: what they ask for, in what shape, and how they are answered."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property
from typing import TypeVar

from aiohttp import hdrs, web
from yarl import URL

from server.bodies import envelope, lines, rows
from server.coding import Part
from server.cursors import Cursors
from server.errors import ParameterError
from server.formats import CSV, NDJSON, PARQUET, Format, wanted
from server.keys import CURSORS, SETTINGS
from server.parquet import parquet
from server.streaming import Streamed
from storage.query import Query
from storage.reader import Answer, Reader, State
from storage.shape import Shape, Time, columns

LARGEST_PART = 100_000
"""Readings that can be asked for with `limit`."""

_LONGEST_LINK = 4000
"""Characters of a URL that clients take in a header."""

_NEXT = "X-Next"
_LEFT_OUT_READINGS = "X-Left-Out-Readings"
_LEFT_OUT_ENERGY = "X-Left-Out-Energy"

E = TypeVar("E", bound=Enum)


class Values(Enum):
    """How JSON has ids and quantities."""

    TEXT = "text"
    NUMBER = "number"


class Order(Enum):
    """How readings follow each other by id."""

    ASCENDING = "asc"
    DESCENDING = "desc"


class Quality(Enum):
    """Which readings are believed."""

    RAW = "raw"
    CLEAN = "clean"


class End(Enum):
    """Whether a range's end belongs to it."""

    INCLUSIVE = "inclusive"
    EXCLUSIVE = "exclusive"


@dataclass(frozen=True)
class Readings:
    """Some readings in a shape and a format, see `server.asked`."""

    query: Query
    shape: Shape
    format: Format
    by_accept: bool
    zone: str
    """The zone in which Parquet shows instants."""
    cursors: Cursors
    link: URL | None
    """The request, where it can be asked for the next part by its URL alone."""

    @cached_property
    def key(self) -> str:
        """The same for questions that have the same answer."""
        zone = self.zone if self.format is PARQUET else ""
        places = "" if self.query.limit is None else self.cursors.name
        return f"readings {self.format.name} {zone} {places} {self.shape.key} {self.query.key}"

    @property
    def media_type(self) -> str:
        """That of the format."""
        return self.format.media_type

    def headers(self, notes: Mapping[str, str]) -> Mapping[str, str]:
        """Where the next part is, what was left out, and the name of a file."""
        headers = {name: text for name, text in notes.items() if name.startswith("X-")}
        if self.format.file is not None:
            headers[hdrs.CONTENT_DISPOSITION] = f'attachment; filename="{self.format.file}"'
        if self.link is not None and _NEXT in notes:
            url = str(self.link.update_query(after=notes[_NEXT]))
            if len(url) <= _LONGEST_LINK:
                headers[hdrs.LINK] = f'<{url}>; rel="next"'
        return headers

    async def answer(self, reader: Reader, state: State, *, compressed: bool) -> Streamed:
        """The readings."""
        compressed = compressed and self.format is not PARQUET
        answer = await reader.answer(self.query, state, self.shape, compressed=compressed)
        notes, facts = {}, {}
        if answer.following is not None:
            notes[_NEXT] = self.cursors.written(question(self.query), answer.following)
            facts["next"] = f'"{notes[_NEXT]}"'
        if answer.left_out is not None:
            readings, energy = str(answer.left_out.readings), f"{answer.left_out.energy:f}"
            notes |= {_LEFT_OUT_READINGS: readings, _LEFT_OUT_ENERGY: energy}
            if not self.shape.numbers:
                readings, energy = f'"{readings}"', f'"{energy}"'
            facts["left_out"] = f'{{"readings":{readings},"energy":{energy}}}'
        parts = self._parts(answer, facts)
        return Streamed(parts, answer.count, media_type=self.media_type, notes=notes)

    def _parts(self, answer: Answer, facts: Mapping[str, str]) -> AsyncGenerator[Part]:
        if self.format is NDJSON:
            return lines(answer, facts)
        if self.format is CSV:
            return rows(answer, self.shape)
        if self.format is PARQUET:
            return parquet(answer, self.shape, self.zone)
        return envelope(answer, facts)


def asked(request: web.Request, given: Mapping[str, str], query: Query) -> Readings:
    """What a request with these parameters asks for, its query known; raises ParameterError."""
    format = wanted(request, given)  # noqa: A001 - the parameter's name
    names = columns(given["columns"]) if "columns" in given else format.columns
    time = chosen(given, "time", Time.LOCAL)
    numbers = chosen(given, "values", Values.TEXT) is Values.NUMBER
    query = replace(
        query,
        clean=chosen(given, "quality", Quality.RAW) is Quality.CLEAN,
        descending=chosen(given, "order", Order.ASCENDING) is Order.DESCENDING,
        limit=_limit(given),
    )
    cursors = request.app[CURSORS]
    if "after" in given:
        try:
            query = replace(query, after=cursors.read(question(query), given["after"]))
        except ValueError:
            raise ParameterError(
                "after: expected what `next` says in an earlier answer to the same question"
            ) from None
    link = None
    if request.method == hdrs.METH_GET and query.limit is not None:
        link = URL.build(path=request.path.rpartition("/")[2], query=given)
    zone = request.app[SETTINGS].meter.timezone.key
    return Readings(
        query=query,
        shape=Shape.of(names, format.form, time, numbers=numbers),
        format=format,
        by_accept="format" not in given,
        zone="UTC" if time is Time.UTC else zone,
        cursors=cursors,
        link=link,
    )


def question(query: Query) -> str:
    """What stays the same from part to part."""
    return replace(query, after=None, limit=None).key


def chosen(given: Mapping[str, str], name: str, default: E) -> E:
    """The choice that a parameter makes; raises ParameterError."""
    text = given.get(name, default.value)
    choices = type(default)
    try:
        return choices(text)
    except ValueError:
        known = ", ".join(choice.value for choice in choices)
        raise ParameterError(f"{name}: expected any of {known}, got {text[:40]!a}") from None


def _limit(given: Mapping[str, str]) -> int | None:
    text = given.get("limit")
    if text is None:
        return None
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(LARGEST_PART))
    if not is_number or not 1 <= int(text) <= LARGEST_PART:
        raise ParameterError(
            f"limit: expected a number from 1 to {LARGEST_PART}, got {text[:40]!a}"
        )
    return int(text)

"""Requests for readings: what they ask for, in what shape, and how they are answered."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property
from typing import TypeVar

from aiohttp import hdrs, web
from yarl import URL

from domain.readings_query import ReadingsQuery
from domain.record_layout import (
    MAX_LIMIT,
    QualityFilter,
    RecordLayout,
    SortOrder,
    TimeStyle,
    ValueStyle,
    parse_columns,
)
from server.api.cursors import CURSORS, Cursors
from server.api.payload_headers import disposition, left_out_headers
from server.context import SETTINGS
from server.errors import ParameterError
from server.formats.base import Format, ReadingsOptions
from server.formats.registry import negotiate_format
from server.transport.streaming import Payload
from storage.database import Database, DataState

_MAX_LINK_LENGTH = 4000
"""Characters of a URL that clients accept in a header."""

_NEXT = "X-Next"

E = TypeVar("E", bound=Enum)


@dataclass(frozen=True)
class ReadingsRequest:
    """A query for readings and how they are written, see `DataRequest`."""

    query: ReadingsQuery
    layout: RecordLayout
    format: Format
    varies_by_accept: bool
    zone: str
    """The time zone of typed instants."""
    cursors: Cursors
    link: URL | None
    """The URL of the request, if the next page can be had by a URL."""

    @cached_property
    def key(self) -> str:
        """A text that is equal for requests with equal responses."""
        zone = self.zone if self.format.is_typed else ""
        cursors = "" if self.query.limit is None else self.cursors.name
        return f"readings {self.format.name} {zone} {cursors} {self.layout.key} {self.query.key}"

    @property
    def media_type(self) -> str:
        """The media type of the format."""
        return self.format.media_type

    def headers(self, metadata: Mapping[str, str]) -> Mapping[str, str]:
        """Return where the next page is, what was left out, and the name of a file."""
        headers = {**metadata, **disposition(self.format, "readings")}
        if self.link is not None and _NEXT in metadata:
            url = str(self.link.update_query(after=metadata[_NEXT]))
            if len(url) <= _MAX_LINK_LENGTH:
                headers[hdrs.LINK] = f'<{url}>; rel="next"'
        return headers

    async def payload(self, database: Database, state: DataState, *, deflate: bool) -> Payload:
        """Query the readings."""
        deflate = deflate and not self.format.is_typed
        result = await database.answer(self.query, state, self.layout, compressed=deflate)
        metadata: dict[str, str | Mapping[str, str]] = {}
        headers = {}
        if result.following is not None:
            cursor = self.cursors.make(key_without_paging(self.query), result.following)
            metadata["next"] = headers[_NEXT] = cursor
        if result.left_out is not None:
            readings, energy = str(result.left_out.readings), f"{result.left_out.energy:f}"
            metadata["left_out"] = {"readings": readings, "energy": energy}
        chunks = self.format.readings(result, ReadingsOptions(self.layout, self.zone, metadata))
        return Payload(chunks, result.count, headers | left_out_headers(metadata))


def readings_request(
    request: web.Request, given: Mapping[str, str], query: ReadingsQuery
) -> ReadingsRequest:
    """What a request with these parameters asks for, its query known; raises ParameterError."""
    format = negotiate_format(request, given)  # noqa: A001 - the parameter's name
    names = parse_columns(given["columns"]) if "columns" in given else format.default_columns
    time = parse_enum(given, "time", TimeStyle.LOCAL)
    numbers = parse_enum(given, "values", ValueStyle.TEXT) is ValueStyle.NUMBER
    query = replace(
        query,
        clean=parse_enum(given, "quality", QualityFilter.RAW) is QualityFilter.CLEAN,
        descending=parse_enum(given, "order", SortOrder.ASCENDING) is SortOrder.DESCENDING,
        limit=_limit(given),
    )
    cursors = request.app[CURSORS]
    if "after" in given:
        try:
            query = replace(query, after=cursors.read(key_without_paging(query), given["after"]))
        except ValueError:
            raise ParameterError(
                "after: expected what `next` says in an earlier answer to the same question"
            ) from None
    link = None
    if request.method == hdrs.METH_GET and query.limit is not None:
        link = URL.build(path=request.path.rpartition("/")[2], query=given)
    zone = request.app[SETTINGS].meter.timezone.key
    return ReadingsRequest(
        query=query,
        layout=RecordLayout.of(names, format.encoding, time, numbers=numbers),
        format=format,
        varies_by_accept="format" not in given,
        zone="UTC" if time is TimeStyle.UTC else zone,
        cursors=cursors,
        link=link,
    )


def key_without_paging(query: ReadingsQuery) -> str:
    """What stays the same from part to part."""
    return replace(query, after=None, limit=None).key


def parse_enum(given: Mapping[str, str], name: str, default: E) -> E:
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
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(MAX_LIMIT))
    if not is_number or not 1 <= int(text) <= MAX_LIMIT:
        raise ParameterError(f"limit: expected a number from 1 to {MAX_LIMIT}, got {text[:40]!a}")
    return int(text)

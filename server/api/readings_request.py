"""Requests for readings: what they ask for, in what shape, and how they are answered."""

from collections.abc import AsyncGenerator, Mapping
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
from server.context import SETTINGS
from server.errors import ParameterError
from server.formats.parquet import readings_parquet
from server.formats.registry import CSV, NDJSON, PARQUET, Format, negotiate_format
from server.formats.text import readings_csv, readings_envelope, readings_ndjson
from server.transport.content_coding import Chunk
from server.transport.streaming import Payload
from storage.database import Database, DataState
from storage.readings.reader import ReadingsResult

_LONGEST_LINK = 4000
"""Characters of a URL that clients take in a header."""

_NEXT = "X-Next"
_LEFT_OUT_READINGS = "X-Left-Out-Readings"
_LEFT_OUT_ENERGY = "X-Left-Out-Energy"

E = TypeVar("E", bound=Enum)


@dataclass(frozen=True)
class ReadingsRequest:
    """Some readings in a shape and a format, see `DataRequest`."""

    query: ReadingsQuery
    shape: RecordLayout
    format: Format
    varies_by_accept: bool
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

    def headers(self, metadata: Mapping[str, str]) -> Mapping[str, str]:
        """Where the next part is, what was left out, and the name of a file."""
        headers = {name: text for name, text in metadata.items() if name.startswith("X-")}
        if self.format.file is not None:
            headers[hdrs.CONTENT_DISPOSITION] = f'attachment; filename="{self.format.file}"'
        if self.link is not None and _NEXT in metadata:
            url = str(self.link.update_query(after=metadata[_NEXT]))
            if len(url) <= _LONGEST_LINK:
                headers[hdrs.LINK] = f'<{url}>; rel="next"'
        return headers

    async def payload(self, database: Database, state: DataState, *, deflate: bool) -> Payload:
        """Query the readings."""
        deflate = deflate and self.format is not PARQUET
        answer = await database.readings(self.query, state, self.shape, compressed=deflate)
        metadata, facts = {}, {}
        if answer.following is not None:
            metadata[_NEXT] = self.cursors.make(key_without_paging(self.query), answer.following)
            facts["next"] = f'"{metadata[_NEXT]}"'
        if answer.left_out is not None:
            readings, energy = str(answer.left_out.readings), f"{answer.left_out.energy:f}"
            metadata |= {_LEFT_OUT_READINGS: readings, _LEFT_OUT_ENERGY: energy}
            if not self.shape.numbers:
                readings, energy = f'"{readings}"', f'"{energy}"'
            facts["left_out"] = f'{{"readings":{readings},"energy":{energy}}}'
        return Payload(self._chunks(answer, facts), answer.count, metadata)

    def _chunks(self, answer: ReadingsResult, facts: Mapping[str, str]) -> AsyncGenerator[Chunk]:
        if self.format is NDJSON:
            return readings_ndjson(answer, facts)
        if self.format is CSV:
            return readings_csv(answer, self.shape)
        if self.format is PARQUET:
            return readings_parquet(answer, self.shape, self.zone)
        return readings_envelope(answer, facts)


def readings_request(
    request: web.Request, given: Mapping[str, str], query: ReadingsQuery
) -> ReadingsRequest:
    """What a request with these parameters asks for, its query known; raises ParameterError."""
    format = negotiate_format(request, given)  # noqa: A001 - the parameter's name
    names = parse_columns(given["columns"]) if "columns" in given else format.columns
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
        shape=RecordLayout.of(names, format.form, time, numbers=numbers),
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

"""Requests for data below /v1: how they are parsed, answered and cached."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any

from aiohttp import hdrs, web
from yarl import URL

from domain.access import Window
from domain.parameters import Params
from domain.time.time_zone import TimeZone
from server.api.cursors import CURSORS, Cursors, ExpiredCursorError, Position, source_digest
from server.api.data_request import EXPORT
from server.api.payload_headers import quality_headers
from server.errors import ApiError, ParameterError
from server.transport.content_coding import Chunk
from server.transport.streaming import Payload
from server.v1.formats.base import Envelope, V1Format, WriteOptions
from server.v1.formats.negotiation import V1_FORMAT, accepted_format
from server.v1.parameters import CURSOR, FROM, START, TO, V1_LIMIT, parse_writing
from storage.database import Database, DataState
from storage.figures.compute import Admit
from storage.figures.result import ColumnRows, Metadata, ResultTable
from storage.figures.selection import Period
from storage.meters import Meter

RECORD_COUNT = "X-Record-Count"
"""The header with the number of records of a response."""

_NEXT = "X-Next"
"""Names the cursor of the next page in a payload's metadata."""

_DAY = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class V1Request(ABC):
    """A request whose response can be cached and shared, see `DataRequest`."""

    link: URL
    """The path and the parameters in the order of their names."""
    meter: str | None
    format: V1Format
    options: WriteOptions
    varies_by_accept: bool
    cursors: Cursors
    position: Position | None = None
    """Where the page begins, None for the first."""
    limit: int | None = None
    group: str | None = None
    """The public id of the group that it is about, if it is about one."""
    others: Sequence[str] = ()
    """The public ids of further meters."""
    name: str = "data"
    """The name of a file, without its extension."""
    is_figure = False

    @cached_property
    def key(self) -> str:
        """A text that is equal for requests with equal responses."""
        position = self.position
        begun = "" if position is None else f"{position.corrections}-{position.source.hex()}"
        return f"v1 {self.link} {self.format.name} {self.cursors.name} {begun}"

    @property
    def media_type(self) -> str:
        """The media type of the format."""
        return self.format.media_type

    def headers(self, metadata: Mapping[str, str]) -> Mapping[str, str]:
        """Return the number of records, where the next page is, and the name of a file."""
        headers = {**metadata}
        headers.pop(EXPORT, None)
        cursor = headers.pop(_NEXT, None)
        if cursor is not None:
            headers[hdrs.LINK] = f'<{self._next(cursor)}>; rel="next"'
        if self.format.is_file:
            name = f"{self.name}.{self.format.name}"
            headers[hdrs.CONTENT_DISPOSITION] = f'attachment; filename="{name}"'
        return headers

    @abstractmethod
    async def payload(self, database: Database, state: DataState, admit: Admit) -> Payload:
        """Query the database."""

    def require_state(self, state: DataState) -> None:
        """Raise ApiError if earlier pages were of data that has changed since."""
        if self.position is not None and not self.position.is_of(state):
            raise expired()

    def cursor(self, following: int, state: DataState) -> str:
        """Return the cursor of the page that begins at a number."""
        begun, source, last_id = self.position, source_digest(state), state.last_id
        if begun is not None and begun.source == source and begun.last_id:
            last_id = begun.last_id
        return self.cursor_at(Position(following, state.corrections, last_id, source))

    def cursor_at(self, position: Position) -> str:
        """Return the cursor of the page that begins at a position."""
        return self.cursors.make(_query(self.link), position)

    def document(
        self, meta: Mapping[str, Any], cursor: str | None, *, is_single: bool = False
    ) -> Envelope:
        """Return what is written beside the records."""
        links: dict[str, str | None] = {"self": str(self.link)}
        if not is_single:
            links["next"] = None if cursor is None else str(self._next(cursor))
        return Envelope(meta, links, is_single)

    def payload_of(
        self,
        chunks: AsyncGenerator[Chunk],
        count: int,
        cursor: str | None,
        metadata: Metadata,
    ) -> Payload:
        """Return a payload with the metadata that headers are made of."""
        headers = {RECORD_COUNT: str(count), **quality_headers(metadata)}
        if cursor is not None:
            headers[_NEXT] = cursor
        return Payload(chunks, count, headers)

    def table_payload(
        self,
        table: ResultTable,
        meta: Mapping[str, Any],
        cursor: str | None,
        *,
        is_single: bool = False,
    ) -> Payload:
        """Return the payload of a table."""
        document = self.document(meta, cursor, is_single=is_single)
        chunks = self.format.table(table, document, self.options)
        return self.payload_of(chunks, table.count, cursor, table.metadata)

    def _next(self, cursor: str) -> URL:
        return self.link.update_query({CURSOR.name: cursor})


def common_of(request: web.Request, params: Params) -> dict[str, Any]:
    """Return what all requests have, by the names of `V1Request`; raise ApiError or QueryError."""
    output = accepted_format(request, params)
    link = own_link(request, params)
    cursors = request.app[CURSORS]
    position = None
    if CURSOR.name in params:
        try:
            position = cursors.read(_query(link), params[CURSOR.name])
        except (ValueError, ExpiredCursorError):
            raise ParameterError(
                "cursor: expected that of links.next in an earlier answer to the same question"
            ) from None
    return {
        "link": link,
        "meter": request.match_info.get("meter"),
        "format": output,
        "options": parse_writing(params, output),
        "varies_by_accept": V1_FORMAT.name not in params,
        "cursors": cursors,
        "position": position,
    }


def own_link(request: web.Request, params: Params) -> URL:
    """Return the path of a request with its parameters in the order of their names."""
    return URL.build(path=request.path, query=dict(sorted(params.items())))


def expired() -> ApiError:
    """Return the error of a cursor whose earlier pages have changed."""
    return ApiError(
        410,
        "cursor: readings of earlier pages were corrected meanwhile, begin again without cursor",
        headers={hdrs.CACHE_CONTROL: "no-store"},
    )


def meter_meta(meter: Meter) -> dict[str, Any]:
    """Return what is said of a meter beside its records."""
    meta: dict[str, Any] = {
        "meter": meter.public_id,
        "timezone": meter.zone.name,
        "interval": duration(meter.intervals.only),
    }
    if meter.windows:
        meta["windows"] = [window_meta(window) for window in meter.windows]
    return meta


def period_meta(period: Period, zone: TimeZone) -> dict[str, Any]:
    """Return the bounds that a client has asked for, as instants."""
    bounds = zip((FROM.name, TO.name), period.bounds(zone), strict=True)
    return {
        name: None if instant is None else zone.at(instant).isoformat() for name, instant in bounds
    }


def window_meta(window: Window) -> dict[str, str | None]:
    """Return the days that a client may see, from the first one up to, and without, another."""
    whole = Window()
    return {
        FROM.name: None if window.first == whole.first else str(window.first),
        TO.name: None if window.last == whole.last else str(window.last + _DAY),
    }


def duration(seconds: int | None) -> str | None:
    """Return seconds as ISO 8601 writes a duration."""
    if seconds is None:
        return None
    days, rest = divmod(seconds, 86400)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    time = "".join(
        f"{number}{unit}" for number, unit in ((hours, "H"), (minutes, "M"), (rest, "S")) if number
    )
    return f"P{f'{days}D' if days else ''}{f'T{time}' if time else ''}"


def exact_metadata(metadata: Metadata) -> dict[str, Any]:
    """Return metadata with its numbers as numbers."""
    found: dict[str, Any] = dict(metadata)
    for name in ("left_out", "implausible"):
        counts = metadata.get(name)
        if isinstance(counts, Mapping):
            found[name] = {
                "readings": int(counts["readings"]),
                "energy": Decimal(counts["energy"]),
            }
    return found


def chosen_fields(table: ResultTable, left_out: Sequence[str] = ()) -> ResultTable:
    """Return a table without some fields, whose times are called as in /v1."""
    places = [place for place, each in enumerate(table.fields) if each.name not in left_out]
    fields = [
        replace(table.fields[place], name=START)
        if table.fields[place].name == "date"
        else table.fields[place]
        for place in places
    ]
    if len(places) == len(table.fields):
        return replace(table, fields=fields)

    async def rows() -> AsyncGenerator[Sequence[Sequence[int | str | None]]]:
        async for some in table.rows:
            if isinstance(some, ColumnRows):
                yield ColumnRows([some.columns[place] for place in places])
            else:
                yield [[row[place] for place in places] for row in some]

    return replace(table, fields=fields, rows=rows())


def _query(link: URL) -> str:
    """Return what the pages of a result have in common."""
    return str(link.without_query_params(CURSOR.name, V1_LIMIT.name))

"""Requests for readings."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from aiohttp import hdrs, web
from yarl import URL

from domain.flags import FLAGS
from domain.parameters import Integer, Parameter, Params, csv_pattern, enum_choice
from domain.readings_query import ReadingsQuery
from domain.record_layout import (
    KNOWN_COLUMNS,
    MAX_LIMIT,
    QualityFilter,
    RecordLayout,
    SortOrder,
    TimeStyle,
    ValueStyle,
    parse_columns,
)
from server.api.cursors import CURSORS, Cursors, ExpiredCursorError, Position, source_digest
from server.api.data_request import EXPORT, EXPORT_READINGS, METER, parse_meter
from server.api.payload_headers import disposition, quality_headers
from server.errors import ApiError, ParameterError
from server.formats.base import Format, ReadingsOptions
from server.formats.registry import FORMAT, negotiate_format
from server.transport.streaming import Payload
from storage.database import Database, DataState
from storage.figures.compute import Admit

_COLUMNS = Parameter(
    "columns",
    f"Fields to return, in this order: any of {', '.join(KNOWN_COLUMNS)}. The flags of a reading "
    f"are any of {', '.join(flag.name for flag in FLAGS)}, separated by spaces. By default all "
    "fields except the flags; in CSV the fields of a report.",
    "date,energy",
    csv_pattern("|".join(KNOWN_COLUMNS)),
)
_VALUES = enum_choice(
    "values",
    "Whether JSON contains ids and quantities as text or as numbers, exactly as stored.",
    ValueStyle,
)
_TIME = enum_choice(
    "time",
    "How times are written: in local time as 2019-10-27 02:00:00, in UTC as "
    "2019-10-27T00:00:00Z, or with their UTC offset as 2019-10-27T02:00:00+02:00.",
    TimeStyle,
)
_QUALITY = enum_choice(
    "quality",
    "With clean, implausible readings are excluded; left_out contains their number and kWh.",
    QualityFilter,
)
_ORDER = enum_choice("order", "Order by id, ascending or descending.", SortOrder)
_LIMIT = Integer(
    "limit",
    "Maximum number of readings. If there are more, next and the Link header give the next page.",
    10,
    minimum=1,
    maximum=MAX_LIMIT,
    default=None,
    kind="number",
)
_AFTER = Parameter(
    "after", "Continue after a previous page: the value of its next.", pattern="^[A-Za-z0-9_=-]*$"
)
COMMON_PARAMETERS = (
    *(METER, _COLUMNS, _VALUES, _TIME, FORMAT),
    *(_QUALITY, _ORDER, _LIMIT, _AFTER),
)
"""The parameters of all routes of readings."""

_MAX_LINK_LENGTH = 4000
"""Characters of a URL that clients accept in a header."""

_NEXT = "X-Next"

_NOTICE = "X-Notice"
"""Names the header that says how a bound or a pattern was read, where that may surprise."""


@dataclass(frozen=True)
class ReadingsRequest:
    """A query for readings and how they are written, see `DataRequest`."""

    query: ReadingsQuery
    layout: RecordLayout
    format: Format
    varies_by_accept: bool
    is_figure = False
    others = ()
    group = None
    is_utc: bool
    """Whether typed instants are in UTC rather than in the meter's zone."""
    cursors: Cursors
    position: Position | None
    """The position of the page in a result that is fetched page by page, None for the first."""
    link: URL | None
    """The URL of the request, if the next page can be had by a URL."""
    meter: str | None

    @cached_property
    def key(self) -> str:
        """A text that is equal for requests with equal responses."""
        zone = "UTC" if self.format.is_typed and self.is_utc else ""
        cursors = "" if self.query.limit is None else self.cursors.name
        position = self.position
        begun = "" if position is None else f"{position.corrections}-{position.source.hex()}"
        return (
            f"readings {self.format.name} {zone} {cursors} {begun} {self.layout.key}"
            f" {self.query.key}"
        )

    @property
    def media_type(self) -> str:
        """The media type of the format."""
        return self.format.media_type

    def headers(self, metadata: Mapping[str, str]) -> Mapping[str, str]:
        """Return where the next page is, what was left out, a notice and the name of a file."""
        headers = {**metadata, **disposition(self.format, "readings")}
        if self.query.note:
            headers[_NOTICE] = self.query.note
        headers.pop(EXPORT, None)
        if self.link is not None and _NEXT in metadata:
            url = str(self.link.update_query(after=metadata[_NEXT]))
            if len(url) <= _MAX_LINK_LENGTH:
                headers[hdrs.LINK] = f'<{url}>; rel="next"'
        return headers

    async def payload(
        self,
        database: Database,
        state: DataState,
        admit: Admit,  # noqa: ARG002 - readings are not scanned but sent
    ) -> Payload:
        """Query the readings. Raise ApiError if those of the first page have changed."""
        if self.position is not None and not self.position.is_of(state):
            raise _expired()
        zone = "UTC"
        if self.format.is_typed and not self.is_utc and "date" in self.layout.columns:
            zone = await database.zone(state)
        result = await database.readings(self.query, state, self.layout)
        metadata: dict[str, str | Mapping[str, str]] = {}
        headers = {}
        if result.following is not None:
            last_id = state.last_id if self.query.up_to is None else self.query.up_to
            source = source_digest(state)
            position = Position(result.following, state.corrections, last_id, source)
            cursor = self.cursors.make(_key_without_paging(self.query), position)
            metadata["next"] = headers[_NEXT] = cursor
        if result.left_out is not None:
            readings, energy = str(result.left_out.readings), f"{result.left_out.energy:f}"
            metadata["left_out"] = {"readings": readings, "energy": energy}
        options = ReadingsOptions(self.layout, zone, metadata, self.query.message)
        chunks = self.format.readings(result, options)
        deflate = None if self.format.is_typed else result.deflate
        if result.count > EXPORT_READINGS or self._has_all(result.count, state):
            headers[EXPORT] = str(result.count)
        return Payload(chunks, result.count, headers | quality_headers(metadata), deflate)

    def _has_all(self, count: int, state: DataState) -> bool:
        """Return whether so many readings are all there are."""
        if not count:
            return False
        return self.query.is_whole or (state.span is not None and count >= state.span.count)


def readings_request(request: web.Request, params: Params, query: ReadingsQuery) -> ReadingsRequest:
    """Return the request for a query, with its common parameters; raise ApiError or QueryError."""
    format = negotiate_format(request, params)  # noqa: A001 - the parameter's name
    columns = params.get(_COLUMNS.name)
    names = format.default_columns if columns is None else parse_columns(columns)
    time = _TIME.parse(params)
    numbers = _VALUES.parse(params) is ValueStyle.NUMBER
    clean = _QUALITY.parse(params) is QualityFilter.CLEAN
    descending = _ORDER.parse(params) is SortOrder.DESCENDING
    limit = _LIMIT.parse(params)
    if clean or descending or limit is not None:
        query = replace(query, clean=clean, descending=descending, limit=limit)
    cursors = request.app[CURSORS]
    position = None
    if _AFTER.name in params:
        try:
            position = cursors.read(_key_without_paging(query), params[_AFTER.name])
        except ExpiredCursorError:
            raise _expired() from None
        except ValueError:
            raise ParameterError(
                "after: expected what `next` says in an earlier answer to the same question"
            ) from None
        query = replace(query, after=position.after, up_to=position.last_id or None)
    link = None
    if request.method != hdrs.METH_POST and query.limit is not None:
        link = URL.build(path=request.path.rpartition("/")[2], query=params)
    return ReadingsRequest(
        query=query,
        layout=RecordLayout.of(names, format.encoding, time, numbers=numbers),
        format=format,
        varies_by_accept=FORMAT.name not in params,
        is_utc=time is TimeStyle.UTC,
        cursors=cursors,
        position=position,
        link=link,
        meter=parse_meter(params),
    )


def _key_without_paging(query: ReadingsQuery) -> str:
    return replace(query, after=None, up_to=None, limit=None).key


def _expired() -> ApiError:
    return ApiError(
        410,
        "after: readings of earlier pages were corrected meanwhile, begin again without after",
        headers={hdrs.CACHE_CONTROL: "no-store"},
    )

"""The meters that a user may see, and one of them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import hdrs, web

from domain.parameters import Integer, Parameter, Params
from server.api.data_request import METER, DataRequest, parse_meter
from server.api.meters import SEARCH, parse_search
from server.context import CONTEXT, DATABASE
from server.transport.content_coding import Coding, Identity
from server.transport.etags import etag, matches_any, matches_etag
from server.transport.negotiation import negotiate_coding
from server.transport.parameters import read_parameters
from server.transport.streaming import Payload, content_type
from server.v1.formats.base import Document
from server.v1.parameters import CURSOR, WRITING
from server.v1.request import V1Request, common_of, duration, own_link, window_meta
from storage.common.turns import in_thread
from storage.database import Database, DataState
from storage.figures.compute import Admit
from storage.figures.result import Field, FieldType, ResultTable, Row, as_chunks
from storage.meters import ListedMeter, spans_text

METER_FIELDS = (
    Field("id", FieldType.TEXT, "Public id of the meter, as in URLs"),
    Field("name", FieldType.TEXT, "Name for people; null if it has none"),
    Field("identifier", FieldType.TEXT, "What reports call it, such as a CUPS; null if unknown"),
    Field("timezone", FieldType.TEXT, "IANA name of its time zone"),
    Field("interval", FieldType.TEXT, "From one reading to the next; null if it differs"),
    Field("intervals", FieldType.TEXT, "Intervals in seconds, each with its first reading"),
    Field("first_reading", FieldType.TEXT, "Start of the first reading; null without readings"),
    Field("last_reading", FieldType.TEXT, "Start of the last reading"),
    Field("readings", FieldType.COUNT, "Number of readings"),
)
LIST_LIMIT = Integer(
    "limit",
    "Maximum number of meters. If there are more, links.next and the header Link have the URL of"
    " the next page.",
    minimum=1,
    maximum=1000,
    default=100,
)
_LIST_CURSOR = Parameter(CURSOR.name, CURSOR.description, pattern=METER.pattern)
LIST_PARAMETERS = (LIST_LIMIT, _LIST_CURSOR, SEARCH, *WRITING)
_PARTS = ("readings", "aggregates", "profile", "peaks", "summary", "quality", "imports")


@dataclass(frozen=True, kw_only=True)
class V1MeterRequest(V1Request):
    """A request for what a meter is called, and what its readings span."""

    async def payload(
        self,
        database: Database,
        state: DataState,
        admit: Admit,  # noqa: ARG002 - no reading is scanned
    ) -> Payload:
        """Query the meter."""
        meter = await database.listed_meter(state)
        meta: dict[str, Any] = {}
        if state.windows:
            meta["windows"] = [window_meta(window) for window in state.windows]
        parts = {part: f"{self.link.path}/{part}" for part in _PARTS}
        document = Document(meta, {"self": str(self.link), **parts}, is_single=True)
        chunks = self.format.table(meters_table([meter]), document, self.options)
        return self.payload_of(chunks, 1, None, {})


def meter_of_path(request: web.Request, params: Params) -> DataRequest:
    """Make the request of parameters; raise ApiError or QueryError."""
    return V1MeterRequest(**common_of(request, params), name="meter")


async def visible_meters(request: web.Request) -> web.Response:
    """Return a page of the meters."""
    names = [each.name for each in LIST_PARAMETERS]
    params = await read_parameters(request, optional=names, with_body=False)
    limit, search = LIST_LIMIT.parse(params), parse_search(params)
    after = parse_meter(params, _LIST_CURSOR) or ""
    context = request[CONTEXT]
    token = context.token
    viewer = None if token is None else token.viewer
    page = await request.app[DATABASE].list_meters(limit, after, search, viewer)
    common = common_of(request, {n: v for n, v in params.items() if n != CURSOR.name})
    made = V1MeterRequest(**{**common, "link": own_link(request, params), "name": "meters"})
    document = made.document({"count": len(page.meters)}, page.following)
    chunks = made.format.table(meters_table(page.meters), document, made.options)
    payload = made.payload_of(chunks, len(page.meters), page.following, {})
    body = b"".join([bytes_of(chunk) async for chunk in payload.chunks])
    return await _conditional(request, body, made, payload)


async def _conditional(
    request: web.Request, body: bytes, made: V1Request, payload: Payload
) -> web.Response:
    """Return a response whose ETag is made of its body."""
    key = hashlib.sha256(body).hexdigest()[:32]
    coding = negotiate_coding(request)
    vary = hdrs.ACCEPT_ENCODING
    headers: dict[str, str] = {
        hdrs.ETAG: etag(key, coding),
        hdrs.CACHE_CONTROL: "private, no-cache",
        hdrs.VARY: f"{vary}, {hdrs.ACCEPT}" if made.varies_by_accept else vary,
    }
    if matches_etag(request, key) or matches_any(request):
        return web.Response(status=304, headers=headers)
    if not isinstance(coding, Identity):
        body = await in_thread(_encoded, body, coding)
        headers[hdrs.CONTENT_ENCODING] = coding.name
    headers[hdrs.CONTENT_TYPE] = content_type(made.media_type)
    return web.Response(body=body, headers={**headers, **made.headers(payload.metadata)})


def meters_table(meters: Sequence[ListedMeter]) -> ResultTable:
    """Return meters as a table."""
    return ResultTable(METER_FIELDS, None, len(meters), as_chunks([*map(_row, meters)]))


def bytes_of(chunk: Any) -> bytes:
    """Return a plain chunk."""
    assert isinstance(chunk, bytes)
    return chunk


def _encoded(body: bytes, coding: Coding) -> bytes:
    return coding.add(body) + coding.end()


def _row(meter: ListedMeter) -> Row:
    def local(instant: int | None) -> str | None:
        return None if instant is None else meter.zone.at(instant).isoformat()

    first = meter.first_reading
    return (
        meter.public_id,
        meter.name,
        meter.identifier,
        meter.timezone,
        duration(meter.intervals.only),
        None if first is None else spans_text(meter.intervals, meter.zone, first),
        local(first),
        local(meter.last_reading),
        meter.readings,
    )

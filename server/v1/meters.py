"""The meters that a user may see, and one of them."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from aiohttp import hdrs, web

from domain.fixed_point import format_scaled
from domain.parameters import Choice, Integer, Parameter, Params
from domain.readings_query import QueryError
from server.api.data_request import METER, DataRequest, parse_meter
from server.api.meters import SEARCH, parse_search
from server.context import CONTEXT, DATABASE
from server.transport.content_coding import Coding, Identity
from server.transport.etags import etag, matches_any, matches_etag
from server.transport.negotiation import negotiate_coding
from server.transport.parameters import read_parameters
from server.transport.streaming import Payload, content_type
from server.v1.formats.base import Document
from server.v1.parameters import CURSOR, V1_QUALITY, WRITING
from server.v1.request import V1Request, common_of, duration, own_link, window_meta
from storage.common.turns import in_thread
from storage.database import Database, DataState
from storage.figures.compute import Admit
from storage.figures.days.recent import RECENT_DAYS, RecentDays
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
RECENT_FIELDS = (
    Field("recent_from", FieldType.TEXT, "First of the last days; null without readings"),
    Field(
        "recent_energy",
        FieldType.TEXT,
        "Energy (kWh) of each of these days, raw or clean as asked for, separated by spaces; - if"
        " it is unknown",
    ),
    Field("recent_expected", FieldType.COUNT, "Readings that should be there, up to the newest"),
    Field("recent_present", FieldType.COUNT, "Readings of these days with any value"),
    Field("recent_implausible", FieldType.COUNT, "Readings of these days flagged implausible"),
)
MOST_RECENT = 100
LIST_LIMIT = Integer(
    "limit",
    "Maximum number of meters. If there are more, links.next and the header Link have the URL of"
    " the next page.",
    minimum=1,
    maximum=1000,
    default=100,
)
OFFSET = Integer(
    "offset",
    "Number of meters to skip, to begin somewhere in the list; meta.total has the number of all.",
    minimum=0,
    maximum=10_000_000,
    default=None,
)
RECENT = Choice(
    "recent",
    f"With yes, each meter has its last {RECENT_DAYS} days up to its newest reading, for at most"
    f" {MOST_RECENT} meters a page: energy by day, and how many readings there are.",
    choices={"no": False, "yes": True},
)
_LIST_CURSOR = Parameter(CURSOR.name, CURSOR.description, pattern=METER.pattern)
LIST_PARAMETERS = (LIST_LIMIT, _LIST_CURSOR, OFFSET, SEARCH, RECENT, V1_QUALITY, *WRITING)
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
    limit, search, offset = LIST_LIMIT.parse(params), parse_search(params), OFFSET.parse(params)
    after, has_recent = parse_meter(params, _LIST_CURSOR) or "", RECENT.parse(params)
    is_clean = V1_QUALITY.parse(params) == "clean"
    if offset is not None and after:
        raise QueryError(OFFSET.name, "expected no cursor with it")
    if has_recent and limit > MOST_RECENT:
        raise QueryError(LIST_LIMIT.name, f"expected no more than {MOST_RECENT} with recent=yes")
    token = request[CONTEXT].token
    user = None if token is None or token.role == "admin" else token.user
    database = request.app[DATABASE]
    page = await database.list_meters(limit, after, search, user, offset or 0)
    meta = {"count": len(page.meters)}
    if offset is not None:
        meta["total"] = await database.count_listed(search, user)
    recent = await database.recent_days(page, is_clean=is_clean) if has_recent else None

    # The next page begins at its cursor.
    kept = {n: v for n, v in params.items() if n not in (CURSOR.name, OFFSET.name)}
    common = {**common_of(request, kept), "link": own_link(request, kept)}
    made = V1MeterRequest(**common, name="meters")
    document = made.document(meta, page.following)
    own = str(own_link(request, params))
    document = replace(document, links={**document.links, "self": own})
    chunks = made.format.table(meters_table(page.meters, recent), document, made.options)
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


def meters_table(
    meters: Sequence[ListedMeter], recent: Mapping[int, RecentDays] | None = None
) -> ResultTable:
    """Return meters as a table, perhaps with their last days."""
    if recent is None:
        return ResultTable(METER_FIELDS, None, len(meters), as_chunks([*map(_row, meters)]))
    rows = [(*_row(meter), *_recent_values(recent.get(meter.id))) for meter in meters]
    return ResultTable((*METER_FIELDS, *RECENT_FIELDS), None, len(rows), as_chunks(rows))


def _recent_values(days: RecentDays | None) -> Row:
    if days is None:
        return (None, None, None, 0, 0)
    energy = " ".join("-" if each is None else format_scaled(each) for each in days.energy)
    return (str(days.first), energy, days.expected, days.present, days.implausible)


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

"""The meters that a user may see, and one of them."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from domain.fixed_point import format_scaled
from domain.parameters import Choice, Integer, Parameter, Params
from domain.readings_query import QueryError
from server.api.data_request import METER, DataRequest, parse_meter
from server.api.meters import SEARCH, parse_search
from server.context import CONTEXT, DATABASE
from server.errors import ParameterError
from server.transport.parameters import read_parameters
from server.transport.streaming import Payload
from server.v1.formats.base import Envelope
from server.v1.lists import OFFSET, STALE, answer_list, parse_stale
from server.v1.parameters import CURSOR, V1_QUALITY, WRITING
from server.v1.request import V1Request, common_of, duration, window_meta
from storage.database import Database, DataState
from storage.figures.compute import Admit
from storage.figures.days.recent import RECENT_DAYS, RecentDays
from storage.figures.result import Field, FieldType, ResultTable, Row, as_chunks
from storage.meters import ListedMeter, spans_text
from storage.sorted_meters import MOST_SORTED, ORDERS, WARNINGS, MeterOrder, UnsortableError

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
RECENT = Choice(
    "recent",
    f"With yes, each meter has its last {RECENT_DAYS} days up to its newest reading, for at most"
    f" {MOST_RECENT} meters a page: energy by day, and how many readings there are.",
    choices={"no": False, "yes": True},
)
SORT = Parameter(
    "sort",
    "Order of the meters: by their ids, by name, or by their last month up to the newest reading:"
    " its energy (raw or clean as asked for), its coverage, how many warnings it has, or how new"
    " that reading is. With a minus it is descending; where it is unknown, meters come last. The"
    f" order may be a minute old. At most {MOST_SORTED:,} meters can be sorted.",
    pattern=f"^-?({'|'.join(ORDERS)})$",
)
WARNING = Parameter(
    "warning",
    "Only meters with a warning: "
    + "; ".join(f"{name}: {meaning}" for name, meaning in WARNINGS.items())
    + ".",
    pattern=f"^({'|'.join(WARNINGS)})$",
)
_LIST_CURSOR = Parameter(CURSOR.name, CURSOR.description, pattern=METER.pattern)
LIST_PARAMETERS = (
    *(LIST_LIMIT, _LIST_CURSOR, OFFSET, SEARCH, STALE),
    *(SORT, WARNING, RECENT, V1_QUALITY, *WRITING),
)
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
        document = Envelope(meta, {"self": str(self.link), **parts}, is_single=True)
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
    stale, is_clean = parse_stale(params), V1_QUALITY.parse(params) == "clean"
    order = _parse_order(params, stale)
    if has_recent:
        limit = min(limit, MOST_RECENT)
    token, database = request[CONTEXT].token, request.app[DATABASE]
    viewer = None if token is None else token.viewer
    next_by, meta = CURSOR.name, {}
    if order is None:
        before = None if stale is None else int(time.time()) - stale
        page = await database.list_meters(limit, after, search, viewer, before, skipped=offset or 0)
        following = page.following
        if offset == 0 and stale is None:
            meta["total"] = await database.count_listed(search, viewer)
    else:
        try:
            page, total = await database.list_sorted(
                *(order, limit, offset or 0, search, viewer),
                is_clean=is_clean,
                grants_version=None if token is None else token.auth_version,
            )
        except UnsortableError:
            raise ParameterError(
                f"{SORT.name}, {WARNING.name}: there are more than {MOST_SORTED:,} meters; search"
                " for some of them, or ask for all without these parameters"
            ) from None
        end = (offset or 0) + limit
        following = str(end) if end < total else None
        next_by, meta["total"] = OFFSET.name, total
    recent = await database.recent_days(page, is_clean=is_clean) if has_recent else None
    table = meters_table(page.meters, recent)
    return await answer_list(request, params, table, following, "meters", meta, next_by)


def _parse_order(params: Params, stale: int | None) -> MeterOrder | None:
    """Return the order and the warnings that parameters ask for, if any; raise QueryError."""
    sort, warning = (params.get(each.name) for each in (SORT, WARNING))
    if sort is None and warning is None:
        return None
    by = (sort or "id").removeprefix("-")
    if by not in ORDERS:
        raise QueryError(
            SORT.name,
            f"expected one of {', '.join(ORDERS)}, perhaps with a - in front of it, got"
            f" {by[:40]!a}",
        )
    if warning is not None and warning not in WARNINGS:
        raise QueryError(
            WARNING.name, f"expected one of {', '.join(WARNINGS)}, got {warning[:40]!a}"
        )
    if CURSOR.name in params:
        raise QueryError(
            CURSOR.name,
            f"expected none with {SORT.name} or {WARNING.name}: the next page begins with"
            f" {OFFSET.name}",
        )
    return MeterOrder(by, (sort or "").startswith("-"), warning, stale)


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


def _row(meter: ListedMeter) -> Row:
    def local(instant: int | None) -> str | None:
        return None if instant is None else meter.zone.text(instant)

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

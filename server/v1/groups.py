"""Groups of meters: which there are, their sums, and their members."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from aiohttp import web

from domain.parameters import Integer, Parameter, Params, csv_pattern
from domain.readings_query import QueryError
from domain.time.time_buckets import BUCKET_SIZES, RESOLUTIONS, parse_resolution
from domain.time.time_zone import load_time_zone
from server.api.cursors import Position
from server.api.data_request import METER, DataRequest, parse_meter
from server.api.meters import SEARCH, parse_search
from server.context import CONTEXT, DATABASE
from server.errors import ApiError
from server.transport.parameters import read_parameters
from server.transport.streaming import Payload
from server.v1.figures import RESOLUTION, period_from
from server.v1.imports import IMPORTS_LIMIT
from server.v1.lists import answer_list
from server.v1.parameters import (
    CURSOR,
    PAGING,
    PERIOD,
    V1_LIMIT,
    V1_QUALITY,
    WRITING,
    parse_period,
    renaming,
)
from server.v1.request import (
    V1Request,
    chosen_fields,
    common_of,
    exact_metadata,
    expired,
    period_meta,
    window_meta,
)
from storage.database import Database, DataState
from storage.figures.aggregate import FOLLOWING
from storage.figures.compute import Admit
from storage.figures.result import Field, FieldType, Metadata, ResultTable, as_chunks
from storage.figures.selection import Period
from storage.groups.aggregate import COLUMNS_MEAN, GROUP_COLUMNS, GroupAggregate, GroupSummary
from storage.groups.demand.peaks import GroupPeaks
from storage.groups.demand.profile import GroupProfile
from storage.groups.ranking import GroupRanking
from storage.groups.selection import MAX_NAMED, GroupQuery
from storage.import_history import MEMBER_IMPORT_FIELDS, ImportPlace

GROUP_IN_PATH = "group"
"""Names the part of a path that is a group's public id."""

LISTED_GROUP_FIELDS = (
    Field("id", FieldType.TEXT, "Public id of the group, as in URLs"),
    Field("name", FieldType.TEXT, "Name for people; null if it has none"),
)
GROUP_FIELDS = (
    *LISTED_GROUP_FIELDS,
    Field("timezone", FieldType.TEXT, "IANA name of the zone of its days; null without readings"),
    Field("meters", FieldType.COUNT, "Number of meters in it, also in its groups"),
    Field("first_reading", FieldType.INSTANT, "Start of its first reading while it is counted"),
    Field("end", FieldType.INSTANT, "End of its last reading while it is counted"),
)
_GROUP_LIMIT = Integer(
    "limit",
    "Maximum number of groups. If there are more, links.next and the header Link have the URL of"
    " the next page.",
    minimum=1,
    maximum=1000,
    default=100,
)
_GROUP_CURSOR = Parameter(CURSOR.name, CURSOR.description, pattern=METER.pattern)
GROUP_LIST_PARAMETERS = (
    *(_GROUP_LIMIT, _GROUP_CURSOR),
    replace(SEARCH, description="Only groups with this text in their id or name, in any case."),
    *WRITING,
)
_PARTS = ("readings", "aggregates", "profile", "peaks", "summary", "members", "quality", "imports")
_NO_DIGEST = bytes(8)
"""In the cursors of imports, which are told whatever readings were corrected."""
_SUM_FIELDS = Parameter(
    "fields",
    COLUMNS_MEAN,
    pattern=csv_pattern("|".join(GROUP_COLUMNS)),
)
_RANKING = {each.name: each for each in GroupRanking.parameters}
_PEAKS = {each.name: each for each in GroupPeaks.parameters}
_PROFILE = {each.name: each for each in GroupProfile.parameters}
GROUP_AGGREGATE_PARAMETERS = (RESOLUTION, *PERIOD, _SUM_FIELDS, V1_QUALITY, *PAGING)
GROUP_PROFILE_PARAMETERS = (_PROFILE["by"], _PROFILE["percentiles"], *PERIOD, V1_QUALITY)
GROUP_PEAKS_PARAMETERS = (
    *(replace(_PEAKS["number"], name=V1_LIMIT.name), _PEAKS["separation"]),
    *(*PERIOD, V1_QUALITY),
)
GROUP_SUMMARY_PARAMETERS = (*PERIOD, V1_QUALITY)
GROUP_QUALITY_PARAMETERS = PERIOD
GROUP_MEMBERS_PARAMETERS = (
    *(_RANKING["by"], replace(_RANKING["number"], name=V1_LIMIT.name)),
    *(*PERIOD, V1_QUALITY),
)
_NAMES = {
    "columns": "fields",
    "interval": RESOLUTION.name,
    "number": V1_LIMIT.name,
    "date": "from",
    "end_date": "to",
}
"""What /v1 calls parameters of the queries."""


@dataclass(frozen=True, kw_only=True)
class V1GroupRequest(V1Request):
    """A request for what a group is called, and what its readings span."""

    async def payload(
        self,
        database: Database,
        state: DataState,
        admit: Admit,  # noqa: ARG002 - no reading is scanned
    ) -> Payload:
        """Query the group."""
        assert state.group is not None
        selection = await database.group_selection(state)
        zone = None if selection is None else selection.zone
        span = (None, None) if selection is None else (selection.start, selection.until)
        row = (
            *(state.group.public_id, state.group.name, zone and zone.name),
            *(0 if selection is None else len(selection.members), *span),
        )
        table = ResultTable(GROUP_FIELDS, zone, 1, as_chunks([row]))
        document = self.document(_windows(state), None, is_single=True)
        parts = {part: f"{self.link.path}/{part}" for part in _PARTS}
        document = replace(document, links={**document.links, **parts})
        return self.payload_of(self.format.table(table, document, self.options), 1, None, {})


@dataclass(frozen=True, kw_only=True)
class V1GroupFigureRequest(V1Request):
    """A request for figures of a group."""

    query: GroupQuery
    period: Period
    is_single: bool = False
    is_figure = True

    async def payload(self, database: Database, state: DataState, admit: Admit) -> Payload:
        """Compute the figures; raise ApiError if those of earlier pages have changed."""
        assert state.group is not None
        is_page = self.limit is not None or self.position is not None
        common = await database.group_corrections(state) if is_page else (0, b"")
        if self.position is not None and self.position != _place(self.position.after, common):
            raise expired()
        with renaming(_NAMES):
            table = await database.group_figures(self.query, state, admit)
        metadata = {**table.metadata}
        following = metadata.pop(FOLLOWING, None)
        cursor = None
        if isinstance(following, str):
            cursor = self.cursor_at(_place(int(following), common))
        chosen = chosen_fields(table)
        meta: dict[str, Any] = {
            "group": state.group.public_id,
            **_windows(state),
            **({} if table.zone is None else period_meta(self.period, table.zone)),
            **_exact(metadata),
            "count": table.count,
        }
        return self.table_payload(chosen, meta, cursor, is_single=self.is_single)


def _place(after: int, common: tuple[int, bytes]) -> Position:
    """Return the position of a page of sums, given what all pages have in common."""
    corrections, members = common
    return Position(after, corrections, 0, members)


def group_of_path(request: web.Request, params: Params) -> DataRequest:
    """Make the request of parameters; raise ApiError or QueryError."""
    return V1GroupRequest(**common_of_group(request, params), name="group")


def figures_of_group(route: str) -> Callable[[web.Request, Params], DataRequest]:
    """Return what makes the request of a route; raises ApiError or QueryError."""

    def make(request: web.Request, params: Params) -> DataRequest:
        common = common_of_group(request, params)
        period = parse_period(params, has_quality=route != "quality")
        with renaming(_NAMES):
            query = _QUERIES[route](params, period)
        if isinstance(query, GroupAggregate):
            position, limit = common["position"], V1_LIMIT.parse(params)
            first = period if position is None else period_from(period, position.after)
            query = replace(query, period=first, limit=limit)
            common["limit"] = limit
        name = f"{common['group']}-{route}"
        is_single = route == "summary"
        return V1GroupFigureRequest(
            **common, query=query, period=period, is_single=is_single, name=name
        )

    return make


async def visible_groups(request: web.Request) -> web.Response:
    """Return a page of the groups."""
    names = [each.name for each in GROUP_LIST_PARAMETERS]
    params = await read_parameters(request, optional=names, with_body=False)
    limit, search = _GROUP_LIMIT.parse(params), parse_search(params)
    after = parse_meter(params, _GROUP_CURSOR) or ""
    token = request[CONTEXT].token
    viewer = None if token is None else token.viewer
    page = await request.app[DATABASE].list_groups(limit, after, search, viewer)
    rows = [(each.public_id, each.name) for each in page.groups]
    table = ResultTable(LISTED_GROUP_FIELDS, None, len(rows), as_chunks(rows))
    return await answer_list(request, params, table, page.following, "groups")


@dataclass(frozen=True, kw_only=True)
class V1GroupImportsRequest(V1Request):
    """A request for the imports of the members of a group."""

    most: int

    async def payload(
        self,
        database: Database,
        state: DataState,
        admit: Admit,  # noqa: ARG002 - no reading is scanned
    ) -> Payload:
        """Query the imports; raise ApiError for those of days that the user may not see."""
        assert state.group is not None
        if state.windows:
            raise ApiError(
                403, "imports: only users who may see all days of the group see those of its meters"
            )
        members = await database.group_members(state)
        whole = [each.meter_id for each in members if each.windows[0].is_whole]
        partly = [each.public_id for each in members if not each.windows[0].is_whole]
        selection = await database.group_selection(state)
        zone = await load_time_zone("UTC") if selection is None else selection.zone
        begun = self.position
        before = None
        if begun is not None:
            before = ImportPlace(begun.after, begun.corrections, begun.last_id)
        page = await database.import_history().of_meters(whole, zone, self.most, before)
        cursor = None
        if (after := page.following) is not None:
            cursor = self.cursor_at(
                Position(after.finished, after.meter_id, after.number, _NO_DIGEST)
            )
        meta = {
            "group": state.group.public_id,
            "timezone": zone.name,
            **({"not_listed": partly[:MAX_NAMED]} if partly else {}),
            "count": len(page.rows),
        }
        table = ResultTable(MEMBER_IMPORT_FIELDS, zone, len(page.rows), as_chunks(page.rows))
        return self.table_payload(table, meta, cursor)


def imports_of_group(request: web.Request, params: Params) -> DataRequest:
    """Make the request of parameters; raise ApiError or QueryError."""
    common = common_of_group(request, params)
    name = f"{common['group']}-imports"
    return V1GroupImportsRequest(**common, most=IMPORTS_LIMIT.parse(params), name=name)


def common_of_group(request: web.Request, params: Params) -> dict[str, Any]:
    """Return what all requests have that are about the group in their path; raise ApiError."""
    group = request.match_info[GROUP_IN_PATH]
    try:
        parse_meter({METER.name: group})
    except QueryError:
        raise ApiError(404, f"group: there is no group {group[:80]}") from None
    return {**common_of(request, params), "group": group}


def _aggregates(params: Params, period: Period) -> GroupQuery:
    text = params[RESOLUTION.name]
    size = parse_resolution(text)
    if size is None:
        raise QueryError(
            RESOLUTION.name,
            f"expected one of {', '.join(RESOLUTIONS)}, or another PTnHnM that divides a day, got"
            f" {text[:40]!a}",
        )
    named = {"interval": "day"}
    if _SUM_FIELDS.name in params:
        named["columns"] = params[_SUM_FIELDS.name]
    return replace(GroupAggregate.of(named), period=period, interval=size)


def _named(params: Params, parameters: Iterable[str]) -> dict[str, str]:
    """Return those of some parameters of a query that are given, called as the query does."""
    names = {name: _NAMES.get(name, name) for name in parameters}
    return {own: params[name] for own, name in names.items() if name in params}


def _profile(params: Params, period: Period) -> GroupQuery:
    return replace(GroupProfile.of(_named(params, ("by", "percentiles"))), period=period)


def _peaks(params: Params, period: Period) -> GroupQuery:
    return replace(GroupPeaks.of(_named(params, ("number", "separation"))), period=period)


def _members(params: Params, period: Period) -> GroupQuery:
    return replace(GroupRanking.of(_named(params, ("by", "number"))), period=period)


_QUERIES: Mapping[str, Callable[[Params, Period], GroupQuery]] = {
    "aggregates": _aggregates,
    "profile": _profile,
    "peaks": _peaks,
    "summary": lambda _, period: GroupSummary(period),
    "members": _members,
    "quality": lambda _, period: GroupAggregate(period, BUCKET_SIZES["day"], ()),
}
"""What makes the query of a route, by the last part of its path."""


def _windows(state: DataState) -> dict[str, Any]:
    if not state.windows:
        return {}
    return {"windows": [window_meta(window) for window in state.windows]}


def _exact(metadata: Metadata) -> dict[str, Any]:
    """Return metadata with its numbers as numbers."""
    found = exact_metadata(metadata)
    return found | {
        name: int(found[name]) for name in ("members", "demand_seconds") if name in found
    }

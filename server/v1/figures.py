"""Figures of a meter: aggregates, profile, peaks, summary and quality."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from domain.parameters import Parameter, Params, either
from domain.quantities import ALL_QUANTITIES
from domain.readings_query import QueryError
from domain.time.time_buckets import RESOLUTIONS, parse_resolution
from server.api.data_request import DataRequest
from server.transport.streaming import Payload
from server.v1.parameters import (
    CURSOR,
    MEASURE_FIELDS,
    PERIOD,
    V1_LIMIT,
    V1_QUALITY,
    parse_period,
    renaming,
)
from server.v1.request import (
    V1Request,
    chosen_fields,
    common_of,
    exact_metadata,
    meter_meta,
    period_meta,
)
from storage.database import Database, DataState
from storage.figures.aggregate import FOLLOWING, Aggregate
from storage.figures.compute import Admit
from storage.figures.data_quality import DataQuality
from storage.figures.peaks import Peaks
from storage.figures.profile import COLUMNS, EXPORTED_COLUMNS, Profile
from storage.figures.result import FigureQuery
from storage.figures.selection import Period
from storage.figures.summary import Summary
from storage.figures.sums.measures import parse_measures

_NAMES = {"column": "field", "columns": "fields", "interval": "resolution", "number": "limit"}
"""What /v1 calls parameters of the queries."""

SUMMARY_LEFT_OUT = (
    *("import_finished", "import_file", "import_new", "import_changed"),
    *("timezone", "interval_seconds", "identifier"),
)
"""Fields of a summary that other routes have, or that meta has."""


@dataclass(frozen=True, kw_only=True)
class V1FigureRequest(V1Request):
    """A request for figures of one meter."""

    query: FigureQuery
    period: Period
    is_single: bool = False
    left_out: Sequence[str] = field(default=())
    is_figure = True

    async def payload(self, database: Database, state: DataState, admit: Admit) -> Payload:
        """Compute the figures; raise ApiError if those of earlier pages have changed."""
        self.require_state(state)
        meter = await database.meter(state)
        assert meter is not None
        with renaming(_NAMES):
            table = await database.figures(self.query, state, admit)
        metadata = {**table.metadata}
        following = metadata.pop(FOLLOWING, None)
        cursor = self.cursor(int(following), state) if isinstance(following, str) else None
        chosen = chosen_fields(table, self.left_out)
        meta = {
            **meter_meta(meter),
            **period_meta(self.period, table.zone or meter.zone),
            **exact_metadata(metadata),
            "count": table.count,
        }
        names = {field.name for field in chosen.fields}
        meta["units"] = {
            name: unit for name, unit in meta.get("units", {}).items() if name in names
        }
        return self.table_payload(chosen, meta, cursor, is_single=self.is_single)


def _declared(query: Any, *names: str) -> list[Parameter]:
    """Return parameters of a query, called as in /v1."""
    known = {each.name: each for each in query.parameters}
    return [replace(known[name], name=_NAMES.get(name, name)) for name in names]


RESOLUTION = Parameter(
    "resolution",
    f"Length of a record's interval as ISO 8601 has it: {', '.join(RESOLUTIONS)}, or any PTnHnM"
    " that divides a day and is a multiple of the meter's own interval. Days and longer ones follow"
    " local time, weeks begin on Monday.",
    "P1D",
    r"^(PT([0-9]{1,2}H)?([0-9]{1,4}M)?|P1[DWMY])$",
    is_required=True,
)
AGGREGATE_PARAMETERS = (
    *(RESOLUTION, *PERIOD, MEASURE_FIELDS, *_declared(Aggregate, "timezone"), V1_QUALITY),
    *(V1_LIMIT, CURSOR),
)
PROFILE_FIELD = either("field", "The quantity of the profile.", (*COLUMNS, *EXPORTED_COLUMNS))
PROFILE_PARAMETERS = (
    *(PROFILE_FIELD, *_declared(Profile, "by", "percentiles")),
    *(*PERIOD, V1_QUALITY),
)
PEAKS_PARAMETERS = (*_declared(Peaks, "number", "separation"), *PERIOD, V1_QUALITY)
SUMMARY_PARAMETERS = (*PERIOD, V1_QUALITY)
QUALITY_PARAMETERS = (*_declared(DataQuality, "list", "flag"), *PERIOD)


def _aggregates(params: Params, period: Period) -> FigureQuery:
    text = params[RESOLUTION.name]
    size = parse_resolution(text)
    if size is None:
        raise QueryError(
            RESOLUTION.name,
            f"expected one of {', '.join(RESOLUTIONS)}, or another PTnHnM that divides a day, got"
            f" {text[:40]!a}",
        )
    # Whoever reads the answer finds the zone's name as it was sent.
    base = Aggregate.of({"interval": "day", **_only(params, "timezone")})
    measures = parse_measures(params.get(MEASURE_FIELDS.name), ALL_QUANTITIES)
    return replace(base, period=period, interval=size, measures=measures)


def _profile(params: Params, period: Period) -> FigureQuery:
    column = PROFILE_FIELD.parse(params)
    return replace(Profile.of(_only(params, "by", "percentiles")), period=period, column=column)


def _peaks(params: Params, period: Period) -> FigureQuery:
    named = _only(params, "separation")
    if V1_LIMIT.name in params:
        named["number"] = params[V1_LIMIT.name]
    return replace(Peaks.of(named), period=period)


def _quality(params: Params, period: Period) -> FigureQuery:
    return replace(DataQuality.of(_only(params, "list", "flag")), period=period)


def _only(params: Params, *names: str) -> dict[str, str]:
    return {name: params[name] for name in names if name in params}


ToQuery = Callable[[Params, Period], FigureQuery]

QUERIES: Mapping[str, ToQuery] = {
    "aggregates": _aggregates,
    "profile": _profile,
    "peaks": _peaks,
    "summary": lambda _, period: Summary(period, is_wide=True),
    "quality": _quality,
}
"""What makes the query of a route, by the last part of its path."""


def figures_of_meter(route: str) -> Callable[[web.Request, Params], DataRequest]:
    """Return what makes the request of a route; raises ApiError or QueryError."""
    is_summary = route == "summary"

    def make(request: web.Request, params: Params) -> DataRequest:
        common = common_of(request, params)
        period = parse_period(params, has_quality=route != "quality")
        with renaming(_NAMES):
            query = QUERIES[route](params, period)
        if isinstance(query, Aggregate):
            position = common["position"]
            first = period if position is None else period_from(period, position.after)
            query = replace(query, period=first, limit=V1_LIMIT.parse(params))
        return V1FigureRequest(
            **common,
            query=query,
            period=period,
            is_single=is_summary,
            left_out=SUMMARY_LEFT_OUT if is_summary else (),
            name=f"{common['meter']}-{route}",
        )

    return make


def period_from(period: Period, instant: int) -> Period:
    """Return the rest of a period, from an instant on."""
    return replace(period, first=datetime.fromtimestamp(instant, UTC))

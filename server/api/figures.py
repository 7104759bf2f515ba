"""The routes of what is worked out from readings."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from marshmallow import Schema, fields

from domain.quantities import QUANTITY_NAMES
from domain.time_buckets import BUCKET_SIZES
from server.api.data_request import DataRequest
from server.api.data_route import DataRoute, Params
from server.api.figure_request import TIMES, VALUES, FigureRequest
from server.api.openapi.fields import PATTERN_TEXT, csv_pattern, integer_field
from server.api.openapi.responses import figures_responses
from server.formats.registry import FORMATS
from storage.figures.aggregate import Aggregate
from storage.figures.data_quality import LISTS, DataQuality
from storage.figures.meter_info import MeterInfo
from storage.figures.peaks import MAX_PEAKS, Peaks
from storage.figures.profile import COLUMNS, PERCENTILES, SPLITS, Profile
from storage.figures.result import Field, FigureQuery
from storage.figures.summary import Summary


def _text(description: str, example: str, **described: str) -> fields.String:
    metadata = {"description": description, "x-example": example}
    return fields.String(metadata=metadata | described)


def _choice(description: str, choices: Sequence[str]) -> fields.String:
    """One of some choices; the first one is the default."""
    return fields.String(
        metadata={"description": description, "enum": list(choices), "default": choices[0]}
    )


def _period(date: str, end_date: str) -> dict[str, fields.String]:
    return {
        "date": _text(
            "Begin, included, local time, by the rule of getDataByRange; by default the first "
            "reading.",
            date,
            pattern=PATTERN_TEXT,
        ),
        "end_date": _text(
            "End, by the same rule; by default the last reading.", end_date, pattern=PATTERN_TEXT
        ),
        "end": _choice("Whether a reading at the end belongs to it.", ("inclusive", "exclusive")),
    }


_WEEK = _period("2019-09-02", "2019-09-08 23:45")
_BELIEF = {
    "quality": _choice(
        "With clean, implausible readings are left out, and left_out says how many they are "
        "and how many kWh.",
        ("raw", "clean"),
    ),
}
_WRITING = {
    "values": _choice("Whether JSON has numbers as texts or as numbers.", VALUES),
    "time": _choice(
        "How dates are written: local time with its offset from UTC, UTC, or local time alone.",
        TIMES,
    ),
    "format": _choice(
        "The format of the answer; the header Accept has a say where this is left out.",
        tuple(FORMATS),
    ),
}


def _parameters(name: str, own: Mapping[str, fields.Field[Any]]) -> type[Schema]:
    return Schema.from_dict({**own, **_WRITING}, name=name)


@dataclass(frozen=True, slots=True)
class _FigureRoute:
    """A route: its parameters, what they ask for, and the fields of each kind of record."""

    name: str
    parameters: type[Schema]
    question: Callable[[Mapping[str, str]], FigureQuery]
    kinds: Sequence[Sequence[Field]]
    summary: str
    description: str


def _kinds(
    question: Callable[[Mapping[str, str]], FigureQuery], given: Sequence[Mapping[str, str]]
) -> list[Sequence[Field]]:
    """The fields of a record where these parameters are given."""
    return [question(parameters).fields for parameters in given]


_ROUTES = (
    _FigureRoute(
        "getMeter",
        _parameters("MeterParameters", {}),
        MeterInfo.of,
        _kinds(MeterInfo.of, [{}]),
        "Which meter it is, and from when to when it has readings",
        "One record, however many readings there are: the zone and the interval of the meter, what "
        "reports call it, its first and its last reading.",
    ),
    _FigureRoute(
        "getAggregate",
        _parameters(
            "AggregateParameters",
            {
                "interval": fields.String(
                    required=True,
                    metadata={
                        "description": "How long the time is that a record stands for.",
                        "enum": list(BUCKET_SIZES),
                        "x-example": "day",
                        "default": "day",
                    },
                ),
                **_period("2019-10-26", "2019-10-28 23:45"),
                "columns": _text(
                    f"What to put together: any of {', '.join(QUANTITY_NAMES)}; by default all.",
                    ",".join(QUANTITY_NAMES),
                    pattern=csv_pattern("|".join(QUANTITY_NAMES)),
                ),
                "timezone": _text(
                    "The zone, by its IANA name, whose days and months they are and that date and "
                    "end_date are in; by default the meter's.",
                    "Europe/Madrid",
                ),
                **_BELIEF,
            },
        ),
        Aggregate.of,
        _kinds(
            Aggregate.of,
            [
                {"interval": "day"},
                *({"interval": "day", "columns": name} for name in QUANTITY_NAMES),
            ],
        ),
        "Readings put together for hours, days, months",
        "Each column by its own rule: energy is summed; power, voltage and intensity have their "
        "mean, least and greatest; of the maximeter the greatest and when it was. Days and longer "
        "follow local time; a repeated hour is two hours. A record without readings has nulls.",
    ),
    _FigureRoute(
        "getProfile",
        _parameters(
            "ProfileParameters",
            {
                "column": _choice("What is told of.", COLUMNS),
                "by": _choice(
                    "How days are split: by type (Monday to Friday, Saturday, Sunday; public "
                    "holidays are the weekday that they are), by month, both, or not.",
                    tuple(SPLITS),
                ),
                "percentiles": _text(
                    "Percentiles, whole numbers from 1 to 100; each is a value of some reading.",
                    ",".join(map(str, PERCENTILES)),
                    pattern=csv_pattern("100|[1-9][0-9]?"),
                ),
                **_WEEK,
                **_BELIEF,
            },
        ),
        Profile.of,
        _kinds(Profile.of, [{}, {"percentiles": "1"}, *({"by": by} for by in SPLITS)]),
        "How power is spread over the day",
        "By time of day in local time: mean, least, greatest and percentiles (nearest rank). "
        "Readings flagged catch_up are left out.",
    ),
    _FigureRoute(
        "getPeaks",
        _parameters(
            "PeaksParameters",
            {
                "number": integer_field(
                    f"How many, 1 to {MAX_PEAKS}; by default 10.", 1, MAX_PEAKS, 10
                ),
                "separation": integer_field(
                    "Seconds that any two are apart at least, 0 to 86400; by default 3600. The "
                    "higher one wins, and of two as high the earlier.",
                    0,
                    86400,
                    3600,
                ),
                **_WEEK,
                **_BELIEF,
            },
        ),
        Peaks.of,
        _kinds(Peaks.of, [{}]),
        "The highest demands and when they were",
        "Demand is the maximeter's; where no reading has one it is power, and else energy over "
        "the reading's hours: demand_of says which. Readings flagged catch_up are left out.",
    ),
    _FigureRoute(
        "getSummary",
        _parameters("SummaryParameters", {**_WEEK, **_BELIEF}),
        Summary.of,
        _kinds(Summary.of, [{}]),
        "What there is and what it comes to",
        "One record: span, readings, totals, peak demand, load factor, power factor, base load, "
        "coverage, flags, the last import and the meter.",
    ),
    _FigureRoute(
        "getQuality",
        _parameters(
            "QualityParameters",
            {
                "list": _choice("Gaps, flagged readings, or the coverage of each day.", LISTS),
                **_period("2019-09-25", "2019-09-25 23:45"),
            },
        ),
        DataQuality.of,
        _kinds(DataQuality.of, [{"list": name} for name in LISTS]),
        "What is missing and what is doubtful",
        "A gap is a run of readings that are absent or have no value at all.",
    ),
)


def _definitions(route: _FigureRoute) -> list[web.RouteDef]:
    def make_request(request: web.Request, params: Params) -> DataRequest:
        return FigureRequest.of(request, params, route.question(params), route.name)

    return DataRoute(
        route.name,
        route.parameters,
        make_request,
        tag="figures",
        summary=route.summary,
        description=route.description,
        responses=figures_responses(route.name, route.kinds),
    ).definitions()


ROUTES = [definition for route in _ROUTES for definition in _definitions(route)]

"""The routes of figures, computed from readings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol, Self

from aiohttp import web
from marshmallow import fields
from marshmallow.fields import Field

from domain.parameters import Parameter, Params
from domain.quantities import QUANTITY_NAMES
from domain.record_layout import FLAGS_COLUMN
from server.api.data_request import DataRequest
from server.api.data_route import DataRoute
from server.api.figure_request import OUTPUT_PARAMETERS, FigureRequest
from server.api.openapi.responses import figures_success
from server.api.openapi.schemas import INTERVAL_MEMBERS, QUALITY_MEMBERS
from storage.figures.aggregate import Aggregate
from storage.figures.data_quality import LISTS, DataQuality
from storage.figures.meter_info import MeterInfo
from storage.figures.peaks import Peaks
from storage.figures.profile import COLUMNS, SPLITS, Profile
from storage.figures.result import FigureQuery
from storage.figures.selection import QUALITY
from storage.figures.summary import Summary


class Figure(FigureQuery, Protocol):
    """A query for figures that is made of parameters."""

    parameters: ClassVar[Sequence[Parameter]]

    @classmethod
    def of(cls, params: Params) -> Self:
        """Parse the parameters; raise QueryError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureRoute:
    """The declaration of a route of figures: its query, and what its documentation adds."""

    name: str
    query: type[Figure]
    summary: str
    description: str
    examples: Mapping[str, str] = field(default_factory=dict)
    """Values of parameters, with which the first record is `record`."""
    record: Mapping[str, str | None]
    variants: Sequence[Params] = ({},)
    """Parameters that between them give records of every kind."""
    metadata: Mapping[str, Field[Any]] = field(default_factory=dict)
    """The members beside the records."""
    bad_request: str

    def definitions(self) -> list[web.RouteDef]:
        """Return the routes that an application adds."""

        def make_request(request: web.Request, params: Params) -> DataRequest:
            return FigureRequest.of(request, params, self.query.of(params), self.name)

        has_quality = QUALITY in self.query.parameters
        quality = QUALITY_MEMBERS if has_quality else {}
        metadata = {**self.metadata, **quality, **INTERVAL_MEMBERS}
        kinds = [self.query.of(params).fields for params in self.variants]
        return DataRoute(
            name=self.name,
            parameters=[
                *(
                    replace(each, example=self.examples.get(each.name, each.example))
                    for each in self.query.parameters
                ),
                *OUTPUT_PARAMETERS,
            ],
            request=make_request,
            tag="figures",
            summary=self.summary,
            description=self.description,
            success=figures_success(self.name, kinds, metadata, self.record),
            bad_request=self.bad_request,
        ).definitions()


_WEEK = {"date": "2019-09-02", "end_date": "2019-09-08"}
_DEMAND_OF = fields.String(metadata={"description": "The quantity that demand is taken from"})

_ROUTES = (
    FigureRoute(
        name="getMeter",
        query=MeterInfo,
        summary="The meter and the period of its readings",
        description=(
            "One record: what the meter is called, its time zone and interval, its first and its "
            "last reading. Fast for any number of readings."
        ),
        record={
            "first_reading": "2019-08-01T00:00:00+02:00",
            "last_reading": "2019-11-30T23:45:00+01:00",
            "end": "2019-12-01T00:00:00+01:00",
            "timezone": "Europe/Madrid",
            "interval_seconds": "900",
            "intervals": "900 from 2019-08-01T00:00:00+02:00",
            "identifier": None,
            "meter": "main",
            "name": None,
        },
        bad_request="time: expected offset or utc or local, got 'mine'",
    ),
    FigureRoute(
        name="getAggregate",
        query=Aggregate,
        summary="Readings aggregated by hour, day or month",
        description=(
            "Energy is summed; power, voltage and intensity have mean, minimum and maximum (nulls "
            "ignored); the maximeter has its maximum and the time of it. Without a measured power, "
            "it is energy over the hours of the interval: power_derived counts these readings. "
            "Days and longer intervals follow local time; a repeated hour gives two records. A "
            "record without readings has nulls."
        ),
        examples={"date": "2019-10-26", "end_date": "2019-10-28"},
        record={
            "date": "2019-10-26T00:00:00+02:00",
            "end": "2019-10-27T00:00:00+02:00",
            "energy": "391.50000",
            "reactive_energy": "26.60000",
            "power_mean": "16.37020",
            "power_min": "4.98500",
            "power_max": "35.83000",
            "power_derived": "0",
            "maximeter": "36.52600",
            "maximeter_date": "2019-10-26T02:45:00+02:00",
            "reactive_power_mean": "-5.48740",
            "reactive_power_min": "-15.45300",
            "reactive_power_max": "3.24100",
            "reactive_energy_inductive": "6.41050",
            "reactive_energy_capacitive": "138.10800",
            "voltage_mean": "237.96580",
            "voltage_min": "236.06200",
            "voltage_max": "239.87900",
            "intensity_mean": "78.63146",
            "intensity_min": "22.75800",
            "intensity_max": "174.40100",
            "power_factor_of_energy": "0.99770",
            "power_factor_mean": "0.92871",
            "reactive_energy_ratio": "0.06794",
            "expected": "96",
            "present": "96",
            "flagged": "0",
            "coverage": "1.00000",
            "partial": "0",
            "energy_since": None,
        },
        variants=[
            {"interval": "day"},
            *({"interval": "day", "columns": name} for name in (*QUANTITY_NAMES, FLAGS_COLUMN)),
        ],
        bad_request="interval: expected one of 15m, 30m, hour, day, week, month, year, got"
        " 'fortnight'",
    ),
    FigureRoute(
        name="getProfile",
        query=Profile,
        summary="Load profile: a quantity by time of day",
        description=(
            "For each local time of day: mean, minimum, maximum and percentiles (nearest rank). "
            "Readings flagged catch_up are excluded. With column=power, power_derived counts the "
            "readings whose power is energy over the hours of the interval; with "
            "column=power_factor, there is also the power factor of the sums of energy."
        ),
        examples=_WEEK,
        record={
            "day_type": "working_day",
            "time": "00:00:00",
            "readings": "5",
            "mean": "19.59500",
            "min": "15.96400",
            "max": "22.71100",
            "p5": "15.96400",
            "p25": "18.18300",
            "p50": "19.55500",
            "p75": "21.56200",
            "p95": "22.71100",
            "power_derived": "0",
        },
        variants=[
            {},
            {"percentiles": "1"},
            *({"by": by} for by in SPLITS),
            *({"column": name} for name in COLUMNS),
        ],
        metadata={"column": fields.String(metadata={"description": "The quantity of the profile"})},
        bad_request=(
            "percentiles: expected whole numbers from 1 to 100 like 5,50,95, at most 20, got '0'"
        ),
    ),
    FigureRoute(
        name="getPeaks",
        query=Peaks,
        summary="The highest demands with their times",
        description=(
            "Demand is the maximeter; if no reading has one, it is power, or else energy divided "
            "by the hours of the reading: demand_of names the source. Readings flagged catch_up "
            "are excluded."
        ),
        examples=_WEEK,
        record={
            "date": "2019-09-02T04:15:00+02:00",
            "demand": "30.20500",
        },
        metadata={"demand_of": _DEMAND_OF},
        bad_request="number: expected a whole number from 1 to 1000, got '0'",
    ),
    FigureRoute(
        name="getSummary",
        query=Summary,
        summary="Summary statistics for a period",
        description=(
            "One record: period, readings, totals, raw and clean energy, reactive energy, peak "
            "demand, load factor, power factor, base load, coverage, flags, the last import and "
            "the meter."
        ),
        examples=_WEEK,
        record={
            "first_reading": "2019-09-02T00:00:00+02:00",
            "last_reading": "2019-09-08T23:45:00+02:00",
            "date": "2019-09-02T00:00:00+02:00",
            "end": "2019-09-09T00:00:00+02:00",
            "energy": "2226.81000",
            "reactive_energy": "184.70000",
            "power_factor_of_energy": "0.99658",
            "power_factor_mean": "0.93480",
            "reactive_energy_ratio": "0.08294",
            "reactive_energy_inductive": "47.75825",
            "reactive_energy_capacitive": "642.11200",
            "energy_raw": "2226.81000",
            "energy_clean": "2226.81000",
            "expected": "672",
            "present": "672",
            "flagged": "1",
            "coverage": "1.00000",
            "readings": "672",
            "energy_readings": "672",
            "power_readings": "672",
            "power_derived": "0",
            "peak_demand": "30.20500",
            "peak_demand_date": "2019-09-02T04:15:00+02:00",
            "mean_demand": "13.25482",
            "load_factor": "0.43883",
            "base_load": "3.98800",
            "flag_missing": "0",
            "flag_catch_up": "0",
            "flag_implausible": "0",
            "flag_zero_voltage": "1",
            "flag_repeated_hour": "0",
            "import_finished": "2019-12-01T09:00:00+01:00",
            "import_file": "Monitoring_report.csv",
            "import_new": "11716",
            "import_changed": "0",
            "timezone": "Europe/Madrid",
            "interval_seconds": "900",
            "identifier": None,
            "energy_since": None,
        },
        metadata={
            "demand_of": _DEMAND_OF,
            "base_load_unknown": fields.String(
                metadata={"description": "Why there is no base load, if readings differ in length"}
            ),
        },
        bad_request="quality: expected raw or clean, got 'dirty'",
    ),
    FigureRoute(
        name="getQuality",
        query=DataQuality,
        summary="Gaps, flagged readings and coverage",
        description=(
            "A gap is a sequence of readings that are absent or have no values. A flagged reading "
            "comes with the condition of its flags; flag=implausible lists what quality=clean "
            "leaves out elsewhere."
        ),
        examples={"date": "2019-09-25", "end_date": "2019-09-25"},
        record={
            "date": "2019-09-25T10:15:00+02:00",
            "last": "2019-09-25T11:15:00+02:00",
            "readings": "5",
            "empty": "5",
            "absent": "0",
        },
        variants=[{"list": name} for name in LISTS],
        bad_request="list: expected gaps or flagged or days, got 'holes'",
    ),
)

ROUTES = [definition for route in _ROUTES for definition in route.definitions()]

"""Readings of a meter, in the order of time."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from domain.parameters import Params
from domain.quantities import QUANTITIES
from domain.record_layout import RecordLayout, TimeStyle
from server.api.data_request import EXPORT, EXPORT_READINGS, DataRequest
from server.transport.streaming import Payload
from server.v1.formats.base import MeterReadings, Readings
from server.v1.parameters import START, parse_period, parse_reading_fields
from server.v1.request import V1Request, common_of, meter_meta, period_meta
from storage.database import Database, DataState
from storage.figures.compute import Admit
from storage.figures.selection import Period
from storage.readings.time_reader import TimeQuery

_UNITS = {quantity.name: quantity.result_unit for quantity in QUANTITIES}


@dataclass(frozen=True, kw_only=True)
class V1ReadingsRequest(V1Request):
    """A request for the readings of one meter."""

    period: Period
    layout: RecordLayout

    async def payload(
        self,
        database: Database,
        state: DataState,
        admit: Admit,  # noqa: ARG002 - readings are not scanned but sent
    ) -> Payload:
        """Query the readings; raise ApiError if those of earlier pages have changed."""
        self.require_state(state)
        meter = await database.meter(state)
        assert meter is not None
        start, end = self.period.bounds(meter.zone)
        position = self.position
        query = TimeQuery(
            start if position is None else position.after,
            end,
            self.period.is_clean,
            self.limit,
            None if position is None else position.last_id,
        )
        result = await database.readings_by_time(query, state, self.layout)
        cursor = None if result.following is None else self.cursor(result.following, state)
        meta = {
            **meter_meta(meter),
            **period_meta(self.period, meter.zone),
            "quality": "clean" if self.period.is_clean else "raw",
            "units": units_of_layout(self.layout),
            "count": result.count,
        }
        left_out: dict[str, Any] = {}
        if result.left_out is not None:
            readings, energy = result.left_out.readings, result.left_out.energy
            meta["left_out"] = {"readings": readings, "energy": energy}
            left_out = {"left_out": {"readings": str(readings), "energy": f"{energy:f}"}}

        async def only() -> AsyncGenerator[MeterReadings]:
            yield MeterReadings(result, meter.zone)

        chunks = self.format.readings(
            Readings(result.count, self.layout, only()), self.document(meta, cursor), self.options
        )
        payload = self.payload_of(chunks, result.count, cursor, left_out)
        metadata = dict(payload.metadata)
        has_all = state.span is not None and 0 < state.span.count <= result.count
        if has_all or result.count > EXPORT_READINGS:
            metadata[EXPORT] = str(result.count)
        sends_pages = self.format.name in ("json", "ndjson") or (
            self.format.name == "csv" and not self.options.dialect.decimal_comma
        )
        return Payload(chunks, result.count, metadata, result.deflate if sends_pages else None)


def units_of_layout(layout: RecordLayout) -> dict[str, str]:
    """Return the units of the quantities in a layout."""
    return {name: _UNITS[name] for name in layout.columns if name in _UNITS}


def v1_layout(request_columns: tuple[str, ...], common: dict[str, Any]) -> RecordLayout:
    """Return how the database writes records in the format of a request."""
    encoding = common["format"].encoding
    is_local = common["options"].dialect.for_spreadsheets
    time = TimeStyle.LOCAL if is_local else TimeStyle.OFFSET
    layout = RecordLayout.of(request_columns, encoding, time, numbers=True)
    return RecordLayout(layout.columns, encoding, layout.time, layout.numbers, START)


def readings_of_meter(request: web.Request, params: Params) -> DataRequest:
    """Make the request of parameters; raise ApiError or QueryError."""
    common = common_of(request, params)
    layout = v1_layout(parse_reading_fields(params), common)
    return V1ReadingsRequest(
        **common, period=parse_period(params), layout=layout, name=f"{common['meter']}-readings"
    )

"""Readings of meters, in the order of time."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, TypeVar

from aiohttp import web

from domain.parameters import Parameter, Params, csv_pattern
from domain.quantities import ALL_QUANTITIES
from domain.readings_query import QueryError
from domain.record_layout import Encoding, RecordLayout, TimeStyle
from server.api.cursors import meter_digest, source_digest
from server.api.data_request import EXPORT, EXPORT_READINGS, METER, DataRequest, parse_meter
from server.transport.streaming import Payload
from server.v1.formats.base import MeterReadings, Readings
from server.v1.groups import common_of_group
from server.v1.parameters import START, V1_LIMIT, parse_period, parse_reading_fields
from server.v1.request import V1Request, common_of, expired, meter_meta, period_meta
from storage.database import Database, DataState
from storage.figures.compute import Admit
from storage.figures.selection import Period
from storage.meters import Meter
from storage.readings.reader import ReadingsResult
from storage.readings.time_reader import TimeQuery

_UNITS = {quantity.name: quantity.result_unit for quantity in ALL_QUANTITIES}


_BEGINNING = -(2**62)
"""Stands, in a cursor, for the first reading of a meter."""

_MAX_METERS = 200

METER_LIST = Parameter(
    "meter",
    f"Which meters: at most {_MAX_METERS} public ids, separated by commas.",
    "main",
    csv_pattern("[A-Za-z0-9][A-Za-z0-9._-]{0,63}"),
)
GROUP = Parameter(
    "group",
    "Instead of meter: all meters of a group, also of groups in it, each on the days on which it"
    f" belongs to the group. If they are more than {_MAX_METERS}, limit is required.",
    pattern=METER.pattern,
)

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class V1ReadingsRequest(V1Request):
    """A request for the readings of one meter, or of one after the other."""

    period: Period
    layout: RecordLayout
    names_meters: bool = False
    """Whether records name their meter, as there may be several."""

    async def payload(
        self,
        database: Database,
        state: DataState,
        admit: Admit,  # noqa: ARG002 - readings are not scanned but sent
    ) -> Payload:
        """Query the readings; raise ApiError if those of earlier pages have changed."""
        async with aclosing(self._states(database, state)) as states:
            found, cursor = await self._query(database, states)
        count = sum(each.result.count for each in found)
        meters = [self._meta(each) for each in found]
        meta: dict[str, Any] = {"meters": meters} if self.names_meters else {**meters[0]}
        if self.group is not None:
            meta = {"group": self.group, **meta}
        meta |= {
            "quality": "clean" if self.period.is_clean else "raw",
            "units": _units(self.layout),
            "count": count,
        }
        left_out = [each.result.left_out for each in found if each.result.left_out is not None]
        metadata: dict[str, Mapping[str, str]] = {}
        if left_out:
            readings = sum(each.readings for each in left_out)
            energy = sum((each.energy for each in left_out), Decimal())
            meta["left_out"] = {"readings": readings, "energy": energy}
            metadata["left_out"] = {"readings": str(readings), "energy": f"{energy:f}"}
        written = _written(found, names_meters=self.names_meters)
        readings_sent = Readings(count, self.layout, written, self.names_meters)
        chunks = self.format.readings(readings_sent, self.document(meta, cursor), self.options)
        payload = self.payload_of(chunks, count, cursor, metadata)
        headers = dict(payload.metadata)
        if count > EXPORT_READINGS or any(each.is_whole for each in found):
            headers[EXPORT] = str(count)
        deflate = found[0].result.deflate if self._sends_pages else None
        return Payload(chunks, count, headers, deflate)

    @property
    def _sends_pages(self) -> bool:
        """Whether pages are sent as the database formats them."""
        is_text = self.format.encoding is not Encoding.CSV_TYPED
        return is_text and not self.names_meters and not self.options.dialect.decimal_comma

    async def _states(self, database: Database, state: DataState) -> AsyncGenerator[DataState]:
        """Yield the states of the meters that earlier pages have not finished."""
        if state.group is None:
            for each in self._rest((state, *state.others), source_digest):
                yield each
            return
        members = self._rest(
            await database.group_members(state),
            lambda member: meter_digest(state, member.meter_id),
        )
        if self.limit is None and len(members) > _MAX_METERS:
            raise QueryError(
                V1_LIMIT.name,
                f"expected with more than {_MAX_METERS} meters, which come page by page: the group"
                f" has {len(members)}",
            )
        for member in members:
            yield await database.member_state(member)

    def _rest(self, meters: Sequence[T], digest: Callable[[T], bytes]) -> Sequence[T]:
        """Return the meters that earlier pages have not finished; raise ApiError if it is gone."""
        position = self.position
        if position is None:
            return meters
        for place, meter in enumerate(meters):
            if digest(meter) == position.source:
                return meters[place:]
        raise expired()

    async def _query(
        self, database: Database, states: AsyncGenerator[DataState]
    ) -> tuple[list["_Found"], str | None]:
        """Return what is found of each meter, and the cursor of what is left for another page."""
        found: list[_Found] = []
        left = self.limit
        async for state in states:
            if left == 0 or len(found) == _MAX_METERS:
                return found, self.cursor(_BEGINNING, state)
            if not found:
                self.require_state(state)
            meter = await database.meter(state)
            assert meter is not None
            start, end = self.period.bounds(meter.zone)
            last_id = None
            if self.position is not None and not found:
                last_id = self.position.last_id
                if self.position.after != _BEGINNING:
                    start = self.position.after
            query = TimeQuery(start, end, self.period.is_clean, left, last_id)
            result = await database.readings_by_time(query, state, self.layout)
            known = None if state.span is None else state.span.count
            found.append(_Found(meter, result, known))
            if result.following is not None:
                return found, self.cursor(result.following, state)
            if left is not None:
                left -= result.count
        return found, None

    def _meta(self, found: "_Found") -> dict[str, Any]:
        meta = {**meter_meta(found.meter), **period_meta(self.period, found.meter.zone)}
        return {**meta, "count": found.result.count} if self.names_meters else meta


@dataclass(frozen=True, slots=True)
class _Found:
    """The readings of a meter."""

    meter: Meter
    result: ReadingsResult
    all_readings: int | None
    """How many the meter has, if it is on record."""

    @property
    def is_whole(self) -> bool:
        """Whether they are all that the meter has."""
        return bool(self.all_readings) and self.result.count >= (self.all_readings or 0)


async def _written(found: Sequence[_Found], *, names_meters: bool) -> AsyncGenerator[MeterReadings]:
    for each in found:
        name = each.meter.public_id if names_meters else None
        yield MeterReadings(each.result, each.meter.zone, name)


def _units(layout: RecordLayout) -> dict[str, str]:
    """Return the units of the quantities in a layout."""
    return {name: _UNITS[name] for name in layout.columns if name in _UNITS}


def _layout(params: Params, common: Mapping[str, Any]) -> RecordLayout:
    """Return how the database writes records in the format of a request."""
    encoding = common["format"].encoding
    is_local = common["options"].dialect.for_spreadsheets
    time = TimeStyle.LOCAL if is_local else TimeStyle.OFFSET
    layout = RecordLayout.of(parse_reading_fields(params), encoding, time, numbers=True)
    return replace(layout, date_name=START)


def readings_of_meter(request: web.Request, params: Params) -> DataRequest:
    """Make the request of parameters; raise ApiError or QueryError."""
    common = common_of(request, params)
    return V1ReadingsRequest(
        **common,
        limit=V1_LIMIT.parse(params),
        period=parse_period(params),
        layout=_layout(params, common),
        name=f"{common['meter']}-readings",
    )


def readings_of_meters(request: web.Request, params: Params) -> DataRequest:
    """Make the request of parameters; raise ApiError or QueryError."""
    if (METER_LIST.name in params) == (GROUP.name in params):
        raise QueryError(METER_LIST.name, "expected this or group, one of the two")
    common = common_of(request, params)
    if GROUP.name in params:
        asked: dict[str, Any] = {"group": parse_meter(params, GROUP)}
    else:
        names = _meter_names(params)
        asked = {"meter": names[0], "others": tuple(names[1:])}
    return _of_several({**common, **asked}, params, "readings")


def readings_of_group(request: web.Request, params: Params) -> DataRequest:
    """Make the request of parameters; raise ApiError or QueryError."""
    common = common_of_group(request, params)
    return _of_several(common, params, f"{common['group']}-readings")


def _of_several(common: Mapping[str, Any], params: Params, name: str) -> DataRequest:
    """Make a request for readings that say of which meter they are."""
    return V1ReadingsRequest(
        **common,
        limit=V1_LIMIT.parse(params),
        period=parse_period(params),
        layout=_layout(params, common),
        names_meters=True,
        name=name,
    )


def _meter_names(params: Params) -> Sequence[str]:
    """Return the public ids that the parameter names, in order; raise QueryError."""
    names = sorted({name.strip(" ") for name in params[METER_LIST.name].split(",")})
    for name in names:
        parse_meter({METER_LIST.name: name}, METER_LIST)
    if len(names) > _MAX_METERS:
        raise QueryError(
            METER_LIST.name, f"expected at most {_MAX_METERS} public ids, got {len(names)}"
        )
    return names

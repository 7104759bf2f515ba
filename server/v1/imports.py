"""The imports of a meter, and the values that they replaced."""

from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from domain.parameters import Integer, Params
from server.api.data_request import DataRequest
from server.errors import ApiError
from server.transport.streaming import Payload
from server.v1.parameters import CURSOR, V1_LIMIT, WRITING
from server.v1.request import V1Request, common_of, meter_meta
from storage.database import Database, DataState
from storage.figures.compute import Admit
from storage.figures.result import FieldType
from storage.import_history import IMPORT_FIELDS, REPLACED_FIELDS
from storage.meters import Meter

IMPORTS_LIMIT = Integer(
    V1_LIMIT.name, V1_LIMIT.description, minimum=1, maximum=10_000, default=1000
)
IMPORT_PARAMETERS = (IMPORTS_LIMIT, CURSOR, *WRITING)
NUMBER = "number"
"""Names the part of a path that is the number of an import."""

_MAX_NUMBER = 2**31 - 1
_UNITS = {field.name: field.unit for field in REPLACED_FIELDS if field.unit}


@dataclass(frozen=True, kw_only=True)
class V1ImportsRequest(V1Request):
    """A request for the imports of a meter, or for one and the values that it replaced."""

    number: int | None
    most: int

    async def payload(
        self,
        database: Database,
        state: DataState,
        admit: Admit,  # noqa: ARG002 - no reading is scanned
    ) -> Payload:
        """Query the imports; raise ApiError for those of days that the user may not see."""
        self.require_state(state)
        meter = await database.meter(state)
        assert meter is not None
        if state.windows:
            raise ApiError(403, "imports: only users who may see all days of the meter see them")
        if self.number is None:
            return await self._all(database, state, meter)
        return await self._one(database, state, meter, self.number)

    async def _all(self, database: Database, state: DataState, meter: Meter) -> Payload:
        before = None if self.position is None else self.position.after
        page = await database.import_history().imports(meter, self.most, before)
        cursor = None if page.following is None else self.cursor(page.following, state)
        meta = {**meter_meta(meter), "count": len(page.rows)}
        return self.table_payload(page.table(IMPORT_FIELDS, meter), meta, cursor)

    async def _one(
        self, database: Database, state: DataState, meter: Meter, number: int
    ) -> Payload:
        found = await database.import_history().one(meter, number)
        if found is None:
            raise ApiError(404, f"import: the meter {meter.public_id} has no import {number}")
        after = 0 if self.position is None else self.position.after
        page = await database.import_history().replaced(meter.id, number, self.most, after)
        cursor = None if page.following is None else self.cursor(page.following, state)
        record = {
            field.name: meter.zone.at(value).isoformat()
            if field.kind is FieldType.INSTANT and isinstance(value, int)
            else value
            for field, value in zip(IMPORT_FIELDS, found, strict=True)
        }
        meta = {
            **meter_meta(meter),
            "import": record,
            "units": _UNITS,
            "count": len(page.rows),
        }
        return self.table_payload(page.table(REPLACED_FIELDS, meter), meta, cursor)


def imports_of_meter(*, is_one: bool) -> Callable[[web.Request, Params], DataRequest]:
    """Return what makes the request for all imports, or for one; raises ApiError or QueryError."""

    def make(request: web.Request, params: Params) -> DataRequest:
        common = common_of(request, params)
        number = _number(request) if is_one else None
        name = f"{common['meter']}-imports" if number is None else f"{common['meter']}-{number}"
        return V1ImportsRequest(
            **common, number=number, most=IMPORTS_LIMIT.parse(params), name=name
        )

    return make


def _number(request: web.Request) -> int:
    text = request.match_info[NUMBER]
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(_MAX_NUMBER))
    if not is_number or int(text) > _MAX_NUMBER:
        raise ApiError(404, f"import: expected a number, got {text[:40]!a}")
    return int(text)

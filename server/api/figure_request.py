"""Requests for figures."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from aiohttp import web

from domain.parameters import Choice, Params
from domain.record_layout import TimeStyle
from server.api.data_request import METER, parse_meter
from server.api.payload_headers import disposition, quality_headers
from server.formats.base import Format, TableOptions
from server.formats.registry import FORMAT, negotiate_format
from server.transport.streaming import Payload
from storage.database import Database, DataState
from storage.figures.compute import Admit
from storage.figures.result import FigureQuery

_VALUES = Choice(
    "values",
    "Whether JSON contains numbers as text or as numbers.",
    choices={"text": False, "number": True},
    expected="text or number",
)
_TIME = Choice(
    "time",
    "How times are written: local time with its UTC offset, UTC, or only local time.",
    choices={each.value: each for each in (TimeStyle.OFFSET, TimeStyle.UTC, TimeStyle.LOCAL)},
    expected="offset or utc or local",
)
OUTPUT_PARAMETERS = (METER, _VALUES, _TIME, FORMAT)
"""The parameters of all figures: of which meter they are, and how they are written."""


@dataclass(frozen=True)
class FigureRequest:
    """A query for figures and how its result is written, see `DataRequest`."""

    query: FigureQuery
    name: str
    """The name of the route and, without its extension, of a file."""
    format: Format
    varies_by_accept: bool
    is_figure = True
    others = ()
    group = None
    options: TableOptions
    meter: str | None

    @classmethod
    def of(cls, request: web.Request, params: Params, query: FigureQuery, name: str) -> Self:
        """Parse the output parameters; raise QueryError."""
        return cls(
            query,
            name,
            negotiate_format(request, params),
            FORMAT.name not in params,
            TableOptions(_TIME.parse(params), numbers=_VALUES.parse(params)),
            parse_meter(params),
        )

    @cached_property
    def key(self) -> str:
        """A text that is equal for requests with equal responses."""
        time, numbers = self.options.time.value, self.options.numbers
        return f"{self.query.key} {self.format.name} numbers={numbers:d} {time}"

    @property
    def media_type(self) -> str:
        """The media type of the format."""
        return self.format.media_type

    def headers(self, metadata: Mapping[str, str]) -> Mapping[str, str]:
        """Return what was left out, and the name of a file."""
        return {**metadata, **disposition(self.format, self.name)}

    async def payload(self, database: Database, state: DataState, admit: Admit) -> Payload:
        """Compute the figures."""
        table = await database.figures(self.query, state, admit)
        chunks = self.format.table(table, self.options)
        return Payload(chunks, table.count, quality_headers(table.metadata))

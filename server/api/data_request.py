"""The interface of a parsed request for data, readings and figures alike."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from aiohttp import web

from domain.parameters import Parameter, Params
from domain.readings_query import QueryError
from server.transport.streaming import Payload
from storage.database import Database, DataState
from storage.figures.compute import Admit

_METER = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

METER = Parameter(
    "meter",
    "Which meter: its public id. By default the only one or, of several, the one that the service "
    "is configured to mean.",
    pattern=f"^{_METER.pattern}$",
)
"""The parameter of all data routes that names a meter."""

EXPORT = "export"
"""Names, in a payload's metadata, the number of its readings if it is an export; no header."""

EXPORT_READINGS = 10_000
"""Readings above which a response is an export, even if it has not all of them."""


class DataRequest(Protocol):
    """A parsed request for data whose response can be cached and shared."""

    @property
    def meter(self) -> str | None:
        """The public id of the meter that the request names, if any."""

    @property
    def group(self) -> str | None:
        """The public id of the group that it is about, if it is about one."""

    @property
    def others(self) -> Sequence[str]:
        """The public ids of further meters that it is about."""

    @property
    def key(self) -> str:
        """A text that is equal for requests of one meter, on any route, with equal responses."""

    @property
    def media_type(self) -> str:
        """The media type of the response."""

    @property
    def varies_by_accept(self) -> bool:
        """Whether the header Accept decided the format."""

    def headers(self, metadata: Mapping[str, str]) -> Mapping[str, str]:
        """Return the headers of a success, given the payload's metadata."""

    @property
    def is_figure(self) -> bool:
        """Whether the response is worked out of readings, rather than made of them."""

    async def payload(self, database: Database, state: DataState, admit: Admit) -> Payload:
        """Query the database; figures call `admit` first."""


Parser = Callable[[web.Request], Awaitable[DataRequest]]
"""Reads a request; raises ApiError or QueryError."""


def parse_meter(params: Params, parameter: Parameter = METER) -> str | None:
    """Return the public id that a parameter names, if any; raise QueryError if none can be so."""
    meter = params.get(parameter.name)
    if meter is not None and not _METER.fullmatch(meter):
        raise QueryError(
            parameter.name,
            "expected a public id: 1 to 64 letters, digits, '.', '_' or '-', first a letter or"
            f" digit, got {meter[:40]!a}",
        )
    return meter

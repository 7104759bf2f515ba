"""The output formats, and the one that a client prefers."""

from aiohttp import hdrs, web

from domain.parameters import Choice, Params
from server.formats.base import Format
from server.formats.csv import Csv
from server.formats.json import Json
from server.formats.ndjson import Ndjson
from server.formats.parquet import Parquet
from server.transport.negotiation import quality_values

_FORMATS: tuple[Format, ...] = (Json(), Ndjson(), Csv(), Parquet())

FORMAT = Choice(
    "format",
    "The format of the response; if omitted, the Accept header decides.",
    choices={each.name: each for each in _FORMATS},
)
MEDIA_TYPES = [each.media_type for each in _FORMATS]


def negotiate_format(request: web.Request, params: Params) -> Format:
    """Return the format of the parameter, or else of the header Accept; raise QueryError."""
    if FORMAT.name in params:
        return FORMAT.parse(params)
    return _accepted(",".join(request.headers.getall(hdrs.ACCEPT, ())))


def _accepted(header: str) -> Format:
    """Return the preferred format; of equally good ones, the first."""
    if not header or header == "*/*":
        return _FORMATS[0]
    weights = quality_values(header)

    def weight(media_type: str) -> float:
        main_type = media_type.partition("/")[0]
        for pattern in (media_type, f"{main_type}/*", "*/*"):
            if pattern in weights:
                return weights[pattern]
        return 0

    return max(_FORMATS, key=lambda each: weight(each.media_type))

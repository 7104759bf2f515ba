"""The output formats, and the one that a client prefers."""

from collections.abc import Mapping

from aiohttp import hdrs, web

from server.errors import ParameterError
from server.formats.base import Format
from server.formats.csv import Csv
from server.formats.json import Json
from server.formats.ndjson import Ndjson
from server.formats.parquet import Parquet
from server.transport.negotiation import quality_values

_FORMATS: tuple[Format, ...] = (Json(), Ndjson(), Csv(), Parquet())
FORMATS = {each.name: each for each in _FORMATS}
"""The formats by name; the first is the default."""


def negotiate_format(request: web.Request, params: Mapping[str, str]) -> Format:
    """Return the format of the parameter, else of the header Accept, else the default."""
    name = params.get("format")
    if name is None:
        return _accepted(",".join(request.headers.getall(hdrs.ACCEPT, ())))
    if name not in FORMATS:
        raise ParameterError(f"format: expected any of {', '.join(FORMATS)}, got {name[:40]!a}")
    return FORMATS[name]


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

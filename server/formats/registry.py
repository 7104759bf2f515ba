"""The formats of answers, and the one that a client likes best."""

from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import hdrs, web

from domain.quantities import QUANTITY_NAMES, RECORD_KEYS
from domain.record_layout import Encoding
from server.errors import ParameterError
from server.transport.negotiation import quality_values
from server.transport.streaming import JSON_MEDIA_TYPE


@dataclass(frozen=True, slots=True)
class Format:
    """A format: its name as a parameter, and what it takes to write records in it."""

    name: str
    media_type: str
    form: Encoding
    columns: tuple[str, ...]
    """Those of a record where none are asked for."""
    file: str | None = None
    """The name under which it is saved."""


JSON = Format("json", JSON_MEDIA_TYPE, Encoding.JSON_OBJECTS, RECORD_KEYS)
NDJSON = Format("ndjson", "application/x-ndjson", Encoding.NDJSON, RECORD_KEYS)
CSV = Format("csv", "text/csv", Encoding.CSV_REPORT, ("date", *QUANTITY_NAMES), "readings.csv")
PARQUET = Format(
    "parquet",
    "application/vnd.apache.parquet",
    Encoding.CSV_TYPED,
    ("id", "date", *QUANTITY_NAMES),
    "readings.parquet",
)
FORMATS = {each.name: each for each in (JSON, NDJSON, CSV, PARQUET)}


def negotiate_format(request: web.Request, given: Mapping[str, str]) -> Format:
    """The format that the parameter names, or else the header Accept; JSON where neither does."""
    name = given.get("format")
    if name is None:
        return _accepted(",".join(request.headers.getall(hdrs.ACCEPT, ())))
    if name not in FORMATS:
        raise ParameterError(f"format: expected any of {', '.join(FORMATS)}, got {name[:40]!a}")
    return FORMATS[name]


def _accepted(header: str) -> Format:
    """Of formats that a client likes equally, the first one in the list."""
    if not header or header == "*/*":
        return JSON
    weights = quality_values(header)

    def weight(media_type: str) -> float:
        kind = media_type.partition("/")[0]
        for pattern in (media_type, f"{kind}/*", "*/*"):
            if pattern in weights:
                return weights[pattern]
        return 0

    return max(FORMATS.values(), key=lambda each: weight(each.media_type))

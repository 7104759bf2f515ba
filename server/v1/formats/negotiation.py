"""The formats of /v1, and the one that a client asks for."""

from aiohttp import hdrs, web

from domain.parameters import Choice, Params
from server.errors import ApiError
from server.transport.negotiation import quality_values
from server.v1.formats.base import V1Format
from server.v1.formats.document import JsonDocument, JsonLines
from server.v1.formats.table_files import CsvTable, ParquetTable
from server.v1.formats.workbook import Xlsx

FORMATS: tuple[V1Format, ...] = (
    *(JsonDocument(), JsonLines(), CsvTable()),
    *(ParquetTable(), Xlsx()),
)
V1_FORMAT = Choice(
    "format",
    "The format of the response; if omitted, the Accept header decides.",
    choices={each.name: each for each in FORMATS},
)


def accepted_format(request: web.Request, params: Params) -> V1Format:
    """Return the format of the parameter, or else of the header Accept; of equals the first.

    Raise QueryError for an unknown one, ApiError if the header accepts none.
    """
    if V1_FORMAT.name in params:
        return V1_FORMAT.parse(params)
    header = ",".join(request.headers.getall(hdrs.ACCEPT, ()))
    if not header.strip():
        return FORMATS[0]
    weights = quality_values(header)

    def weight(each: V1Format) -> float:
        main_type = each.media_type.partition("/")[0]
        for pattern in (each.media_type, f"{main_type}/*", "*/*"):
            if pattern in weights:
                return weights[pattern]
        return 0

    best = max(FORMATS, key=weight)
    if not weight(best):
        known = ", ".join(each.media_type for each in FORMATS)
        raise ApiError(406, f"Accept: expected any of {known}")
    return best

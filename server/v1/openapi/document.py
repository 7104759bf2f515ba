"""The OpenAPI 3.1 document of /v1, made of the declarations of its routes."""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from aiohttp import hdrs, web
from apispec import APISpec

from domain.parameters import Integer, Parameter
from server.errors import PROBLEM_MEDIA_TYPE
from server.transport.streaming import JSON_MEDIA_TYPE
from server.v1.formats.negotiation import FORMATS
from server.v1.grants import GRANT_PATH, GRANTS_PATH, NEW_GRANT_PARAMETERS
from server.v1.parameters import READING_FIELDS
from server.v1.request import RECORD_COUNT
from server.v1.route import V1Route
from server.v1.routes import V1_ROUTES
from storage.figures.result import Field, FieldType

_TITLE = "Electricity readings"
_DESCRIPTION = """\
Readings of electricity meters, and statistics computed from them.

- Send a token of `/login`, or an API key, as `Authorization: Bearer`.
- Periods are half-open: `from` belongs to them, `to` does not. A day without a time begins at \
midnight of the meter's zone.
- JSON has `data`, `meta` (what the data is, its units, how many records) and `links` (the next \
page, if there is one). Numbers are exact decimals; a client that reads them as floating-point \
numbers may round them.
- Responses carry an ETag: with `If-None-Match`, an unchanged one is a 304 without a body.
- Errors are problem details (RFC 9457).

The routes of the original service are described in [another document](/swagger.json)."""

_TAGS = {
    "meters": "The meters that the user may see",
    "readings": "Readings: energy, power, voltage and related quantities",
    "groups": "Groups of meters: sums, members, coverage",
    "figures": "Aggregates, load profile, peaks, summary, data quality",
    "imports": "The reports that were loaded",
    "grants": "Who may see what: grants of users",
}
_TYPES: Mapping[FieldType, dict[str, Any]] = {
    FieldType.QUANTITY: {"type": ["number", "null"]},
    FieldType.COUNT: {"type": ["integer", "null"]},
    FieldType.INSTANT: {"type": ["string", "null"], "format": "date-time"},
    FieldType.TEXT: {"type": ["string", "null"]},
}
_PATH_PARAMETERS: Mapping[str, dict[str, Any]] = {
    "meter": {
        "description": "The public id of the meter",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"},
        "example": "main",
    },
    "group": {
        "description": "The public id of the group",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"},
        "example": "building",
    },
    "user": {
        "description": "The name of the user",
        "schema": {"type": "string", "minLength": 1, "maxLength": 64},
        "example": "morgan",
    },
    "grant_number": {
        "description": "The number of the grant of its user",
        "schema": {"type": "integer", "minimum": 0, "maximum": 2**31 - 1},
        "example": 1,
    },
    "number": {
        "description": "The number of the import of its meter",
        "schema": {"type": "integer", "minimum": 0, "maximum": 2**31 - 1},
        "example": 1,
    },
}
_COUNTS = {
    "type": "object",
    "properties": {
        "readings": {"type": "integer", "description": "How many readings"},
        "energy": {"type": "number", "description": "Their energy in kWh"},
    },
}
_TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
_META: Mapping[str, dict[str, Any]] = {
    "meter": {"type": "string", "description": "Public id of the meter"},
    "timezone": {"type": "string", "description": "IANA time zone of the meter"},
    "interval": {
        "type": ["string", "null"],
        "description": "From one reading to the next (ISO 8601); null if unknown or not the same",
    },
    "meters": {
        "type": "array",
        "description": "What the other members say of one, of several meters",
        "items": {"type": "object"},
    },
    "windows": {
        "type": "array",
        "description": "The days that the user may see; without it, all of them",
        "items": {
            "type": "object",
            "properties": {
                "from": {"type": ["string", "null"], "format": "date"},
                "to": {"type": ["string", "null"], "format": "date"},
            },
        },
    },
    "from": {"type": ["string", "null"], "description": "Start of the period, null for the first"},
    "to": {"type": ["string", "null"], "description": "End of the period, exclusive"},
    "quality": {"type": "string", "enum": ["raw", "clean"]},
    "left_out": {**_COUNTS, "description": "Implausible readings that clean leaves out"},
    "implausible": {**_COUNTS, "description": "Implausible readings in the period"},
    "units": {
        "type": "object",
        "description": "Units of the fields that have one",
        "additionalProperties": {"type": "string"},
    },
    "count": {"type": "integer", "description": "Number of records in this answer"},
    "column": {"type": "string", "description": "The quantity of a profile"},
    "demand_of": {"type": "string", "description": "The quantity that demand is taken from"},
    "interval_unknown": {"type": "string", "description": "Why some values are null"},
    "group": {"type": "string", "description": "Public id of the group"},
    "members": {"type": "integer", "description": "Meters of the group, also those in its groups"},
    "demand_seconds": {
        "type": "integer",
        "description": "Of a group's peaks and profile: how long the intervals are",
    },
    "interval_seconds": {
        "type": "string",
        "description": "The interval that most members have; several if they have changed it",
    },
    "other_intervals": {**_TEXTS, "description": "Members that have another, by their ids"},
    "other_timezones": {
        **_TEXTS,
        "description": "Members of another zone, whose readings are added up by the group's days",
    },
    "counted_repeatedly": {
        **_TEXTS,
        "description": "Members that are in the group in several ways, and count as often",
    },
    "total": {
        "type": "integer",
        "description": "How many meters all pages of the list have; only with offset=0",
    },
    "import": {"type": "object", "description": "The import, as in the list of imports"},
}
_PROBLEMS: Mapping[str, tuple[str, str]] = {
    "400": ("BadRequest", "A parameter is unknown, missing, contradictory or malformed"),
    "401": ("Unauthorized", "The token is missing, forged, expired or revoked"),
    "403": ("Forbidden", "The user may see the meter, but not this of it"),
    "404": ("NotFound", "There is no such thing, or the user may not see it"),
    "406": ("NotAcceptable", "The header Accept names no format that there is"),
    "408": ("RequestTimeout", "A body did not arrive within limits.request_time"),
    "410": ("Gone", "The data of earlier pages has changed: begin again without cursor"),
    "413": ("ContentTooLarge", "The request has a body, and none is expected"),
    "414": ("URITooLong", "The URL is longer than limits.request_line"),
    "429": ("TooManyRequests", "Too many requests; Retry-After gives the seconds to wait"),
    "431": ("RequestHeaderFieldsTooLarge", "The headers exceed the limits"),
    "503": ("ServiceUnavailable", "The database is unavailable, or there are no readings yet"),
}
_ONLY_OF_SOME = {"403", "404", "410"}
EXAMPLES_FILE = Path(__file__).with_name("examples.json")
EXAMPLES: Mapping[str, Any] = json.loads(EXAMPLES_FILE.read_text())
"""The beginning of an answer of each route to its example's parameters, by the names of routes."""


def openapi_document(*, offers_basic: bool) -> dict[str, Any]:
    """Return the document; with `offers_basic`, requests may carry name and password."""
    spec = APISpec(
        title=_TITLE,
        version="1",
        openapi_version="3.1.0",
        info={"description": _DESCRIPTION},
        tags=[{"name": name, "description": text} for name, text in _TAGS.items()],
        security=[{"bearer": []}, *([{"basic": []}] if offers_basic else [])],
    )
    spec.components.security_scheme(
        "bearer",
        {"type": "http", "scheme": "bearer", "description": "A token of /login, or an API key"},
    )
    if offers_basic:
        spec.components.security_scheme("basic", {"type": "http", "scheme": "basic"})
    spec.components.schema("Meta", {"type": "object", "properties": dict(_META)})
    spec.components.schema("Links", _links())
    spec.components.schema("Problem", _problem())
    for code, (name, description) in _PROBLEMS.items():
        spec.components.response(name, _problem_response(code, description))
    for route in V1_ROUTES:
        name = _record_name(route)
        spec.components.schema(name, _record(route))
        spec.path(path=route.path, operations={"get": _operation(route, name)})
    spec.path(path=GRANTS_PATH, operations={"post": _add_grant()})
    spec.path(path=GRANT_PATH, operations={"delete": _remove_grant()})
    return spec.to_dict()


def _operation(route: V1Route, record: str) -> dict[str, Any]:
    paths = [
        {"name": name, "in": "path", "required": True, **_PATH_PARAMETERS[name]}
        for name in re.findall(r"{(\w+)}", route.path)
    ]
    queries = [_parameter(each, route.example.get(each.name)) for each in route.parameters]
    codes = {*_PROBLEMS} - _ONLY_OF_SOME
    codes |= {"404"} if paths or route.path == "/v1/readings" else set()
    codes |= {"410"} if route.is_paged else set()
    codes |= {"403"} if route.has_permission else set()
    return {
        "operationId": route.name,
        "tags": [route.tag],
        "summary": route.summary,
        "description": route.description,
        "parameters": [*paths, *queries],
        "responses": {
            "200": _success(route, record, EXAMPLES.get(route.name)),
            "304": {"description": "Not modified since the response with the ETag"},
            **{code: _PROBLEMS[code][0] for code in sorted(codes)},
        },
    }


def _add_grant() -> dict[str, Any]:
    properties = {
        each.name: {"type": "string", **each.schema, "description": each.description}
        for each in NEW_GRANT_PARAMETERS
    }
    body = {
        "type": "object",
        "required": [each.name for each in NEW_GRANT_PARAMETERS if each.is_required],
        "properties": properties,
        "additionalProperties": False,
    }
    document = {
        "type": "object",
        "required": ["meta", "links", "data"],
        "properties": {
            "meta": {"$ref": "#/components/schemas/Meta"},
            "links": {"$ref": "#/components/schemas/Links"},
            "data": {"$ref": "#/components/schemas/GrantsRecord"},
        },
    }
    return {
        "operationId": "addGrant",
        "tags": ["grants"],
        "summary": "Grant a meter or a group that you manage to a user",
        "description": (
            "It holds from the next request on. One that equals another of the user changes"
            " nothing. You can grant no other days than those that you manage."
        ),
        "requestBody": {"required": True, "content": {JSON_MEDIA_TYPE: {"schema": body}}},
        "responses": {
            "201": {
                "description": "The grant",
                "headers": {hdrs.LOCATION: {"schema": {"type": "string"}}},
                "content": {JSON_MEDIA_TYPE: {"schema": document}},
            },
            **{code: _PROBLEMS[code][0] for code in sorted({*_PROBLEMS} - {"406", "410"})},
        },
    }


def _remove_grant() -> dict[str, Any]:
    return {
        "operationId": "removeGrant",
        "tags": ["grants"],
        "summary": "Remove a grant of what you manage",
        "description": "It ends with the next request.",
        "parameters": [
            {"name": name, "in": "path", "required": True, **_PATH_PARAMETERS[name]}
            for name in ("user", "grant_number")
        ],
        "responses": {
            "204": {"description": "It is removed"},
            **{code: _PROBLEMS[code][0] for code in sorted({*_PROBLEMS} - {"406", "408", "410"})},
        },
    }


def _success(route: V1Route, record: str, example: Any) -> dict[str, Any]:
    reference = {"$ref": f"#/components/schemas/{record}"}
    data: dict[str, Any] = {"type": "array", "items": reference}
    if route.is_single:
        data = {"oneOf": [reference, {"type": "null"}]}
    document = {
        "type": "object",
        "required": ["meta", "links", "data"],
        "properties": {
            "meta": {"$ref": "#/components/schemas/Meta"},
            "links": {"$ref": "#/components/schemas/Links"},
            "data": data,
        },
    }
    content: dict[str, Any] = {each.media_type: {} for each in FORMATS}
    content[JSON_MEDIA_TYPE] = {"schema": document}
    if example is not None:
        content[JSON_MEDIA_TYPE]["example"] = example
    headers = {
        hdrs.ETAG: "Names this response, for If-None-Match",
        RECORD_COUNT: "Number of records",
        hdrs.LINK: "The URL of the next page (rel=next), if there is one",
    }
    return {
        "description": "The answer; of a long one, the example is the beginning",
        "headers": {
            name: {"description": text, "schema": {"type": "string"}}
            for name, text in headers.items()
        },
        "content": content,
    }


def _parameter(parameter: Parameter, example: str | None) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string", **parameter.schema}
    if isinstance(parameter, Integer):
        schema["type"] = "integer"
        if parameter.default is not None:
            schema["default"] = parameter.default
    described: dict[str, Any] = {
        "name": parameter.name,
        "in": "query",
        "required": parameter.is_required,
        "description": parameter.description,
        "schema": schema,
    }
    if example is not None:
        described["example"] = int(example) if isinstance(parameter, Integer) else example
    return described


def _record_name(route: V1Route) -> str:
    return f"{route.name.removeprefix('get').removeprefix('list')}Record"


def _record(route: V1Route) -> dict[str, Any]:
    fields = _all_fields(route.kinds)
    required = [name for name in fields if _is_in_all(name, route.kinds)]
    properties = {name: _value(field) for name, field in fields.items()}
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    if READING_FIELDS not in route.parameters:  # the client's choice
        schema["required"] = required
    if route.more_fields:
        schema["patternProperties"] = {
            pattern: {"type": ["number", "null"], "description": text}
            for pattern, text in route.more_fields.items()
        }
    return schema


def _all_fields(kinds: Iterable[Iterable[Field]]) -> dict[str, Field]:
    return {_name(field): field for kind in kinds for field in kind}


def _is_in_all(name: str, kinds: Iterable[Iterable[Field]]) -> bool:
    return all(name in {_name(field) for field in kind} for kind in kinds)


def _name(field: Field) -> str:
    return "start" if field.name == "date" else field.name


def _value(field: Field) -> dict[str, Any]:
    return {**_TYPES[field.kind], "description": field.means}


def _links() -> dict[str, Any]:
    reference = {"type": "string", "format": "uri-reference"}
    return {
        "type": "object",
        "required": ["self"],
        "properties": {
            "self": {**reference, "description": "This answer"},
            "next": {
                "type": ["string", "null"],
                "format": "uri-reference",
                "description": "The next page; null on the last one",
            },
        },
        "additionalProperties": {**reference, "description": "What belongs to it"},
    }


def _problem() -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["type", "title", "status"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string", "description": "What was wrong, and what to do"},
            "request_id": {"type": "string", "description": "As in the header X-Request-ID"},
        },
    }


def _problem_response(code: str, description: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    response: dict[str, Any] = {
        "description": description,
        "content": {PROBLEM_MEDIA_TYPE: {"schema": schema}},
    }
    names = {"401": hdrs.WWW_AUTHENTICATE, "429": hdrs.RETRY_AFTER, "503": hdrs.RETRY_AFTER}
    if code in names:
        response["headers"] = {names[code]: {"schema": {"type": "string"}}}
    return response


V1_DOCUMENT = web.AppKey("v1_document", dict[str, Any])


async def v1_document(request: web.Request) -> web.Response:
    """Return the description of /v1, OpenAPI 3.1."""
    return web.json_response(request.app[V1_DOCUMENT])


ROUTES = [web.get("/openapi.json", v1_document)]

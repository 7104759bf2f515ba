"""The answers of the API as the document describes them, each with an example."""

from collections.abc import Mapping, Sequence
from typing import Any

from marshmallow import fields

from server.api.openapi.schemas import EnvelopeSchema, ErrorSchema, TokenSchema, table_schema
from storage.figures.result import Field


def _response(description: str, schema: type, example: dict[str, Any]) -> dict[str, Any]:
    return {
        "description": description,
        "schema": schema,
        "examples": {"application/json": example},
    }


def _error(code: int, description: str, message: str = "", status: str = "ERROR") -> dict[str, Any]:
    example = {"message": message} if message else {}
    return _response(
        description, ErrorSchema, example | {"status": status, "statusCode": str(code)}
    )


def _answer(message: str, records: Sequence[Mapping[str, str | None]]) -> dict[str, Any]:
    return {
        "message": message,
        "status": "OK",
        "statusCode": 200,
        "values": {"numrecs": len(records), "records": records},
    }


def _headers(headers: Mapping[str, str]) -> dict[str, Any]:
    described = {name: {"type": "string", "description": text} for name, text in headers.items()}
    return {"headers": described}


_GUARDED = {
    "405": _error(405, "There is no token: get one from /login first", status="Token is missing"),
    "406": _error(
        406,
        "The token is forged, expired or revoked: log in again",
        "The token has expired, log in again",
        status="Token is invalid",
    ),
}
_UNAVAILABLE = _error(
    503,
    "The database fails, or nothing was loaded yet",
    "The readings cannot be read just now, try again later",
)
_HEADS = {
    "414": _error(
        414,
        "The address is longer than limits.request_line",
        "request line: expected at most 65536 bytes",
    ),
    "431": _error(
        431,
        "There are more or longer headers than limits lets pass",
        "headers: expected at most 100",
    ),
}
_LIMITED = {
    **_HEADS,
    "408": _error(
        408, "The body did not come in limits.request_time", "body: expected within 75 s"
    ),
    "413": _error(
        413, "The body is larger than limits.body", "body: expected at most 1048576 bytes"
    ),
    "429": _error(
        429,
        "Too many requests or long answers of this user or from this address; Retry-After says how "
        "many seconds to wait",
        "Too many long answers at a time, at most 100 a user",
    ),
}


def _bad_request(message: str) -> dict[str, Any]:
    return _error(
        400, "A parameter is unknown, missing, contradictory or malformed; it is named", message
    )


_NONE_EXPECTED = _bad_request("'id': unknown parameter, none is expected here")

PING = {
    "200": _response("The service is there", EnvelopeSchema, _answer("I'm here!!", [])),
    "400": _NONE_EXPECTED,
    **_GUARDED,
    **_LIMITED,
    "503": _UNAVAILABLE,
}
LOGOUT = {
    "200": _response(
        "The token is good no longer, on any server", EnvelopeSchema, _answer("Logged out", [])
    ),
    "400": _NONE_EXPECTED,
    **_GUARDED,
    **_LIMITED,
    "503": _error(
        503,
        "The database cannot be written, and the token is still good",
        "The token is still good: the database cannot be written just now, try again later",
    ),
}
_UNCHANGED = {"description": "Nothing has changed since the ETag that If-None-Match names"}
_LEFT_OUT = {
    "X-Left-Out-Readings": "With quality=clean, how many readings were left out",
    "X-Left-Out-Energy": "With quality=clean, their energy in kWh",
}
_HEADERS = {
    "Link": "With limit, rel=next: where the next part is, relative to this one; none on the last",
    "X-Next": "The same as `next`: what `after` takes for the next part",
    **_LEFT_OUT,
}
LOGIN = {
    "200": _response(
        "The token",
        TokenSchema,
        {
            "Authorization_type": "API Key",
            "In": "header",
            "Key": "SESSION",
            "value_token": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.…",
        },
    ),
    **_HEADS,
    "401": _error(401, "The login is wrong, or there is none", "Invalid user and/or password"),
    "429": _error(
        429,
        "Too many logins of this user or from this address have failed; Retry-After says how "
        "many seconds to wait",
        "Too many logins have failed, try again in 300 s",
    ),
    "503": _error(
        503,
        "The database fails, or too many logins are under way",
        "Too many logins at once, try again in 1 s",
    ),
}


READINGS = _response(
    "The readings, in the order of id; none is a success as well, with the message "
    "No data found and numrecs 0",
    EnvelopeSchema,
    _answer(
        "",
        [
            {
                "date": "2019-08-01 01:00:00",
                "energy": "1.71000",
                "id": "5",
                "intensity": "78.31200",
                "maximeter": "14.64400",
                "power": "9.42300",
                "power_factor": "0.86900",
                "reactive_energy": "0.61000",
                "reactive_power": "-10.10200",
                "voltage": "122.01000",
            }
        ],
    ),
) | _headers(_HEADERS)


def figures_success(
    name: str,
    kinds: Sequence[Sequence[Field]],
    metadata: Mapping[str, fields.Field[Any]],
    record: Mapping[str, str | None],
) -> dict[str, Any]:
    """Return a success of a route of figures, whose records are of some kinds."""
    return _response(
        "The records; none is a success as well, with the message No data found and numrecs 0",
        table_schema(name, kinds, metadata),
        _answer("", [record]),
    ) | _headers(_LEFT_OUT)


def data_responses(success: Mapping[str, Any], bad_request: str) -> dict[str, Any]:
    """Return the responses of a data route."""
    return {
        "200": success,
        "304": _UNCHANGED,
        "400": _bad_request(bad_request),
        **_GUARDED,
        **_LIMITED,
        "503": _UNAVAILABLE,
    }

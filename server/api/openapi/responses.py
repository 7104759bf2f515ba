"""OpenAPI descriptions of responses, each with an example."""

from collections.abc import Mapping, Sequence
from typing import Any

from marshmallow import fields

from server.api.openapi.schemas import (
    EnvelopeSchema,
    ErrorSchema,
    KeySetSchema,
    MetersSchema,
    SessionsSchema,
    TokenSchema,
    table_schema,
)
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


def _success(message: str, records: Sequence[Mapping[str, str | None]]) -> dict[str, Any]:
    return {
        "message": message,
        "status": "OK",
        "statusCode": 200,
        "values": {"numrecs": len(records), "records": records},
    }


def _headers(headers: Mapping[str, str]) -> dict[str, Any]:
    described = {name: {"type": "string", "description": text} for name, text in headers.items()}
    return {"headers": described}


_TOKEN_ERRORS = {
    "405": _error(405, "The token is missing: get one from /login", status="Token is missing"),
    "406": _error(
        406,
        "The token is forged, expired or revoked: log in again",
        "The token has expired, log in again",
        status="Token is invalid",
    ),
}
_UNAVAILABLE = _error(
    503,
    "The database is unavailable, or no report has been loaded",
    "The readings cannot be read just now, try again later",
)
_HEAD_ERRORS = {
    "414": _error(
        414,
        "The URL is longer than limits.request_line",
        "request line: expected at most 65536 bytes",
    ),
    "431": _error(
        431,
        "The headers exceed the limits",
        "headers: expected at most 100",
    ),
}
_LIMIT_ERRORS = {
    **_HEAD_ERRORS,
    "408": _error(
        408, "The body did not arrive within limits.request_time", "body: expected within 75 s"
    ),
    "413": _error(
        413, "The body is larger than limits.body", "body: expected at most 1048576 bytes"
    ),
    "429": _error(
        429,
        "Too many requests or long responses for this user or address; Retry-After gives the "
        "seconds to wait",
        "Too many long answers at a time, at most 100 a user",
    ),
}


def _bad_request(message: str) -> dict[str, Any]:
    return _error(
        400,
        "A parameter is unknown, missing, contradictory or malformed; the message names it",
        message,
    )


_NO_PARAMETERS = _bad_request("'id': unknown parameter, none is expected here")

PING = {
    "200": _response("The service is available", EnvelopeSchema, _success("I'm here!!", [])),
    "400": _NO_PARAMETERS,
    **_TOKEN_ERRORS,
    **_LIMIT_ERRORS,
    "503": _UNAVAILABLE,
}
_NO_SESSION = _error(
    403,
    "The request carries an API key, or name and password: they have no session",
    "This is for the sessions of users: log in, and send the token",
)

LOGOUT = {
    "200": _response(
        "The token is revoked, on all servers", EnvelopeSchema, _success("Logged out", [])
    ),
    "400": _NO_PARAMETERS,
    "403": _NO_SESSION,
    **_TOKEN_ERRORS,
    **_LIMIT_ERRORS,
    "503": _error(
        503,
        "The database cannot be written; the token is still valid",
        "The token is still good: the database cannot be written just now, try again later",
    ),
}
_UNKNOWN_METER = _error(
    404, "There is no meter with this public id", "meter: there is no meter factory"
)
_UNCHANGED = {"description": "Not modified since the response with the ETag in If-None-Match"}
_QUALITY_HEADERS = {
    "X-Quality": "raw or clean, of figures that can be either",
    "X-Implausible-Readings": "The number of implausible readings in the period",
    "X-Implausible-Energy": "Their energy in kWh, by which raw and clean differ",
}
_LEFT_OUT = {
    "X-Left-Out-Readings": "With quality=clean, the number of excluded readings",
    "X-Left-Out-Energy": "With quality=clean, the energy of excluded readings in kWh",
}
_HEADERS = {
    "Link": "With limit: the URL of the next page (rel=next), relative; none on the last page",
    "X-Next": "Same as `next`: the value of `after` for the next page",
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
    **_HEAD_ERRORS,
    "401": _error(
        401, "The user or the password is wrong or missing", "Invalid user and/or password"
    ),
    "429": _error(
        429,
        "Too many failed logins of this user or from this address; Retry-After gives the seconds "
        "to wait",
        "Too many logins have failed, try again in 300 s",
    ),
    "503": _error(
        503,
        "The database is unavailable, or too many logins are in progress",
        "Too many logins at once, try again in 1 s",
    ),
}
PUBLIC_KEYS = {
    "200": _response(
        "The public keys",
        KeySetSchema,
        {
            "keys": [
                {
                    "kty": "OKP",
                    "crv": "Ed25519",
                    "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
                    "kid": "summer",
                    "use": "sig",
                    "alg": "EdDSA",
                }
            ]
        },
    ),
    "400": _NO_PARAMETERS,
    "404": _error(
        404,
        "No key of auth.keys is an Ed25519 key",
        "Tokens are signed with secrets, there are no public keys",
    ),
    **_LIMIT_ERRORS,
}

_NOT_WRITTEN = "the database cannot be written just now, try again later"
CHANGE_PASSWORD = {
    "200": _response(
        "The password is changed, and this is the new token",
        TokenSchema,
        LOGIN["200"]["examples"]["application/json"],
    ),
    "400": _error(
        400,
        "A parameter is missing or stands in the URL, or the new password is too easily guessed",
        "query: expected the parameters in the body, since URLs are logged",
    ),
    "403": _error(
        403,
        "The old password is wrong, users cannot change theirs here, or there is no session",
        "old_password: this is not your password",
    ),
    **_TOKEN_ERRORS,
    "409": _error(
        409,
        "Another change of the password came first",
        "The password was changed by somebody else meanwhile",
    ),
    **_LIMIT_ERRORS,
    "503": _error(
        503,
        "The database cannot be read or written, or too many passwords are being checked",
        f"It is not certain that the password was changed: {_NOT_WRITTEN}",
    ),
}
SESSIONS = {
    "200": _response(
        "The sessions, the latest first",
        SessionsSchema,
        _success(
            "",
            [
                {
                    "id": "q3GcJw8A",
                    "issued": "2026-11-28T09:30:00Z",
                    "expires": "2026-11-28T10:30:00Z",
                    "address": "192.0.2.7",
                    "agent": "curl/8.14.1",
                    "current": "true",
                }
            ],
        ),
    ),
    "400": _NO_PARAMETERS,
    "403": _NO_SESSION,
    **_TOKEN_ERRORS,
    **_LIMIT_ERRORS,
    "503": _UNAVAILABLE,
}
END_OTHER_SESSIONS = {
    "200": _response(
        "The other sessions are ended, on all servers",
        EnvelopeSchema,
        _success("The other sessions are ended", []),
    ),
    "400": _NO_PARAMETERS,
    "403": _NO_SESSION,
    **_TOKEN_ERRORS,
    **_LIMIT_ERRORS,
    "503": _error(
        503,
        "The database cannot be written; the sessions go on",
        f"The sessions go on: {_NOT_WRITTEN}",
    ),
}
END_SESSION = {
    "200": _response(
        "The session is ended, on all servers", EnvelopeSchema, _success("Session ended", [])
    ),
    "400": _bad_request("id: expected an id of getSessions, 8 of A-Z, a-z, 0-9, -, _ and ."),
    "403": _NO_SESSION,
    **_TOKEN_ERRORS,
    "404": _error(404, "The user has no such session", "id: there is no such session"),
    **_LIMIT_ERRORS,
    "503": _error(
        503,
        "The database cannot be written; the session goes on",
        f"The session goes on: {_NOT_WRITTEN}",
    ),
}


METERS = {
    "200": _response(
        "The meters, in the order of their public ids; if there are none, the message is No data "
        "found and numrecs is 0",
        MetersSchema,
        {
            "message": "",
            "status": "OK",
            "statusCode": 200,
            "values": {
                "numrecs": 1,
                "default": "main",
                "records": [
                    {
                        "meter": "main",
                        "name": None,
                        "identifier": None,
                        "timezone": "Europe/Madrid",
                        "interval_seconds": "900",
                        "intervals": "900 from 2019-08-01T00:00:00+02:00",
                        "first_reading": "2019-08-01T00:00:00+02:00",
                        "last_reading": "2019-11-30T23:45:00+01:00",
                        "readings": "11716",
                    }
                ],
            },
        },
    ),
    "400": _bad_request("limit: expected a whole number from 1 to 1000, got '0'"),
    **_TOKEN_ERRORS,
    **_LIMIT_ERRORS,
    "503": _UNAVAILABLE,
}
EXPIRED_CURSOR = {
    "410": _error(
        410,
        "With after: the readings of earlier pages have changed, so that the next page would not "
        "fit; begin again without after",
        "after: readings of earlier pages were corrected meanwhile, begin again without after",
    )
}
READINGS_SUCCESS = _response(
    "The readings, in the order of id; if there are none, the message is No data found and "
    "numrecs is 0",
    EnvelopeSchema,
    _success(
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
        "The records; if there are none, the message is No data found and numrecs is 0",
        table_schema(name, kinds, metadata),
        _success("", [record]),
    ) | _headers(_QUALITY_HEADERS | _LEFT_OUT)


def data_responses(success: Mapping[str, Any], bad_request: str) -> dict[str, Any]:
    """Return the responses of a data route."""
    return {
        "200": success,
        "304": _UNCHANGED,
        "400": _bad_request(bad_request),
        "404": _UNKNOWN_METER,
        **_TOKEN_ERRORS,
        **_LIMIT_ERRORS,
        "503": _UNAVAILABLE,
    }

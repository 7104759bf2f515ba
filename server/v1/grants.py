"""Grants: seen by their users, and changed by those who manage what they are for."""

import json
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from aiohttp import hdrs, web

from domain.access import (
    PERMISSIONS,
    Access,
    Permission,
    Window,
    parse_day,
    parse_future,
    window_of_days,
)
from domain.parameters import Choice, Integer, Parameter, Params
from domain.readings_query import QueryError
from server.api.data_request import METER, parse_meter
from server.context import CONTEXT, DATABASE, Token
from server.errors import ApiError, ParameterError
from server.security.audit_log import audit
from server.security.upload import admitted_parameters
from server.transport.parameters import read_parameters
from server.transport.streaming import JSON_MEDIA_TYPE
from server.v1.lists import answer_list
from server.v1.parameters import CURSOR, WRITING
from storage.access.grant_admin import GrantProperties, GrantRecord
from storage.access.targets import Target, day_columns
from storage.access.viewer import Viewer
from storage.database import Database
from storage.figures.result import Field, FieldType, ResultTable, as_chunks

GRANTS_PATH = "/v1/grants"
GRANT_PATH = f"{GRANTS_PATH}/{{user}}/{{grant_number}}"

GRANT_FIELDS = (
    Field("user", FieldType.TEXT, "Who may"),
    Field("number", FieldType.COUNT, "Number of the grant of its user"),
    Field("meter", FieldType.TEXT, "Meter that it is for; null if it is for a group or for all"),
    Field("group", FieldType.TEXT, "Group that it is for; null if it is for a meter or for all"),
    Field("permission", FieldType.TEXT, "read, write or manage; each includes those before it"),
    Field("first_day", FieldType.TEXT, "First local day of the readings; null from the beginning"),
    Field("last_day", FieldType.TEXT, "Last local day, inclusive; null without end"),
    Field("expires", FieldType.TEXT, "When the grant ends; null never"),
    Field("granted_by", FieldType.TEXT, "Who gave it; empty for that of every new user"),
    Field("granted", FieldType.TEXT, "When it was given"),
)
_USER_PATTERN = r"^[^\u0000-\u001f\u007f]{1,64}$"
_USER = Parameter("user", "Only the grants of this user.", pattern=_USER_PATTERN)
_LIMIT = Integer(
    "limit",
    "Maximum number of grants. If there are more, links.next and the header Link have the URL of"
    " the next page.",
    minimum=1,
    maximum=1000,
    default=100,
)
_CURSOR = Parameter(CURSOR.name, CURSOR.description, pattern="^[0-9]{1,10}\\..{1,64}$")
GRANT_LIST_PARAMETERS = (_USER, _LIMIT, _CURSOR, *WRITING)

_NEW_USER = Parameter("user", "Who may.", "morgan", pattern=_USER_PATTERN, is_required=True)
_METER = Parameter("meter", "The meter that it is for.", "main", METER.pattern)
_GROUP = Parameter("group", "The group that it is for, instead of a meter.", pattern=METER.pattern)
_ALL = Choice("all", "With yes, it is for all meters.", choices={"no": False, "yes": True})
_PERMISSION = Choice(
    "permission",
    "What the user may do; each includes those before it.",
    choices=dict(PERMISSIONS),
)
_DAY_PATTERN = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_FIRST_DAY = Parameter("first_day", "First local day of the readings.", pattern=_DAY_PATTERN)
_LAST_DAY = Parameter("last_day", "Last local day, inclusive.", pattern=_DAY_PATTERN)
_EXPIRES = Parameter("expires", "When the grant ends, such as 2027-01-01T00:00:00+01:00.")
NEW_GRANT_PARAMETERS = (
    *(_NEW_USER, _METER, _GROUP, _ALL, _PERMISSION),
    *(_FIRST_DAY, _LAST_DAY, _EXPIRES),
)


async def visible_grants(request: web.Request) -> web.Response:
    """Return the grants of the user who asks, and those of what the user manages."""
    names = [each.name for each in GRANT_LIST_PARAMETERS]
    params = await read_parameters(request, optional=names, with_body=False)
    database, viewer = request.app[DATABASE], _token(request).viewer
    page = await database.managed_grants.page(
        viewer,
        _LIMIT.parse(params),
        _after(params),
        manages_all=await _manages_all(database, viewer),
        user=_user(params),
    )
    rows = [[*_record(grant).values()] for grant in page.grants]
    table = ResultTable(GRANT_FIELDS, None, len(rows), as_chunks(rows))
    following = None if page.following is None else f"{page.following[1]}.{page.following[0]}"
    return await answer_list(request, params, table, following, "grants")


async def new_grant(request: web.Request) -> web.Response:
    """Add a grant for what the user who asks manages, and return it."""
    optional = [each.name for each in NEW_GRANT_PARAMETERS if not each.is_required]
    params = await admitted_parameters(request, [_NEW_USER.name], optional)
    token, database = _token(request), request.app[DATABASE]
    grant = _properties(params)
    access = await _require_managed(database, token.viewer, grant.target)
    _require_days(access, grant, "first_day")
    if access.until < (grant.expires or float("inf")):
        raise ApiError(403, "expires: expected a time at which your own grant has not ended")
    user = params[_NEW_USER.name]
    added = await database.managed_grants.add(user, grant, token.user)
    if added is None:
        raise ApiError(404, f"user: there is no user {user}")
    audit(request, "grant added", token.user, **_told(added))
    return _one(added, status=201)


async def end_grant(request: web.Request) -> web.Response:
    """Remove a grant for what the user who asks manages."""
    await read_parameters(request, with_body=False)
    token, database = _token(request), request.app[DATABASE]
    user, number = request.match_info["user"], request.match_info["grant_number"]
    is_number = number.isascii() and number.isdigit() and len(number) < len(str(2**31))
    found = None
    if is_number:
        manages_all = await _manages_all(database, token.viewer)
        found = await database.managed_grants.grant(
            token.viewer, user, int(number), manages_all=manages_all
        )
    if found is None:
        raise ApiError(404, f"grant: there is no grant {number[:20]} of {user[:64]}")
    access = await _require_managed(database, token.viewer, found.properties.target)
    _require_days(access, found.properties, "grant")
    await database.managed_grants.remove(user, found.number)
    audit(request, "grant removed", token.user, **_told(found))
    return web.Response(status=204)


async def _manages_all(database: Database, viewer: Viewer) -> bool:
    everything = await database.grants.everything(viewer, Permission.MANAGE)
    return everything is not None and everything.permission is Permission.MANAGE


async def _require_managed(database: Database, viewer: Viewer, target: Target) -> Access:
    """Return what a viewer manages of a target; raise ApiError if that is nothing.

    One that the viewer may not even see is answered as one that is not there.
    """
    access = await _access(database, viewer, target, Permission.MANAGE)
    if access is not None and access.permission is Permission.MANAGE:
        return access
    is_all = target.meter is None and target.group is None
    if is_all or await _access(database, viewer, target, Permission.READ) is not None:
        raise ApiError(403, f"grant: expected a target that you manage, not {target}")
    kind, name = ("meter", target.meter) if target.group is None else ("group", target.group)
    raise ApiError(404, f"{kind}: there is no {kind} {name}")


def _require_days(access: Access, grant: GrantProperties, about: str) -> None:
    """Raise ApiError unless all days of a grant are managed."""
    if not any(each & grant.window == grant.window for each in access.windows):
        raise ApiError(403, f"{about}: you manage {grant.target} on other days only")


async def _access(
    database: Database, viewer: Viewer, target: Target, least: Permission
) -> Access | None:
    if target.meter is not None:
        return await database.grants.access(viewer, target.meter, least)
    if target.group is not None:
        return await database.grants.group_access(viewer, target.group, least)
    return await database.grants.everything(viewer, least)


def _token(request: web.Request) -> Token:
    token = request[CONTEXT].token
    assert token is not None, "all of these routes need one"
    return token


def _user(params: Params) -> str | None:
    """Return whose grants are asked for, None for those of all; raise QueryError."""
    user = params.get(_USER.name)
    if user is not None and not re.fullmatch(_USER_PATTERN, user):
        raise QueryError(_USER.name, "expected a name of 1 to 64 characters that can be printed")
    return user


def _after(params: Params) -> tuple[str, int]:
    """Return the user and the number after which a page begins; raise QueryError."""
    number, dot, user = params.get(_CURSOR.name, "0.").partition(".")
    if not dot or not number.isascii() or not number.isdigit() or len(number) >= len(str(2**31)):
        raise QueryError(_CURSOR.name, "expected that of links.next in an earlier answer")
    return user, int(number)


def _properties(params: Params) -> GrantProperties:
    """Return the grant that the parameters describe; raise ApiError or QueryError."""
    meter, group = parse_meter(params, _METER), parse_meter(params, _GROUP)
    if [meter is not None, group is not None, _ALL.parse(params)].count(True) != 1:
        raise ParameterError("meter: expected either meter, group, or all with the value yes")
    return GrantProperties(
        Target(meter, group), _PERMISSION.parse(params), _window(params), _expiry(params)
    )


def _window(params: Params) -> Window:
    days = []
    for parameter in (_FIRST_DAY, _LAST_DAY):
        text = params.get(parameter.name, "")
        try:
            days.append(parse_day(text))
        except ValueError as error:
            raise QueryError(parameter.name, f"expected {error}, got {text[:40]!a}") from None
    try:
        return window_of_days(days[0], days[1])
    except ValueError as error:
        raise QueryError(_LAST_DAY.name, f"expected {error}") from None


def _expiry(params: Params) -> int | None:
    text = params.get(_EXPIRES.name, "")
    try:
        return parse_future(text, time.time())
    except ValueError as error:
        raise QueryError(_EXPIRES.name, f"expected {error}, got {text[:40]!a}") from None


def _one(grant: GrantRecord, *, status: int) -> web.Response:
    location = f"{GRANTS_PATH}/{quote(grant.user, safe='')}/{grant.number}"
    document = {"meta": {}, "links": {"self": location}, "data": _record(grant)}
    return web.Response(
        status=status,
        body=json.dumps(document, separators=(",", ":")).encode(),
        content_type=JSON_MEDIA_TYPE,
        charset="utf-8",
        headers={hdrs.LOCATION: location, hdrs.CACHE_CONTROL: "no-store"},
    )


def _record(grant: GrantRecord) -> dict[str, Any]:
    properties = grant.properties
    first_day, last_day = day_columns(properties.window)
    values = (
        *(grant.user, grant.number, properties.target.meter, properties.target.group),
        *(properties.permission.word, first_day, last_day, _utc(properties.expires)),
        *(grant.granted_by, _utc(grant.granted)),
    )
    return dict(zip((field.name for field in GRANT_FIELDS), values, strict=True))


def _told(grant: GrantRecord) -> Mapping[str, str]:
    """Return what the audit log says of a grant."""
    properties = grant.properties
    target = properties.target.meter or properties.target.group or "all"
    return {
        "of": json.dumps(grant.user),
        "number": str(grant.number),
        "target": target,
        "permission": properties.permission.word,
    }


def _utc(seconds: int | None) -> str | None:
    if seconds is None:
        return None
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


CHANGES = [web.post(GRANTS_PATH, new_grant)]
"""The routes that read a body."""

REMOVALS = [web.delete(GRANT_PATH, end_grant)]

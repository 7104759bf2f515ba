"""Events of logins and sessions, for the log `audit` and the audit trail; never a password."""

import json
import logging

from aiohttp import web

from server.context import CONTEXT, request_id
from server.security.audit_trail import AUDIT_TRAIL, Event
from server.transport.client_address import client_address

log = logging.getLogger("audit")

_MAX_NAME_LENGTH = 64
_MAX_QUERY_LENGTH = 200


def audit(request: web.Request, event: str, user: str | None, **details: str) -> None:
    """Log an event, and have the audit trail tell of it, with the id of the request's token.

    The user name is quoted and shortened, so that it can't forge a log line.
    """
    quoted = "-" if user is None else json.dumps(user[:_MAX_NAME_LENGTH])
    text = "".join(f" {key}={value}" for key, value in details.items())
    address, own_id = client_address(request), request_id(request)
    fields = {"event": event, "user": user, "client": address, **details, "request": own_id}
    log.info(
        "%s user=%s address=%s%s id=%s",
        *(event, quoted, address, text, own_id),
        extra={"fields": fields},
    )
    name = event.removesuffix(" refused")
    result = "ok" if name == event else "refused"
    token = request[CONTEXT].token
    more = details if token is None else {**details, **token.named}
    reason = ("reason", details["reason"]) if "reason" in details else None
    request.app[AUDIT_TRAIL].record(
        Event(name, result, user, address, reason), {**more, "request": own_id}
    )


def audit_export(request: web.Request, query: str, readings: int) -> None:
    """Have the audit trail tell that a user is sent so many readings."""
    context = request[CONTEXT]
    assert context.token is not None
    asked = ("query", query[:_MAX_QUERY_LENGTH])
    request.app[AUDIT_TRAIL].record(
        Event("export", "ok", context.user, client_address(request), asked),
        {"readings": readings, **context.token.named, "request": context.id},
    )

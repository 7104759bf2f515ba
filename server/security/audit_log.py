"""The audit log: logins, logouts and refused logins; never a password."""

import json
import logging

from aiohttp import web

from server.context import request_id
from server.transport.client_address import client_address

log = logging.getLogger("audit")

_MAX_NAME_LENGTH = 64


def audit(request: web.Request, event: str, user: str | None, **details: str) -> None:
    """Log an event. The user name is quoted and shortened, so that it can't forge a log line."""
    name = "-" if user is None else json.dumps(user[:_MAX_NAME_LENGTH])
    text = "".join(f" {key}={value}" for key, value in details.items())
    address, own_id = client_address(request), request_id(request)
    fields = {"event": event, "user": user, "client": address, **details, "request": own_id}
    log.info(
        "%s user=%s address=%s%s id=%s",
        *(event, name, address, text, own_id),
        extra={"fields": fields},
    )

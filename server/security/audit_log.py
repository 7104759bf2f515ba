"""The audit log: who logged in and out, and who was refused; never a password."""

import json
import logging

from aiohttp import web

from server.context import request_id
from server.transport.client_address import client_address

log = logging.getLogger("audit")

_MAX_NAME_LENGTH = 64


def audit(request: web.Request, event: str, user: str | None, **more: str) -> None:
    """Write a line. A name from outside is quoted, so that it can't pass for another line."""
    name = "-" if user is None else json.dumps(user[:_MAX_NAME_LENGTH])
    details = "".join(f" {key}={value}" for key, value in more.items())
    address, number = client_address(request), request_id(request)
    fields = {"event": event, "user": user, "client": address, **more, "request": number}
    log.info(
        "%s user=%s address=%s%s id=%s",
        *(event, name, address, details, number),
        extra={"fields": fields},
    )

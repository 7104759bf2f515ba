"""The audit log: who logged in and out, and who was refused, without any password."""

import json
import logging

from aiohttp import web

from server.context import REQUEST_ID
from server.transport.client_address import client_address

log = logging.getLogger("audit")

_LONGEST_NAME = 64


def audit(request: web.Request, event: str, user: str | None, **more: str) -> None:
    """Writes a line; a name from outside is quoted, so that it can't pass for another line."""
    name = "-" if user is None else json.dumps(user[:_LONGEST_NAME])
    details = "".join(f" {key}={value}" for key, value in more.items())
    address, number = client_address(request), request[REQUEST_ID]
    fields = {"event": event, "user": user, "client": address, **more, "request": number}
    log.info(
        "%s user=%s address=%s%s id=%s",
        *(event, name, address, details, number),
        extra={"fields": fields},
    )

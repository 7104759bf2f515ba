"""The file descriptors that a server may need."""

import logging
import resource
from contextlib import suppress

from settings import Settings

log = logging.getLogger("server")

_FILES_OF_A_DATABASE_CONNECTION = 4
_OTHER_FILES = 64


def allow_open_files(settings: Settings) -> None:
    """Raise the limit of open files to what the connections need; log a warning where it is lower.

    Without a descriptor left, neither the database nor any other client could be connected.
    """
    connections = settings.limits.connections
    needed = connections + _OTHER_FILES
    if settings.server.tls.certificate is not None:
        needed += connections  # not counted until their handshake is done
    needed += settings.database.connections * _FILES_OF_A_DATABASE_CONNECTION
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed < needed:
        log.warning(
            "limits.connections: %d connections need %d open files, but %d are allowed: lower it,"
            " or raise the limit of the system (ulimit -n, LimitNOFILE)",
            *(connections, needed, allowed),
        )

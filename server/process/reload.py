"""SIGHUP: reload what may change while the server runs."""

import logging
import ssl
from pathlib import Path

from aiohttp import web

from server.api.cursors import CURSORS
from server.cache.replay import REPLAY_CACHE
from server.context import SETTINGS
from server.observability import logging_setup
from server.security.signing_keys import SigningKeys
from server.security.tokens import TOKENS
from server.transport import tls
from settings import Settings, SettingsError, load_settings

log = logging.getLogger("server")


def reload(
    config: Path | None, secured: ssl.SSLContext | None = None, app: web.Application | None = None
) -> None:
    """Reload log.level and log.format, and for an application its keys and certificate.

    If one of them cannot be read, all stay as they are.
    """
    read = ["log.level", "log.format"]
    try:
        settings = load_settings(config)
        keys = None if app is None else _keys(settings, app)
        if secured is not None and settings.server.tls.certificate is not None:
            tls.load_certificate(secured, settings.server.tls)
            read.append("certificate")
    except SettingsError as error:
        log.error("nothing was read again: %s", error)
        return
    if app is not None and keys is not None:
        app[TOKENS].use(keys)
        app[CURSORS].use(keys)
        # Its headers hold cursors that were signed with the old keys.
        app[REPLAY_CACHE].clear()
        read.append("signing keys")
    logging_setup.set_up_logging(settings.log)
    log.warning("read again: %s", ", ".join(read))


def _keys(settings: Settings, app: web.Application) -> SigningKeys:
    """Return the keys. Raise SettingsError if they are not safe for the address that is served."""
    settings.model_copy(update={"server": app[SETTINGS].server}).require_safe()
    return SigningKeys.of(settings)

"""SIGHUP: reload what may change while the server runs."""

import logging
import ssl
from pathlib import Path

from aiohttp import web

from server.api.cursors import CURSORS
from server.cache.replay import REPLAY_CACHE
from server.cache.store import CACHE
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

    If one of them can't be read, none is changed.
    """
    reloaded = ["log.level", "log.format"]
    try:
        settings = load_settings(config)
        keys = None if app is None else _signing_keys(settings, app)
        if secured is not None and settings.server.tls.certificate is not None:
            tls.load_certificate(secured, settings.server.tls)
            reloaded.append("certificate")
    except SettingsError as error:
        log.error("reload failed, nothing was changed: %s", error)
        return
    if app is not None and keys is not None:
        app[TOKENS].use(keys)
        app[CURSORS].use(keys)
        app[CACHE].use(keys.for_cache)
        # Its headers hold cursors that were signed with the old keys.
        app[REPLAY_CACHE].clear()
        reloaded.append("signing keys")
    logging_setup.set_up_logging(settings.log)
    log.warning("reloaded: %s", ", ".join(reloaded))


def _signing_keys(settings: Settings, app: web.Application) -> SigningKeys:
    """Return the keys. Raise SettingsError if they are unsafe for whom the application serves."""
    running = app[SETTINGS]
    unchanged = {name: getattr(running, name) for name in ("server", "database", "cache")}
    settings.model_copy(update=unchanged).require_safe()
    return SigningKeys.of(settings)

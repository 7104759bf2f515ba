"""SIGHUP: what may change while the server runs is read again."""

import logging
import ssl
from pathlib import Path

from server import logs, tls
from settings import SettingsError, load_settings

log = logging.getLogger("server")


def reload(config: Path | None, secured: ssl.SSLContext | None = None) -> None:
    """Reads log.level, log.format and the certificate again; where that fails, all stays."""
    try:
        settings = load_settings(config)
        if secured is not None and settings.server.tls.certificate is not None:
            tls.load(secured, settings.server.tls)
    except SettingsError as error:
        log.error("nothing was read again: %s", error)
        return
    logs.set_up(settings.log)
    certificate = "" if secured is None else ", certificate"
    log.warning("read again: log.level, log.format%s", certificate)

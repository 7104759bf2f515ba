"""SIGHUP: reload what may change while the server runs."""

import logging
from pathlib import Path

from aiohttp import web

from server.api.cursors import CURSORS
from server.cache.replay import REPLAY_CACHE
from server.cache.store import CACHE
from server.observability import logging_setup
from server.security.signing_keys import SigningKeys
from server.security.tokens import TOKENS
from server.transport import tls
from settings import Settings, SettingsError, load_settings

log = logging.getLogger("server")


class Running:
    """The settings and the signing keys that a process runs with.

    `reload` takes over log.level, log.format, the signing keys and the certificate; everything
    else needs a restart.
    """

    def __init__(
        self,
        config: Path | None,
        settings: Settings,
        keys: SigningKeys,
        app: web.Application | None = None,
    ) -> None:
        self.settings = settings
        self.keys = keys
        self.tls = tls.server_context(settings.server.tls)
        """The context of connections; None without a certificate."""
        self.app = app
        """The application, once there is one."""
        self._config = config

    def reload(self) -> bool:
        """Read the configuration again; return False if it can't be read and nothing changed."""
        try:
            settings = self._read()
            keys = SigningKeys.of(settings)
            if self.tls is not None and settings.server.tls.certificate is not None:
                tls.load_certificate(self.tls, settings.server.tls)
        except (SettingsError, OSError) as error:
            log.error("reload failed, nothing was changed: %s", error)
            return False
        self.settings, self.keys = settings, keys
        if self.app is not None:
            self.app[TOKENS].use(keys)
            self.app[CURSORS].use(keys)
            self.app[CACHE].use(keys.for_cache)
            # Its headers hold cursors that were signed with the old keys.
            self.app[REPLAY_CACHE].clear()
        logging_setup.set_up_logging(settings.log)
        certificate = [] if self.tls is None else ["certificate"]
        reloaded = ["log.level", "log.format", *certificate, "signing keys"]
        log.warning("reloaded: %s", ", ".join(reloaded))
        return True

    def _read(self) -> Settings:
        """Return the running settings with what is reloaded; raise SettingsError.

        The keys must be safe for the address that is served.
        """
        settings = load_settings(self._config)
        if self._config is not None and self._config.is_file() and not self._config.stat().st_size:
            raise SettingsError(f"{self._config}: is empty, as while it is being saved")
        server = self.settings.server
        if server.tls.certificate is not None and settings.server.tls.certificate is not None:
            server = server.model_copy(update={"tls": settings.server.tls})
        settings = self.settings.model_copy(
            update={"log": settings.log, "auth": settings.auth, "server": server}
        )
        settings.require_safe()
        return settings

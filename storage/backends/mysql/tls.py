"""TLS to MySQL and MariaDB: with a server that proves who it is, or not at all."""

import ssl
from pathlib import Path

import aiomysql.connection
from pymysql.constants import CLIENT, CR, ER
from pymysql.err import OperationalError

from settings import SettingsError

SECURE_TRANSPORT_REQUIRED = 3159
_WITHOUT_TLS = {ER.ACCESS_DENIED_ERROR, SECURE_TRANSPORT_REQUIRED}
"""What servers that require TLS say to others; MariaDB 10.11 has but the first."""


def tls_context(ca: Path | None) -> ssl.SSLContext | None:
    """What connections are wrapped in, None where no CA is configured; raises SettingsError."""
    if ca is None:
        return None
    try:
        made = ssl.create_default_context(cafile=ca)
    except ssl.SSLError:
        raise SettingsError(f"database.tls.ca: {ca} holds no certificate in PEM") from None
    except OSError as error:
        raise SettingsError(f"database.tls.ca: {ca}: {error.strerror}") from None
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    return made


class SecuredConnection(aiomysql.Connection):  # type: ignore[misc]  # aiomysql comes without types
    """A connection that gives no password in plain text where TLS was asked for."""

    async def _request_authentication(self) -> None:
        if self._ssl_context is not None and not self.server_capabilities & CLIENT.SSL:
            raise OperationalError(CR.CR_SSL_CONNECTION_ERROR, "the server offers no TLS")
        try:
            await super()._request_authentication()
        except OperationalError as error:
            code, text = error.args
            offers_tls = self.server_capabilities & CLIENT.SSL
            if code not in _WITHOUT_TLS or self._ssl_context is not None or not offers_tls:
                raise
            text = f"{text.rstrip('.')}; if TLS is required, set database.tls.ca"
            raise OperationalError(code, text) from error

    def close(self) -> None:
        """Ends the connection, without waiting for a server to agree."""
        if self._secure and self._writer is not None:
            # A farewell of TLS takes a round trip, which nobody waits for.
            self._writer.transport.abort()
        super().close()


def untrusted_reason(error: BaseException) -> str | None:
    """Why a server was not trusted; None where something else went wrong."""
    cause = error.__cause__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"database.tls.ca does not vouch for its certificate ({cause.verify_message})"
    if isinstance(cause, ssl.SSLError):
        return f"TLS fails ({cause.reason or cause})"
    if isinstance(error, OperationalError) and error.args[0] == CR.CR_SSL_CONNECTION_ERROR:
        return "it offers no TLS, which database.tls.ca asks for"
    return None


def tls_options(ca: Path | None, *, is_mariadb: bool) -> list[str]:
    """What tells the client programs to do as the connections here do, whatever their defaults.

    The programs of MariaDB and of MySQL have different words for it, and stop at an unknown one.
    """
    if ca is None:
        return ["skip-ssl"] if is_mariadb else ["ssl-mode=DISABLED", "get-server-public-key"]
    verify = "ssl-verify-server-cert" if is_mariadb else "ssl-mode=VERIFY_IDENTITY"
    return [f"ssl-ca={quoted(str(ca))}", verify, "tls-version=TLSv1.2,TLSv1.3"]


def quoted(text: str) -> str:
    """A value as the option files of these programs have it."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


# aiomysql's own goes on without TLS where the server has none, and its pool can't be told another.
aiomysql.connection.Connection = SecuredConnection

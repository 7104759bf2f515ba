"""Connections to MySQL and MariaDB: over TLS or refused, and able to send a report."""

import asyncio
import ssl
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn, Self

import aiomysql
from aiomysql.connection import MySQLResult
from pymysql.constants import CLIENT, CR, ER
from pymysql.err import MySQLError, OperationalError
from pymysql.protocol import MysqlPacket

from settings import AccountSettings, MysqlUrl, SettingsError
from storage.backends.mysql.direct_stream import DirectStream
from storage.common.errors import NotPrepared, Refused, StorageError, Unreachable, Untrusted
from storage.common.turns import PIECE_ROWS

CONNECT_TIMEOUT = 10.0
"""Seconds for a server to accept a connection, or to answer a statement at all."""

MAX_PAGE_BYTES = 64 * 2**20

DRIVER_ERRORS = (MySQLError, OSError, TimeoutError, asyncio.IncompleteReadError)
"""What the driver raises if a statement or a connection fails."""

_PACKET_BYTES = 2**18

_PLAIN = "mysql_clear_password"
_LOGIN_METHODS = {"", "mysql_native_password", "caching_sha2_password", "sha256_password"}
"""Those that show the password to nobody who only listens."""

_SECURE_TRANSPORT_REQUIRED = 3159
_WITHOUT_TLS = {ER.ACCESS_DENIED_ERROR, _SECURE_TRANSPORT_REQUIRED}
"""What servers that require TLS say to clients without; MariaDB 10.11 knows only the first."""

_REFUSED = {1044, 1045, 1130, 1142, 1143, 1227, 1370, 1410, 1698, _SECURE_TRANSPORT_REQUIRED}
_REFUSED |= {CR.CR_AUTH_PLUGIN_CANNOT_LOAD, ER.VIEW_INVALID}
_NOT_PREPARED = {1049, 1146, 1305}
_TOO_LONG = {1969, 3024}
_OVERTAKEN = {ER.LOCK_DEADLOCK, ER.LOCK_WAIT_TIMEOUT, ER.CHECKREAD}


def tls_context(ca: Path | None) -> ssl.SSLContext | None:
    """Return the TLS context of connections, None without a CA; raise SettingsError."""
    if ca is None:
        return None
    try:
        context = ssl.create_default_context(cafile=ca)
    except ssl.SSLError:
        raise SettingsError(f"database.tls.ca: {ca} holds no certificate in PEM") from None
    except OSError as error:
        raise SettingsError(f"database.tls.ca: {ca}: {error.strerror}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def connection_options(
    location: MysqlUrl, account: AccountSettings, tls: ssl.SSLContext | None
) -> dict[str, Any]:
    """Return the options that all connections of an account share."""
    return {
        "host": location.host,
        "port": location.port,
        "user": account.user,
        "password": account.password.get_secret_value(),
        "charset": "utf8mb4",
        "ssl": tls,
        "autocommit": True,
        "connect_timeout": CONNECT_TIMEOUT,
    }


class _ResultWithoutFile(MySQLResult):  # type: ignore[misc]  # aiomysql comes without types
    """The result of a statement; a server that asks for a file instead is hung up on."""

    async def _read_load_local_packet(self, _packet: MysqlPacket) -> None:
        self.connection.close()
        raise OperationalError(CR.CR_MALFORMED_PACKET, "the server asked for a file")


class SecuredConnection(aiomysql.Connection):  # type: ignore[misc]  # aiomysql comes without types
    """A connection that shows a server no password without TLS, and sends it no file."""

    result_type: type[MySQLResult] = _ResultWithoutFile

    _packets = 0

    @classmethod
    async def open(cls, options: dict[str, Any]) -> Self:
        """Connect and log in; raise what the driver does."""
        connection = cls(**options)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await connection._connect()
        except BaseException:
            connection.close()
            raise
        return connection

    @property
    def is_usable(self) -> bool:
        """Whether the connection is open, and the server has not hung up."""
        reader = self._reader
        # MySQL 8 sends an error before it hangs up, which at_eof() would wait for.
        return not (self.closed or reader.at_eof() or reader.eof_received or reader.exception())

    async def _read_packet(self, packet_type: type[MysqlPacket] = MysqlPacket) -> MysqlPacket:
        # Rows that are there already would be read without a break, however many they are.
        self._packets += 1
        if not self._packets % PIECE_ROWS:
            await asyncio.sleep(0)
        packet: MysqlPacket = await super()._read_packet(packet_type)
        return packet

    async def _request_authentication(self) -> None:
        if self._ssl_context is not None and not self.server_capabilities & CLIENT.SSL:
            raise OperationalError(CR.CR_SSL_CONNECTION_ERROR, "the server offers no TLS")
        if not self.server_capabilities & CLIENT.PLUGIN_AUTH:
            self._refuse_login("an outdated method")
        # Any other method makes the server say which one the account needs.
        if self._server_auth_plugin == _PLAIN:
            self._require_safe_login(_PLAIN)
        try:
            await super()._request_authentication()
        except OperationalError as error:
            code, text = error.args
            offers_tls = self.server_capabilities & CLIENT.SSL
            if code not in _WITHOUT_TLS or self._ssl_context is not None or not offers_tls:
                raise
            text = f"{text.rstrip('.')}; if TLS is required, set database.tls.ca"
            raise OperationalError(code, text) from error

    async def _process_auth(self, plugin_name: bytes, auth_packet: MysqlPacket) -> object:
        self._require_safe_login(plugin_name.decode("latin-1"))
        return await super()._process_auth(plugin_name, auth_packet)

    def _require_safe_login(self, method: str) -> None:
        if method == _PLAIN and self._ssl_context is None:
            self._refuse_login(f"{method}, which shows the password: set database.tls.ca")
        if method != _PLAIN and method not in _LOGIN_METHODS:
            self._refuse_login(f"{method!a:.60}, which is not supported")

    def _refuse_login(self, method: str) -> NoReturn:
        raise OperationalError(
            CR.CR_AUTH_PLUGIN_CANNOT_LOAD, f"the server asks for a login by {method}"
        )

    async def _read_query_result(self, unbuffered: bool = False) -> None:  # noqa: ARG002 - aiomysql's signature
        self._result = None
        result = self.result_type(self)
        await result.read()
        self._result = result
        self._affected_rows = result.affected_rows
        if result.server_status is not None:
            self.server_status = result.server_status

    def close(self) -> None:
        """Close the connection, without waiting for the server to agree."""
        if self._secure and self._writer is not None:
            # A farewell of TLS takes a round trip, which nobody waits for.
            self._writer.transport.abort()
        super().close()


class QuietCursor(aiomysql.Cursor):  # type: ignore[misc]  # aiomysql comes without types
    """A cursor that leaves the server's warnings to whoever asks for them."""

    async def _show_warnings(self, _connection: aiomysql.Connection) -> None:
        pass


class _LoadLocalResult(MySQLResult):  # type: ignore[misc]  # aiomysql comes without types
    """The result of a statement that may be LOAD DATA LOCAL.

    aiomysql's own reads a whole file into memory, faster than the server takes it.
    """

    async def _read_load_local_packet(self, _packet: MysqlPacket) -> None:
        connection = self.connection
        try:
            await connection.send_batches()
        except Exception:
            await connection._read_packet()  # the server's answer to what was sent
            raise
        self._read_ok_packet(await connection._read_packet())


class WritingConnection(SecuredConnection):
    """A connection that sends batches where LOAD DATA LOCAL asks for a file.

    Whatever file the server names, it gets the batches and nothing else, a packet at a time and no
    faster than it reads.
    """

    result_type = _LoadLocalResult
    batches: Iterable[bytes] = ()

    _reader: Any
    _writer: Any
    _direct: DirectStream | None = None

    def read_directly(self) -> None:
        """Let this thread wait for answers, which it need not share; not with TLS."""
        if self._writer.get_extra_info("ssl_object") is None:
            self._direct = DirectStream(self._writer.transport)
            self._reader = self._writer = self._direct

    def close(self) -> None:
        """Close the connection."""
        super().close()
        if self._direct is not None:
            self._direct.close()

    @property
    def warnings(self) -> int:
        """How many warnings the last statement has caused."""
        return self._result.warning_count or 0 if self._result else 0

    async def results(self, sql: str) -> list[tuple[int, Sequence[Sequence[Any]]]]:
        """Run statements; return how many rows each wrote or found, and those found."""
        await self.query(sql)
        results = []
        while self._result:
            results.append((self._result.affected_rows, self._result.rows or ()))
            if not self._result.has_next:
                break
            await self.next_result()
        return results

    async def send_batches(self) -> None:
        """Send the batches as the file's content."""
        try:
            for batch in self.batches:
                for at in range(0, len(batch), _PACKET_BYTES):
                    self.write_packet(batch[at : at + _PACKET_BYTES])
                    await self._writer.drain()
                # drain() lets no cancellation in while the writer has room.
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            # Half a report must not look like a whole one.
            self.close()
            raise
        except BaseException:
            self.write_packet(b"")
            raise
        self.write_packet(b"")


def translate_error(error: BaseException, location: MysqlUrl) -> StorageError:
    """Return what an error of the driver means for whoever runs the service."""
    where = f"{location.host}:{location.port}"
    if reason := _untrusted_reason(error):
        return Untrusted(f"{where} is not trusted: {reason}")
    code, text = (*error.args, "")[:2] if isinstance(error, MySQLError) else (0, str(error))
    if code in _REFUSED:
        return Refused(f"{where}: access denied: {text}")
    if code in _NOT_PREPARED:
        return NotPrepared(
            f"{where} has no database or table for readings yet ({text}): "
            "load a report with elecdata load REPORT.csv"
        )
    if code in _TOO_LONG:
        return Unreachable(f"{where} took longer than database.statement_timeout allows")
    if code in _OVERTAKEN:
        return Unreachable(
            f"{where}: another program changed the same rows at the same time; nothing was"
            " written, try again"
        )
    if isinstance(error, TimeoutError):
        return Unreachable(f"{where} did not answer in time")
    return Unreachable(f"{where} cannot be reached: {text or type(error).__name__}")


def _untrusted_reason(error: BaseException) -> str | None:
    """Return why a server was not trusted, None if something else went wrong."""
    cause = error.__cause__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"database.tls.ca does not vouch for its certificate ({cause.verify_message})"
    if isinstance(cause, ssl.SSLError):
        return f"TLS fails ({cause.reason or cause})"
    if isinstance(error, OperationalError) and error.args[0] == CR.CR_SSL_CONNECTION_ERROR:
        return "it offers no TLS, which database.tls.ca asks for"
    return None

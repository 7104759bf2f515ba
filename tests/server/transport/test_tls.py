"""TLS by certificate files: served, renewed on SIGHUP, and examined."""

import asyncio
import re
import signal
import socket
import ssl
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography import x509

from server.process.listener import Listener
from server.transport.tls import server_context
from settings import TlsSettings
from tests.server.observability.test_checks import Checked, recent
from tests.server.process.test_server_command import LimitedServer, Server, fault
from tests.support.app_client import application
from tests.support.certificates import make_certificate
from tests.support.databases import DatabaseFixture, SqliteDatabase
from tests.support.process import TIMEOUT
from tests.support.slow_client import limited

pytestmark = pytest.mark.promise("Getting in")

HEALTH = b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Names a database of one reading."""
    database = SqliteDatabase(tmp_path_factory.mktemp("small"))
    asyncio.run(database.load(recent(1)))
    return database.config


def tls(certificate: Path, key: Path) -> dict[str, str]:
    return {
        "ELECDATA_SERVER__TLS__CERTIFICATE": str(certificate),
        "ELECDATA_SERVER__TLS__KEY": str(key),
    }


def answered(port: int, trusted: Path) -> tuple[bytes, int]:
    """An answer over TLS, and the serial number of the certificate that was shown."""
    context = ssl.create_default_context(cafile=trusted)
    with (
        socket.create_connection(("127.0.0.1", port), TIMEOUT) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as client,
    ):
        shown = client.getpeercert(binary_form=True)
        assert shown is not None
        client.sendall(HEALTH)
        answer = b""
        while part := client.recv(65536):
            answer += part
        return answer, x509.load_der_x509_certificate(shown).serial_number


@pytest.mark.parametrize("workers", ["1", "2"])
def test_certificate_is_served_and_renewed_without_a_restart(
    config: Path, tmp_path: Path, workers: str
) -> None:
    certificate, key, serial = make_certificate(tmp_path)
    environ = tls(certificate, key) | {"ELECDATA_SERVER__WORKERS": workers}
    with Server(config, **environ) as server:
        port = int(server.wait_for_line("listening on https://127.0.0.1:").rpartition(":")[2])
        answer, shown = answered(port, certificate)
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert shown == serial
        certificate, key, renewed = make_certificate(tmp_path)
        server.process.send_signal(signal.SIGHUP)
        server.wait_for_line("reloaded: log.level, log.format, certificate")
        shown = serial
        while shown != renewed:
            with suppress(ssl.SSLCertVerificationError):  # another worker's, which reloads later
                _, shown = answered(port, certificate)
        assert server.stop() == 0


def test_renewal_that_is_broken_leaves_the_old_certificate(config: Path, tmp_path: Path) -> None:
    certificate, key, serial = make_certificate(tmp_path)
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(certificate.read_bytes())
    with Server(config, **tls(certificate, key)) as server:
        port = int(server.wait_for_line("listening on https://").rpartition(":")[2])
        certificate.write_text("nonsense")
        server.process.send_signal(signal.SIGHUP)
        server.wait_for_line("reload failed, nothing was changed: server.tls: ")
        assert answered(port, trusted)[1] == serial
        assert server.stop() == 0


def test_connection_above_the_limit_is_a_503(config: Path, tmp_path: Path) -> None:
    certificate, key, _ = make_certificate(tmp_path)
    context = ssl.create_default_context(cafile=certificate)
    environ = tls(certificate, key) | limited(connections=1)
    environ["ELECDATA_DATABASE__CONNECTIONS"] = "2"
    with LimitedServer(config, "ulimit -Sn 50", **environ) as server:
        port = int(server.wait_for_line("listening on https://").rpartition(":")[2])
        with (
            socket.create_connection(("127.0.0.1", port), TIMEOUT) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as client,
        ):
            client.sendall(HEALTH.replace(b"close", b"keep-alive"))
            assert client.recv(12) == b"HTTP/1.1 200"
            assert answered(port, certificate)[0].startswith(b"HTTP/1.1 503 ")
        # one for the connection, and one for a handshake
        allowed = Path(f"/proc/{server.process.pid}/limits").read_text()
        assert re.search(r"Max open files +74 ", allowed)
        assert server.stop() == 0


def test_missing_file_is_one_line(config: Path, tmp_path: Path) -> None:
    certificate, key, _ = make_certificate(tmp_path)
    key.unlink()
    line = fault(Server(config, **tls(certificate, key)))
    assert line == f"ERROR - server.tls.key: {key}: No such file or directory"


def test_certificate_without_a_key_is_one_line(config: Path, tmp_path: Path) -> None:
    line = fault(Server(config, ELECDATA_SERVER__TLS__CERTIFICATE=str(tmp_path / "c")))
    assert line.endswith("server.tls: expected both certificate and key, or neither")


def test_key_of_another_certificate_is_one_line(config: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    certificate, _, _ = make_certificate(tmp_path)
    _, key, _ = make_certificate(tmp_path / "other")
    line = fault(Server(config, **tls(certificate, key)))
    assert line.startswith(f"ERROR - server.tls: {certificate} and {key} are no certificate")


@pytest.mark.parametrize(("days", "level"), [(90, "OK"), (3, "WARN"), (-1, "FAIL")])
def test_examination_tells_how_long_a_certificate_is_good(
    config: Path, tmp_path: Path, days: int, level: str
) -> None:
    certificate, key, _ = make_certificate(tmp_path, days)
    assert Checked(config, **tls(certificate, key)).found("tls")[0] == level


def test_examination_warns_of_passwords_in_the_open(config: Path) -> None:
    environ = {"ELECDATA_SERVER__HOST": "0.0.0.0"}  # noqa: S104 - what is to be warned of
    assert Checked(config, **environ).found("tls")[0] == "WARN"
    environ["ELECDATA_SERVER__PROXIES"] = "127.0.0.1"
    assert Checked(config, **environ).found("tls")[0] == "OK"


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.0\r\n\r\n", None], ids=["no TLS", "gone"])
async def test_client_that_is_not_accepted_yet_and_speaks_no_tls_does_not_hold_up_the_end(
    sample: DatabaseFixture, tmp_path: Path, sent: bytes | None
) -> None:
    certificate, key, _ = make_certificate(tmp_path)
    app, _ = application(sample)
    settings = TlsSettings(certificate=certificate, key=key)
    listener = await Listener.start(app, "127.0.0.1", 0, tls=server_context(settings))
    with socket.create_connection(listener.addresses[0]) as client:
        if sent is None:
            client.close()
        else:
            client.sendall(sent)
        async with asyncio.timeout(10):
            await listener.stop_accepting()
            await listener.drain()
    await listener.close()

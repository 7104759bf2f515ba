"""The log: text or JSON, its level, and SIGHUP, which lets both be read again."""

import json
import logging
import signal
from base64 import b64encode
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from server.observability.logging_setup import LineFormatter
from tests.server.process.test_server_command import Server, asked, connected, received
from tests.support.databases import DatabaseFixture

pytestmark = [pytest.mark.promise("Seeing"), pytest.mark.one_database]

JSON = {"ELECDATA_LOG__FORMAT": "json"}


def ping(port: int, *, forwarded: str = "") -> None:
    with connected(port) as client:
        client.sendall(
            b"GET /health/live HTTP/1.1\r\nHost: x\r\nX-Request-ID: r1\r\n"
            b"X-Forwarded-For: " + forwarded.encode() + b"\r\nX-Forwarded-Proto: https\r\n"
            b"Connection: close\r\n\r\n"
        )
        assert received(client).startswith(b"HTTP/1.1 200 ")


def objects(server: Server) -> list[dict[str, Any]]:
    return [json.loads(line) for line in server.lines]


def test_json_log_has_an_object_a_line_with_the_fields_of_a_request(
    sample: DatabaseFixture,
) -> None:
    with Server(sample.config, **JSON) as server:
        ping(port(server))
        server.wait_for_line('"request": "r1"')
        assert server.stop() == 0
        (line,) = [line for line in objects(server) if line["logger"] == "access"]
    assert line.pop("ms") > 0
    assert line.pop("bytes") > 0
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "info",
        "logger": "access",
        "message": "request",
        "method": "GET",
        "path": "/health/live",
        "status": 200,
        "user": None,
        "client": "127.0.0.1",
        "scheme": "http",
        "request": "r1",
    }


def test_json_log_has_an_object_for_each_request_however_many_come_at_once(
    sample: DatabaseFixture,
) -> None:
    pings = 50
    request = b"GET /health/live HTTP/1.1\r\nHost: x\r\nX-Request-ID: r%d\r\n\r\n"
    with Server(sample.config, **JSON) as server, ExitStack() as clients:
        listening = port(server)
        opened = [clients.enter_context(connected(listening)) for _ in range(pings)]
        for number, client in enumerate(opened):
            client.sendall(request % number)
        for client in opened:
            assert client.recv(16)
        assert server.stop() == 0
        lines = [line for line in objects(server) if line["logger"] == "access"]
    assert {line["request"] for line in lines} == {f"r{number}" for number in range(pings)}
    assert len(lines) == pings


STEERING = "\x9b31m\x85\u202e\u2066\u200f\u2028\x7f\u200b"


def test_json_log_has_no_character_that_steers_a_terminal_or_turns_text(
    sample: DatabaseFixture,
) -> None:
    """Whatever a client calls itself; letters of any language stay."""
    login = b64encode(f"\u00f1{STEERING}:x".encode())
    with Server(sample.config, **JSON) as server:
        with connected(port(server)) as client:
            client.sendall(
                b"POST /login HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                b"Authorization: Basic " + login + b"\r\n\r\n"
            )
            assert received(client).startswith(b"HTTP/1.1 401 ")
        line = server.wait_for_line('"logger": "audit"')
        assert server.stop() == 0
    assert json.loads(line)["user"] == f"\u00f1{STEERING}"
    assert "\u00f1" in line
    assert not set(line) & set(STEERING.replace("31m", ""))


def test_text_log_escapes_what_steers_a_terminal_or_turns_text() -> None:
    """Line feeds stay: a record may have several lines."""
    record = logging.LogRecord("access", logging.INFO, "", 0, f"\u00f1{STEERING}\n\x1b", (), None)
    line = LineFormatter().format(record)
    escaped = r"\x9b31m\x85\u202e\u2066\u200f\u2028\x7f\u200b"
    assert line.splitlines()[0].endswith(f" INFO \u00f1{escaped}")
    assert line.splitlines()[1].endswith(r" INFO \x1b")


def test_json_log_has_the_fields_of_a_login(sample: DatabaseFixture) -> None:
    with Server(sample.config, **JSON) as server:
        with connected(port(server)) as client:
            client.sendall(
                b"POST /login HTTP/1.1\r\nHost: x\r\nX-Request-ID: r1\r\n"
                b"Content-Length: 0\r\nConnection: close\r\n\r\n"
            )
            assert received(client).startswith(b"HTTP/1.1 401 ")
        line = json.loads(server.wait_for_line('"logger": "audit"'))
        assert server.stop() == 0
    assert line["message"] == "login refused user=- address=127.0.0.1 reason=malformed id=r1"
    assert (line["event"], line["user"], line["reason"]) == ("login refused", None, "malformed")
    assert (line["client"], line["request"]) == ("127.0.0.1", "r1")


def port(server: Server) -> int:
    """Waits until it listens."""
    message = json.loads(server.wait_for_line("listening on http://127.0.0.1:"))["message"]
    return int(message.rpartition(":")[2])


def test_client_behind_a_configured_proxy_is_logged(sample: DatabaseFixture) -> None:
    behind = {"ELECDATA_SERVER__PROXIES": "127.0.0.1", "ELECDATA_API_USERS": "{}"}
    with Server(sample.config, **JSON, **behind) as server:
        ping(port(server), forwarded="192.0.2.7")
        line = json.loads(server.wait_for_line('"request": "r1"'))
        assert (line["client"], line["scheme"]) == ("192.0.2.7", "https")
        assert server.stop() == 0
    with Server(sample.config, **behind) as server:
        ping(server.port(), forwarded="192.0.2.7")
        server.wait_for_line("from=192.0.2.7 id=r1")
        assert server.stop() == 0


@pytest.fixture
def own_config(sample: DatabaseFixture, tmp_path: Path) -> Path:
    """A copy of the configuration that a test may change."""
    file = tmp_path / "config.yaml"
    file.write_text(sample.config.read_text())
    return file


def said_by_all(server: Server, text: str, processes: int) -> str:
    """Waits until so many processes have said something."""
    for _ in range(processes):
        line = server.wait_for_line(text)
        server.lines.remove(line)
    return line


@pytest.mark.parametrize("workers", [1, 2])
def test_sighup_reads_level_and_format_again_in_every_worker(
    own_config: Path, workers: int
) -> None:
    document = json.loads(own_config.read_text())
    with Server(own_config, ELECDATA_SERVER__WORKERS=str(workers)) as server:
        listening = int(said_by_all(server, "listening on", workers).rpartition(":")[2])
        own_config.write_text(json.dumps({**document, "log": {"format": "json"}}))
        server.process.send_signal(signal.SIGHUP)
        # Where there are several, the process that started them says so as well.
        said_by_all(server, "reloaded: log.level, log.format", workers + (workers > 1))
        with connected(listening) as client:
            asked(client, "/apielec/ping")
            assert received(client)
        assert json.loads(server.wait_for_line('"path": "/apielec/ping"'))["user"] == "rick"
        assert server.stop() == 0


def test_warning_level_leaves_requests_out_which_are_counted_all_the_same(own_config: Path) -> None:
    document = json.loads(own_config.read_text())
    with Server(own_config) as server:
        listening = server.port()
        own_config.write_text(json.dumps({**document, "log": {"level": "warning"}}))
        server.process.send_signal(signal.SIGHUP)
        server.wait_for_line("reloaded")
        with connected(listening) as client:
            asked(client, "/apielec/ping")
            assert received(client)
        with connected(listening) as client:
            asked(client, "/metrics")
            assert b'route="/apielec/ping",status="200"} 1.0' in received(client)
        assert server.stop() == 0
        assert not any("ping" in line or "stopping" in line for line in server.lines)


def test_sighup_with_a_broken_file_changes_nothing(own_config: Path) -> None:
    with Server(own_config) as server:
        listening = server.port()
        document = json.loads(own_config.read_text())
        own_config.write_text(json.dumps({**document, "log": {"level": "loud"}}))
        server.process.send_signal(signal.SIGHUP)
        line = server.wait_for_line("reload failed, nothing was changed: ")
        assert line.endswith("log.level: expected debug, info, warning or error")
        with connected(listening) as client:
            asked(client, "/apielec/ping")
            assert received(client)
        server.wait_for_line("GET /apielec/ping 200 ")
        assert server.stop() == 0

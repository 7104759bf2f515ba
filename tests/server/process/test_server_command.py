"""The command `python -m server`: how it starts, what it says, and how it leaves."""

import asyncio
import errno
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from tests.conftest import require
from tests.support.app_client import SECRET, token
from tests.support.databases import DatabaseFixture, SqliteDatabase
from tests.support.mariadb import MariaDB
from tests.support.paths import ROOT
from tests.support.process import TIMEOUT, Process
from tests.support.report_factory import numbered, quarters, report

pytestmark = [pytest.mark.promise("Running it"), pytest.mark.one_database]

OPEN = {"ELECDATA_SERVER__HOST": "0.0.0.0"}  # noqa: S104 - what is to be refused


class Server(Process):
    """A server process on a free port, unless it is told another."""

    def __init__(self, config: Path, *args: str, **environ: str) -> None:
        ours = {
            "ELECDATA_SERVER__PORT": "0",
            "ELECDATA_AUTH__SECRET": SECRET,
            "PYTHONWARNINGS": "error",
        }
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("ELECDATA_")}
        command = [sys.executable, "-m", "server", "--config", str(config), *args]
        super().__init__(self.wrapped(command), ROOT, {**inherited, **ours, **environ})

    def wrapped(self, command: list[str]) -> list[str]:
        """The command that runs the server's own."""
        return command


def connected(port: int) -> socket.socket:
    """A client that takes little at a time."""
    client = socket.socket()
    client.settimeout(TIMEOUT)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", port))
    return client


def asked(client: socket.socket, path: str, version: str = "1.1") -> None:
    head = (
        f"GET {path} HTTP/{version}\r\nHost: x\r\nSESSION: {token()}\r\nConnection: close\r\n\r\n"
    )
    client.sendall(head.encode())


def received(client: socket.socket) -> bytes:
    answer = b""
    while part := client.recv(65536):
        answer += part
    return answer


def fault(server: Server) -> str:
    """The last and only line in which a server refuses to start."""
    with server:
        assert server.wait() == 1
    assert sum("ERROR" in line for line in server.lines) == 1
    return server.lines[-1]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Names a database of four readings."""
    small = SqliteDatabase(tmp_path_factory.mktemp("small"))
    asyncio.run(small.load(report(*numbered(quarters("2019-08-01", 4)))))
    return small.config


# Start


def test_it_says_where_it_listens_and_answers_there(sample: DatabaseFixture) -> None:
    with Server(sample.config) as server:
        with connected(server.port()) as client:
            asked(client, "/apielec/getDataById?id=5")
            assert b'"numrecs":1' in received(client)
        server.wait_for_line("GET /apielec/getDataById 200 ")
        assert server.stop() == 0


class LimitedServer(Server):
    """A server that the system allows few open files."""

    def __init__(self, config: Path, limits: str, **environ: str) -> None:
        self._limits = limits
        super().__init__(config, **environ)

    def wrapped(self, command: list[str]) -> list[str]:
        return ["/bin/sh", "-c", f'{self._limits} && exec "$@"', "sh", *command]


def test_it_may_open_a_file_for_each_connection_or_says_that_it_may_not(config: Path) -> None:
    environ = {"ELECDATA_LIMITS__CONNECTIONS": "300", "ELECDATA_DATABASE__CONNECTIONS": "2"}
    with LimitedServer(config, "ulimit -Sn 200", **environ) as server:
        server.port()
        allowed = Path(f"/proc/{server.process.pid}/limits").read_text()
        assert re.search(r"Max open files +372 ", allowed)
        assert server.stop() == 0
    assert not any("limits.connections" in line for line in server.lines)
    with LimitedServer(config, "ulimit -n 200", **environ) as server:
        line = server.wait_for_line("limits.connections: 300 connections need 372 open files")
        assert "but 200 are allowed: lower it, or raise the limit of the system" in line
        server.port()
        assert server.stop() == 0


def test_it_waits_for_the_loader_and_then_starts(database: DatabaseFixture) -> None:
    with Server(database.config) as server:
        server.wait_for_line("; waiting")
        asyncio.run(database.load(report(*numbered(quarters("2019-08-01", 4)))))
        asyncio.run(database.admit("rick"))
        with connected(server.port()) as client:
            asked(client, "/apielec/getData")
            assert b'"numrecs":4' in received(client)
        assert server.stop() == 0


def test_missing_database_is_one_line_that_names_the_remedy(database: DatabaseFixture) -> None:
    line = fault(Server(database.config, ELECDATA_DATABASE__WAIT="0"))
    assert line.startswith("ERROR - ")
    assert "elecdata load REPORT.csv" in line or "access denied" in line


def test_unreachable_database_is_one_line_that_names_it(mariadb: MariaDB, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    config = tmp_path / "config.yaml"
    account = {"user": "blue", "password": "x"}
    url = f"mysql://127.0.0.1:{port}/elecprod"
    config.write_text(json.dumps({"database": {"url": url, "reader": account, "wait": 0}}))
    line = fault(Server(config))
    assert line.startswith(f"ERROR - 127.0.0.1:{port} cannot be reached: ")
    url = f"mysql://127.0.0.1:{mariadb.port}/elecprod"
    config.write_text(json.dumps({"database": {"url": url, "reader": account, "wait": 0}}))
    line = fault(Server(config))
    assert line.startswith(f"ERROR - 127.0.0.1:{mariadb.port}: access denied: ")


def test_empty_database_is_served_with_a_hint(database: DatabaseFixture) -> None:
    async def prepare() -> None:
        await database.load(report(*numbered(quarters("2019-08-01", 1))))
        await database.rows("DELETE FROM readings")
        await database.rows("DELETE FROM imports")
        await database.admit("rick")

    asyncio.run(prepare())
    with Server(database.config) as server:
        server.wait_for_line("there are no readings yet: load some with `elecdata load REPORT.csv`")
        with connected(server.port()) as client:
            asked(client, "/apielec/getData")
            assert b"No data found" in received(client)


def test_port_in_use_is_one_line(config: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = fault(Server(config, ELECDATA_SERVER__PORT=str(port)))
    assert line == (
        f"ERROR - server.host, server.port: cannot listen on 127.0.0.1:{port}: port already in use"
        "; choose another, for example ELECDATA_SERVER__PORT=5001"
    )


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid", "a..b"])
def test_host_that_is_not_here_is_one_line(config: Path, host: str) -> None:
    line = fault(Server(config, ELECDATA_SERVER__HOST=host))
    assert line.startswith("ERROR - server.host")


def test_demonstration_is_not_served_to_other_machines(config: Path) -> None:
    line = fault(Server(config, **OPEN, ELECDATA_API_USERS__RICK="morty"))
    assert line.startswith("ERROR - server.host: 0.0.0.0 serves other machines")
    assert "api_users.rick" in line


def test_log_has_every_line_however_many_come_at_once(sample: DatabaseFixture) -> None:
    pings = 200
    head = f"GET /apielec/ping HTTP/1.1\r\nHost: x\r\nSESSION: {token()}\r\nX-Request-ID: "
    with Server(sample.config) as server, connected(server.port()) as client:
        asking = Thread(
            target=lambda: client.sendall(
                b"".join(f"{head}r{number}\r\n\r\n".encode() for number in range(pings))
            )
        )
        asking.start()
        answers = b""
        while answers.count(b"X-Request-ID") < pings:
            answers += client.recv(65536)
        asking.join()
        server.stop()
        lines = [line for line in server.lines if "/apielec/ping" in line]
        usual = r"[-0-9]{10} [:,0-9]{12} INFO GET /apielec/ping 200 .* from=127.0.0.1 id=r"
        assert [re.sub(usual, "", line) for line in lines] == [str(n) for n in range(pings)]


@pytest.mark.parametrize(
    "exposed", [OPEN, {"ELECDATA_SERVER__PROXIES": "127.0.0.1,::1"}], ids=["host", "proxies"]
)
def test_demonstration_user_may_not_log_in_where_other_machines_may_ask(
    sample: DatabaseFixture, exposed: dict[str, str]
) -> None:
    """Though the database has kept him from earlier days."""
    with Server(sample.config, **exposed, ELECDATA_API_USERS="{}") as server:
        port = int(server.wait_for_line("listening on").rpartition(":")[2])
        with connected(port) as client:
            client.sendall(
                b"GET /login HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
                b"Authorization: Basic cmljazptb3J0eQ==\r\n\r\n"
            )
            answer = received(client)
            assert answer.startswith(b"HTTP/1.1 401 ")
            assert b"log in on this machine only, use one of elecdata users add" in answer


def test_wrong_setting_is_one_line(config: Path) -> None:
    line = fault(Server(config, ELECDATA_SERVER__PROT="1"))
    assert line.startswith("ERROR - ELECDATA_SERVER__PROT: ")
    assert "did you mean ELECDATA_SERVER__PORT?" in line


# End


@pytest.fixture
def stalled(sample: DatabaseFixture) -> Iterator[tuple[Server, socket.socket]]:
    """A server, and a client that has begun to read a long answer."""
    server = Server(sample.config, ELECDATA_CACHE__TTL="0")
    with server, connected(server.port()) as client:
        asked(client, "/apielec/getData")
        assert client.recv(15) == b"HTTP/1.1 200 OK"
        yield server, client


def test_sigterm_lets_a_running_answer_finish(stalled: tuple[Server, socket.socket]) -> None:
    server, client = stalled
    port = client.getpeername()[1]
    server.process.send_signal(signal.SIGTERM)
    server.wait_for_line("stopping")
    with socket.socket() as late:
        assert late.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED
    assert received(client).endswith(b"]}}\r\n0\r\n\r\n")
    assert server.wait() == 0


def test_sigterm_while_it_waits_for_the_database_ends_it(database: DatabaseFixture) -> None:
    with Server(database.config) as server:
        server.wait_for_line("; waiting")
        assert server.stop() == 0


# The welcome


def test_welcome_prints_lines_that_work(sample: DatabaseFixture) -> None:
    require("curl", "sed")
    with Server(sample.config, "--welcome") as server:
        server.wait_for_line("Ctrl-C")
        commands = [line for line in server.lines if re.match(r"  (TOKEN=|curl )", line)]
        assert len(commands) == 3
        done = subprocess.run(  # noqa: S603 - what a newcomer would run
            ["/bin/sh", "-ec", "\n".join(commands)],
            capture_output=True,
            text=True,
            check=True,
            timeout=TIMEOUT,
        )
        by_id, by_date = re.findall(r'"numrecs":(\d+)', done.stdout)
        assert (by_id, by_date) == ("2", "96")
        assert server.stop() == 0


# Several workers


def children(process: subprocess.Popen[str]) -> list[int]:
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return [int(child) for child in listed.split()]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are listed in /proc")
def test_workers_leave_when_their_parent_was_killed(sample: DatabaseFixture) -> None:
    with Server(sample.config, ELECDATA_SERVER__WORKERS="2") as server:
        server.port()
        workers = children(server.process)
        server.process.kill()
        # The last of them closes the standard error that all of them share.
        assert server.wait() == -signal.SIGKILL
        assert not any(Path(f"/proc/{worker}/exe").exists() for worker in workers)

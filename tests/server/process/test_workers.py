"""Workers that die or cannot start: once one has served, nothing but a signal ends the service."""

import asyncio
import json
import logging
import os
import pickle
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from server.process import workers
from server.process.reload import Running
from server.process.workers import WorkerOrder, _Supervisor
from server.security.signing_keys import SigningKeys
from settings import load_settings
from tests.server.process.test_server_command import (
    Server,
    asked,
    children,
    connected,
    fault,
    received,
)
from tests.server.transport.test_tls import answered, tls
from tests.support.app_client import SECRET
from tests.support.certificates import make_certificate
from tests.support.databases import SqliteDatabase
from tests.support.paths import ROOT
from tests.support.process import TIMEOUT
from tests.support.report_factory import numbered, quarters, report

pytestmark = [
    pytest.mark.promise("Bad nights", by_test=True),
    pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are listed in /proc"),
]

IN_A_ROW = 8
"""Connections after which each worker is likely to have had one."""


@pytest.fixture
def database(tmp_path: Path) -> SqliteDatabase:
    """Four readings, and rick."""
    small = SqliteDatabase(tmp_path)
    asyncio.run(small.load(report(*numbered(quarters("2019-08-01", 4)))))
    asyncio.run(small.admit("rick"))
    return small


@contextmanager
def two_workers(config: Path, **environ: str) -> Iterator[tuple[Server, int]]:
    """Two workers that serve, and their port; in the end they stop as they should."""
    environ = {"ELECDATA_SERVER__WORKERS": "2", "ELECDATA_DATABASE__WAIT": "0"} | environ
    with Server(config, **environ) as server:
        port = int(listening(server, 2).rpartition(":")[2])
        yield server, port
        assert server.stop() == 0


def listening(server: Server, times: int) -> str:
    """The last of so many lines that say where a worker listens."""
    for _ in range(times):
        line = server.wait_for_line("listening on")
        server.lines.remove(line)
    return line


def assert_served(port: int) -> None:
    for _ in range(IN_A_ROW):
        with connected(port) as client:
            asked(client, "/apielec/getDataById?id=1")
            assert b'"numrecs":1' in received(client)


def kill_one(server: Server) -> None:
    """A worker is killed, and that is noticed."""
    worker = children(server.process)[0]
    os.kill(worker, signal.SIGKILL)
    server.wait_for_line(f"worker {worker} ended with status -9 and is replaced")


def test_worker_that_dies_is_replaced_and_sigterm_ends_all(database: SqliteDatabase) -> None:
    with two_workers(database.config) as (server, port):
        first, second = children(server.process)
        kill_one(server)
        listening(server, 1)
        replaced = children(server.process)
        assert len(replaced) == 2
        assert second in replaced
        assert first not in replaced
        assert_served(port)
    assert not any(Path(f"/proc/{worker}").exists() for worker in replaced)


def test_worker_is_replaced_while_the_database_is_away(database: SqliteDatabase) -> None:
    """As the others do, the new one says 503 until the database is back."""
    folder = database.path.parent
    with two_workers(database.config) as (server, port):
        away = folder.rename(folder.with_name("away"))
        kill_one(server)
        listening(server, 1)
        with connected(port) as client:
            asked(client, "/apielec/getDataById?id=1")
            assert received(client).startswith(b"HTTP/1.1 503 ")
        away.rename(folder)
        assert_served(port)


@pytest.mark.trust
@pytest.mark.parametrize("share", [0, 0.5])
def test_half_saved_configuration_is_refused_by_reload_and_harms_no_new_worker(
    database: SqliteDatabase, share: float
) -> None:
    """The settings that the service runs with go on, in a new worker too."""
    text = json.dumps({"auth": {"keys": {"only": SECRET}}, "database": database.section()})
    database.config.write_text(text)
    with two_workers(database.config, ELECDATA_AUTH__SECRET="") as (server, port):
        database.config.write_text(text[: int(share * len(text))])
        server.process.send_signal(signal.SIGHUP)
        server.wait_for_line("reload failed, nothing was changed: ")
        kill_one(server)
        listening(server, 1)
        assert_refused_without_token(port)
        database.config.write_text(text)
        server.process.send_signal(signal.SIGHUP)
        server.wait_for_line("reloaded: ")


def assert_refused_without_token(port: int) -> None:
    with connected(port) as client:
        client.sendall(b"GET /apielec/ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert received(client).startswith(b"HTTP/1.1 405 ")


@pytest.mark.trust
def test_unreadable_certificate_is_told_once_and_others_serve_until_it_is_back(
    database: SqliteDatabase, tmp_path: Path
) -> None:
    certificate, key, _ = make_certificate(tmp_path)
    environ = tls(certificate, key) | {"ELECDATA_SERVER__WORKERS": "2"}
    with Server(database.config, **environ) as server:
        port = int(listening(server, 2).rpartition(":")[2])
        away = certificate.rename(tmp_path / "away.pem")
        kill_one(server)
        line = server.wait_for_line("cannot start and is tried again: ")
        assert line.endswith(f"server.tls.certificate: {certificate}: No such file or directory")
        tries: set[int] = set()
        while len(tries) < 3:
            tries.update(children(server.process))
        assert answered(port, away)[0].startswith(b"HTTP/1.1 200 ")
        away.rename(certificate)
        server.wait_for_line("workers start again")
        assert server.stop() == 0
    assert sum("cannot start" in line for line in server.lines) == 1
    assert not any("ERROR - " in line for line in server.lines)


@pytest.mark.trust
def test_parent_that_has_no_descriptors_left_tries_again(database: SqliteDatabase) -> None:
    with two_workers(database.config) as (server, port):
        _, hard = limits = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
        used = len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (used - 2, hard))
        kill_one(server)
        server.wait_for_line("cannot start and is tried again: ")
        assert_served(port)
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, limits)
        server.wait_for_line("workers start again")
        assert_served(port)


def test_workers_serve_on_when_the_folder_of_their_metrics_is_gone(
    database: SqliteDatabase, tmp_path: Path
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with two_workers(database.config, TMPDIR=str(temporary)) as (server, port):
        shutil.rmtree(temporary)
        server.wait_for_line("the metrics of this worker cannot be shared: ")
        kill_one(server)
        listening(server, 1)
        assert_served(port)


def test_wrong_certificate_is_one_line_before_any_worker_has_served(
    database: SqliteDatabase, tmp_path: Path
) -> None:
    certificate, key, _ = make_certificate(tmp_path)
    certificate.write_text("nonsense")
    environ = tls(certificate, key) | {"ELECDATA_SERVER__WORKERS": "2"}
    assert fault(Server(database.config, **environ)).startswith("ERROR - server.tls: ")


def test_missing_database_is_one_line_before_any_worker_has_served(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("database: {url: 'sqlite:///none.db', wait: 0}\nserver: {workers: 2}\n")
    assert "load a report with elecdata load" in fault(Server(config))


def test_unexpected_error_of_a_worker_that_has_served_is_one_line_in_the_log(
    database: SqliteDatabase,
) -> None:
    program = (
        "from pathlib import Path\n"
        "from server.process import serve\n"
        "async def fail(*_, worker, **__):\n"
        "    worker.on_listening()\n"
        "    raise RuntimeError('all\\nis lost')\n"
        "serve._serve = fail\n"
        "serve.run_worker(None, 0, Path())\n"
    )
    settings = load_settings(database.config, {"ELECDATA_AUTH__SECRET": SECRET})
    order = WorkerOrder(settings, SigningKeys.single(SECRET), os.getpid(), is_replacement=False)
    ended = subprocess.run(  # noqa: S603 - the program is this one's own
        [sys.executable, "-c", program],
        input=pickle.dumps(order),
        capture_output=True,
        cwd=ROOT,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (1, b"serving\n")
    (line,) = ended.stderr.decode().splitlines()
    assert line.endswith("this worker ends: unexpected RuntimeError: all is lost")


@pytest.fixture
def supervisor(database: SqliteDatabase) -> _Supervisor:
    """Replaces one worker, as if others had served already."""
    settings = load_settings(database.config, {"ELECDATA_AUTH__SECRET": SECRET})
    keys = SigningKeys.single(SECRET)
    running = Running(database.config, settings, keys)
    alone = _Supervisor(running, 0, database.config, database.folder)
    alone._has_served = True
    return alone


async def until(is_so: Callable[[], object]) -> None:
    async with asyncio.timeout(TIMEOUT):
        while not is_so():
            await asyncio.sleep(0.01)


async def test_worker_that_hangs_before_it_serves_is_replaced(
    supervisor: _Supervisor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(workers, "_START_SECONDS", 0)
    caplog.set_level(logging.WARNING)
    supervised = asyncio.create_task(supervisor.supervise())
    await until(lambda: "and is tried again: it did not start in 0 s" in caplog.text)
    monkeypatch.setattr(workers, "_START_SECONDS", TIMEOUT)
    await until(lambda: "workers start again" in caplog.text)
    supervisor.stop.set()
    assert await supervised


async def test_worker_that_does_not_stop_is_killed(
    supervisor: _Supervisor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(workers, "_STOP_SECONDS", 0)
    supervised = asyncio.create_task(supervisor.supervise())
    await until(lambda: supervisor._workers)
    (worker,) = supervisor._workers
    worker.send_signal(signal.SIGSTOP)
    # A SIGTERM that comes before it has stopped would be handled first.
    status = Path(f"/proc/{worker.pid}/stat")
    await until(lambda: status.read_text().rpartition(")")[2].split()[0] == "T")
    supervisor.stop.set()
    async with asyncio.timeout(TIMEOUT):
        assert not await supervised
    assert f"worker {worker.pid} did not stop in 0 s and is killed" in caplog.text


async def test_sighup_reaches_the_workers_beside_one_that_has_just_ended(
    database: SqliteDatabase,
) -> None:
    keys = SigningKeys.single(SECRET)
    running = Running(database.config, database.settings, keys)
    supervisor = _Supervisor(running, 0, database.config, database.folder)
    program = "import signal, sys; signal.signal(signal.SIGHUP, lambda *_: sys.exit(7)); print(1)"
    waiting = f"{program}; sys.stdout.flush(); signal.pause()"
    for _ in range(4):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", waiting), stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        await process.stdout.readline()
        supervisor._workers.add(process)
    ended, *others = supervisor._workers
    ended.kill()
    await ended.wait()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ELECDATA_AUTH__SECRET", SECRET)
        supervisor.reload()
    assert [await other.wait() for other in others] == [7, 7, 7]

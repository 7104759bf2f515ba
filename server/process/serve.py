"""Serving: in one process, or in workers that share a port."""

import asyncio
import errno
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import uvloop

from cli.printing import print_line, print_lines
from server.app import make_app
from server.observability import logging_setup, metrics
from server.process.banner import banner
from server.process.listener import Listener
from server.process.open_files import allow_open_files
from server.process.reload import Running
from server.process.workers import StartError, WorkerOrder, run_workers, worker_report
from server.security.signing_keys import SigningKeys
from settings import Settings, SettingsError, load_settings, url_host
from storage.common.errors import StorageError
from storage.database import Database
from storage.factory import open_database

log = logging.getLogger("server")

_RETRY_SECONDS = 0.5
_POLL_SECONDS = 1.0
_SWITCH_SECONDS = 0.001
"""How long a thread that works in Python may keep the event loop waiting, instead of 5 ms."""


def run(config: Path | None, *, debug: bool, greet: bool) -> None:
    """Serve in this process, or in workers, until a signal; exit with status 1 if that fails."""
    try:
        settings = load_settings(config)
        logging_setup.set_up_logging(settings.log)
        sys.setswitchinterval(_SWITCH_SECONDS)
        settings.require_safe()
        running = Running(config, settings, SigningKeys.of(settings))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            if settings.server.workers == 1:
                runner.run(_serve(running, port=settings.server.port, greet=greet))
                return
            with (
                _reserve_port(settings) as holder,
                TemporaryDirectory(prefix="elecdata-") as folder,
            ):
                port = holder.getsockname()[1]
                if greet:
                    print_lines(banner(settings, port))
                if not runner.run(run_workers(running, port, config, Path(folder))):
                    sys.exit(1)
    except (SettingsError, StartError) as error:
        if debug:
            raise
        print_line(f"ERROR - {error}", err=True)
        sys.exit(1)


def run_worker(config: Path | None, port: int, shared: Path) -> None:
    """Serve as a worker until a signal; exit with status 1 if that fails, and tell the parent."""
    report = worker_report()
    try:
        order = WorkerOrder.receive()
        logging_setup.set_up_logging(order.settings.log)
        running = Running(config, order.settings, order.keys)
        worker = _Worker(shared, order.parent, lambda: report(""), order.is_replacement)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(running, port=port, greet=False, worker=worker))
    except Exception as error:  # noqa: BLE001 - the parent logs it, and tries again
        is_told = isinstance(error, SettingsError | StartError)
        fault = str(error) if is_told else f"unexpected {type(error).__name__}: {error}"
        if not report(fault):
            log.error("this worker ends: %s", " ".join(fault.split()))
        sys.exit(1)


@dataclass(frozen=True, slots=True)
class _Worker:
    """What a worker has to do with others."""

    shared: Path
    parent: int
    on_listening: Callable[[], object]
    is_replacement: bool


async def _serve(
    running: Running, *, port: int, greet: bool, worker: _Worker | None = None
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    loop.add_signal_handler(signal.SIGHUP, running.reload)
    settings = running.settings
    database = open_database(settings)
    try:
        if worker is None or not worker.is_replacement:
            await _wait_for_database(database, settings.database.wait, stop)
        app = make_app(settings=settings, database=database, signing_keys=running.keys)
    except BaseException:
        await database.close()
        raise
    running.app = app
    if worker is not None:
        app.cleanup_ctx.append(metrics.publish_snapshots(worker.shared))
    _collect_cycles_rarely()
    allow_open_files(settings)
    host = settings.server.host
    try:
        listener = await Listener.start(
            app, host, port, tls=running.tls, reuse_port=worker is not None
        )
    except (OSError, UnicodeError) as error:
        raise _cannot_listen(host, port, error) from None
    try:
        scheme = "http" if running.tls is None else "https"
        parent = None
        if worker is not None:
            worker.on_listening()
            parent = asyncio.create_task(_watch_parent(worker.parent, stop))
        for address, bound in listener.addresses:
            log.info("listening on %s://%s:%d", scheme, url_host(address), bound)
        if greet:
            print_lines(banner(settings, listener.addresses[0][1]))
        await stop.wait()
        if parent is not None:
            parent.cancel()
        await listener.stop_accepting()
        log.info("stopping: running requests finish, new ones are refused")
        await listener.drain()
    finally:
        await listener.close()


def _collect_cycles_rarely() -> None:
    """Let the cycle collector run rarely, and skip objects that live as long as the process.

    Only requests that fail leave cycles behind, and the search for them was a tenth of the cost
    of a cached response.
    """
    gc.freeze()
    gc.set_threshold(5_000, 10, 10)


async def _watch_parent(parent: int, stop: asyncio.Event) -> None:
    """Stop this worker if its parent was killed: nothing else would."""
    while os.getppid() == parent:  # noqa: ASYNC110 - no event to wait for
        await asyncio.sleep(_POLL_SECONDS)
    log.error("the parent process has ended: stopping")
    stop.set()


def _reserve_port(settings: Settings) -> socket.socket:
    """Return a socket that holds the port for the workers, which listen on it themselves."""
    host, port = settings.server.host, settings.server.port
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        holder = socket.socket(family)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(address)
    except (OSError, UnicodeError) as error:
        raise _cannot_listen(host, port, error) from None
    return holder


def _cannot_listen(host: str, port: int, error: OSError | UnicodeError) -> StartError:
    number = getattr(error, "errno", None)
    reason = getattr(error, "strerror", None) or error
    if number == errno.EADDRINUSE:
        reason = "port already in use; choose another, for example ELECDATA_SERVER__PORT=5001"
    place = f"{url_host(host)}:{port}"
    return StartError(f"server.host, server.port: cannot listen on {place}: {reason}")


async def _wait_for_database(database: Database, wait: float, stop: asyncio.Event) -> None:
    """Wait until the database has its tables. Raise StartError after `wait` seconds."""
    deadline = asyncio.get_running_loop().time() + wait
    logged = ""
    while not stop.is_set():
        try:
            state = await database.state()
        except StorageError as error:
            if asyncio.get_running_loop().time() >= deadline:
                raise StartError(f"{error} (database.wait: gave up after {wait:g} s)") from None
            if str(error) != logged:
                logged = str(error)
                log.warning("%s; waiting", logged)
            await asyncio.sleep(_RETRY_SECONDS)
        else:
            if state.is_empty:
                log.warning("there are no readings yet: load some with `elecdata load REPORT.csv`")
            return

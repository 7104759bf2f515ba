"""Serving: in one process, or in workers that share a port."""

import asyncio
import errno
import gc
import logging
import os
import signal
import socket
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import uvloop

from server.app import make_app
from server.observability import logging_setup, metrics
from server.process.banner import banner
from server.process.listener import Listener
from server.process.reload import reload
from server.process.workers import PARENT, run_workers
from server.security.signing_keys import SigningKeys
from server.transport import tls
from settings import Settings, SettingsError, load_settings
from storage.common.errors import StorageError
from storage.database import Database
from storage.factory import open_database

log = logging.getLogger("server")

_RETRY_SECONDS = 0.5
_POLL_SECONDS = 1.0
_SWITCH_SECONDS = 0.001
"""How long a thread that works in Python may keep the event loop waiting, instead of 5 ms."""


class StartError(Exception):
    """The server can't start; the text is one line that says why."""


def run(
    config: Path | None, *, debug: bool, worker_port: int | None, shared: Path | None, greet: bool
) -> None:
    """Serve in this process, or in workers, until a signal; exit with status 1 if that fails."""
    try:
        settings = load_settings(config)
        logging_setup.set_up_logging(settings.log)
        sys.setswitchinterval(_SWITCH_SECONDS)
        settings.require_safe()
        keys = SigningKeys.of(settings)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            if worker_port is not None:
                runner.run(
                    _serve(settings, keys, config, port=worker_port, shared=shared, greet=False)
                )
            elif settings.server.workers == 1:
                port = settings.server.port
                runner.run(_serve(settings, keys, config, port=port, shared=None, greet=greet))
            else:
                with (
                    _reserve_port(settings) as holder,
                    TemporaryDirectory(prefix="elecdata-") as folder,
                ):
                    port = holder.getsockname()[1]
                    if greet:
                        click.echo(banner(settings, port))
                    workers = run_workers(settings.server.workers, port, config, Path(folder))
                    if not runner.run(workers):
                        sys.exit(1)
    except (SettingsError, StartError) as error:
        if debug:
            raise
        click.echo(f"ERROR - {error}", err=True)
        sys.exit(1)


async def _serve(
    settings: Settings,
    keys: SigningKeys,
    config: Path | None,
    *,
    port: int,
    shared: Path | None,
    greet: bool,
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    secured = tls.server_context(settings.server.tls)
    loop.add_signal_handler(signal.SIGHUP, reload, config, secured)
    database = open_database(settings)
    try:
        await _wait_for_database(database, settings.database.wait, stop)
        app = make_app(settings=settings, database=database, signing_keys=keys)
    except BaseException:
        await database.close()
        raise
    loop.add_signal_handler(signal.SIGHUP, reload, config, secured, app)
    if shared is not None:
        app.cleanup_ctx.append(metrics.publish_snapshots(shared))
    _collect_cycles_rarely()
    host = settings.server.host
    try:
        listener = await Listener.start(app, host, port, tls=secured, reuse_port=shared is not None)
    except (OSError, UnicodeError) as error:
        raise _cannot_listen(host, port, error) from None
    try:
        scheme = "http" if secured is None else "https"
        for address in listener.addresses:
            log.info("listening on %s://%s:%d", scheme, *address)
        if greet:
            click.echo(banner(settings, listener.addresses[0][1]))
        parent = None if shared is None else asyncio.create_task(_watch_parent(shared, stop))
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


async def _watch_parent(shared: Path, stop: asyncio.Event) -> None:
    """Stop this worker if its parent was killed: nothing else would."""
    parent = int(shared.joinpath(PARENT).read_text())
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
    return StartError(f"server.host, server.port: cannot listen on {host}:{port}: {reason}")


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

"""The command `python -m server`."""

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
from aiohttp import web

from cli.error_boundary import report_unexpected
from server.app import make_app
from server.observability import logging_setup, metrics
from server.observability.accounting import access_logger
from server.observability.checks import run_checks
from server.observability.findings import Finding, format_json, format_line, has_failures
from server.process.banner import banner
from server.process.reload import reload
from server.process.shutdown import drain, stop_accepting
from server.process.workers import PARENT, run_workers
from server.security.signing_keys import SigningKeys
from server.transport import tls
from settings import Settings, SettingsError, load_settings
from storage.common.errors import StorageError
from storage.database import Database
from storage.factory import open_database

log = logging.getLogger("server")

BACKLOG = 1024

_BETWEEN_TRIES = 0.5
_BETWEEN_LOOKS = 1.0


class StartError(Exception):
    """The server can't start; the text is one line that says why."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="Configuration file. Default: config.yaml in the project's folder.",
)
@click.option("--check", is_flag=True, help="Check everything the server needs; start nothing.")
@click.option("--json", "as_json", is_flag=True, help="With --check: print one JSON object.")
@click.option("--debug", is_flag=True, help="Show a traceback on errors.")
@click.option("--worker-port", type=int, hidden=True)
@click.option("--shared", type=click.Path(path_type=Path), hidden=True)
@click.option("--welcome", "greet", is_flag=True, help="Print URL, login and example requests.")
def main(
    config: Path | None,
    *,
    check: bool,
    as_json: bool,
    debug: bool,
    worker_port: int | None,
    shared: Path | None,
    greet: bool,
) -> None:
    """Serve the readings over HTTP until SIGTERM or Ctrl-C; running requests finish first.

    \b
    Examples:
      elecdata serve
      ELECDATA_SERVER__PORT=8080 elecdata serve --config /etc/elecdata/config.yaml
      elecdata serve --check
      elecdata serve --check --json | jq .ok

    \b
    Status: 0 stopped, or all checks passed; 1 the server cannot start; 2 wrong command line.
    """
    if as_json and not check:
        raise click.UsageError("--json requires --check")
    with report_unexpected(debug=debug):
        if check:
            sys.exit(_examine(config, as_json=as_json))
        _run(config, debug=debug, worker_port=worker_port, shared=shared, greet=greet)


def _run(
    config: Path | None, *, debug: bool, worker_port: int | None, shared: Path | None, greet: bool
) -> None:
    """Serves in this process, or in workers."""
    try:
        settings = load_settings(config)
        logging_setup.set_up_logging(settings.log)
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
                    _reserved(settings) as holder,
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


def _examine(config: Path | None, *, as_json: bool) -> int:
    """Tells what is found, and gives the exit status."""

    async def look() -> list[Finding]:
        found = []
        async for finding in run_checks(config):
            found.append(finding)
            if not as_json:
                click.echo(format_line(finding))
        return found

    found = asyncio.run(look())
    if as_json:
        click.echo(format_json(found))
    return int(has_failures(found))


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
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    secured = tls.tls_context(settings.server.tls)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload, config, secured)
    reader = open_database(settings)
    await _until_up(reader, settings.database.wait, stop)
    app = make_app(settings=settings, reader=reader, signing_keys=keys)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload, config, secured, app)
    if shared is not None:
        app.cleanup_ctx.append(metrics.publish_snapshots(shared))
    _collect_seldom()
    runner = web.AppRunner(
        app,
        handler_cancellation=True,
        access_log_class=access_logger(app),
        access_log=logging.getLogger("access"),
    )
    await runner.setup()
    try:
        host = settings.server.host
        try:
            site = web.TCPSite(
                runner,
                host,
                port,
                backlog=BACKLOG,
                reuse_port=shared is not None,
                ssl_context=secured,
            )
            await site.start()
        except (OSError, UnicodeError) as error:
            raise _cannot_listen(host, port, error) from None
        scheme = "http" if secured is None else "https"
        for address in runner.addresses:
            log.info("listening on %s://%s:%d", scheme, *address[:2])
        if greet:
            click.echo(banner(settings, runner.addresses[0][1]))
        parent = None if shared is None else asyncio.create_task(_watch_parent(shared, stop))
        await stop.wait()
        if parent is not None:
            parent.cancel()
        await stop_accepting(runner, site, secured)
        log.info("stopping: running requests finish, new ones are refused")
        await drain(runner)
    finally:
        await runner.cleanup()


def _collect_seldom() -> None:
    """Lets the collector of cycles run seldom, and look at nothing that stays for good.

    Requests leave none behind but where they fail, and looking for some was a tenth of what a
    cached answer costs.
    """
    gc.freeze()
    gc.set_threshold(5_000, 10, 10)


async def _watch_parent(shared: Path, stop: asyncio.Event) -> None:
    """Stops a worker whose parent was killed: nobody would ever tell it to."""
    parent = int(shared.joinpath(PARENT).read_text())
    while os.getppid() == parent:  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(_BETWEEN_LOOKS)
    log.error("the server that started this worker is gone: stopping")
    stop.set()


def _reserved(settings: Settings) -> socket.socket:
    """A socket that holds the port for the workers, which listen on it themselves."""
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


async def _until_up(reader: Database, wait: float, stop: asyncio.Event) -> None:
    """Waits until the database has tables to read; raises StartError if it doesn't in time."""
    deadline = asyncio.get_running_loop().time() + wait
    told = ""
    while not stop.is_set():
        try:
            state = await reader.state()
        except StorageError as error:
            if asyncio.get_running_loop().time() >= deadline:
                await reader.close()
                raise StartError(f"{error} (database.wait: gave up after {wait:g} s)") from None
            if str(error) != told:
                told = str(error)
                log.warning("%s; waiting", told)
            await asyncio.sleep(_BETWEEN_TRIES)
        else:
            if state.is_empty:
                log.warning("there are no readings yet: load some with `elecdata load REPORT.csv`")
            return


if __name__ == "__main__":
    main(prog_name="python -m server")

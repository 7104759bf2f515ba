"""What the commands about access have in common: the database, audit lines, errors."""

import asyncio
import json
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import click

from cli.error_report import FaultyReportsError
from cli.output import WAITING, CommandOutput, OutputMode, stopped
from cli.printing import print_line
from loader.audit_record import recorded
from loader.rows.errors import ReportError
from settings import SettingsError, load_settings
from storage.common.errors import NotPrepared, StorageError
from storage.factory import WritableDatabase, open_importer

_AUDIT_LOG = logging.getLogger("audit")

Work = Callable[[WritableDatabase], Awaitable[None]]


def log_audit_lines() -> None:
    """Write what is logged to standard error."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr
    )


def with_database(
    config: Path | None, output: CommandOutput, work: Work, *, prepares: bool = False
) -> None:
    """Do work with the database, which is brought up to date for it if the work adds something."""

    async def connected() -> None:
        database = open_importer(load_settings(config))
        database.engine.on_wait = lambda: _say_waiting(output)
        try:
            if prepares:
                async for _ in database.engine.prepare():
                    pass
                await database.engine.admit_reader()
            elif not await database.engine.is_prepared():
                raise NotPrepared(
                    f"the database {database.engine.database} is not up to date: run"
                    " `elecdata load`, or add something"
                )
            await work(database)
        finally:
            await database.engine.close()

    try:
        asyncio.run(connected())
    except (FaultyReportsError, ReportError, SettingsError, StorageError) as error:
        output.fail(error)
    except KeyboardInterrupt:
        stopped()


def change(
    config: Path | None,
    output: CommandOutput,
    event: str,
    work: Callable[[WritableDatabase, dict[str, object]], Awaitable[None]],
    *,
    prepares: bool = False,
) -> dict[str, object]:
    """Change the database and append the event to the audit trail, both or neither.

    The work adds the details of the event, which are returned, and logged to standard error.
    """
    details: dict[str, object] = {}

    async def record(database: WritableDatabase) -> None:
        async with recorded(database, event) as told:
            await work(database, told)
            details.update(told)

    with_database(config, output, record, prepares=prepares)
    text = "".join(f" {name}={json.dumps(value)}" for name, value in details.items())
    _AUDIT_LOG.info("%s%s uid=%d", event, text, os.getuid())
    return details


def utc_text(seconds: int | None) -> str | None:
    """Return an instant in seconds since 1970 as text, in UTC."""
    return None if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


def config_option(command: Callable[..., None]) -> Callable[..., None]:
    """Add the option --config."""
    return click.option(
        "--config",
        type=click.Path(path_type=Path),
        help="Configuration file. Default: config.yaml in the project's folder.",
    )(command)


def _say_waiting(output: CommandOutput) -> None:
    if output.mode is OutputMode.TEXT:
        print_line(WAITING, err=True)

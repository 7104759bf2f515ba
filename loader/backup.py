"""The command `python -m loader.backup`."""

import asyncio
from pathlib import Path

import click

from cli.commands import EscapingCommand
from cli.output import CommandOutput, output_options, stopped
from cli.printing import print_line
from loader.audit_record import record
from settings import Settings, SettingsError, load_settings
from storage.common.errors import StorageError
from storage.factory import open_backup, open_importer

_AUDIT_SECONDS = 2.0
"""Seconds that a backup waits, at its end, for an import that keeps others from writing."""


@click.command(cls=EscapingCommand, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="Configuration file. Default: config.yaml in the project's folder.",
)
@click.option("--restore", is_flag=True, help="Restore FILE into an empty database.")
@click.argument("file", type=click.Path(path_type=Path))
@output_options
def main(config: Path | None, restore: bool, file: Path, output: CommandOutput) -> None:
    """Back up the whole database to a new FILE, or restore it from one.

    The service can run meanwhile: the backup is a consistent snapshot. SQLite gives a SQLite
    file, MySQL and MariaDB an SQL file. The file contains password hashes; only its owner may
    read it.

    \b
    Examples:
      elecdata backup /backup/readings-$(date +%F)
      elecdata backup --restore /backup/readings-2026-01-31

    \b
    Status: 0 success, 1 failure, 2 wrong command line, 130 stopped by Ctrl-C.
    """

    async def run() -> None:
        settings = load_settings(config)
        async with open_backup(settings) as driver:
            await (driver.restore(file) if restore else driver.backup(file))
        await _record(settings, "restore" if restore else "backup", file)
        if restore:
            await _admit_server(settings)

    try:
        asyncio.run(run())
    except (SettingsError, StorageError) as error:
        output.fail(error)
    except KeyboardInterrupt:
        stopped("; the restored data is incomplete" if restore else "")
    output.say(f"OK - database {'restored from' if restore else 'backed up to'} {file}")
    size = file.stat().st_size
    output.give({"ok": True, "file": click.format_filename(file), "bytes": size})


async def _record(settings: Settings, event: str, file: Path) -> None:
    """Append to the audit trail, if the database has one; what was done stays done."""
    database = open_importer(settings)
    try:
        async with asyncio.timeout(_AUDIT_SECONDS):
            if await database.engine.is_prepared():
                await record(database, event, file=click.format_filename(file))
    except (StorageError, TimeoutError) as error:
        reason = str(error) or "another program is writing to the database"
        print_line(f"WARNING - the audit trail does not tell of this {event}: {reason}", err=True)
    finally:
        await database.engine.close()


async def _admit_server(settings: Settings) -> None:
    """Let the server's account log users in: a backup holds neither its rights nor procedures."""
    database = open_importer(settings)
    try:
        settings.require_safe_accounts()
        if await database.engine.is_prepared():
            await database.engine.admit_reader()
            return
        reason = "the backup is of an older version"
    except (SettingsError, StorageError) as error:
        reason = str(error)
    finally:
        await database.engine.close()
    print_line(f"WARNING - run `elecdata load` before serving: {reason}", err=True)


if __name__ == "__main__":
    main(prog_name="python -m loader.backup")

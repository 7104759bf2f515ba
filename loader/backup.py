"""The command `python -m loader.backup`."""

import asyncio
from pathlib import Path

import click

from cli.output import CommandOutput, output_options, stopped
from settings import SettingsError, load_settings
from storage.common.errors import StorageError
from storage.factory import open_backup


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="Settings file, instead of the config.yaml of the project.",
)
@click.option("--restore", is_flag=True, help="Read FILE into the database, which must be empty.")
@click.argument("file", type=click.Path(path_type=Path))
@output_options
def main(config: Path | None, restore: bool, file: Path, output: CommandOutput) -> None:
    """Copy the whole database into a new FILE, while it is read and written, or back.

    SQLite gives another SQLite file, MySQL and MariaDB a file of SQL. It holds the hashes of
    passwords, and only its owner may read it.

    \b
    Examples:
      python -m loader.backup /backup/readings-$(date +%F)
      python -m loader.backup --restore /backup/readings-2026-01-31

    \b
    Status: 0 done, 1 not done, 2 wrong command line, 130 stopped by Ctrl-C.
    """

    async def run() -> None:
        async with open_backup(load_settings(config)) as driver:
            await (driver.restore(file) if restore else driver.backup(file))

    try:
        asyncio.run(run())
    except (SettingsError, StorageError) as error:
        output.fail(error)
    except KeyboardInterrupt:
        stopped("; what was restored so far is incomplete" if restore else "")
    output.say(f"OK - the database was {'restored from' if restore else 'copied to'} {file}")
    size = file.stat().st_size
    output.give({"ok": True, "file": click.format_filename(file), "bytes": size})


if __name__ == "__main__":
    main(prog_name="python -m loader.backup")

"""The command `python -m loader.audit`."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path

import click

from cli.commands import EscapingGroup
from cli.output import CommandOutput, OutputMode, output_options, stopped
from loader.audit_record import operator
from settings import SettingsError, load_settings
from storage.audit import AuditAdmin, AuditRow, Head
from storage.common.errors import NotPrepared, StorageError
from storage.factory import open_importer

_HEAD = re.compile(r"(\d{1,18}):([0-9a-f]{64})")
_TIMES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S"]


class _BrokenError(Exception):
    """The trail is not whole; the message says where."""


def _parse_head(_: click.Context, __: click.Parameter, value: str | None) -> Head | None:
    if value is None:
        return None
    match = _HEAD.fullmatch(value)
    if match is None:
        raise click.BadParameter("expected what `elecdata audit verify` printed, like 42:0f5c…")
    return Head(int(match[1]), match[2])


@click.group(cls=EscapingGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="Configuration file. Default: config.yaml in the project's folder.",
)
@click.pass_context
def main(context: click.Context, config: Path | None) -> None:
    """Verify, list and prune the audit trail: who did what, when and from where.

    The trail is in the database. Each entry has a hash over its content and the hash of the entry
    before it.

    \b
    Examples:
      elecdata audit verify
      elecdata audit list --since 2026-01-31
      elecdata audit prune --before 2025-01-01

    \b
    Status: 0 success, 1 failure or a broken trail, 2 wrong command line, 130 stopped by Ctrl-C.
    """
    context.obj = config


@main.command()
@click.option(
    "--head",
    "kept",
    metavar="HEAD",
    callback=_parse_head,
    help="A head printed earlier and kept elsewhere: the trail must go on from it.",
)
@click.pass_obj
@output_options
def verify(config: Path | None, kept: Head | None, output: CommandOutput) -> None:
    """Verify the whole trail, and print its head.

    Fails with the first entry that is wrong or missing. Only a head that is kept elsewhere shows
    that the end was cut off, or all of it written anew, by somebody with all rights on the
    database.

    \b
    Examples:
      elecdata audit verify
      elecdata audit verify --quiet --head "$(cat /elsewhere/head)"
      elecdata audit verify --json | jq -r .head >/elsewhere/head
    """

    async def run(audit: AuditAdmin) -> None:
        found = await audit.verify(kept)
        if found.fault is not None:
            raise _BrokenError(f"the audit trail is broken: {found.fault}")
        pruned = f", those before {found.first} were pruned" if found.first > 1 else ""
        output.say(f"OK - {found.entries} entries{pruned}")
        output.say(f"head: {found.head}")
        output.give(
            {
                "ok": True,
                "entries": found.entries,
                "first": found.first,
                "head": str(found.head),
            }
        )

    _run(config, output, run)


@main.command("list")
@click.option("--since", metavar="TIME", type=click.DateTime(_TIMES), help="From this UTC time on.")
@click.option("--user", help="Only what this user did, or what was done to the user.")
@click.pass_obj
@output_options
def list_entries(
    config: Path | None, since: datetime | None, user: str | None, output: CommandOutput
) -> None:
    """List the entries of the trail, the oldest first.

    With --json, each line is a JSON object.

    \b
    Examples:
      elecdata audit list --since 2026-01-31 --user rick
      elecdata audit list --json | jq -r 'select(.event == "export") | .actor'
    """
    start = "" if since is None else _utc(since)

    async def run(audit: AuditAdmin) -> None:
        async with aclosing(audit.rows()) as rows:
            async for row in rows:
                content = row.content
                if str(content.get("time")) >= start and _is_about(user, content):
                    _show(row, output)

    _run(config, output, run)


@main.command()
@click.option(
    "--before",
    metavar="TIME",
    type=click.DateTime(_TIMES),
    required=True,
    help="Delete the entries made before this UTC time.",
)
@click.pass_obj
@output_options
def prune(config: Path | None, before: datetime, output: CommandOutput) -> None:
    """Delete old entries; the others can still be verified.

    The trail is verified first. An entry is appended that tells of the deletion and has the hash
    of the last entry deleted, which the first one left follows.

    \b
    Example:
      elecdata audit prune --before 2025-01-01
    """

    async def run(audit: AuditAdmin) -> None:
        actor, source = operator()
        count = await audit.prune(_utc(before), actor=actor, source=source)
        output.say(f"OK - {count} entries deleted")
        output.give({"ok": True, "deleted": count})

    _run(config, output, run)


def _utc(time: datetime) -> str:
    return time.replace(tzinfo=UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _is_about(user: str | None, content: dict[str, object]) -> bool:
    details = content.get("details")
    subject = details.get("user") if isinstance(details, dict) else None
    return user is None or user in (content.get("actor"), subject)


def _show(row: AuditRow, output: CommandOutput) -> None:
    content = row.content
    if output.mode is OutputMode.JSON:
        output.give({"number": row.number, **content, "hash": row.hash})
        return
    details = content.pop("details", {})
    fields = {**content, **(details if isinstance(details, dict) else {})}
    time, event = fields.pop("time", None), fields.pop("event", None)
    # JSON, so that no name can forge a line or reach the terminal.
    texts = [f"{name}={json.dumps(value)}" for name, value in fields.items() if value is not None]
    output.say(f"{row.number} {_plain(time)} {_plain(event)} {' '.join(texts)}")


def _plain(value: object) -> str:
    text = str(value)
    return text if text.isascii() and text.isprintable() else json.dumps(text)


def _run(
    config: Path | None, output: CommandOutput, work: Callable[[AuditAdmin], Awaitable[None]]
) -> None:
    async def run() -> None:
        database = open_importer(load_settings(config))
        try:
            if not await database.engine.is_prepared():
                raise NotPrepared(
                    f"{database.engine.database} has no audit trail yet: run `elecdata load`"
                )
            await work(database.audit)
        finally:
            await database.engine.close()

    try:
        asyncio.run(run())
    except (SettingsError, StorageError, _BrokenError) as error:
        output.fail(error)
    except KeyboardInterrupt:
        stopped()


if __name__ == "__main__":
    main(prog_name="python -m loader.audit")

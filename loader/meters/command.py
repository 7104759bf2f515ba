"""The command `elecdata meters`."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import click

from cli.commands import EscapingGroup
from cli.error_report import FaultyReportsError
from cli.output import WAITING, CommandOutput, OutputMode, output_options, stopped
from cli.printing import print_line, printable
from loader.audit_record import record, recorded
from loader.meters import fields
from loader.meters.adding import add_listed
from loader.meters.export_file import STANDARD_OUTPUT, can_be_exported_to, export_file
from loader.meters.table import TextTable
from loader.rows.errors import ReportError
from settings import Settings, SettingsError, load_settings
from storage.common.errors import NotPrepared, StorageError
from storage.factory import WritableDatabase, open_importer
from storage.meter_directory import MeterListing, MeterProperties
from storage.meters import MeterRecord, random_public_id

_PARSERS: dict[str, Callable[[str], object]] = {
    "public_id": fields.parse_public_id,
    "identifier": fields.parse_identifier,
    "name": fields.parse_name,
    "note": fields.parse_note,
    "timezone": fields.parse_timezone,
    "interval": fields.parse_interval,
    "area": fields.parse_area,
}

_HEADING = (
    *("public id", "name", "identifier", "time zone", "interval", "readings"),
    *("first reading", "last reading", "last import (UTC)"),
)


class _FailedError(Exception):
    """The message says why a command failed."""


class _DeclinedError(Exception):
    """Somebody was asked, and said no."""


@click.group(cls=EscapingGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="Configuration file. Default: config.yaml in the project's folder.",
)
@click.pass_context
def main(context: click.Context, config: Path | None) -> None:
    """List, add, change, remove and export the meters of a database.

    A METER is named by its public id, or by the identifier that reports have for it, such as a
    CUPS. Each change is told of in the audit trail.

    \b
    Examples:
      elecdata meters list
      elecdata meters add garage --timezone Atlantic/Canary
      elecdata meters add --from meters.csv
      elecdata meters change garage --name "Garage, level 2"
      elecdata meters export garage garage.csv.gz
      elecdata meters remove garage

    \b
    Status: 0 success, 1 failure, 2 wrong command line, 130 stopped by Ctrl-C.
    """
    context.obj = config


def _property_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that set what is on record of a meter."""
    for name, metavar, text in reversed(
        (
            ("--identifier", "TEXT", "What reports call the meter, such as a CUPS."),
            ("--name", "TEXT", "Name for people."),
            ("--note", "TEXT", "Remark."),
            ("--timezone", "ZONE", "IANA time zone of its local times, such as Europe/Madrid."),
            ("--interval", "SECONDS", "Seconds between readings; must divide a day."),
            ("--area", "M2", "Area that it supplies, in square metres."),
        )
    ):
        command = click.option(name, metavar=metavar, help=text)(command)
    return command


@main.command("list")
@click.option("--search", metavar="TEXT", default="", help="Only meters that contain this text.")
@click.pass_obj
@output_options
def list_meters(config: Path | None, search: str, output: CommandOutput) -> None:
    """List the meters, by their public ids.

    --search looks for a text, in capitals or not, in the public id, the identifier, the name and
    the note. First and last reading are in the local time of the meter. With --json, each line is a
    JSON object.

    \b
    Examples:
      elecdata meters list
      elecdata meters list --search garage
      elecdata meters list --json | jq -r 'select(.readings == 0).meter'
    """

    async def work(database: WritableDatabase, _: Settings) -> None:
        found = False
        table = TextTable(_HEADING, output.say)
        async with aclosing(database.directory.listings(search)) as meters:
            async for meter in meters:
                found = True
                table.add(_cells(meter))
                output.give(_document(meter))
        if found:
            table.flush()
        elif search:
            output.say(f"No meter contains {search}")
        else:
            output.say("There are no meters yet: load a report, or add them")

    _run(config, output, work)


@main.command("add")
@click.argument("public_id", required=False)
@_property_options
@click.option(
    "--from",
    "file",
    metavar="FILE.csv",
    type=click.Path(path_type=str),
    help="Add the meters of a list, all of them or none.",
)
@click.pass_obj
@output_options
def add_meter(
    config: Path | None,
    public_id: str | None,
    file: str | None,
    output: CommandOutput,
    **texts: str | None,
) -> None:
    """Add a meter, or all that a file lists.

    PUBLIC_ID names the meter in requests and commands: at most 64 letters, digits, dots, _ and -.
    Without one, a random one is chosen. The time zone is that of meter.timezone unless another
    one is given. The interval is found out from the readings.

    A list is a .csv or .csv.gz file in UTF-8, with the columns public_id or identifier and any of
    name, note, kind, timezone, interval_seconds and area, in any order. Fields may be empty. A kind
    becomes the note of a meter that has none. If a line is wrong, nothing is added.

    \b
    Examples:
      elecdata meters add garage --timezone Atlantic/Canary --interval 3600
      elecdata meters add --identifier ES0021000000000001AB --name "Flat 3"
      elecdata meters add --from meters.csv
    """
    properties = _parsed({"public_id": public_id, **texts})
    if file is not None:
        if properties:
            raise click.UsageError("--from FILE takes no other properties: the file has them")
        _add_listed(config, file, output)
        return
    added = public_id or random_public_id()

    async def work(database: WritableDatabase, settings: Settings) -> None:
        defaults = {"public_id": added, "timezone": str(settings.meter.timezone)}
        async with (
            _told_of_choice(database, settings),
            recorded(database, "meter added", meter=added),
        ):
            await database.directory.add_one(MeterProperties(**(defaults | properties)))

    _run(config, output, work, creates=True)
    output.say(f"{added} was added")
    output.give({"ok": True, "meter": added})


def _add_listed(config: Path | None, file: str, output: CommandOutput) -> None:
    name = click.format_filename(file, shorten=True)
    count = 0

    async def work(database: WritableDatabase, settings: Settings) -> None:
        nonlocal count
        timezone = str(settings.meter.timezone)
        async with (
            _told_of_choice(database, settings),
            recorded(database, "meter added", file=name) as details,
        ):
            count = await add_listed(database.directory, file, timezone)
            details["meters"] = count

    _run(config, output, work, creates=True)
    output.say(f"{count} meters were added")
    output.give({"ok": True, "meters": count})


@main.command("change")
@click.argument("meter")
@click.option("--public-id", metavar="TEXT", help="New public id.")
@_property_options
@click.option("--replaced-by", metavar="METER", help="Meter that took its place.")
@click.pass_obj
@output_options
def change_meter(
    config: Path | None,
    meter: str,
    replaced_by: str | None,
    output: CommandOutput,
    **texts: str | None,
) -> None:
    """Change what is on record of a METER.

    An empty text deletes what was there. The time zone and the interval can be changed as long as
    the meter has no readings.

    \b
    Examples:
      elecdata meters change garage --public-id garage-north --area 320
      elecdata meters change garage --note ""
      elecdata meters change garage --replaced-by garage-2026
    """
    changes = _parsed(texts)
    names = [*changes, *(["replaced_by"] if replaced_by is not None else [])]
    if not names:
        raise click.UsageError("nothing to change: give an option")
    public_id = ""

    async def work(database: WritableDatabase, settings: Settings) -> None:
        nonlocal public_id
        known = await _find(database, meter)
        public_id = str(changes.get("public_id", known.public_id))
        later = await _find(database, replaced_by) if replaced_by else None
        if replaced_by is not None:
            changes["replaced_by"] = later and later.id
        renamed = {"public_id": public_id} if public_id != known.public_id else {}
        async with recorded(
            database, "meter changed", meter=known.public_id, changed=" ".join(names), **renamed
        ):
            await database.directory.change(known, changes)
        if renamed and settings.meter.default == known.public_id:
            _warn(f"meter.default names {known.public_id}: change it, too")

    _run(config, output, work)
    output.say(f"{public_id} was changed")
    output.give({"ok": True, "meter": public_id})


@main.command("remove")
@click.argument("meter")
@click.option("--yes", is_flag=True, help="Do not ask. Needed for the default meter.")
@click.pass_obj
@output_options
def remove_meter(config: Path | None, meter: str, output: CommandOutput, *, yes: bool) -> None:
    """Remove a METER with all its readings.

    Asks for the public id, unless --yes is given. From the first moment on, the meter is not served
    any more. If the command is stopped before all is deleted, the list shows the meter as being
    removed; remove it once more.

    \b
    Examples:
      elecdata meters remove garage
      elecdata meters remove garage --yes
    """
    if not (yes or sys.stdin.isatty()):
        raise click.UsageError("nobody can be asked without a terminal, use --yes")
    withdrawn = ""
    removed: MeterListing | None = None

    async def work(database: WritableDatabase, settings: Settings) -> None:
        nonlocal withdrawn, removed
        known = await _find(database, meter)
        removed = await database.directory.listing(known)
        if await _is_default(database, settings, known):
            loss = (
                f"{known.public_id} is the default meter: requests that name no meter, or the view"
                " consumpdata, lose its readings"
            )
            if not yes:
                raise _FailedError(f"{loss}; use --yes to remove it")
            _warn(loss)
        if not yes:
            _confirm(removed)
        details = {"readings": removed.readings}
        async with recorded(database, "meter removed", meter=known.public_id, **details):
            await database.removals.begin(known)
        withdrawn = known.public_id
        await database.removals.finish(known)

    def unfinished() -> str:
        return f"; {withdrawn} is being removed: remove it once more" if withdrawn else ""

    _run(config, output, work, unfinished)
    assert removed is not None
    output.say(f"{withdrawn} was removed, with {removed.readings} readings")
    output.give({"ok": True, "meter": withdrawn, "readings": removed.readings})


@main.command("export")
@click.argument("meter")
@click.argument("file", metavar="FILE")
@click.pass_obj
@output_options
def export_meter(config: Path | None, meter: str, file: str, output: CommandOutput) -> None:
    """Export the readings of a METER as a report that can be loaded again.

    FILE is a new .csv or .csv.gz file that only its owner can read, or - for standard output. Times
    have their UTC offsets, and readings the order of their ids. Loaded into a meter of the same
    time zone that has no readings, it gives the same readings under the same ids. That of a meter
    with exported energy or estimated readings has columns for them, and for all flags.

    \b
    Examples:
      elecdata meters export garage garage.csv.gz
      elecdata meters export garage - | head
    """
    if not can_be_exported_to(file):
        raise click.BadParameter("expected a name that ends in .csv or .csv.gz, or -")
    if file == STANDARD_OUTPUT and output.mode is OutputMode.JSON:
        raise click.UsageError("--json needs a FILE other than -")
    exported = 0

    async def work(database: WritableDatabase, _: Settings) -> None:
        nonlocal exported
        known = await database.directory.listing(await _find(database, meter))
        if known.is_being_removed:
            raise _FailedError(f"{known.properties.public_id} is being removed")
        details: dict[str, Any] = {
            "readings": known.readings,
            "file": click.format_filename(file),
        }
        with export_file(file) as target:
            await record(database, "export", meter=known.properties.public_id, **details)
            async with aclosing(database.exports.report(known.id)) as parts:
                async for readings, part in parts:
                    target.write(part)
                    exported += readings

    _run(config, output, work)
    if file != STANDARD_OUTPUT:
        output.say(f"OK - {exported} readings exported to {file}")
        size = Path(file).stat().st_size
        output.give({"ok": True, "readings": exported, "file": file, "bytes": size})


def _parsed(texts: Mapping[str, str | None]) -> dict[str, Any]:
    """Return the properties that options give; raise BadParameter."""
    parsed = {}
    for name, text in texts.items():
        if text is None:
            continue
        try:
            parsed[name] = _PARSERS[name](text)
        except ValueError as error:
            raise click.BadParameter(
                f"expected {error}", param_hint=name.replace("_", " ")
            ) from None
    return parsed


async def _find(database: WritableDatabase, name: str) -> MeterRecord:
    known = await database.meters.find(name)
    if known is None:
        raise _FailedError(f"no such meter: {name}")
    return known


async def _is_default(database: WritableDatabase, settings: Settings, meter: MeterRecord) -> bool:
    """Return whether a meter is meant where none is named."""
    return (
        meter.public_id == settings.meter.default
        or meter.id == await database.engine.shown_meter()
        or await database.meters.only() == meter
    )


@asynccontextmanager
async def _told_of_choice(database: WritableDatabase, settings: Settings) -> AsyncIterator[None]:
    """Add meters, and warn if there now is a choice where there was none."""
    had_choice = await database.meters.count() > 1
    yield
    if not had_choice and settings.meter.default is None and await database.meters.count() > 1:
        _warn(
            "there are several meters now: requests and reports that name none are refused, unless"
            " meter.default says which one they mean"
        )


def _confirm(meter: MeterListing) -> None:
    """Have the public id of a meter typed on the terminal; raise _DeclinedError if it is not."""
    public_id = meter.properties.public_id
    question = f"To remove {public_id} and its {meter.readings} readings, type its public id"
    try:
        typed = click.prompt(printable(question), default="", show_default=False)
    except click.Abort:
        stopped()
    if typed != public_id:
        raise _DeclinedError


def _cells(meter: MeterListing) -> list[str]:
    own = meter.properties
    interval = "" if own.interval is None else f"{own.interval} s"
    imported = "being removed" if meter.is_being_removed else meter.imported
    texts = (own.public_id, own.name, own.identifier, own.timezone, interval, str(meter.readings))
    return [text or "" for text in (*texts, meter.first, meter.last, imported)]


def _document(meter: MeterListing) -> dict[str, object]:
    own = meter.properties
    return {
        "meter": own.public_id,
        "name": own.name,
        "identifier": own.identifier,
        "note": own.note,
        "timezone": own.timezone,
        "interval": own.interval,
        "area": own.area,
        "created": _instant(meter.created),
        "replaced_by": meter.replaced_by,
        "being_removed": meter.is_being_removed,
        "readings": meter.readings,
        "first_reading": meter.first,
        "last_reading": meter.last,
        "last_import": _instant(meter.imported),
    }


def _instant(utc: str | None) -> str | None:
    return utc and f"{utc.replace(' ', 'T')}Z"


def _warn(text: str) -> None:
    print_line(f"WARNING - {text}", err=True)


def _run(
    config: Path | None,
    output: CommandOutput,
    work: Callable[[WritableDatabase, Settings], Awaitable[None]],
    unfinished: Callable[[], str] = lambda: "",
    *,
    creates: bool = False,
) -> None:
    """Do work with a database, which is prepared for it if the work creates something.

    `unfinished` returns what is to be said of work that fails or is stopped.
    """

    async def run() -> None:
        settings = load_settings(config)
        database = open_importer(settings)
        database.engine.on_wait = lambda: _say_waiting(output)
        try:
            if creates:
                async for _ in database.engine.prepare():
                    pass
            elif not await database.engine.is_prepared():
                raise NotPrepared(
                    f"the database {database.engine.database} is not prepared for meters yet: run"
                    " `elecdata load`, or `elecdata meters add`"
                )
            await work(database, settings)
        finally:
            await database.engine.close()

    try:
        asyncio.run(run())
    except _DeclinedError:
        print_line("Nothing was changed", err=True)
        sys.exit(1)
    except StorageError as error:
        output.fail(StorageError(f"{error}{unfinished()}"))
    except (FaultyReportsError, ReportError, SettingsError, _FailedError) as error:
        output.fail(error)
    except KeyboardInterrupt:
        stopped(unfinished())


def _say_waiting(output: CommandOutput) -> None:
    if output.mode is OutputMode.TEXT:
        print_line(WAITING, err=True)

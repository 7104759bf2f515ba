"""The command `elecdata grants`."""

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from cli.commands import EscapingGroup
from cli.output import CommandOutput, output_options
from domain.access import PERMISSIONS, Permission, Window
from loader.access.fields import (
    changed_window,
    one_target,
    option_value,
    parse_day,
    parse_expiry,
    parse_permission,
    parse_text,
    parse_time,
    window_of_days,
)
from loader.access.records import (
    ListRecord,
    RecordFile,
    export_records,
    require_export_name,
)
from loader.access.run import change, config_option, log_audit_lines, utc_text, with_database
from loader.audit_record import operator
from loader.meters.table import TextTable
from storage.access.grant_admin import GrantProperties, GrantRecord
from storage.access.targets import ALL_DAYS, Target, day_columns
from storage.common.errors import Conflict
from storage.factory import WritableDatabase

_HEADING = (
    *("user", "number", "may", "what", "days", "expires (UTC)", "granted by", "granted (UTC)"),
)
_COLUMNS = (
    *("user", "number", "meter", "group", "permission", "first_day", "last_day", "expires"),
    *("granted_by", "granted"),
)
_PARSERS: dict[str, Callable[[str], Any]] = {
    "user": parse_text,
    "number": str,
    "meter": str,
    "group": str,
    "permission": parse_permission,
    "first_day": parse_day,
    "last_day": parse_day,
    "expires": parse_expiry,
    "granted_by": str,
    "granted": str,
}
"""The columns that a file may have; number, granted_by and granted are made anew."""

_LISTED = {**_PARSERS, "expires": parse_time}


@click.group(cls=EscapingGroup, context_settings={"help_option_names": ["-h", "--help"]})
@config_option
@click.pass_context
def main(context: click.Context, config: Path | None) -> None:
    """List, add, change, remove and export grants: who may see what.

    A grant lets a user read, write or manage a meter, a group or all meters, on all days or some,
    for ever or until a time. A user may do what any of its grants allows; each permission includes
    those before it. Users of the role admin may manage everything without grants. A new user has a
    grant to read all meters, unless added with `elecdata users add NAME --no-grants`.

    Servers know each change with the next request. Each change writes an audit line to standard
    error, and an entry to the audit trail.

    \b
    Examples:
      elecdata grants list --user morgan
      elecdata grants add morgan --meter garage
      elecdata grants add morgan --group east --from 2026-01-01 --until 2026-12-31
      elecdata grants change morgan 2 --expires 2027-01-01
      elecdata grants remove morgan 2
      elecdata grants export grants.csv

    \b
    Status: 0 success, 1 failure, 2 wrong command line, 130 stopped by Ctrl-C.
    """
    context.obj = config
    log_audit_lines()


@main.command("list")
@click.option("--user", metavar="NAME", help="Only those of this user.")
@click.option("--meter", metavar="METER", help="Only those that cover this meter.")
@click.option("--group", metavar="GROUP", help="Only those that cover this group.")
@click.pass_obj
@output_options
def list_grants(
    config: Path | None,
    user: str | None,
    meter: str | None,
    group: str | None,
    output: CommandOutput,
) -> None:
    """List the grants, by user and number.

    A meter or a group is covered by the grants for it, for the groups that it is in, and for all
    meters. With --json, each line is a JSON object.

    \b
    Examples:
      elecdata grants list
      elecdata grants list --meter garage
      elecdata grants list --json | jq -r 'select(.permission == "manage").user'
    """
    about = _target(meter, group) if meter or group else None

    async def work(database: WritableDatabase) -> None:
        found = False
        table = TextTable(_HEADING, output.say)
        async with aclosing(database.grants.grants(user, about)) as grants:
            async for grant in grants:
                found = True
                table.add(_cells(grant))
                output.give(_document(grant))
        if found:
            table.flush()
        else:
            output.say("There are no such grants" if user or about else "There are no grants")

    with_database(config, output, work)


def _what(command: Any) -> Any:
    """Add the options of what a grant allows, on which days and until when."""
    for option in reversed(
        (
            click.option(
                "--permission",
                type=click.Choice(list(PERMISSIONS)),
                help="What the user may do. Default of a new grant: read.",
            ),
            click.option("--from", "first_day", metavar="DAY", help="First day of the readings."),
            click.option("--until", "last_day", metavar="DAY", help="Last day of the readings."),
            click.option("--expires", metavar="TIME", help="When the grant ends."),
        )
    ):
        command = option(command)
    return command


@main.command("add")
@click.argument("user", required=False)
@click.option("--meter", metavar="METER", help="For this meter.")
@click.option("--group", metavar="GROUP", help="For this group, its members and their members.")
@click.option("--all", "for_all", is_flag=True, help="For all meters, also those to come.")
@_what
@click.option(
    "--from-file",
    metavar="FILE",
    type=click.Path(path_type=str),
    help="Add the grants of a list, all of them or none.",
)
@click.pass_obj
@output_options
def add_grant(
    config: Path | None,
    user: str | None,
    meter: str | None,
    group: str | None,
    from_file: str | None,
    output: CommandOutput,
    *,
    for_all: bool,
    **texts: str | None,
) -> None:
    """Add a grant, or all that a file lists.

    Days are local days of the meter, such as 2026-01-31; the first and the last one belong to the
    grant. --expires takes a time with its offset, such as 2027-01-01T00:00:00+01:00, or a day,
    which begins at 00:00 UTC.

    A list is a .csv or .json file as `elecdata grants export` writes it: with the columns user,
    meter or group (neither is for all meters), permission, first_day, last_day and expires. What is
    empty is without bound. Grants that are there already are left as they are, and those that
    have expired allow nothing.

    \b
    Examples:
      elecdata grants add morgan --meter garage
      elecdata grants add morgan --all --permission write
      elecdata grants add morgan --meter garage --from 2026-01-01 --expires 2027-01-01T00:00:00Z
      elecdata grants add --from-file grants.csv
    """
    if from_file is not None:
        if user or meter or group or for_all or any(texts.values()):
            raise click.UsageError("--from-file takes no other options: the file has them")
        _add_listed(config, from_file, output)
        return
    if not user:
        raise click.UsageError("expected USER, or --from-file FILE")
    if sum(map(bool, (meter, group, for_all))) != 1:
        raise click.UsageError("expected one of --meter METER, --group GROUP and --all")
    given = _parsed(texts)
    window = _window(given.get("first_day"), given.get("last_day"))
    grant = GrantProperties(
        _target(meter, group),
        given.get("permission", Permission.READ),
        window,
        given.get("expires"),
    )
    added: GrantRecord | None = None
    wider: int | None = None

    async def work(database: WritableDatabase, details: dict[str, object]) -> None:
        nonlocal added, wider
        added = await database.grants.add(user, grant, operator()[0])
        details.update(_details(added))
        wider = await database.grants.same(user, GrantProperties(Target(), Permission.READ))

    change(config, output, "grant added", work, prepares=True)
    assert added is not None
    output.say(f"{user} may {_told(added.properties)} (number {added.number})")
    if wider not in (None, added.number):
        output.say(
            f"{user} may still read all meters: `elecdata grants remove {user} {wider}` ends that"
        )
    output.give({"ok": True, "grant": _document(added)})


def _add_listed(config: Path | None, path: str, output: CommandOutput) -> None:
    file = RecordFile(path)
    counts = {"added": 0, "known": 0}

    async def work(database: WritableDatabase, details: dict[str, object]) -> None:
        await database.grants.begin()
        for number, values in file.read(_LISTED):
            try:
                await _add_record(database, values)
            except (Conflict, ValueError) as error:
                file.refuse(number, error)
        file.require_no_errors()
        details.update(file=click.format_filename(path, shorten=True), grants=counts["added"])

    async def _add_record(database: WritableDatabase, values: dict[str, Any]) -> None:
        target = one_target(values["meter"], values["group"])
        window = window_of_days(values["first_day"], values["last_day"])
        grant = GrantProperties(target, values["permission"], window, values["expires"])
        if await database.grants.same(values["user"], grant) is not None:
            counts["known"] += 1
            return
        await database.grants.add(values["user"], grant, operator()[0])
        counts["added"] += 1

    change(config, output, "grant added", work, prepares=True)
    output.say(f"{counts['added']} grants were added, {counts['known']} were there")
    output.give({"ok": True, **counts})


@main.command("change")
@click.argument("user")
@click.argument("number", type=click.IntRange(min=1))
@_what
@click.pass_obj
@output_options
def change_grant(
    config: Path | None, user: str, number: int, output: CommandOutput, **texts: str | None
) -> None:
    """Change the grant of a NUMBER that a user has.

    An empty text deletes what was there: a bound of the days, or the expiry. For another meter or
    group, add another grant.

    \b
    Examples:
      elecdata grants change morgan 2 --permission write
      elecdata grants change morgan 2 --until "" --expires 2027-01-01
    """
    given = _parsed(texts)
    if not given:
        raise click.UsageError("nothing to change: give an option")
    changed: GrantRecord | None = None

    async def work(database: WritableDatabase, details: dict[str, object]) -> None:
        nonlocal changed
        changed = await database.grants.change(user, number, new)
        details.update(_details(changed))

    def new(known: GrantProperties) -> GrantProperties:
        others = {name: value for name, value in given.items() if not name.endswith("_day")}
        return replace(known, window=changed_window(known.window, given), **others)

    change(config, output, "grant changed", work)
    assert changed is not None
    output.say(f"{user} may {_told(changed.properties)} (number {number})")
    output.give({"ok": True, "grant": _document(changed)})


@main.command("remove")
@click.argument("user")
@click.argument("number", type=click.IntRange(min=1))
@click.pass_obj
@output_options
def remove_grant(config: Path | None, user: str, number: int, output: CommandOutput) -> None:
    """Remove the grant of a NUMBER that a user has.

    \b
    Example:
      elecdata grants remove morgan 2
    """
    removed: GrantRecord | None = None

    async def work(database: WritableDatabase, details: dict[str, object]) -> None:
        nonlocal removed
        removed = await database.grants.remove(user, number)
        details.update(_details(removed))

    change(config, output, "grant removed", work)
    assert removed is not None
    output.say(f"{user} may not {_told(removed.properties)} any more, by this grant")
    output.give({"ok": True, "grant": _document(removed)})


@main.command("export")
@click.argument("file", metavar="FILE")
@click.pass_obj
@output_options
def export_grants(config: Path | None, file: str, output: CommandOutput) -> None:
    """Export the grants as a list that can be added again.

    FILE is a new .csv or .json file that only its owner can read, or - for standard output, where
    it is CSV, or JSON with --json. `elecdata grants add --from-file FILE` adds the grants to this
    or another database, which has to have the users, meters and groups.

    \b
    Examples:
      elecdata grants export grants.csv
      elecdata grants export - --json | jq length
    """
    require_export_name(file)

    async def documents(database: WritableDatabase) -> AsyncIterator[ListRecord]:
        async with aclosing(database.grants.grants()) as grants:
            async for grant in grants:
                yield _document(grant)

    async def work(database: WritableDatabase) -> None:
        await export_records(file, output, _COLUMNS, documents(database))

    with_database(config, output, work)


def _target(meter: str | None, group: str | None) -> Target:
    try:
        return one_target(meter, group)
    except ValueError as error:
        raise click.UsageError(f"expected {error}") from None


def _window(first: Any, last: Any) -> Window:
    try:
        return window_of_days(first, last)
    except ValueError as error:
        raise click.BadParameter(f"expected {error}", param_hint="--until") from None


def _parsed(texts: dict[str, str | None]) -> dict[str, Any]:
    """Return the values of the options that are given; an empty text is None."""
    options = {"first_day": "--from", "last_day": "--until"}
    return {
        name: option_value(_PARSERS[name], text, options.get(name, f"--{name}"))
        for name, text in texts.items()
        if text is not None
    }


def _told(grant: GrantProperties) -> str:
    """Return what a grant allows, as text."""
    days = "" if grant.window == ALL_DAYS else f", {grant.window}"
    until = "" if grant.expires is None else f", until {utc_text(grant.expires)}"
    return f"{grant.permission.word} {grant.target}{days}{until}"


def _details(grant: GrantRecord) -> dict[str, object]:
    """Return what the audit trail tells of a grant."""
    return {"user": grant.user, "number": grant.number, "grant": _told(grant.properties)}


def _cells(grant: GrantRecord) -> list[str]:
    own = grant.properties
    return [
        *(grant.user, str(grant.number), own.permission.word, str(own.target), str(own.window)),
        *(utc_text(own.expires) or "", grant.granted_by, utc_text(grant.granted) or ""),
    ]


def _document(grant: GrantRecord) -> ListRecord:
    own = grant.properties
    first_day, last_day = day_columns(own.window)
    return {
        "user": grant.user,
        "number": grant.number,
        "meter": own.target.meter,
        "group": own.target.group,
        "permission": own.permission.word,
        "first_day": first_day,
        "last_day": last_day,
        "expires": utc_text(own.expires),
        "granted_by": grant.granted_by,
        "granted": utc_text(grant.granted),
    }


if __name__ == "__main__":
    main(prog_name="python -m loader.access.grants")

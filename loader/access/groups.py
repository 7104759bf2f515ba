"""The command `elecdata groups`."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from cli.commands import EscapingGroup
from cli.output import CommandOutput, confirm, output_options
from domain.access import Window, parse_day, window_of_days
from loader.access.fields import (
    changed_window,
    one_target,
    option_value,
    parse_sign,
)
from loader.access.records import ListRecord, RecordFile, export_records, require_export_name
from loader.access.run import change, config_option, log_audit_lines, with_database
from loader.meters.fields import parse_name, parse_note, parse_public_id
from loader.meters.table import TextTable
from storage.access.groups import (
    GroupProperties,
    GroupRecord,
    MemberProperties,
    MemberRecord,
)
from storage.access.targets import ALL_DAYS, Target, day_columns
from storage.common.errors import Conflict
from storage.factory import WritableDatabase

_COLUMNS = (*("group", "name", "note", "meter", "member_group", "sign", "first_day", "last_day"),)
_PARSERS: dict[str, Callable[[str], Any]] = {
    "group": parse_public_id,
    "name": parse_name,
    "note": parse_note,
    "meter": str,
    "member_group": str,
    "sign": lambda text: parse_sign(text or "+"),
    "first_day": parse_day,
    "last_day": parse_day,
}
_PROPERTIES: dict[str, Callable[[str], Any]] = {
    "public_id": parse_public_id,
    "name": parse_name,
    "note": parse_note,
}


@click.group(cls=EscapingGroup, context_settings={"help_option_names": ["-h", "--help"]})
@config_option
@click.pass_context
def main(context: click.Context, config: Path | None) -> None:
    """List, add, change, remove and export groups of meters.

    A GROUP is named by its public id. Its members are meters and other groups, on all days or some;
    their energy is added, or subtracted. A grant on a group covers its members while they belong to
    it: see `elecdata grants`. Each change writes an audit line to standard error, and an entry to
    the audit trail.

    \b
    Examples:
      elecdata groups add east --name "East wing"
      elecdata groups add-member east --meter garage
      elecdata groups add-member east --meter solar --subtract --from 2026-01-01
      elecdata groups members east
      elecdata groups list
      elecdata groups export groups.csv

    \b
    Status: 0 success, 1 failure, 2 wrong command line, 130 stopped by Ctrl-C.
    """
    context.obj = config
    log_audit_lines()


@main.command("list")
@click.pass_obj
@output_options
def list_groups(config: Path | None, output: CommandOutput) -> None:
    """List the groups, by their public ids.

    With --json, each line is a JSON object, with the members.

    \b
    Examples:
      elecdata groups list
      elecdata groups list --json | jq -r 'select(.members == []).group'
    """

    async def work(database: WritableDatabase) -> None:
        found = False
        table = TextTable(("public id", "name", "members", "note"), output.say)
        async with aclosing(database.groups.groups()) as groups:
            async for group in groups:
                found = True
                own = group.properties
                count = str(len(group.members))
                table.add([own.public_id, own.name or "", count, own.note or ""])
                output.give(_document(group))
        if found:
            table.flush()
        else:
            output.say("There are no groups")

    with_database(config, output, work)


def _properties(command: Any) -> Any:
    """Add the options that set what is on record of a group."""
    command = click.option("--note", metavar="TEXT", help="Remark.")(command)
    return click.option("--name", metavar="TEXT", help="Name for people.")(command)


@main.command("add")
@click.argument("group", required=False)
@_properties
@click.option(
    "--from-file",
    metavar="FILE",
    type=click.Path(path_type=str),
    help="Add the groups of a list and their members, all of them or none.",
)
@click.pass_obj
@output_options
def add_group(
    config: Path | None,
    group: str | None,
    from_file: str | None,
    output: CommandOutput,
    **texts: str | None,
) -> None:
    """Add a group without members, or all groups that a file lists.

    GROUP is its public id: at most 64 letters, digits, dots, _ and -.

    A list is a .csv or .json file as `elecdata groups export` writes it: one record for each
    member, with the columns group, name, note, meter or member_group, sign (+ or -), first_day and
    last_day. A record without member adds a group that has none yet. Groups and members that are
    there already are left as they are.

    \b
    Examples:
      elecdata groups add east --name "East wing"
      elecdata groups add --from-file groups.csv
    """
    if from_file is not None:
        if group or any(texts.values()):
            raise click.UsageError("--from-file takes no other options: the file has them")
        _add_listed(config, from_file, output)
        return
    if not group:
        raise click.UsageError("expected GROUP, or --from-file FILE")
    properties = GroupProperties(option_value(parse_public_id, group, "GROUP"), **_parsed(texts))

    async def work(database: WritableDatabase, details: dict[str, object]) -> None:
        await database.groups.add(properties)
        details["group"] = group

    change(config, output, "group added", work, prepares=True)
    output.say(f"{group} was added; `elecdata groups add-member {group}` gives it members")
    output.give({"ok": True, "group": group})


def _add_listed(config: Path | None, path: str, output: CommandOutput) -> None:
    file = RecordFile(path)
    counts = {"groups": 0, "members": 0}

    async def work(database: WritableDatabase, details: dict[str, object]) -> None:
        await database.groups.begin()
        records = file.read(_PARSERS)
        for _, values in records:
            if not await database.groups.exists(values["group"]):
                properties = GroupProperties(values["group"], values["name"], values["note"])
                await database.groups.add(properties)
                counts["groups"] += 1
        # Once all groups are there: some are members of others.
        for number, values in records:
            try:
                await _add_record(database, values)
            except (Conflict, ValueError) as error:
                file.refuse(number, error)
        file.require_no_errors()
        details.update(file=click.format_filename(path, shorten=True), **counts)

    async def _add_record(database: WritableDatabase, values: dict[str, Any]) -> None:
        target = one_target(values["meter"], values["member_group"])
        if target == Target():
            return
        window = window_of_days(values["first_day"], values["last_day"])
        member = MemberProperties(target, values["sign"], window)
        known = await database.groups.group(values["group"])
        if member not in [each.properties for each in known.members]:
            await database.groups.add_member(values["group"], member)
            counts["members"] += 1

    change(config, output, "group added", work, prepares=True)
    output.say(f"{counts['groups']} groups were added, and {counts['members']} members")
    output.give({"ok": True, **counts})


@main.command("change")
@click.argument("group")
@click.option("--public-id", metavar="TEXT", help="New public id.")
@_properties
@click.pass_obj
@output_options
def change_group(
    config: Path | None, group: str, output: CommandOutput, **texts: str | None
) -> None:
    """Change what is on record of a GROUP.

    An empty text deletes what was there.

    \b
    Examples:
      elecdata groups change east --public-id east-wing
      elecdata groups change east --note ""
    """
    changes = _parsed(texts)
    if not changes:
        raise click.UsageError("nothing to change: give an option")
    public_id = str(changes.get("public_id", group))

    async def work(database: WritableDatabase, details: dict[str, object]) -> None:
        await database.groups.change(group, changes)
        details.update(group=group, changed=" ".join(changes))
        if public_id != group:
            details["public_id"] = public_id

    change(config, output, "group changed", work)
    output.say(f"{public_id} was changed")
    output.give({"ok": True, "group": public_id})


@main.command("remove")
@click.argument("group")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
@output_options
def remove_group(config: Path | None, group: str, output: CommandOutput, *, yes: bool) -> None:
    """Remove a GROUP with the grants on it; its members stay.

    It ceases to be a member of other groups. API keys that are good for this group only are good
    for nothing any more.

    \b
    Examples:
      elecdata groups remove east
      elecdata groups remove east --yes
    """
    if not yes:
        confirm(f"Remove {group}, and the grants on it?")
    removed: GroupRecord | None = None

    async def work(database: WritableDatabase, details: dict[str, object]) -> None:
        nonlocal removed
        removed = await database.groups.remove(group)
        details.update(group=group, members=len(removed.members))

    change(config, output, "group removed", work)
    assert removed is not None
    output.say(f"{group} was removed, with the grants on it; its members stay")
    output.give({"ok": True, "group": group, "members": len(removed.members)})


@main.command("members")
@click.argument("group")
@click.pass_obj
@output_options
def list_members(config: Path | None, group: str, output: CommandOutput) -> None:
    """List the members of a GROUP.

    \b
    Examples:
      elecdata groups members east
      elecdata groups members east --json | jq -r '.members[].meter'
    """

    async def work(database: WritableDatabase) -> None:
        found = await database.groups.group(group)
        output.give(_document(found))
        if not found.members:
            output.say(f"{group} has no members")
            return
        table = TextTable(("number", "member", "sign", "days"), output.say)
        for each in found.members:
            own = each.properties
            table.add([str(each.number), str(own.target), _sign(own), str(own.window)])
        table.flush()

    with_database(config, output, work)


def _days(command: Any) -> Any:
    """Add the options of the days on which a member belongs to a group."""
    for option in (
        click.option("--until", "last_day", metavar="DAY", help="Last day that counts."),
        click.option("--from", "first_day", metavar="DAY", help="First day that counts."),
    ):
        command = option(command)
    return command


@main.command("add-member")
@click.argument("group")
@click.option("--meter", metavar="METER", help="Add this meter.")
@click.option("--group", "member_group", metavar="GROUP", help="Add this group.")
@click.option("--subtract", is_flag=True, help="Subtract its energy instead of adding it.")
@_days
@click.pass_obj
@output_options
def add_member(
    config: Path | None,
    group: str,
    meter: str | None,
    member_group: str | None,
    output: CommandOutput,
    *,
    subtract: bool,
    **texts: str | None,
) -> None:
    """Add a member to a GROUP: a meter, or another group.

    Days are local days, such as 2026-01-31; the first and the last one count. The same member may
    be added once more for other days.

    \b
    Examples:
      elecdata groups add-member east --meter garage
      elecdata groups add-member east --meter solar --subtract
      elecdata groups add-member campus --group east --from 2026-01-01 --until 2026-12-31
    """
    if bool(meter) == bool(member_group):
        raise click.UsageError("expected one of --meter METER and --group GROUP")
    days = _parsed_days(texts)
    window = _window(days.get("first_day"), days.get("last_day"))
    member = MemberProperties(Target(meter, member_group), -1 if subtract else 1, window)

    async def work(database: WritableDatabase) -> MemberRecord:
        return await database.groups.add_member(group, member)

    _change_member(config, output, "group member added", group, work, "is a member of")


@main.command("change-member")
@click.argument("group")
@click.argument("number", type=click.IntRange(min=1))
@click.option("--add", is_flag=True, help="Add its energy.")
@click.option("--subtract", is_flag=True, help="Subtract its energy.")
@_days
@click.pass_obj
@output_options
def change_member(
    config: Path | None,
    group: str,
    number: int,
    output: CommandOutput,
    *,
    add: bool,
    subtract: bool,
    **texts: str | None,
) -> None:
    """Change sign or days of the member of a NUMBER that a GROUP has.

    An empty day deletes a bound.

    \b
    Examples:
      elecdata groups change-member east 2 --subtract
      elecdata groups change-member east 2 --until 2026-12-31
    """
    days = _parsed_days(texts)
    if add and subtract:
        raise click.UsageError("expected --add or --subtract")
    if not (days or add or subtract):
        raise click.UsageError("nothing to change: give an option")

    def new(known: MemberProperties) -> MemberProperties:
        sign = 1 if add else -1 if subtract else known.sign
        return replace(known, sign=sign, window=changed_window(known.window, days))

    async def work(database: WritableDatabase) -> MemberRecord:
        return await database.groups.change_member(group, number, new)

    _change_member(config, output, "group member changed", group, work, "is a member of")


@main.command("remove-member")
@click.argument("group")
@click.argument("number", type=click.IntRange(min=1))
@click.pass_obj
@output_options
def remove_member(config: Path | None, group: str, number: int, output: CommandOutput) -> None:
    """Remove the member of a NUMBER from a GROUP.

    \b
    Example:
      elecdata groups remove-member east 2
    """

    async def work(database: WritableDatabase) -> MemberRecord:
        return await database.groups.remove_member(group, number)

    _change_member(config, output, "group member removed", group, work, "is no member any more of")


@main.command("export")
@click.argument("file", metavar="FILE")
@click.pass_obj
@output_options
def export_groups(config: Path | None, file: str, output: CommandOutput) -> None:
    """Export the groups with their members as a list that can be added again.

    FILE is a new .csv or .json file that only its owner can read, or - for standard output, where
    it is CSV, or JSON with --json. `elecdata groups add --from-file FILE` adds the groups to this
    or another database, which has to have the meters.

    \b
    Examples:
      elecdata groups export groups.csv
      elecdata groups export - --json | jq length
    """
    require_export_name(file)

    async def documents(database: WritableDatabase) -> AsyncIterator[ListRecord]:
        async with aclosing(database.groups.groups()) as groups:
            async for group in groups:
                for record in _records(group):
                    yield record

    async def work(database: WritableDatabase) -> None:
        await export_records(file, output, _COLUMNS, documents(database))

    with_database(config, output, work)


def _change_member(
    config: Path | None,
    output: CommandOutput,
    event: str,
    group: str,
    work: Callable[[WritableDatabase], Awaitable[MemberRecord]],
    what: str,
) -> None:
    """Change a member of a group, and tell so."""
    changed: MemberRecord | None = None

    async def told(database: WritableDatabase, details: dict[str, object]) -> None:
        nonlocal changed
        changed = await work(database)
        details.update(group=group, number=changed.number, member=_told(changed.properties))

    change(config, output, event, told)
    assert changed is not None
    output.say(f"{_told(changed.properties)} {what} {group} (number {changed.number})")
    output.give({"ok": True, "group": group, "member": _member(changed)})


def _told(member: MemberProperties) -> str:
    """Return what belongs to a group, as text."""
    more = ["subtracted"] if member.sign < 0 else []
    more += [] if member.window == ALL_DAYS else [str(member.window)]
    return f"{member.target} ({', '.join(more)})" if more else str(member.target)


def _sign(member: MemberProperties) -> str:
    return "-" if member.sign < 0 else "+"


def _window(first: Any, last: Any) -> Window:
    try:
        return window_of_days(first, last)
    except ValueError as error:
        raise click.BadParameter(f"expected {error}", param_hint="--until") from None


def _parsed(texts: dict[str, str | None]) -> dict[str, Any]:
    """Return the properties of a group that options give."""
    return {
        name: option_value(_PROPERTIES[name], text, f"--{name.replace('_', '-')}")
        for name, text in texts.items()
        if text is not None
    }


def _parsed_days(texts: dict[str, str | None]) -> dict[str, Any]:
    """Return the days that options give; an empty text is None."""
    options = {"first_day": "--from", "last_day": "--until"}
    return {
        name: option_value(parse_day, text, options[name])
        for name, text in texts.items()
        if text is not None
    }


def _member(member: MemberRecord) -> ListRecord:
    own = member.properties
    first_day, last_day = day_columns(own.window)
    return {
        "number": member.number,
        "meter": own.target.meter,
        "member_group": own.target.group,
        "sign": _sign(own),
        "first_day": first_day,
        "last_day": last_day,
    }


def _document(group: GroupRecord) -> dict[str, object]:
    own = group.properties
    return {
        "group": own.public_id,
        "name": own.name,
        "note": own.note,
        "created": f"{group.created.replace(' ', 'T')}Z",
        "members": [_member(each) for each in group.members],
    }


def _records(group: GroupRecord) -> Iterator[ListRecord]:
    """Yield a record for each member, or one for a group that has none."""
    own = group.properties
    beginning = {"group": own.public_id, "name": own.name, "note": own.note}
    if not group.members:
        yield {**dict.fromkeys(_COLUMNS), **beginning}
    for each in group.members:
        member = _member(each)
        yield {**beginning, **{name: member[name] for name in _COLUMNS[3:]}}


if __name__ == "__main__":
    main(prog_name="python -m loader.access.groups")

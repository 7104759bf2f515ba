"""The command `elecdata keys`."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import click

from cli.commands import EscapingGroup
from cli.output import CommandOutput, OutputMode, confirm, output_options
from domain.access import PERMISSIONS, Permission, parse_time
from loader.access.fields import (
    option_value,
    parse_expiry,
    parse_key_name,
    parse_permission,
    parse_sha256,
    parse_text,
)
from loader.access.records import ListRecord, RecordFile, export_records, require_export_name
from loader.access.run import (
    change,
    config_option,
    log_audit_lines,
    utc_text,
    with_database,
)
from loader.meters.table import TextTable
from server.keys import new
from storage.access.api_keys import KeyProperties, KeyRecord, hash_api_key, new_api_key
from storage.access.targets import Target
from storage.common.errors import Conflict
from storage.factory import WritableDatabase

_HEADING = ("user", "name", "good to", "for", "expires (UTC)", "revoked (UTC)", "created (UTC)")
_COLUMNS = ("user", "name", "permission", "meters", "groups", "expires", "sha256")
_LISTED: dict[str, Callable[[str], Any]] = {
    "user": parse_text,
    "name": parse_key_name,
    "permission": parse_permission,
    "meters": str.split,
    "groups": str.split,
    "expires": parse_time,
    "sha256": parse_sha256,
}
"""The columns that a file may have."""


@click.group(cls=EscapingGroup, context_settings={"help_option_names": ["-h", "--help"]})
@config_option
@click.pass_context
def main(context: click.Context, config: Path | None) -> None:
    """Manage API keys, and make signing keys.

    An API key stands for a user in requests of programs and devices, without a login: send it as
    Authorization: Bearer KEY, or in the header SESSION. It is good for no more than its user may
    do, see `elecdata grants`, and can be narrowed to a permission, and to some meters and groups.
    It has a name, which logs and the audit trail have, and can be ended alone. The database stores
    its hash only. Servers know each change with the next request.

    A signing key, which `elecdata keys new` makes for auth.keys, is something else: with it the
    server signs the tokens of logins.

    Each change of API keys writes an audit line to standard error, and an entry to the audit trail.

    \b
    Examples:
      elecdata keys add morgan grafana
      elecdata keys add morgan heat-pump --meter garage --expires 2027-01-01
      elecdata keys list --user morgan
      elecdata keys revoke morgan heat-pump
      elecdata keys remove morgan heat-pump --yes
      elecdata keys new --file keys/summer

    \b
    Status: 0 success, 1 failure, 2 wrong command line, 130 stopped by Ctrl-C.
    """
    context.obj = config
    log_audit_lines()


@main.command("list")
@click.option("--user", metavar="NAME", help="Only those of this user.")
@click.pass_obj
@output_options
def list_keys(config: Path | None, user: str | None, output: CommandOutput) -> None:
    """List the API keys, by user and name; never the keys themselves.

    With --json, each line is a JSON object.

    \b
    Examples:
      elecdata keys list
      elecdata keys list --json | jq -r 'select(.expires == null).name'
    """

    async def work(database: WritableDatabase) -> None:
        found = False
        table = TextTable(_HEADING, output.say)
        async with aclosing(database.api_keys.keys(user)) as keys:
            async for key in keys:
                found = True
                table.add(_cells(key))
                output.give(_document(key))
        if found:
            table.flush()
        else:
            output.say(f"{user} has no API keys" if user else "There are no API keys")

    with_database(config, output, work)


def _scope(command: Any) -> Any:
    """Add the options of what a key is good for, and until when."""
    for option in reversed(
        (
            click.option(
                "--permission",
                type=click.Choice(list(PERMISSIONS)),
                help="The most that it is good for. Default of a new key: read.",
            ),
            click.option("--meter", "meters", metavar="METER", multiple=True, help="For it only."),
            click.option("--group", "groups", metavar="GROUP", multiple=True, help="For it only."),
            click.option("--expires", metavar="TIME", help="When the key ends."),
        )
    ):
        command = option(command)
    return command


@main.command("add")
@click.argument("user", required=False)
@click.argument("name", required=False)
@_scope
@click.option(
    "--from-file",
    metavar="FILE",
    type=click.Path(path_type=str),
    help="Add the keys of a list, all of them or none.",
)
@click.pass_obj
@output_options
def add_key(
    config: Path | None,
    user: str | None,
    name: str | None,
    permission: str | None,
    meters: Sequence[str],
    groups: Sequence[str],
    expires: str | None,
    from_file: str | None,
    output: CommandOutput,
) -> None:
    """Make an API key of a USER and print it, once; or add those that a file lists.

    NAME is for you: 1 to 64 letters, digits, dots, _ and -. With --meter and --group, each as often
    as needed, the key is good for these only. --expires takes a time with its offset, such as
    2027-01-01T00:00:00+01:00, or a day, which begins at 00:00 UTC.

    A list is a .csv or .json file as `elecdata keys export` writes it, with the columns user, name,
    permission, meters and groups (separated by blanks), expires and sha256. A key whose hash is
    empty is made anew, and printed. Keys that are there already are left as they are.

    \b
    Examples:
      elecdata keys add morgan grafana
      elecdata keys add morgan heat-pump --permission write --meter garage --expires 2027-01-01
      elecdata keys add --from-file keys.csv
    """
    if output.mode is OutputMode.QUIET:
        raise click.UsageError("--quiet would hide the key, which is shown only once")
    if from_file is not None:
        if user or permission or meters or groups or expires:
            raise click.UsageError("--from-file takes no other options: the file has them")
        _add_listed(config, from_file, output)
        return
    if not user or not name:
        raise click.UsageError("expected USER and NAME, or --from-file FILE")
    key = KeyProperties(
        option_value(parse_key_name, name, "NAME"),
        Permission.READ if permission is None else PERMISSIONS[permission],
        None if expires is None else option_value(parse_expiry, expires, "--expires"),
        _targets(meters, groups),
    )
    text = new_api_key()

    async def work(database: WritableDatabase, details: dict[str, object]) -> None:
        added = await database.api_keys.add(user, key, hash_api_key(text))
        details.update(_details(added))

    change(config, output, "key added", work, prepares=True)
    output.say(text)
    output.give({"ok": True, "user": user, "name": name, "key": text})


def _add_listed(config: Path | None, path: str, output: CommandOutput) -> None:
    file = RecordFile(path)
    made: list[dict[str, object]] = []
    counts = {"added": 0, "known": 0}

    async def work(database: WritableDatabase, details: dict[str, object]) -> None:
        await database.api_keys.begin()
        for number, values in file.read(_LISTED):
            try:
                await _add_record(database, values)
            except Conflict as error:
                file.refuse(number, error)
        file.require_no_errors()
        details.update(file=click.format_filename(path, shorten=True), keys=counts["added"])

    async def _add_record(database: WritableDatabase, values: dict[str, Any]) -> None:
        user, name, hashed = values["user"], values["name"], values["sha256"]
        known = await database.api_keys.known(user, name)
        if known is not None and hashed in (None, known.hash):
            counts["known"] += 1
            return
        if hashed is None:
            text = new_api_key()
            hashed = hash_api_key(text)
            made.append({"user": user, "name": name, "key": text})
        targets = _targets(values["meters"], values["groups"])
        key = KeyProperties(name, values["permission"], values["expires"], targets)
        await database.api_keys.add(user, key, hashed)
        counts["added"] += 1

    change(config, output, "key added", work, prepares=True)
    for each in made:
        output.say("{user} {name} {key}".format_map(each))
    output.say(f"{counts['added']} keys were added, {counts['known']} were there")
    output.give({"ok": True, **counts, "keys": made})


@main.command("change")
@click.argument("user")
@click.argument("name")
@click.option("--name", "new_name", metavar="TEXT", help="New name.")
@_scope
@click.option("--all", "for_all", is_flag=True, help="For all that its user may see.")
@click.pass_obj
@output_options
def change_key(
    config: Path | None,
    user: str,
    name: str,
    new_name: str | None,
    permission: str | None,
    meters: Sequence[str],
    groups: Sequence[str],
    expires: str | None,
    output: CommandOutput,
    *,
    for_all: bool,
) -> None:
    """Change the API key of a NAME that a USER has; the key itself stays the same.

    The meters and groups that are given take the place of those before. An empty --expires lets it
    last.

    \b
    Examples:
      elecdata keys change morgan grafana --permission write
      elecdata keys change morgan grafana --meter garage --meter solar --expires 2027-01-01
      elecdata keys change morgan grafana --all --expires ""
    """
    changes: dict[str, object] = {}
    if new_name is not None:
        changes["name"] = option_value(parse_key_name, new_name, "--name")
    if permission is not None:
        changes["permission"] = PERMISSIONS[permission]
    if expires is not None:
        changes["expires"] = option_value(parse_expiry, expires, "--expires")
    if for_all and (meters or groups):
        raise click.UsageError("expected --all, or --meter METER and --group GROUP")
    if for_all or meters or groups:
        changes["targets"] = _targets(meters, groups)
    if not changes:
        raise click.UsageError("nothing to change: give an option")
    changed: KeyRecord | None = None

    async def work(database: WritableDatabase, details: dict[str, object]) -> None:
        nonlocal changed
        changed = await database.api_keys.change(user, name, changes)
        details.update(_details(changed))

    change(config, output, "key changed", work)
    assert changed is not None
    output.say(f"{user}'s key {changed.properties.name} is good to {_told(changed.properties)}")
    output.give({"ok": True, "key": _document(changed)})


@main.command("revoke")
@click.argument("user")
@click.argument("name")
@click.pass_obj
@output_options
def revoke_key(config: Path | None, user: str, name: str, output: CommandOutput) -> None:
    """End the API key of a NAME that a USER has; it stays listed.

    \b
    Example:
      elecdata keys revoke morgan heat-pump
    """

    async def work(database: WritableDatabase, details: dict[str, object]) -> None:
        await database.api_keys.revoke(user, name)
        details.update(user=user, key=name)

    change(config, output, "key revoked", work)
    output.say(f"{user}'s key {name} is revoked")
    output.give({"ok": True, "user": user, "name": name})


@main.command("remove")
@click.argument("user")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
@output_options
def remove_key(
    config: Path | None, user: str, name: str, output: CommandOutput, *, yes: bool
) -> None:
    """End the API key of a NAME that a USER has, and delete it; the name is free again.

    \b
    Examples:
      elecdata keys remove morgan heat-pump
      elecdata keys remove morgan heat-pump --yes
    """
    if not yes:
        confirm(f"Remove {user}'s key {name}?")

    async def work(database: WritableDatabase, details: dict[str, object]) -> None:
        await database.api_keys.remove(user, name)
        details.update(user=user, key=name)

    change(config, output, "key removed", work)
    output.say(f"{user}'s key {name} was removed")
    output.give({"ok": True, "user": user, "name": name})


@main.command("export")
@click.argument("file", metavar="FILE")
@click.pass_obj
@output_options
def export_keys(config: Path | None, file: str, output: CommandOutput) -> None:
    """Export the API keys as a list that can be added again; they go on to be good there.

    FILE is a new .csv or .json file that only its owner can read, or - for standard output, where
    it is CSV, or JSON with --json. It has the hashes of the keys, which open nothing.
    `elecdata keys add --from-file FILE` adds the keys to another database, which has to have the
    users, meters and groups. Left out are keys that are revoked, or good for nothing because what
    they were good for was removed.

    \b
    Examples:
      elecdata keys export keys.csv
      elecdata keys export - --json | jq length
    """
    require_export_name(file)

    async def documents(database: WritableDatabase) -> AsyncIterator[ListRecord]:
        async with aclosing(database.api_keys.keys()) as keys:
            async for key in keys:
                own = key.properties
                if key.revoked is None and (own.targets or not own.is_narrowed):
                    document = _document(key)
                    document["sha256"] = key.hash
                    yield {
                        name: " ".join(value)
                        if isinstance(value := document[name], list)
                        else value
                        for name in _COLUMNS
                    }

    async def work(database: WritableDatabase) -> None:
        await export_records(file, output, _COLUMNS, documents(database))

    with_database(config, output, work)


def _targets(meters: Sequence[str], groups: Sequence[str]) -> list[Target]:
    return [*(Target(meter) for meter in meters), *(Target(None, group) for group in groups)]


def _told(key: KeyProperties) -> str:
    """Return what a key is good for, as text."""
    until = "" if key.expires is None else f", until {utc_text(key.expires)}"
    return f"{key.permission.word} {_what(key)}{until}"


def _what(key: KeyProperties) -> str:
    if not key.is_narrowed:
        return "all that the user may see"
    removed = [f"{key.removed_targets} removed"] if key.removed_targets else []
    return ", ".join([*map(str, key.targets), *removed])


def _details(key: KeyRecord) -> dict[str, object]:
    """Return what the audit trail tells of a key."""
    return {"user": key.user, "key": key.properties.name, "good": _told(key.properties)}


def _cells(key: KeyRecord) -> list[str]:
    own = key.properties
    times = [utc_text(each) or "" for each in (own.expires, key.revoked, key.created)]
    return [key.user, own.name, own.permission.word, _what(own), *times]


def _document(key: KeyRecord) -> dict[str, Any]:
    own = key.properties
    return {
        "user": key.user,
        "name": own.name,
        "permission": own.permission.word,
        "narrowed": own.is_narrowed,
        "meters": [each.meter for each in own.targets if each.meter is not None],
        "groups": [each.group for each in own.targets if each.group is not None],
        "expires": utc_text(own.expires),
        "revoked": utc_text(key.revoked),
        "created": utc_text(key.created),
    }


main.add_command(new)

if __name__ == "__main__":
    main(prog_name="python -m loader.access.keys")

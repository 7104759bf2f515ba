"""The command `python -m loader.users`."""

import asyncio
import json
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import click

from cli.commands import EscapingGroup
from cli.output import WAITING, CommandOutput, confirm, output_options, stopped
from loader.audit_record import recorded
from settings import SettingsError, load_settings
from storage.common.errors import StorageError
from storage.common.password_policy import password_fault
from storage.common.passwords import hash_password, is_sha256
from storage.factory import open_importer
from storage.users import UserAdmin

_AUDIT_LOG = logging.getLogger("audit")


class _Failed(Exception):  # noqa: N818 - never leaves this file
    """The message says why a change failed."""


@click.group(cls=EscapingGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="Configuration file. Default: config.yaml in the project's folder.",
)
@click.pass_context
def main(context: click.Context, config: Path | None) -> None:
    """Add, change, disable, remove and list the users of the API.

    On a terminal, the command asks for the password; otherwise it reads the password from
    standard input. A password has 10 to 256 characters and is none of the commonest. Changing a
    password, disabling or removing a user ends the user's sessions. Each change writes an audit
    line to standard error, with the uid of the account that made it.

    \b
    Examples:
      elecdata users add morgan
      elecdata users password morgan < /run/secrets/morgan
      elecdata users disable rick
      elecdata users role morgan admin
      elecdata users sessions morgan
      elecdata users logout morgan
      elecdata users remove rick --yes
      elecdata users list
      elecdata users list --json | jq -r '.users[] | select(.enabled).name'

    \b
    Status: 0 success, 1 failure, 2 wrong command line, 130 stopped by Ctrl-C.
    """
    context.obj = config
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr
    )


def _user_command(command: str) -> Callable[[Callable[..., None]], click.Command]:
    """Return a decorator that adds a command about one user."""

    def decorate(function: Callable[..., None]) -> click.Command:
        with_options = click.pass_obj(output_options(function))
        return main.command(command)(click.argument("name")(with_options))

    return decorate


@_user_command("add")
@click.option(
    "--no-grants", is_flag=True, help="Let the user see nothing until something is granted."
)
def add(config: Path | None, name: str, output: CommandOutput, *, no_grants: bool) -> None:
    """Add a user, who may read all meters.

    `elecdata grants` tells and changes what a user may see.

    \b
    Examples:
      elecdata users add morgan
      elecdata users add morgan --no-grants
      elecdata users add morgan < /run/secrets/morgan
    """
    if not 1 <= len(name) <= 64 or not name.isprintable() or ":" in name:
        raise click.BadParameter("expected 1 to 64 printable characters other than ':'")
    password = _read_password(name)
    failure = f"user {name} already exists"
    _run(
        config,
        output,
        lambda users: _require(users.add(name, password, grants=not no_grants), failure),
        "user added",
        user=name,
    )
    _report(output, name, "was added", "user added")


@_user_command("password")
def set_password(config: Path | None, name: str, output: CommandOutput) -> None:
    """Change a user's password.

    \b
    Examples:
      elecdata users password morgan
      elecdata users password morgan < /run/secrets/morgan
    """
    password = _read_password(name)
    _change(
        config, output, name, lambda users: users.set_password(name, password), "password changed"
    )
    _report(output, name, "has a new password", "password changed")


@_user_command("remove")
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove(config: Path | None, name: str, output: CommandOutput, *, yes: bool) -> None:
    """Remove a user: no login, and all tokens revoked.

    The user's grants and API keys go as well. Readings, imports and log lines stay. The loader adds
    a user again that api_users names.

    \b
    Examples:
      elecdata users remove rick
      elecdata users remove rick --yes
    """
    if not yes:
        confirm(f"Remove {name}, and revoke all tokens of this user?")
    _change(config, output, name, lambda users: users.remove(name), "user removed")
    _report(output, name, "was removed; readings, imports and log lines stay", "user removed")
    # It was loaded a moment ago.
    if name in load_settings(config).api_users:
        output.say(f"api_users names {name}: remove that, or the next load adds the user again")


@_user_command("logout")
def log_out(config: Path | None, name: str, output: CommandOutput) -> None:
    """Revoke all tokens of a user, who may log in again.

    \b
    Example:
      elecdata users logout morgan
    """
    _change(config, output, name, lambda users: users.log_out(name), "user logged out")
    _report(output, name, "is logged out", "user logged out")


@_user_command("sessions")
def list_sessions(config: Path | None, name: str, output: CommandOutput) -> None:
    """List a user's sessions: the logins whose tokens are good, at most the latest 100.

    \b
    Examples:
      elecdata users sessions morgan
      elecdata users sessions morgan --json | jq -r '.sessions[].address'
    """

    async def show(admin: UserAdmin) -> None:
        found = await admin.sessions(name)
        if found is None:
            raise _Failed(f"no such user: {name}")
        sessions = [session.described() for session in found]
        for each in sessions:
            output.say("{id}: {issued} to {expires}, {address}, {agent}".format_map(each))
        output.give({"ok": True, "sessions": sessions})

    _run(config, output, show)


@_user_command("disable")
def disable(config: Path | None, name: str, output: CommandOutput) -> None:
    """Disable a user: no login, and all tokens revoked.

    \b
    Example:
      elecdata users disable rick
    """
    _change(
        config, output, name, lambda users: users.set_enabled(name, enabled=False), "user disabled"
    )
    _report(output, name, "is disabled", "user disabled")


@_user_command("enable")
def enable(config: Path | None, name: str, output: CommandOutput) -> None:
    """Enable a disabled user.

    \b
    Example:
      elecdata users enable rick
    """
    _change(
        config, output, name, lambda users: users.set_enabled(name, enabled=True), "user enabled"
    )
    _report(output, name, "is enabled", "user enabled")


@_user_command("role")
@click.argument("role", type=click.Choice(["read", "admin"]))
def set_role(config: Path | None, name: str, role: str, output: CommandOutput) -> None:
    """Set a user's role.

    \b
    Example:
      elecdata users role morgan admin
    """
    _change(
        config, output, name, lambda users: users.set_role(name, role), "role changed", role=role
    )
    _report(output, name, f"has the role {role}", "role changed", f" role={role}")


@main.command("list")
@click.pass_obj
@output_options
def list_users(config: Path | None, output: CommandOutput) -> None:
    """List the users.

    \b
    Examples:
      elecdata users list
      elecdata users list --json | jq -r '.users[] | select(.enabled).name'
    """

    async def show(admin: UserAdmin) -> None:
        users = []
        for user in await admin.users():
            state = "enabled" if user.enabled else "disabled"
            is_old = is_sha256(user.password)
            old = ", old password hash: set a new password" if is_old else ""
            output.say(f"{user.name}: {user.role}, {state}{old}")
            users.append(
                {
                    "name": user.name,
                    "role": user.role,
                    "enabled": user.enabled,
                    "old_hash": is_old,
                }
            )
        output.give({"ok": True, "users": users})

    _run(config, output, show)


def _change(
    config: Path | None,
    output: CommandOutput,
    name: str,
    change: Callable[[UserAdmin], Awaitable[bool]],
    event: str,
    **details: str,
) -> None:
    """Change a user who must exist, and record the event in the audit trail."""
    failure = f"no such user: {name}"
    _run(
        config,
        output,
        lambda users: _require(change(users), failure),
        event,
        user=name,
        **details,
    )


def _report(output: CommandOutput, name: str, text: str, event: str, details: str = "") -> None:
    """Print the result and log an audit line, with the name quoted against forged lines."""
    _AUDIT_LOG.info("%s user=%s%s uid=%d", event, json.dumps(name), details, os.getuid())
    output.say(f"{name} {text}")
    output.give({"ok": True, "user": name})


async def _require(change: Awaitable[bool], failure: str) -> None:
    if not await change:
        raise _Failed(failure)


def _read_password(user: str) -> str:
    """Prompt for a user's password, or read it from standard input; return its hash."""
    if sys.stdin.isatty():
        try:
            password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
        except click.Abort:
            stopped()
    else:
        try:
            password = sys.stdin.buffer.readline().decode().rstrip("\r\n")
        except UnicodeDecodeError:
            raise click.UsageError("the password must be UTF-8") from None
    if not password:
        raise click.UsageError("the password must not be empty")
    if fault := password_fault(password, user):
        raise click.UsageError(f"password: {fault}")
    return hash_password(password)


def _run(
    config: Path | None,
    output: CommandOutput,
    work: Callable[[UserAdmin], Awaitable[None]],
    event: str | None = None,
    **details: str,
) -> None:
    """Do work with the users; an event is recorded in the audit trail, unless the work fails."""

    async def run() -> None:
        database = open_importer(load_settings(config))
        database.engine.on_wait = lambda: output.say(WAITING)
        try:
            async for _ in database.engine.prepare():
                pass
            if event is None:
                await work(database.users)
            else:
                async with recorded(database, event, **details):
                    await work(database.users)
                # The change is made; what is left is deleted with the next one.
                with suppress(StorageError):
                    await database.users.forget_revocations()
        finally:
            await database.engine.close()

    try:
        asyncio.run(run())
    except (SettingsError, StorageError, _Failed) as error:
        output.fail(error)
    except KeyboardInterrupt:
        stopped()


if __name__ == "__main__":
    main(prog_name="python -m loader.users")

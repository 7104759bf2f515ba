"""The command `python -m loader.users`."""

import asyncio
import json
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import click

from cli.output import CommandOutput, output_options, stopped
from settings import SettingsError, load_settings
from storage.common.errors import StorageError
from storage.common.passwords import hash_password, is_sha256
from storage.factory import open_importer
from storage.users import UserAdmin

audit = logging.getLogger("audit")


class _Failed(Exception):  # noqa: N818 - never leaves this file
    """The text says what could not be done."""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="Configuration file. Default: config.yaml in the project's folder.",
)
@click.pass_context
def main(context: click.Context, config: Path | None) -> None:
    """Add, change, disable and list the users of the API.

    On a terminal, the command asks for the password; otherwise it reads the password from
    standard input. Changing a password or disabling a user ends the user's sessions. Each change
    writes an audit line to standard error, with the uid of the account that made it.

    \b
    Examples:
      elecdata users add morgan
      elecdata users password morgan < /run/secrets/morgan
      elecdata users disable rick
      elecdata users role morgan admin
      elecdata users list
      elecdata users list --json | jq -r '.users[] | select(.enabled).name'

    \b
    Status: 0 success, 1 failure, 2 wrong command line, 130 stopped by Ctrl-C.
    """
    context.obj = config
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr
    )


@main.command()
@click.argument("name")
@click.pass_obj
@output_options
def add(config: Path | None, name: str, teller: CommandOutput) -> None:
    """Add a user.

    \b
    Examples:
      elecdata users add morgan
      elecdata users add morgan < /run/secrets/morgan
    """
    if not 1 <= len(name) <= 64 or not name.isprintable() or ":" in name:
        raise click.BadParameter("expected 1 to 64 printable characters other than ':'")
    password = _password()
    _run(
        config,
        teller,
        lambda users: _require(users.add(name, password), f"user {name} already exists"),
    )
    _tell("user added", name)
    _done(teller, name, "was added")


@main.command("password")
@click.argument("name")
@click.pass_obj
@output_options
def set_password(config: Path | None, name: str, teller: CommandOutput) -> None:
    """Change a user's password.

    \b
    Examples:
      elecdata users password morgan
      elecdata users password morgan < /run/secrets/morgan
    """
    password = _password()
    _run(config, teller, lambda users: _require(users.set_password(name, password), _unknown(name)))
    _tell("password changed", name)
    _done(teller, name, "has a new password")


@main.command()
@click.argument("name")
@click.pass_obj
@output_options
def disable(config: Path | None, name: str, teller: CommandOutput) -> None:
    """Disable a user: no login, and all tokens revoked.

    \b
    Example:
      elecdata users disable rick
    """
    _run(
        config,
        teller,
        lambda users: _require(users.set_enabled(name, enabled=False), _unknown(name)),
    )
    _tell("user disabled", name)
    _done(teller, name, "is disabled")


@main.command()
@click.argument("name")
@click.pass_obj
@output_options
def enable(config: Path | None, name: str, teller: CommandOutput) -> None:
    """Enable a disabled user.

    \b
    Example:
      elecdata users enable rick
    """
    _run(
        config,
        teller,
        lambda users: _require(users.set_enabled(name, enabled=True), _unknown(name)),
    )
    _tell("user enabled", name)
    _done(teller, name, "is enabled")


@main.command("role")
@click.argument("name")
@click.argument("role", type=click.Choice(["read", "admin"]))
@click.pass_obj
@output_options
def set_role(config: Path | None, name: str, role: str, teller: CommandOutput) -> None:
    """Set a user's role.

    \b
    Example:
      elecdata users role morgan admin
    """
    _run(config, teller, lambda users: _require(users.set_role(name, role), _unknown(name)))
    _tell("role changed", name, f" role={role}")
    _done(teller, name, f"has the role {role}")


@main.command("list")
@click.pass_obj
@output_options
def list_users(config: Path | None, teller: CommandOutput) -> None:
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
            teller.say(f"{user.name}: {user.role}, {state}{old}")
            users.append(
                {
                    "name": user.name,
                    "role": user.role,
                    "enabled": user.enabled,
                    "old_hash": is_old,
                }
            )
        teller.give({"ok": True, "users": users})

    _run(config, teller, show)


def _done(teller: CommandOutput, name: str, what: str) -> None:
    teller.say(f"{name} {what}")
    teller.give({"ok": True, "user": name})


def _tell(event: str, name: str, details: str = "") -> None:
    """Writes an audit line; a name is quoted, so that it can't pass for another line."""
    audit.info("%s user=%s%s uid=%d", event, json.dumps(name), details, os.getuid())


def _unknown(name: str) -> str:
    return f"no such user: {name}"


async def _require(change: Awaitable[bool], otherwise: str) -> None:
    if not await change:
        raise _Failed(otherwise)


def _password() -> str:
    """The hash of a password that was asked for."""
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
    return hash_password(password)


def _run(
    config: Path | None, teller: CommandOutput, work: Callable[[UserAdmin], Awaitable[None]]
) -> None:
    async def run() -> None:
        database = open_importer(load_settings(config))
        try:
            async for _ in database.engine.prepare():
                pass
            await work(database.users)
        finally:
            await database.engine.close()

    try:
        asyncio.run(run())
    except (SettingsError, StorageError, _Failed) as error:
        teller.fail(error)
    except KeyboardInterrupt:
        stopped()


if __name__ == "__main__":
    main(prog_name="python -m loader.users")

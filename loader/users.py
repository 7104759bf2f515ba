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
from storage.imports.import_writer import ImportWriter

_AUDIT_LOG = logging.getLogger("audit")


class _Failed(Exception):  # noqa: N818 - never leaves this file
    """The message says why a change failed."""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="Settings file, instead of the config.yaml of the project.",
)
@click.pass_context
def main(context: click.Context, config: Path | None) -> None:
    """Add, change, disable and list the users of the API.

    A password is asked for on a terminal, and read from standard input elsewhere. A user whose
    password changes, or who is disabled, has to log in anew. Each change is a line on standard
    error that says who made it.

    \b
    Examples:
      python -m loader.users add morgan
      python -m loader.users password morgan < /run/secrets/morgan
      python -m loader.users disable rick
      python -m loader.users role morgan admin
      python -m loader.users list
      python -m loader.users list --json | jq -r '.users[] | select(.enabled).name'

    \b
    Status: 0 done, 1 not done, 2 wrong command line, 130 stopped by Ctrl-C.
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
def add(config: Path | None, name: str, output: CommandOutput) -> None:
    """Add a user.

    \b
    Examples:
      python -m loader.users add morgan
      python -m loader.users add morgan < /run/secrets/morgan
    """
    if not 1 <= len(name) <= 64 or not name.isprintable() or ":" in name:
        raise click.BadParameter("expected 1 to 64 printable characters other than ':'")
    password = _read_password()
    failure = f"{name} exists already"
    _run(config, output, lambda writer: _require(writer.add_user(name, password), failure))
    _report(output, name, "was added", "user added")


@_user_command("password")
def set_password(config: Path | None, name: str, output: CommandOutput) -> None:
    """Change a user's password.

    \b
    Examples:
      python -m loader.users password morgan
      python -m loader.users password morgan < /run/secrets/morgan
    """
    password = _read_password()
    _change(config, output, name, lambda writer: writer.set_password(name, password))
    _report(output, name, "has a new password", "password changed")


@_user_command("disable")
def disable(config: Path | None, name: str, output: CommandOutput) -> None:
    """Keep a user from logging in.

    \b
    Example:
      python -m loader.users disable rick
    """
    _change(config, output, name, lambda writer: writer.set_enabled(name, enabled=False))
    _report(output, name, "is disabled", "user disabled")


@_user_command("enable")
def enable(config: Path | None, name: str, output: CommandOutput) -> None:
    """Let a user log in again.

    \b
    Example:
      python -m loader.users enable rick
    """
    _change(config, output, name, lambda writer: writer.set_enabled(name, enabled=True))
    _report(output, name, "is enabled", "user enabled")


@_user_command("role")
@click.argument("role", type=click.Choice(["read", "admin"]))
def set_role(config: Path | None, name: str, role: str, output: CommandOutput) -> None:
    """Say what a user may do.

    \b
    Example:
      python -m loader.users role morgan admin
    """
    _change(config, output, name, lambda writer: writer.set_role(name, role))
    _report(output, name, f"has the role {role}", "role changed", f" role={role}")


@main.command("list")
@click.pass_obj
@output_options
def list_users(config: Path | None, output: CommandOutput) -> None:
    """List the users.

    \b
    Examples:
      python -m loader.users list
      python -m loader.users list --json | jq -r '.users[] | select(.enabled).name'
    """

    async def show(writer: ImportWriter) -> None:
        users = []
        for user in await writer.users():
            state = "enabled" if user.enabled else "disabled"
            is_old = is_sha256(user.password)
            old = ", old kind of hash: set the password anew" if is_old else ""
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
    change: Callable[[ImportWriter], Awaitable[bool]],
) -> None:
    """Change a user who must exist."""
    _run(config, output, lambda writer: _require(change(writer), f"there is no user {name}"))


def _report(output: CommandOutput, name: str, text: str, event: str, details: str = "") -> None:
    """Print the result and log an audit line, with the name quoted against forged lines."""
    _AUDIT_LOG.info("%s user=%s%s uid=%d", event, json.dumps(name), details, os.getuid())
    output.say(f"{name} {text}")
    output.give({"ok": True, "user": name})


async def _require(change: Awaitable[bool], failure: str) -> None:
    if not await change:
        raise _Failed(failure)


def _read_password() -> str:
    """Prompt for a password, or read it from standard input; return its hash."""
    if sys.stdin.isatty():
        try:
            password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
        except click.Abort:
            stopped()
    else:
        try:
            password = sys.stdin.buffer.readline().decode().rstrip("\r\n")
        except UnicodeDecodeError:
            raise click.UsageError("expected a password in UTF-8") from None
    if not password:
        raise click.UsageError("expected a password, got an empty one")
    return hash_password(password)


def _run(
    config: Path | None, output: CommandOutput, work: Callable[[ImportWriter], Awaitable[None]]
) -> None:
    async def run() -> None:
        writer = open_importer(load_settings(config))
        try:
            async for _ in writer.prepare():
                pass
            await work(writer)
        finally:
            await writer.close()

    try:
        asyncio.run(run())
    except (SettingsError, StorageError, _Failed) as error:
        output.fail(error)
    except KeyboardInterrupt:
        stopped()


if __name__ == "__main__":
    main(prog_name="python -m loader.users")

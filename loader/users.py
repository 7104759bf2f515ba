"""The command `python -m loader.users`."""

import asyncio
import json
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import click

from settings import SettingsError, load_settings
from storage.errors import StorageError
from storage.opening import open_writer
from storage.passwords import hashed, is_sha256
from storage.writer import Writer

audit = logging.getLogger("audit")


class _Failed(Exception):  # noqa: N818 - never leaves this file
    """The text says what could not be done."""


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
    """
    context.obj = config
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr
    )


@main.command()
@click.argument("name")
@click.pass_obj
def add(config: Path | None, name: str) -> None:
    """Add a user."""
    if not 1 <= len(name) <= 64 or not name.isprintable() or ":" in name:
        raise click.BadParameter("expected 1 to 64 printable characters other than ':'")
    password = _password()
    _run(config, lambda writer: _require(writer.add_user(name, password), f"{name} exists already"))
    _tell("user added", name)
    click.echo(f"{name} was added")


@main.command("password")
@click.argument("name")
@click.pass_obj
def set_password(config: Path | None, name: str) -> None:
    """Change a user's password."""
    password = _password()
    _run(config, lambda writer: _require(writer.set_password(name, password), _unknown(name)))
    _tell("password changed", name)
    click.echo(f"{name} has a new password")


@main.command()
@click.argument("name")
@click.pass_obj
def disable(config: Path | None, name: str) -> None:
    """Keep a user from logging in."""
    _run(config, lambda writer: _require(writer.set_enabled(name, enabled=False), _unknown(name)))
    _tell("user disabled", name)
    click.echo(f"{name} is disabled")


@main.command()
@click.argument("name")
@click.pass_obj
def enable(config: Path | None, name: str) -> None:
    """Let a user log in again."""
    _run(config, lambda writer: _require(writer.set_enabled(name, enabled=True), _unknown(name)))
    _tell("user enabled", name)
    click.echo(f"{name} is enabled")


@main.command("role")
@click.argument("name")
@click.argument("role", type=click.Choice(["read", "admin"]))
@click.pass_obj
def set_role(config: Path | None, name: str, role: str) -> None:
    """Say what a user may do."""
    _run(config, lambda writer: _require(writer.set_role(name, role), _unknown(name)))
    _tell("role changed", name, f" role={role}")
    click.echo(f"{name} has the role {role}")


@main.command("list")
@click.pass_obj
def list_users(config: Path | None) -> None:
    """List the users."""

    async def show(writer: Writer) -> None:
        for user in await writer.users():
            state = "enabled" if user.enabled else "disabled"
            old = ", old kind of hash: set the password anew" if is_sha256(user.password) else ""
            click.echo(f"{user.name}: {user.role}, {state}{old}")

    _run(config, show)


def _tell(event: str, name: str, details: str = "") -> None:
    """Writes an audit line; a name is quoted, so that it can't pass for another line."""
    audit.info("%s user=%s%s uid=%d", event, json.dumps(name), details, os.getuid())


def _unknown(name: str) -> str:
    return f"there is no user {name}"


async def _require(change: Awaitable[bool], otherwise: str) -> None:
    if not await change:
        raise _Failed(otherwise)


def _password() -> str:
    """The hash of a password that was asked for."""
    if sys.stdin.isatty():
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        try:
            password = sys.stdin.buffer.readline().decode().rstrip("\r\n")
        except UnicodeDecodeError:
            raise click.UsageError("expected a password in UTF-8") from None
    if not password:
        raise click.UsageError("expected a password, got an empty one")
    return hashed(password)


def _run(config: Path | None, work: Callable[[Writer], Awaitable[None]]) -> None:
    async def run() -> None:
        writer = open_writer(load_settings(config))
        try:
            async for _ in writer.prepare():
                pass
            await work(writer)
        finally:
            await writer.close()

    try:
        asyncio.run(run())
    except (SettingsError, StorageError, _Failed) as error:
        click.echo(f"ERROR - {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main(prog_name="python -m loader.users")

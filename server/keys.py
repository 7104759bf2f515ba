"""The command `elecdata keys new`."""

import secrets
from pathlib import Path

import click
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from cli.commands import EscapingCommand
from cli.error_boundary import report_unexpected
from cli.printing import print_line, print_lines
from files.creating import new_file

_SECRET_BYTES = 48


@click.command(cls=EscapingCommand)
@click.option(
    "--ed25519", is_flag=True, help="Make an Ed25519 key, whose tokens other services can verify."
)
@click.option(
    "--file",
    type=click.Path(path_type=Path),
    help="Write the key to this new file, which only its owner can read. Default: print it.",
)
@click.option("--debug", is_flag=True, help="Show a traceback on errors.")
def new(*, ed25519: bool, file: Path | None, debug: bool) -> None:
    """Make a signing key: a secret, or an Ed25519 key in PEM.

    \b
    Examples:
      elecdata keys new --file keys/summer
      elecdata keys new --ed25519 --file keys/autumn
    """
    with report_unexpected(debug=debug):
        key = _ed25519() if ed25519 else f"{secrets.token_urlsafe(_SECRET_BYTES)}\n"
        if file is None:
            print_lines(key.removesuffix("\n"))
        else:
            _write(file, key)
            print_line(f"{file} was written, name it in auth.keys")


def _ed25519() -> str:
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _write(file: Path, text: str) -> None:
    """Write a new file that only its owner can read; one that exists stays as it is."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with new_file(file) as opened:
        opened.write(text.encode())

"""The keys of auth.keys: secrets or Ed25519 keys, and when each one signs."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pydantic import SecretStr, ValidationInfo

from files.regular import open_regular
from settings.values import KEY_GENERATOR, MIN_SECRET_BYTES, resolve_path

_MEMBERS = {"secret", "file", "from", "until"}
_EXPECTED = "expected the key, or either secret or file, with from and until if it has a schedule"
_PEM = "-----BEGIN "
_MAX_BYTES = 2**16
"""The longest file of a key; a PEM file of an Ed25519 key has 119 bytes."""


@dataclass(frozen=True, slots=True)
class SigningKeySettings:
    """A key, and when it signs: always, unless it has a schedule."""

    secret: SecretStr
    begins: datetime | None = None
    ends: datetime | None = None


def parse_signing_key(value: object, info: ValidationInfo) -> SigningKeySettings:
    """Parse a key: its text, or a mapping with its secret or file and its schedule."""
    if isinstance(value, str):
        return SigningKeySettings(_checked(value))
    if not isinstance(value, Mapping) or not value.keys() <= _MEMBERS:
        raise ValueError(_EXPECTED)
    texts = {name: text for name, text in value.items() if text is not None}
    if ("secret" in texts) == ("file" in texts) or not all(
        isinstance(text, str) for text in texts.values()
    ):
        raise ValueError(_EXPECTED)
    secret = texts["secret"] if "secret" in texts else _read(Path(texts["file"]), info)
    begins, ends = (_instant(name, texts.get(name)) for name in ("from", "until"))
    if begins is not None and ends is not None and ends <= begins:
        raise ValueError("until: expected a time after from")
    return SigningKeySettings(_checked(secret), begins, ends)


def ed25519_key(text: str) -> Ed25519PrivateKey | None:
    """Return the Ed25519 key that a text holds in PEM, None if the text is a secret.

    Raise ValueError for another kind of key, which must not be mistaken for a secret.
    """
    if not text.lstrip().startswith(_PEM):
        return None
    try:
        key = load_pem_private_key(text.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if isinstance(key, Ed25519PrivateKey):
        return key
    raise ValueError("expected a private Ed25519 key in PEM without a password, or a secret")


def _checked(text: str) -> SecretStr:
    if ed25519_key(text) is None and len(text.encode()) < MIN_SECRET_BYTES:
        raise ValueError(f"expected at least {MIN_SECRET_BYTES} bytes, as from {KEY_GENERATOR}")
    return SecretStr(text)


def _read(path: Path, info: ValidationInfo) -> str:
    path = resolve_path(path, info)
    try:
        with open_regular(path) as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    if mode & 0o077:
        raise ValueError(f"others have access to {path}; chmod 600 it")
    if len(content) > _MAX_BYTES:
        raise ValueError(f"{path}: expected at most {_MAX_BYTES} bytes")
    try:
        return content.decode().removesuffix("\n")
    except UnicodeDecodeError:
        raise ValueError(f"{path}: expected UTF-8") from None


def _instant(name: str, text: str | None) -> datetime | None:
    """Return a time, in UTC unless the text says otherwise."""
    if text is None:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{name}: expected a time such as 2027-06-01 or 2027-06-01T12:00:00+02:00"
        ) from None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)

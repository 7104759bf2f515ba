"""Loading the secret that signs tokens, or creating it."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from files.creating import new_file
from files.regular import open_regular
from settings.model import Settings, is_published
from settings.section import SettingsError
from settings.values import MIN_SECRET_BYTES


def signing_secret(settings: Settings) -> str:
    """Return the configured secret, or else the stored one, created on first use."""
    if settings.auth.secret:
        return settings.auth.secret.get_secret_value()
    store = settings.auth.secret_store
    try:
        if not store.exists():
            _create_secret(store)
        return _read_secret(store)
    except OSError as error:
        raise SettingsError(f"auth.secret_store: {store}: {error.strerror}") from None


def _create_secret(store: Path) -> None:
    """Store a new secret, unless another process was first."""
    store.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileExistsError), new_file(store) as file:
        file.write(secrets.token_urlsafe(48).encode())


def _read_secret(store: Path) -> str:
    with open_regular(store) as file:
        mode = os.fstat(file.fileno()).st_mode
        secret = file.read().removesuffix(b"\n")
    if mode & 0o077:
        raise SettingsError(f"auth.secret_store: others have access to {store}; chmod 600 it")
    if len(secret) < MIN_SECRET_BYTES or not secret.isascii():
        raise SettingsError(
            f"auth.secret_store: {store} does not hold {MIN_SECRET_BYTES} characters of ASCII;"
            " remove it and a new one is made"
        )
    if is_published(secret.decode()):
        raise SettingsError(
            f"auth.secret_store: {store} holds the demonstration's published secret;"
            " remove it and a new one is made"
        )
    return secret.decode()

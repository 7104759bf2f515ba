"""Password hashes: argon2id, or SHA-256 in hex if the original or a trigger made it."""

import base64
import hashlib
import hmac
import re
import secrets

import argon2
from argon2.exceptions import InvalidHashError, VerifyMismatchError

_HASHER = argon2.PasswordHasher()
_SHA256 = re.compile("[0-9a-f]{64}")


def hash_password(password: str) -> str:
    """Return the argon2id hash of a password; takes tens of milliseconds and 64 MiB."""
    return _HASHER.hash(password)


def _unmatched() -> str:
    salt, digest = (
        base64.b64encode(secrets.token_bytes(size)).decode().rstrip("=")
        for size in (_HASHER.salt_len, _HASHER.hash_len)
    )
    return (
        f"$argon2id$v={argon2.low_level.ARGON2_VERSION}$m={_HASHER.memory_cost}"
        f",t={_HASHER.time_cost},p={_HASHER.parallelism}${salt}${digest}"
    )


UNMATCHABLE_HASH = _unmatched()
"""A hash that no password has: to verify one against it takes as long."""


def verify_password(password: str, stored: str) -> bool:
    """Return whether a password has the stored hash, in the same time for any kind of hash."""
    if _SHA256.fullmatch(stored):
        _matches_argon2(password, UNMATCHABLE_HASH)
        return hmac.compare_digest(hashlib.sha256(password.encode()).hexdigest(), stored)
    return _matches_argon2(password, stored)


def is_sha256(stored: str) -> bool:
    """Return whether a hash is SHA-256, which is fast to brute-force."""
    return _SHA256.fullmatch(stored) is not None


def _matches_argon2(password: str, stored: str) -> bool:
    try:
        return _HASHER.verify(stored, password)
    except (VerifyMismatchError, InvalidHashError):
        return False

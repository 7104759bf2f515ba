"""Authenticated entries, for a cache outside this process: what others wrote is not believed."""

import hmac
from hashlib import sha256

from server.cache.entry import CacheEntry

_MAC_BYTES = sha256().digest_size


class UntrustedEntryError(Exception):
    """A stored entry is not what was stored under its key; the text says why."""


class EntrySealer:
    """Seals entries with a key, and opens those that it sealed under the same name."""

    def __init__(self, key: bytes) -> None:
        self.name = hmac.digest(key, b"name", sha256)[:8].hex()
        """Differs between keys: entries of another key are not found, rather than refused."""
        self._mac = hmac.new(key, b"entry", sha256)

    def seal(self, name: str, entry: CacheEntry) -> bytes:
        """Return the entry as bytes, to be stored under a name."""
        dumped = entry.dump()
        return self._digest(name, dumped) + dumped

    def open(self, name: str, sealed: bytes) -> CacheEntry:
        """Return the entry that was sealed under a name. Raise UntrustedEntryError."""
        dumped = memoryview(sealed)[_MAC_BYTES:]
        if not hmac.compare_digest(sealed[:_MAC_BYTES], self._digest(name, dumped)):
            raise UntrustedEntryError("its authentication code is wrong")
        try:
            return CacheEntry.load(dumped)
        except ValueError:
            raise UntrustedEntryError("its content is malformed") from None

    def _digest(self, name: str, dumped: bytes | memoryview) -> bytes:
        mac = self._mac.copy()
        encoded = name.encode()
        mac.update(len(encoded).to_bytes(4, "big") + encoded)
        mac.update(dumped)
        return mac.digest()

"""The response cache, in this process or in Redis.

A key contains the version of the data, so that an import makes every older response unreachable.
"""

import logging
import time
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, TypeVar

from aiocache import SimpleMemoryCache
from aiocache.base import BaseCache
from aiohttp import web

from server.cache.entry import CacheEntry
from server.cache.sealing import UntrustedEntryError
from server.cache.shared import SharedCache
from settings import CacheSettings

log = logging.getLogger("server")

_RETRY_AFTER = 5.0
"""Seconds until a failed cache is tried again: a frozen one costs its timeout each time."""

_MAX_SHARE = 4
"""A response may take one part in so many of the cache."""

_REFUSAL_LOG_SECONDS = 60.0
"""Seconds between two log lines about entries that were refused."""

T = TypeVar("T")


class HeldEntries:
    """Entries that are being sent, and the memory of those evicted meanwhile."""

    def __init__(self) -> None:
        self.bytes = 0
        """Memory of all that are being read, each counted once."""
        self.uncached_bytes = 0
        """Memory of those among them that the cache no longer holds."""
        self._readers: Counter[int] = Counter()
        self._uncached: set[int] = set()

    def __contains__(self, entry: CacheEntry) -> bool:
        return id(entry) in self._readers

    def acquire(self, entry: CacheEntry, *, is_cached: bool) -> None:
        """Count an entry as held by one reader more."""
        if not self._readers[id(entry)]:
            self.bytes += entry.stored_bytes
            if not is_cached:
                self._leave_cache(entry)
        self._readers[id(entry)] += 1

    def release(self, entry: CacheEntry) -> None:
        """Count an entry as held by one reader less."""
        self._readers[id(entry)] -= 1
        if self._readers[id(entry)]:
            return
        del self._readers[id(entry)]
        self.bytes -= entry.stored_bytes
        if id(entry) in self._uncached:
            self._uncached.discard(id(entry))
            self.uncached_bytes -= entry.stored_bytes

    def evicted(self, entry: CacheEntry) -> None:
        """Account for an entry that was evicted."""
        if entry in self:
            self._leave_cache(entry)

    def _leave_cache(self, entry: CacheEntry) -> None:
        self._uncached.add(id(entry))
        self.uncached_bytes += entry.stored_bytes


@dataclass(slots=True)
class _MeterEntries:
    """The keys of the entries that were made of one version of a meter's data."""

    meter: str
    version: str
    keys: set[str] = field(default_factory=set)


class BoundedMemoryCache(SimpleMemoryCache):  # type: ignore[misc]  # aiocache comes without types
    """A cache in memory with a bound on its bytes; the oldest entries are evicted first.

    Entries that left the cache and are still being sent count towards the bound. Times to live
    are checked when an entry is read: the timers that aiocache sets would remove entries without
    their bytes being counted.
    """

    def __init__(self, max_bytes: int, held: HeldEntries) -> None:
        super().__init__(timeout=None)
        self.bytes = 0
        self._held = held
        self._max_bytes = max_bytes
        self._stored: set[int] = set()
        self._groups: dict[str, _MeterEntries] = {}
        self._group_of: dict[str, _MeterEntries] = {}

    async def add(
        self, key: str, entry: CacheEntry, ttl: float, *, meter: str, version: str
    ) -> None:
        """Store an entry made of a version of a meter's data; remove those of other versions."""
        group = self._groups.get(meter)
        if group is None or group.version != version:
            for old in [] if group is None else list(group.keys):
                await self._delete(old)
            group = self._groups[meter] = _MeterEntries(meter, version)
        await self.set(key, entry, ttl=ttl)
        if key in self._cache:
            group.keys.add(key)
            self._group_of[key] = group
            self._groups[meter] = group
        elif not group.keys:
            self._groups.pop(meter, None)

    def __contains__(self, entry: CacheEntry) -> bool:
        return id(entry) in self._stored

    async def get(self, key: str, *_: object, **__: object) -> CacheEntry | None:
        """Return the entry of a key, without aiocache's timeouts, plugins and serializers."""
        entry: CacheEntry | None = await self._get(key)
        return entry

    async def _get(self, key: str, encoding: str | None = None, _conn: object = None) -> Any:  # noqa: ARG002 - aiocache's signature
        value, expires = self._cache.get(key, (None, 0.0))
        if value is not None and expires <= time.monotonic():
            await self._delete(key)
            return None
        return value

    async def _set(
        self, key: str, value: CacheEntry, ttl: float | None = None, *_: object, **__: object
    ) -> bool:
        await self._delete(key)
        if self._total_bytes + value.stored_bytes > self._max_bytes:
            value = value.without_plain()
        self._cache[key] = (value, time.monotonic() + (ttl or 0))
        self._stored.add(id(value))
        self.bytes += value.stored_bytes
        while self._total_bytes > self._max_bytes:
            # Evicting an entry that is being sent would free nothing.
            idle = (key for key, (entry, _) in self._cache.items() if entry not in self._held)
            await self._delete(next(idle))
        return True

    @property
    def _total_bytes(self) -> int:
        return self.bytes + self._held.uncached_bytes

    async def _delete(self, key: str, _conn: object = None) -> int:
        value, _ = self._cache.pop(key, (None, 0.0))
        if value is None:
            return 0
        self._stored.discard(id(value))
        self.bytes -= value.stored_bytes
        self._held.evicted(value)
        group = self._group_of.pop(key, None)
        if group is not None:
            group.keys.discard(key)
            if not group.keys and self._groups.get(group.meter) is group:
                del self._groups[group.meter]
        return 1

    async def _clear(self, namespace: str | None = None, _conn: object = None) -> bool:  # noqa: ARG002 - aiocache's signature
        for key in list(self._cache):
            await self._delete(key)
        return True


class ResponseCache:
    """Responses by key. A cache that fails is bypassed for a while.

    Entries in Redis are sealed with a key, and refused if anybody else has written them.
    """

    def __init__(self, settings: CacheSettings, key: bytes) -> None:
        self.max_entry_bytes = settings.max_bytes // _MAX_SHARE if settings.ttl else 0
        """The largest response that is stored, in bytes."""
        self.hits = 0
        self.misses = 0
        self.refused = 0
        """Entries that were not what had been stored; each is a miss as well."""
        self._ttl = settings.ttl
        self._max_bytes = settings.max_bytes
        self._held = HeldEntries()
        self._backend = _backend(settings, self._held, key)
        self._is_local = isinstance(self._backend, BoundedMemoryCache)
        self.max_plain_bytes = self.max_entry_bytes if self._is_local else 0
        """The largest that is stored plain as well, where there is room, in plain bytes."""
        self._is_failing = False
        self._retry_at = 0.0
        """When a cache that has failed may be tried again."""
        self._refused_in_log = 0
        self._log_refusals_at = 0.0

    def use(self, key: bytes) -> None:
        """Seal entries in Redis with this key from now on."""
        if not self._is_local:
            self._backend.use(key)

    async def get(self, key: str, *, count_miss: bool = True) -> CacheEntry | None:
        """Return the entry of a key, or None."""
        if self._is_bypassed():
            self.misses += count_miss
            return None
        try:
            entry: CacheEntry | None = await self._backend.get(key)
        except UntrustedEntryError as error:
            if count_miss:
                self._note_refusal(error)
            entry = None
        except Exception as error:  # noqa: BLE001 - whatever it is, the response can be made
            self._note_failure(error)
            entry = None
        else:
            self._is_failing = False
        self.hits += entry is not None
        self.misses += count_miss and entry is None
        return entry

    @property
    def bytes(self) -> int:
        """The memory that entries take in this process, those being sent included."""
        local = self._backend.bytes if self._is_local else 0
        return int(local) + self._held.uncached_bytes

    def can_hold(self, entry: CacheEntry) -> bool:
        """Return whether there is memory to send an entry, however slowly its client reads."""
        return entry in self._held or self.has_room(entry.stored_bytes)

    def has_room(self, size: int) -> bool:
        """Return whether so many bytes more may be held for slow clients."""
        return self._held.bytes + size <= self._max_bytes

    def acquire(self, entry: CacheEntry) -> None:
        """Count the memory of an entry until `release`, whether or not it stays in the cache."""
        self._held.acquire(entry, is_cached=self._is_local and entry in self._backend)

    def release(self, entry: CacheEntry) -> None:
        """End an `acquire`."""
        self._held.release(entry)

    async def hold(self, entry: CacheEntry, chunks: AsyncGenerator[T]) -> AsyncGenerator[T]:
        """Yield chunks of an entry, whose memory is counted until they end."""
        self.acquire(entry)
        try:
            async with aclosing(chunks):
                async for chunk in chunks:
                    yield chunk
        finally:
            self.release(entry)

    async def put(self, key: str, entry: CacheEntry, *, meter: str, version: str) -> None:
        """Store a response made of a version of a meter's data, and drop those of other versions.

        A cache outside this process drops nothing: its entries expire.
        """
        if self._is_bypassed():
            return
        try:
            if self._is_local:
                await self._backend.add(key, entry, self._ttl, meter=meter, version=version)
            else:
                await self._backend.set(key, entry, ttl=self._ttl)
        except Exception as error:  # noqa: BLE001 - the response is on its way all the same
            self._note_failure(error)
        else:
            self._is_failing = False

    async def close(self) -> None:
        """Close the connections."""
        await self._backend.close()

    def _is_bypassed(self) -> bool:
        """Return whether the cache failed recently; now and then one request tries it again."""
        if not self._is_failing:
            return False
        now = time.monotonic()
        if now < self._retry_at:
            return True
        self._retry_at = now + _RETRY_AFTER
        return False

    def _note_refusal(self, error: UntrustedEntryError) -> None:
        """Count an entry that was refused, and log it now and then."""
        self.refused += 1
        now = time.monotonic()
        if now >= self._log_refusals_at:
            log.warning(
                "cache entries refused, damaged or written by another program: %d; the last: %s",
                self.refused - self._refused_in_log,
                error,
            )
            self._refused_in_log = self.refused
            self._log_refusals_at = now + _REFUSAL_LOG_SECONDS

    def _note_failure(self, error: Exception) -> None:
        """Log a failure of the cache once, not for every request."""
        if not self._is_failing:
            log.warning("the cache is bypassed: %s", type(error).__name__)
        self._is_failing = True
        self._retry_at = time.monotonic() + _RETRY_AFTER


def _backend(settings: CacheSettings, held: HeldEntries, key: bytes) -> BaseCache:
    if settings.url.get_secret_value().startswith("memory:"):
        return BoundedMemoryCache(settings.max_bytes, held)
    return SharedCache.of(settings, key, settings.max_bytes // _MAX_SHARE)


CACHE = web.AppKey("cache", ResponseCache)

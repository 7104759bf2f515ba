"""Answers kept for a while, in this process or in Redis.

A key names the version of the data, so that an import makes every older answer unreachable.
"""

import logging
import time
from typing import Any
from urllib.parse import unquote, urlsplit

from aiocache import RedisCache, SimpleMemoryCache
from aiocache.base import BaseCache
from aiocache.serializers import BaseSerializer
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError, RedisError  # noqa: A004 - this one is redis's

from server.cache.entry import CacheEntry
from settings import CacheSettings

log = logging.getLogger("server")

_REDIS_TIMEOUT = 1.0
_PAUSE = 5.0
"""Seconds for which a cache that has failed is not asked: one that is frozen costs its timeout."""

_LARGEST_SHARE = 4
"""An answer may take this part of the room."""


class BoundedMemoryCache(SimpleMemoryCache):  # type: ignore[misc]  # aiocache comes without types
    """A cache in memory that holds answers of so many bytes; the oldest leave first.

    Times to live are looked at when an entry is asked for: the timers that aiocache sets would
    remove entries without their bytes being counted.
    """

    def __init__(self, max_bytes: int) -> None:
        super().__init__(timeout=None)
        self.bytes = 0
        self._max_bytes = max_bytes

    async def get(self, key: str, *_: object, **__: object) -> CacheEntry | None:
        """The answer kept under a key, without aiocache's timeouts, plugins and serializers."""
        kept: CacheEntry | None = await self._get(key)
        return kept

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
        if self.bytes + value.stored_bytes > self._max_bytes:
            value = value.without_plain()
        self._cache[key] = (value, time.monotonic() + (ttl or 0))
        self.bytes += value.stored_bytes
        while self.bytes > self._max_bytes:
            await self._delete(next(iter(self._cache)))
        return True

    async def _delete(self, key: str, _conn: object = None) -> int:
        value, _ = self._cache.pop(key, (None, 0.0))
        if value is None:
            return 0
        self.bytes -= value.stored_bytes
        return 1

    async def _clear(self, namespace: str | None = None, _conn: object = None) -> bool:  # noqa: ARG002 - aiocache's signature
        self._cache.clear()
        self.bytes = 0
        return True


class _KeptSerializer(BaseSerializer):  # type: ignore[misc]  # aiocache comes without types
    """Answers as bytes, for a cache outside this process."""

    DEFAULT_ENCODING = None

    def dumps(self, value: CacheEntry) -> bytes:
        return value.dump()

    def loads(self, value: bytes | None) -> CacheEntry | None:
        return None if value is None else CacheEntry.load(value)


class SharedCache(RedisCache):  # type: ignore[misc]  # aiocache comes without types
    """A cache in Redis, without the calls of aiocache that redis has deprecated."""

    async def _set(
        self, key: str, value: bytes, ttl: float | None = None, *_: object, **__: object
    ) -> bool:
        milliseconds = None if ttl is None else max(1, int(ttl * 1000))
        return bool(await self.client.set(key, value, px=milliseconds))

    async def _close(self, *_: object, **__: object) -> None:
        await self.client.aclose()


class ResponseCache:
    """Answers by key; a cache that fails is passed by."""

    def __init__(self, settings: CacheSettings) -> None:
        self.largest = settings.max_bytes // _LARGEST_SHARE if settings.ttl else 0
        """The largest answer that is kept, in bytes."""
        self.hits = 0
        self.misses = 0
        self._ttl = settings.ttl
        self._backend = _backend(settings)
        self.largest_plain = self.largest if isinstance(self._backend, BoundedMemoryCache) else 0
        """The largest that is kept plain as well, where there is room, in plain bytes."""
        self._version: str | None = None
        self._failing = False
        self._asked_again = 0.0
        """When a cache that has failed may be asked again."""

    async def get(self, key: str, *, counts_miss: bool = True) -> CacheEntry | None:
        """The answer kept under a key, if it still is."""
        if self._is_passed_by():
            self.misses += counts_miss
            return None
        try:
            kept: CacheEntry | None = await self._backend.get(key)
        except (RedisError, OSError, TimeoutError) as error:
            self._note(error)
            kept = None
        else:
            self._failing = False
        self.hits += kept is not None
        self.misses += counts_miss and kept is None
        return kept

    @property
    def bytes(self) -> int:
        """The memory that answers take in this process."""
        return self._backend.bytes if isinstance(self._backend, BoundedMemoryCache) else 0

    async def put(self, key: str, answer: CacheEntry, version: str) -> None:
        """Keeps an answer of this version of the data, and in this process none of another."""
        if self._is_passed_by():
            return
        if isinstance(self._backend, BoundedMemoryCache) and version != self._version:
            await self._backend.clear()
            self._version = version
        try:
            await self._backend.set(key, answer, ttl=self._ttl)
        except (RedisError, OSError, TimeoutError) as error:
            self._note(error)

    async def close(self) -> None:
        """Ends its connections."""
        await self._backend.close()

    def _is_passed_by(self) -> bool:
        """Whether the cache has failed lately; once in a while, one request finds out anew."""
        if not self._failing:
            return False
        now = time.monotonic()
        if now < self._asked_again:
            return True
        self._asked_again = now + _PAUSE
        return False

    def _note(self, error: Exception) -> None:
        """Says once that the cache fails, and not for every request."""
        if not self._failing:
            log.warning("the cache is passed by: %s", type(error).__name__)
        self._failing = True
        self._asked_again = time.monotonic() + _PAUSE


_CONNECTION: dict[str, Any] = {
    # One that was closed while idle is made anew; by itself redis would try for seconds.
    "retry": Retry(NoBackoff(), 1, supported_errors=(ConnectionError,)),
    # A cancellation alone doesn't always end it in time.
    "socket_timeout": _REDIS_TIMEOUT,
}


def _backend(settings: CacheSettings) -> BaseCache:
    url = urlsplit(settings.url.get_secret_value())
    if url.scheme == "memory":
        return BoundedMemoryCache(settings.max_bytes)
    username = {"username": unquote(url.username)} if url.username else {}
    return SharedCache(
        endpoint=url.hostname,
        port=url.port or 6379,
        db=int(url.path.strip("/") or 0),
        password=unquote(url.password) if url.password else None,
        connection_pool_kwargs=_CONNECTION | username,
        ssl=url.scheme == "rediss",
        serializer=_KeptSerializer(),
        namespace="elecdata",
        timeout=_REDIS_TIMEOUT,
        create_connection_timeout=_REDIS_TIMEOUT,
    )

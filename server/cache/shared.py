"""The cache in Redis, which other programs can reach as well."""

import asyncio
from typing import Any, Self
from urllib.parse import unquote, urlsplit

from aiocache import RedisCache
from aiocache.serializers import BaseSerializer

# Private: redis has no public parser, and no option that bounds a reply. GETRANGE binds Redis, but
# not what answers in its place. A test holds the release for which this was checked.
from redis._parsers import _AsyncRESP3Parser
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    ConnectionError,  # noqa: A004 - this one is redis's
    InvalidResponse,
    ResponseError,
)

from server.cache.entry import CacheEntry
from server.cache.sealing import EntrySealer, UntrustedEntryError
from settings import CacheSettings

_TIMEOUT = 1.0

_SMALL_BYTES = 2**17
"""Bytes up to which sealing or opening an entry is quicker than handing it to a thread."""

_MIN_REPLY_BYTES = 2**16
"""What the longest reply may take at least: the greeting of a connection has its length as well."""

_CONNECTION: dict[str, Any] = {
    # A connection that was closed while idle is replaced; redis alone would retry for seconds.
    "retry": Retry(NoBackoff(), 1, supported_errors=(ConnectionError,)),
    # Cancellation alone doesn't always end a command in time.
    "socket_timeout": _TIMEOUT,
    # Each connection would look up on the disk which release of redis this is, to tell the server.
    "driver_info": None,
}


class _NoSerializer(BaseSerializer):  # type: ignore[misc]  # aiocache comes without types
    """Bytes as they are."""

    DEFAULT_ENCODING = None

    def dumps(self, value: bytes) -> bytes:
        return value

    def loads(self, value: bytes | None) -> bytes | None:
        return value


class SharedCache(RedisCache):  # type: ignore[misc]  # aiocache comes without types
    """Entries in Redis, sealed with a key: what others have written there is refused.

    It leaves out the calls of aiocache that redis has deprecated.
    """

    def __init__(self, key: bytes, max_bytes: int, **options: object) -> None:
        super().__init__(serializer=_NoSerializer(), **options)
        self._max_bytes = max_bytes
        self.use(key)

    @classmethod
    def of(cls, settings: CacheSettings, key: bytes, max_bytes: int) -> Self:
        """Return the cache at a URL; entries have at most so many bytes."""
        url = urlsplit(settings.url.get_secret_value())
        username = {"username": unquote(url.username)} if url.username else {}
        parser = {"parser_class": _bounded_parser(max(_MIN_REPLY_BYTES, max_bytes + 1))}
        return cls(
            key,
            max_bytes,
            endpoint=url.hostname,
            port=url.port or 6379,
            db=int(url.path.strip("/") or 0),
            password=unquote(url.password) if url.password else None,
            connection_pool_kwargs=_CONNECTION | username | parser,
            ssl=url.scheme == "rediss",
            timeout=_TIMEOUT,
            create_connection_timeout=_TIMEOUT,
        )

    def use(self, key: bytes) -> None:
        """Seal and open with this key from now on; entries of others are not found."""
        self._sealer = EntrySealer(key)
        self.namespace = f"elecdata:{self._sealer.name}"

    async def get(self, key: str, *_: object, **__: object) -> CacheEntry | None:
        """Return the entry of a key. Raise UntrustedEntryError if it was not stored there."""
        sealer = self._sealer
        sealed: bytes | None = await super().get(key)
        if sealed is None:
            return None
        if len(sealed) <= _SMALL_BYTES:
            return sealer.open(key, sealed)
        return await asyncio.to_thread(sealer.open, key, sealed)

    async def set(
        self, key: str, value: CacheEntry, ttl: float | None = None, *_: object, **__: object
    ) -> bool:
        """Store an entry, unless it is too large to be read again."""
        sealer = self._sealer
        if len(value.gzip) <= _SMALL_BYTES:
            sealed = sealer.seal(key, value)
        else:
            sealed = await asyncio.to_thread(sealer.seal, key, value)
        return len(sealed) <= self._max_bytes and bool(await super().set(key, sealed, ttl=ttl))

    async def _get(self, key: str, *_: object, **__: object) -> bytes | None:
        try:
            # What is larger is read in part, and refused; a missing value is empty.
            return await self.client.getrange(key, 0, self._max_bytes) or None
        except ResponseError as error:
            if str(error).startswith("WRONGTYPE"):
                raise UntrustedEntryError("it is no text") from None
            raise

    async def _set(
        self, key: str, value: bytes, ttl: float | None = None, *_: object, **__: object
    ) -> bool:
        milliseconds = None if ttl is None else max(1, int(ttl * 1000))
        return bool(await self.client.set(key, value, px=milliseconds))

    async def _close(self, *_: object, **__: object) -> None:
        await self.client.aclose()


def _bounded_parser(max_bytes: int) -> type[_AsyncRESP3Parser]:
    """Return a parser of replies that reads no string longer than this."""

    class BoundedParser(_AsyncRESP3Parser):
        async def _read(self, length: int) -> bytes:
            if not 0 <= length <= max_bytes:
                raise InvalidResponse("a reply is longer than any that was asked for")
            return await super()._read(length)

    return BoundedParser

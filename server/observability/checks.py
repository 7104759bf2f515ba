"""The checks of `elecdata check`, which change nothing and show no secret."""

import asyncio
import math
import os
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
from redis.asyncio import Redis
from redis.exceptions import RedisError

from server.observability.database_checks import database_checks
from server.observability.findings import Finding, fail, ok, warn
from server.security.signing_keys import SigningKeys
from server.transport import tls
from settings import (
    Settings,
    SettingsError,
    load_settings,
    signing_secret,
    sources,
    url_host,
)
from settings.model import PREFIX

_RENEWAL_DAYS = 14
"""Days before its end by which a certificate or signing key should be replaced."""

_NETWORK_TIMEOUT = 2.0
"""Seconds in which a server on the network has to respond."""


async def run_checks(config: Path | None) -> AsyncIterator[Finding]:
    """Yield a finding for everything that the server needs, in the order in which to fix it."""
    try:
        settings = load_settings(config)
        origins = sources(config)
    except SettingsError as error:
        yield fail("configuration", str(error), "Fix this first; remaining checks were skipped.")
        return
    yield ok("configuration", _origin(origins), details=origins)
    yield _credentials(settings)
    yield _secret(settings)
    yield _tls(settings)
    yield await _port(settings)
    yield _workers(settings)
    async for finding in database_checks(settings):
        yield finding
    yield await _cache(settings)


def _origin(origins: Mapping[str, str]) -> str:
    """Return how many keys are set, and which variables of the environment set some."""
    variables = [origin for origin in origins.values() if origin.upper().startswith(PREFIX)]
    found = f"{len(origins)} keys are set, the others have their defaults"
    return f"{found}; by the environment: {', '.join(variables)}" if variables else found


def _credentials(settings: Settings) -> Finding:
    try:
        settings.require_safe()
    except SettingsError as error:
        return fail("credentials", str(error))
    published = ", ".join(settings.demonstration_keys())
    if published:
        return warn(
            "credentials",
            f"{published}: the published credentials of the demonstration",
            "They are accepted on this machine only; replace them before other machines take part.",
        )
    return ok("credentials", "no credentials of the demonstration are in use")


def _secret(settings: Settings) -> Finding:
    auth = settings.auth
    store = auth.secret_store
    if auth.keys and auth.secret is None and not store.exists():
        return _signer(settings, f"auth.keys {', '.join(auth.keys)}")
    if auth.secret is None and not store.exists():
        folder = next(folder for folder in store.parents if folder.exists())
        if folder.is_dir() and os.access(folder, os.W_OK | os.X_OK):
            return ok("secret", f"{store} will be created at the first start")
        return fail(
            "secret",
            f"auth.secret_store: {store} is missing, and {folder} is not a writable folder",
            "Make it writable for the server's account, or set ELECDATA_AUTH__SECRET_FILE.",
        )
    try:
        size = len(signing_secret(settings).encode())
    except SettingsError as error:
        return fail("secret", str(error))
    found = f"{store} has {size} bytes, and only its owner can read it"
    if auth.secret is not None:
        found = f"auth.secret has {size} bytes"
    if auth.keys:
        return _signer(settings, f"{found}; auth.keys {', '.join(auth.keys)}")
    return ok("secret", found)


def _signer(settings: Settings, found: str) -> Finding:
    """Return whether one of several keys signs, now and for the next days."""
    keys = SigningKeys.of(settings)
    now = datetime.now(UTC)
    signer, ends = keys.signer(now.timestamp()), keys.signing_ends(now.timestamp())
    remedy = "Append a key to auth.keys that signs from then on, then send SIGHUP to the server."
    if signer is None:
        return fail("secret", f"{found}; none signs now, so nobody can log in", remedy)
    found += f"; {signer if signer in settings.auth.keys else 'the former'} signs"
    if ends == math.inf:
        return ok("secret", found)
    end = datetime.fromtimestamp(ends, UTC)
    found += f", and none from {end:%Y-%m-%d %H:%M} UTC on"
    if (end - now).days < _RENEWAL_DAYS:
        return warn("secret", found, remedy)
    return ok("secret", found)


def _tls(settings: Settings) -> Finding:
    server = settings.server
    if server.tls.certificate is None:
        if server.is_loopback or server.proxies:
            return ok("tls", "not configured; a proxy may add it")
        found = f"passwords and tokens are sent unencrypted to {server.host}"
        remedy = "Set server.tls, or name the proxy that has the certificate in server.proxies."
        if settings.auth.basic:
            found += ", and with auth.basic a password may be in every request"
            remedy += " Until then, set auth.basic to false."
        return warn("tls", found, remedy)
    try:
        tls.server_context(server.tls)
        left = tls.certificate_expiry(server.tls) - datetime.now(UTC)
    except (SettingsError, ValueError) as error:
        return fail("tls", str(error))
    found = f"the certificate {server.tls.certificate} is valid for {left.days} days"
    if left.total_seconds() <= 0:
        return fail("tls", f"the certificate {server.tls.certificate} has expired", "Renew it.")
    if left.days < _RENEWAL_DAYS:
        return warn("tls", found, "Renew it, then send SIGHUP to the server.")
    return ok("tls", found)


async def _port(settings: Settings) -> Finding:
    host, port = settings.server.host, settings.server.port
    place = f"{url_host(host)}:{port}"
    scheme = "http" if settings.server.tls.certificate is None else "https"
    try:
        # As the server does.
        listener = await asyncio.get_running_loop().create_server(asyncio.Protocol, host, port)
    except (OSError, UnicodeError) as error:
        if await _is_this_service(f"{scheme}://{place}"):
            return ok("port", f"{place}: this service is already listening")
        reason = getattr(error, "strerror", None) or error
        remedy = "Stop the program that uses it, or set server.host and server.port."
        return fail("port", f"cannot listen on {place}: {reason}", remedy)
    listener.close()
    return ok("port", f"{place} is free" if port else f"any free port of {host}")


async def _is_this_service(url: str) -> bool:
    timeout = aiohttp.ClientTimeout(total=_NETWORK_TIMEOUT)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"{url}/swagger.json", ssl=False) as response,
        ):
            document = await response.json()
            return bool(document["info"]["title"] == "Electricity readings")
    except (aiohttp.ClientError, OSError, ValueError, TimeoutError, KeyError, TypeError):
        return False


def _workers(settings: Settings) -> Finding:
    workers, cores = settings.server.workers, _cores()
    found = f"server.workers is {workers}, with {cores} core{'s' * (cores != 1)} available"
    if workers > cores:
        return warn("workers", found, f"Set server.workers to {cores} or less.")
    return ok("workers", found)


def _cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


async def _cache(settings: Settings) -> Finding:
    cache = settings.cache
    address = cache.url.get_secret_value()
    url = urlsplit(address)
    if not cache.ttl:
        return ok("cache", "disabled (cache.ttl is 0)")
    if url.scheme == "memory":
        size = cache.max_bytes.human_readable()
        each = " in each worker" if settings.server.workers > 1 else ""
        return ok("cache", f"in memory, at most {size}{each}")
    place = f"Redis at {url_host(url.hostname or '')}:{url.port or 6379}"
    client = Redis.from_url(
        address, socket_timeout=_NETWORK_TIMEOUT, socket_connect_timeout=_NETWORK_TIMEOUT
    )
    try:
        async with asyncio.timeout(_NETWORK_TIMEOUT), client:
            await client.ping()
    except (RedisError, OSError, TimeoutError) as error:
        return warn(
            "cache",
            f"{place} does not respond: {type(error).__name__}",
            "Responses are not cached until it does, or cache.url names another.",
        )
    return ok("cache", f"{place} responds")

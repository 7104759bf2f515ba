"""The examination behind `elecdata check`: nothing is changed, no secret is shown."""

import asyncio
import os
import socket
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
from settings import Settings, SettingsError, load_settings, signing_secret, sources
from settings.model import PREFIX

_RENEWED = 14
"""Days before its end by which a certificate should have been renewed."""

_PATIENCE = 2.0
"""Seconds that whatever is asked over the network has to answer."""


async def run_checks(config: Path | None) -> AsyncIterator[Finding]:
    """Looks at all that the server needs, in the order in which to mend it."""
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
    """How many keys the file sets, and which ones the environment does."""
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
            f"{published}: the demonstration's, which everybody can read",
            "This machine alone is served with them; replace them before server.host is opened.",
        )
    return ok("credentials", "none of the demonstration's is in use")


def _secret(settings: Settings) -> Finding:
    auth = settings.auth
    store = auth.secret_store
    if auth.keys and auth.secret is None and not store.exists():
        signing = SigningKeys.of(settings).sign_with
        return ok("secret", f"auth.keys {', '.join(auth.keys)}; {signing} signs")
    if auth.secret is None and not store.exists():
        folder = next(folder for folder in store.parents if folder.exists())
        if folder.is_dir() and os.access(folder, os.W_OK | os.X_OK):
            return ok("secret", f"one will be made in {store} at the first start")
        return fail(
            "secret",
            f"auth.secret_store: {store} is missing, and {folder} is not a writable folder",
            "Let the server's account write there, or set ELECDATA_AUTH__SECRET_FILE.",
        )
    try:
        size = len(signing_secret(settings).encode())
    except SettingsError as error:
        return fail("secret", str(error))
    found = f"{store} has {size} bytes and is closed to others"
    if auth.secret is not None:
        found = f"auth.secret has {size} bytes"
    if auth.keys:
        found += f"; auth.keys {', '.join(auth.keys)}; {auth.sign_with or 'the former'} signs"
    return ok("secret", found)


def _tls(settings: Settings) -> Finding:
    server = settings.server
    if server.tls.certificate is None:
        if server.is_loopback or server.proxies:
            return ok("tls", "none here; a proxy, if there is one, has it")
        return warn(
            "tls",
            f"passwords and tokens travel in the open to {server.host}",
            "Set server.tls, or name the proxy that has the certificate in server.proxies.",
        )
    try:
        tls.tls_context(server.tls)
        left = tls.certificate_expiry(server.tls) - datetime.now(UTC)
    except (SettingsError, ValueError) as error:
        return fail("tls", str(error))
    found = f"the certificate {server.tls.certificate} is good for {left.days} days"
    if left.total_seconds() <= 0:
        return fail("tls", f"the certificate {server.tls.certificate} has expired", "Renew it.")
    if left.days < _RENEWED:
        return warn("tls", found, "Renew it, then send SIGHUP to the server.")
    return ok("tls", found)


async def _port(settings: Settings) -> Finding:
    host, port = settings.server.host, settings.server.port
    place = f"{host}:{port}"
    scheme = "http" if settings.server.tls.certificate is None else "https"
    try:
        listener = await asyncio.to_thread(socket.create_server, (host, port))
    except (OSError, UnicodeError) as error:
        if await _is_this_service(scheme, host, port):
            return ok("port", f"{place}: this service listens there already")
        reason = getattr(error, "strerror", None) or error
        remedy = "Stop what listens there, or set server.host and server.port."
        return fail("port", f"cannot listen on {place}: {reason}", remedy)
    listener.close()
    return ok("port", f"{place} is free" if port else f"any free port of {host}")


async def _is_this_service(scheme: str, host: str, port: int) -> bool:
    timeout = aiohttp.ClientTimeout(total=_PATIENCE)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"{scheme}://{host}:{port}/swagger.json", ssl=False) as response,
        ):
            described = await response.json()
            return bool(described["info"]["title"] == "Electricity readings")
    except (aiohttp.ClientError, OSError, ValueError, TimeoutError, KeyError, TypeError):
        return False


def _workers(settings: Settings) -> Finding:
    workers, cores = settings.server.workers, _cores()
    found = f"server.workers is {workers}, and there {'is' if cores == 1 else 'are'} {cores} core"
    found += "s" * (cores != 1)
    if workers > cores:
        return warn("workers", found, f"Set server.workers to {cores} or less.")
    return ok("workers", found)


def _cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


async def _cache(settings: Settings) -> Finding:
    cache = settings.cache
    address = cache.url.get_secret_value()
    url = urlsplit(address)
    if not cache.ttl:
        return ok("cache", "switched off (cache.ttl is 0)")
    if url.scheme == "memory":
        most = cache.max_bytes.human_readable()
        each = f", {settings.server.workers} times" if settings.server.workers > 1 else ""
        return ok("cache", f"in the server's memory, at most {most}{each}")
    place = f"Redis at {url.hostname}:{url.port or 6379}"
    client = Redis.from_url(address, socket_timeout=_PATIENCE, socket_connect_timeout=_PATIENCE)
    try:
        async with asyncio.timeout(_PATIENCE), client:
            await client.ping()
    except (RedisError, OSError, TimeoutError) as error:
        return warn(
            "cache",
            f"{place} does not answer: {type(error).__name__}",
            "Answers are made anew each time until cache.url names one that does.",
        )
    return ok("cache", f"{place} answers")

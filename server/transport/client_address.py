"""The address and scheme of the client; only configured proxies are trusted."""

import ipaddress
from collections.abc import Iterable, Sequence
from functools import lru_cache
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from server.context import CONTEXT, SETTINGS
from settings import LOOPBACK, Network, is_loopback_host

_MAX_HOPS = 16
"""Proxies, the nearest ones, that a request is followed back through."""

_FORWARDED = (hdrs.X_FORWARDED_FOR, hdrs.X_FORWARDED_PROTO, hdrs.FORWARDED)
_RELAYED = (*_FORWARDED, hdrs.X_FORWARDED_HOST, hdrs.VIA, "X-Real-IP")
"""Headers of proxies and tunnels."""


def client_address(request: web.BaseRequest) -> str:
    """Return the address of the client: the nearest that is not a configured proxy."""
    return resolve_address(request, _proxies(request))


def resolve_address(request: web.BaseRequest, proxies: Sequence[Network]) -> str:
    """Return the address of the client behind these proxies."""
    remote = request.remote or "-"
    # A malformed request never reached the application, and has no headers.
    if not proxies or CONTEXT not in request:
        return remote
    return nearest_untrusted(
        remote, ",".join(request.headers.getall(hdrs.X_FORWARDED_FOR, ())), proxies
    )


def nearest_untrusted(remote: str, forwarded: str, proxies: Sequence[Network]) -> str:
    """Return the nearest address that is not a proxy, seen from this server."""
    # Each proxy appends the address that it received from; a client may forge what is before.
    hops = forwarded.rsplit(",", _MAX_HOPS)[-_MAX_HOPS:]
    address = remote
    while hops and is_among(address, proxies):
        address = _without_port(hops.pop()) or address
    return address


def resolve_scheme(request: web.BaseRequest, proxies: Sequence[Network]) -> str:
    """Return the scheme that the client used, `http` or `https`."""
    if not proxies:
        return request.scheme
    scheme = request.headers.get(hdrs.X_FORWARDED_PROTO, "").lower()
    if scheme in ("http", "https") and is_among(request.remote or "", proxies):
        return scheme
    return request.scheme


def is_forwarded_by_untrusted(request: web.Request) -> bool:
    """Return whether a proxy that is not configured forwarded the request."""
    is_forwarded = not request.headers.keys().isdisjoint(_FORWARDED)
    return is_forwarded and not is_among(request.remote or "", _proxies(request))


def is_from_this_machine(request: web.BaseRequest) -> bool:
    """Return whether a request comes from this machine, unless something hides its way here.

    Its client names this machine in Host: a tunnel, or a page whose name was rebound to this
    machine, has another name there.
    """
    hosts = request.headers.getall(hdrs.HOST, ())
    return (
        _is_loopback(request.remote or "")
        and len(hosts) == 1
        and _names_this_machine(hosts[0])
        and request.headers.keys().isdisjoint(_RELAYED)
    )


def is_among(address: str, networks: Iterable[Network]) -> bool:
    """Return whether an address belongs to one of these networks."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return any((mapped or parsed) in network for network in networks)


@lru_cache(4096)
def rate_limit_key(address: str) -> str:
    """Return the rate-limit key of an address: an IPv4 address or an IPv6 /64, else empty."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return ""
    mapped = getattr(parsed, "ipv4_mapped", None)
    if parsed.version == 4 or mapped:
        return str(mapped or parsed)
    return str(ipaddress.ip_network((int(parsed) >> 64 << 64, 64)))


def _proxies(request: web.BaseRequest) -> tuple[Network, ...]:
    # A malformed request never reached the application.
    if CONTEXT not in request or not isinstance(request, web.Request):
        return ()
    return request.app[SETTINGS].server.proxies


@lru_cache(64)
def _is_loopback(address: str) -> bool:
    return is_among(address, LOOPBACK)


@lru_cache(64)
def _names_this_machine(host: str) -> bool:
    """Return whether a Host header names this machine; a malformed one does not."""
    try:
        return is_loopback_host(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return False


def _without_port(forwarded: str) -> str:
    """Return an address without its port, or an empty string if it is not an address."""
    text = forwarded.strip().removeprefix("[").partition("]")[0]
    if text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return ""

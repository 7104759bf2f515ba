"""Who really asks, where a proxy stands between: its word counts only if it is a configured one."""

import ipaddress
from collections.abc import Iterable, Sequence

from aiohttp import hdrs, web

from server.context import SETTINGS, TIMING
from settings import Network

_FORWARDED = (hdrs.X_FORWARDED_FOR, hdrs.X_FORWARDED_PROTO, hdrs.FORWARDED)


def client_address(request: web.BaseRequest) -> str:
    """The address of the client: of the nearest one that is no configured proxy."""
    return resolve_address(request, _proxies(request))


def resolve_address(request: web.BaseRequest, proxies: Sequence[Network]) -> str:
    """The same, where the configured proxies are at hand."""
    remote = request.remote or "-"
    # What was no HTTP never came to the application, and has no headers either.
    if not proxies or TIMING not in request:
        return remote
    return nearest_untrusted(
        remote, ",".join(request.headers.getall(hdrs.X_FORWARDED_FOR, ())), proxies
    )


def nearest_untrusted(remote: str, heard: str, proxies: Sequence[Network]) -> str:
    """The first address that is no proxy, on the way back from us."""
    # Each proxy adds whom it heard from at the right; the left may be a client's invention.
    earlier = heard.split(",")
    address = remote
    while earlier and is_among(address, proxies):
        address = _plain(earlier.pop()) or address
    return address


def resolve_scheme(request: web.BaseRequest, proxies: Sequence[Network]) -> str:
    """How the client asks, `http` or `https`."""
    if not proxies:
        return request.scheme
    told = request.headers.get(hdrs.X_FORWARDED_PROTO, "").lower()
    if told in ("http", "https") and is_among(request.remote or "", proxies):
        return told
    return request.scheme


def is_forwarded_by_untrusted(request: web.Request) -> bool:
    """Whether a proxy that is not configured asks on behalf of somebody else."""
    claims = any(name in request.headers for name in _FORWARDED)
    return claims and not is_among(request.remote or "", _proxies(request))


def is_among(address: str, networks: Iterable[Network]) -> bool:
    """Whether an address belongs to one of these networks."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return any((mapped or parsed) in network for network in networks)


def _proxies(request: web.BaseRequest) -> tuple[Network, ...]:
    # What was no HTTP never came to the application.
    if TIMING not in request or not isinstance(request, web.Request):
        return ()
    return request.app[SETTINGS].server.proxies


def _plain(heard: str) -> str:
    """An address without a port; empty where it is none."""
    text = heard.strip().removeprefix("[").partition("]")[0]
    if text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return ""

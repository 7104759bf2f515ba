"""Whom an address stands for, where requests are counted."""

import ipaddress
from functools import lru_cache


@lru_cache(4096)
def rate_limit_key(address: str) -> str:
    """What stands for a client where it is counted: its address; of IPv6, one customer's network.

    Empty where it is none.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return ""
    mapped = getattr(parsed, "ipv4_mapped", None)
    if parsed.version == 4 or mapped:
        return str(mapped or parsed)
    return str(ipaddress.ip_network((int(parsed) >> 64 << 64, 64)))

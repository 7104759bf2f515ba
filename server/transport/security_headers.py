"""Security headers that every response carries."""

from types import MappingProxyType

from aiohttp import hdrs

CSP_HEADER = "Content-Security-Policy"

SECURITY_HEADERS = MappingProxyType(
    {
        CSP_HEADER: (
            "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        ),
        "Cross-Origin-Resource-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        hdrs.SERVER: "elecdata",
    }
)
"""No content sniffing, framing, embedding or referrer, and no version of the server."""

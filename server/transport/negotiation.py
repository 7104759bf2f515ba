"""Content negotiation: quality values, and the content coding that a client prefers."""

from aiohttp import hdrs, web

from server.transport.content_coding import CODINGS, Coding, Identity


def quality_values(header: str) -> dict[str, float]:
    """Return the weight of each item of an Accept or Accept-Encoding header, in lower case.

    An item without a weight has 1; one whose weight is malformed has 0 (RFC 9110, 12.4.2).
    """
    weights = {}
    for item in header.lower().split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        weights[name] = 1.0
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.strip() == "q":
                weights[name] = _weight(value)
                break
    return weights


def _weight(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        return 0.0


def negotiate_coding(request: web.Request) -> Coding:
    """Return the coding that a client prefers; of equal weights, gzip comes first."""
    header = ",".join(request.headers.getall(hdrs.ACCEPT_ENCODING, ()))
    if not header:
        return Identity()
    weights = quality_values(header)
    rest = weights.get("*", 0.0)
    weights.setdefault("identity", rest or 0.001)
    best = max(CODINGS, key=lambda name: weights.get(name, rest))
    return CODINGS[best]()

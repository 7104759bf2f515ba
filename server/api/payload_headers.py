"""Response headers that readings and figures share."""

from collections.abc import Mapping

from aiohttp import hdrs

from server.formats.base import Format
from storage.figures.result import Metadata


def disposition(format: Format, name: str) -> dict[str, str]:  # noqa: A002 - the parameter's name
    """Return the header that names a file, if browsers save the format as one.

    A download that was interrupted begins anew.
    """
    if not format.is_file:
        return {}
    return {
        hdrs.CONTENT_DISPOSITION: f'attachment; filename="{name}.{format.name}"',
        hdrs.ACCEPT_RANGES: "none",
    }


def quality_headers(metadata: Metadata) -> dict[str, str]:
    """Return whether a result is raw or clean, the readings that make the difference, and whether
    it lacks what needs an unknown interval."""
    headers = {}
    if "interval_unknown" in metadata:
        headers["X-Interval"] = "unknown"
    quality = metadata.get("quality")
    if isinstance(quality, str):
        headers["X-Quality"] = quality
    for member, name in (("implausible", "X-Implausible"), ("left_out", "X-Left-Out")):
        readings = metadata.get(member)
        if isinstance(readings, Mapping):
            headers[f"{name}-Readings"] = readings["readings"]
            headers[f"{name}-Energy"] = readings["energy"]
    return headers

"""Response headers that readings and figures share."""

from collections.abc import Mapping

from aiohttp import hdrs

from server.formats.base import Format
from storage.figures.result import Metadata


def disposition(format: Format, name: str) -> dict[str, str]:  # noqa: A002 - the parameter's name
    """Return the header that names a file, if browsers save the format as one."""
    if not format.is_file:
        return {}
    return {hdrs.CONTENT_DISPOSITION: f'attachment; filename="{name}.{format.name}"'}


def left_out_headers(metadata: Metadata) -> dict[str, str]:
    """Return the number and the energy of the readings that a clean result leaves out."""
    left_out = metadata.get("left_out")
    if not isinstance(left_out, Mapping):
        return {}
    return {
        "X-Left-Out-Readings": left_out["readings"],
        "X-Left-Out-Energy": left_out["energy"],
    }

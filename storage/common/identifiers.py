"""The identifiers by which reports call meters."""

import re

_CUPS = re.compile("ES[0-9]{16}[A-Z]{2}")
"""The code of a supply point in Spain."""
_CUPS_LENGTH = 20
_CUPS_AT_POINT = re.compile(f"{_CUPS.pattern}[0-9][A-Z]")
"""The same with the border point, which some portals append, such as 0F."""


def supply_point(identifier: str) -> str:
    """Return an identifier without what does not tell meters apart: the border point of a CUPS."""
    if _CUPS_AT_POINT.fullmatch(identifier):
        return identifier[:_CUPS_LENGTH]
    return identifier


def is_cups(identifier: str) -> bool:
    """Return whether an identifier is a CUPS without border point."""
    return _CUPS.fullmatch(identifier) is not None


def is_same_meter(identifier: str | None, other: str | None) -> bool:
    """Return whether two identifiers are those of one meter."""
    return None not in (identifier, other) and supply_point(str(identifier)) == supply_point(
        str(other)
    )

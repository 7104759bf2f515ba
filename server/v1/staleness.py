"""The parameter that selects meters by the age of their newest readings."""

import re

from domain.parameters import Parameter, Params
from domain.readings_query import QueryError

_DURATION = re.compile(
    r"P(?:(?P<weeks>[0-9]{1,4})W"
    r"|(?:(?P<days>[0-9]{1,5})D)?(?:T(?=[0-9])(?:(?P<hours>[0-9]{1,5})H)?"
    r"(?:(?P<minutes>[0-9]{1,6})M)?)?)"
)
_SECONDS = {"weeks": 7 * 86400, "days": 86400, "hours": 3600, "minutes": 60}

STALE = Parameter(
    "stale",
    "Only meters whose newest reading began longer ago than this, and those without readings: a"
    " duration as ISO 8601 has it, such as P2D or PT36H, or a number of days.",
    pattern="^(P[0-9]{1,4}W|P([0-9]{1,5}D)?(T[0-9]{1,5}H|T[0-9]{1,6}M)?|[0-9]{1,5})$",
)


def parse_stale(params: Params) -> int | None:
    """Return the age in seconds that the parameter names, if any; raise QueryError."""
    text = params.get(STALE.name)
    if text is None:
        return None
    if text.isascii() and text.isdigit() and len(text) <= len("99999"):
        return int(text) * _SECONDS["days"]
    match = _DURATION.fullmatch(text)
    found = {} if match is None else match.groupdict()
    if not any(found.values()):
        raise QueryError(
            STALE.name,
            f"expected a duration like P2D or PT36H, or a number of days, got {text[:40]!a}",
        )
    return sum(_SECONDS[unit] * int(number) for unit, number in found.items() if number)

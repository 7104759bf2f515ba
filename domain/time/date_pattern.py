"""LIKE patterns over the text of an instant, `YYYY-MM-DD HH:MM:SS`.

`%` stands for any run of characters, `_` for any one; nothing is escaped. An instant is a whole
second of the calendar from 1000-01-01 00:00:00 to 9999-12-31 23:59:59, the range of a DATETIME.

The first and the last instant of a pattern bound what the database has to scan. They are found by
walking the texts of all instants and the pattern at the same time. The texts form a small graph,
since most days have the same hours and most years the same months. For `2019-02-3%` the walk takes
2-0-1-9---0-2--- and then finds no day that begins with 3: no instant matches. For `2019-_1-31%`
it must not take the month 11, which has no day 31, though its digits match: so each node is first
marked with the positions in the pattern from which some way to the end matches, and the walk,
which picks the smallest or the greatest character each time, only enters nodes so marked.
"""

import re
from calendar import isleap, monthrange
from collections.abc import Callable, Iterable
from datetime import datetime

_WILDCARDS = re.compile(r"[%_]*%[%_]*")


def canonical_pattern(pattern: str) -> str:
    """Return the pattern with equal wildcards spelled alike: `%%` as `%`, `%_%` as `_%`."""
    return _WILDCARDS.sub(lambda run: "_" * run[0].count("_") + "%", pattern)


def earliest_instant(pattern: str) -> datetime | None:
    """Return the first instant whose text matches, None if none does."""
    return _extreme(pattern, min)


def latest_instant(pattern: str) -> datetime | None:
    """Return the last instant whose text matches, None if none does."""
    return _extreme(pattern, max)


_Edges = tuple[tuple[str, int], ...]
_Step = tuple[str, int, int]


def _calendar() -> tuple[_Edges, ...]:
    """Return the smallest graph that spells the texts of all instants.

    A node is the characters that may follow and the nodes they lead to, which come before it.
    The first node is the end of the text, the last one its start.
    """
    nodes: dict[_Edges, int] = {(): 0}

    def node(texts: dict[str, int]) -> int:
        """Return the node from which each text leads to the node named with it."""
        if "" in texts:
            return texts[""]
        heads: dict[str, dict[str, int]] = {}
        for text, target in texts.items():
            heads.setdefault(text[0], {})[text[1:]] = target
        edges = tuple((head, node(tails)) for head, tails in heads.items())
        return nodes.setdefault(edges, len(nodes))

    second = node({f":{n:02}": 0 for n in range(60)})
    minute = node({f":{n:02}": second for n in range(60)})
    hour = node({f" {n:02}": minute for n in range(24)})
    day = {days: node({f"-{n:02}": hour for n in range(1, days + 1)}) for days in range(28, 32)}
    month = {
        isleap(year): node({f"-{n:02}": day[monthrange(year, n)[1]] for n in range(1, 13)})
        for year in (2019, 2020)
    }
    node({f"{year}": month[isleap(year)] for year in range(1000, 10000)})
    return tuple(nodes)


_CALENDAR = _calendar()
_ALPHABET = "0123456789-: "


def _extreme(pattern: str, pick: Callable[[Iterable[_Step]], _Step]) -> datetime | None:
    """Return the matching instant whose text has, at each position, the character picked.

    The pattern is run as an automaton: in state i, i of its characters other than `%` have been
    matched. A set of states is an int with bit i for state i.
    """
    stays = 0
    takes = dict.fromkeys(_ALPHABET, 0)
    state = 1
    for symbol in pattern:
        if symbol == "%":
            stays |= state
        else:
            for char in _ALPHABET:
                if symbol in ("_", char):
                    takes[char] |= state
            state <<= 1

    # For each node, the states from which some way to the end of the text ends in a match. They
    # are found from the end backwards, so that the walk forward never has to turn back.
    alive = [state]
    for edges in _CALENDAR[1:]:
        states = 0
        for char, target in edges:
            states |= (alive[target] & stays) | ((alive[target] >> 1) & takes[char])
        alive.append(states)

    text = ""
    node = len(_CALENDAR) - 1
    states = alive[node] & 1
    if not states:
        return None
    while edges := _CALENDAR[node]:
        char, node, states = pick(
            (char, target, after)
            for char, target in edges
            if (after := ((states & stays) | (states & takes[char]) << 1) & alive[target])
        )
        text += char
    return datetime.fromisoformat(text)

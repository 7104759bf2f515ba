"""The audit trail in the database: entries wait in bounded memory until they are written.

Nothing waits for them. What comes in large numbers is counted, so that a flood of failed logins
cannot fill the database.
"""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Mapping
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass, replace

from aiohttp import web

from storage.audit import AuditStore, make_entry
from storage.common.errors import StorageError

log = logging.getLogger("server")

MAX_WAITING_ENTRIES = 1000
"""Entries that wait for the database; further ones are lost, and counted."""

WINDOW = 300.0
"""Seconds in which equal events are counted together."""

WRITTEN_OF_EQUAL = 3
"""Equal events of a window that have entries of their own; further ones share one at its end."""

_REFUSED = "refused"

MAX_KINDS = {_REFUSED: 50, "export": 50}
"""Different refusals, which anybody can cause, and exports of a window that are told apart."""

MAX_OTHER_KINDS = 1000
"""Different events of any other name that are told apart."""

_MAX_NAME_LENGTH = 64
_FIRST_RETRY = 0.5
_LAST_RETRY = 10.0
_CLOSING_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Event:
    """What makes events equal."""

    name: str
    result: str
    actor: str | None = None
    source: str | None = None
    detail: tuple[str, str] | None = None
    """Why it was refused, or what was asked for, and the name of that in the entry."""

    @property
    def group(self) -> str:
        """What it is counted with, where there are too many kinds."""
        return _REFUSED if self.result == _REFUSED else self.name

    @property
    def anonymous(self) -> "Event":
        """The same by anybody from anywhere, of which there are few kinds."""
        return Event(
            self.name, self.result, detail=self.detail if self.result == _REFUSED else None
        )


class AuditTrail:
    """Writes what this process has to say to the audit trail, one entry after the other."""

    def __init__(self, store: AuditStore) -> None:
        self._store = store
        self._waiting: deque[str] = deque()
        self._task: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        self._is_failing = self._is_missing = False
        self._untold = 0
        self._counts: dict[Event, int] = {}
        self._kinds: Counter[str] = Counter()
        self._window: asyncio.TimerHandle | None = None
        self.lost = 0
        """Entries that were lost."""

    @property
    def waiting(self) -> int:
        """The number of entries that wait for the database."""
        return len(self._waiting)

    def record(self, event: Event, details: Mapping[str, object]) -> None:
        """Have an event written soon, or counted if there were several like it just now."""
        if self._window is None:
            self._window = asyncio.get_running_loop().call_later(WINDOW, self._end_window)
        if event.actor is not None:
            event = replace(event, actor=event.actor[:_MAX_NAME_LENGTH])
        before = self._counts.get(event, 0)
        if not before and self._is_full(event):
            event = event.anonymous
            before = self._counts.get(event, WRITTEN_OF_EQUAL)
        self._counts[event] = before + 1
        if before < WRITTEN_OF_EQUAL:
            self._append(event, details)

    async def close(self) -> None:
        """Write what waits, if the database takes it now."""
        if self._window is not None:
            self._window.cancel()
            self._end_window()
        self._closing.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=_CLOSING_SECONDS)
            self._task.cancel()
            await asyncio.wait([self._task])
        if self._waiting:
            log.error("%d entries of the audit trail could not be written", len(self._waiting))

    def _is_full(self, event: Event) -> bool:
        """Return whether a new kind of event is one too many; count it otherwise."""
        if self._kinds[event.group] >= MAX_KINDS.get(event.group, MAX_OTHER_KINDS):
            return True
        self._kinds[event.group] += 1
        return False

    def _end_window(self) -> None:
        """Write how many events had no entries of their own."""
        self._window = None
        counts, self._counts = self._counts, {}
        self._kinds.clear()
        for event, count in counts.items():
            if count > WRITTEN_OF_EQUAL:
                more = count - WRITTEN_OF_EQUAL
                self._append(event, {"more": more, "seconds": int(WINDOW)})

    def _append(self, event: Event, details: Mapping[str, object]) -> None:
        if len(self._waiting) >= MAX_WAITING_ENTRIES:
            self.lost += 1
            self._untold += 1
            return
        if event.detail is not None:
            details = {event.detail[0]: event.detail[1], **details}
        self._waiting.append(
            make_entry(
                event.name, result=event.result, actor=event.actor, source=event.source, **details
            )
        )
        if self._task is None or self._task.done():
            # Its statements are not those of the request that happens to start it.
            self._task = asyncio.create_task(self._write(), context=Context())

    async def _write(self) -> None:
        retry = _FIRST_RETRY
        while self._waiting:
            try:
                has_trail = await self._store.append(self._waiting[0])
            except StorageError as error:
                if not self._is_failing:
                    log.warning("audit trail: %s; entries wait", error)
                self._is_failing = True
                if self._closing.is_set():
                    return
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._closing.wait(), retry)
                retry = min(retry * 2, _LAST_RETRY)
            else:
                self._waiting.popleft()
                retry = _FIRST_RETRY
                self._note(has_trail=has_trail)

    def _note(self, *, has_trail: bool) -> None:
        """Tell of what has changed since the last entry, once."""
        if not has_trail and not self._is_missing:
            log.warning("audit trail: the database has none yet: run `elecdata load`")
        self._is_missing = not has_trail
        if self._is_failing:
            self._is_failing = False
            log.info("audit trail: written again")
        if self._untold:
            lost, self._untold = self._untold, 0
            self._append(Event("audit entries lost", "failed"), {"entries": lost})


AUDIT_TRAIL = web.AppKey("audit_trail", AuditTrail)

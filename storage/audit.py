"""The audit trail: who did what, when and from where, each entry chained to the one before.

The hash of an entry is the SHA-256 of three lines without an end: the hash before, the number, the
entry. An entry is stored and hashed as the same ASCII text, a JSON object.
"""

import hashlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from storage.backends.base import ReadEngine, WriteEngine
from storage.backends.schema import Feature, SchemaVersion
from storage.backends.transaction import transaction
from storage.common.errors import Conflict, NotPrepared

ORIGIN = "0" * 64
"""What stands for the hash before the first entry."""

PATIENCE = 1.0
"""Seconds that an entry waits for other programs that write to SQLite, before it is tried again."""

PRUNED = "audit pruned"
"""The event of the entry that tells the hash of the last one that was deleted."""

_CHUNK = 200
_MAX_CHARACTERS = 500


def make_entry(
    event: str, *, result: str, actor: str | None, source: str | None, **details: object
) -> str:
    """Return the text of an entry that is made now."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    fields = {"time": now, "event": event, "result": result, "actor": actor, "source": source}
    content = {**_clipped(fields), "details": _clipped(details)}
    return json.dumps(content, separators=(",", ":"))


def _clipped(fields: Mapping[str, object]) -> dict[str, object]:
    return {
        name: value[:_MAX_CHARACTERS] if isinstance(value, str) else value
        for name, value in fields.items()
    }


def chain_hash(before: str, number: int, entry: str) -> str:
    """Return the hash of an entry."""
    return hashlib.sha256(f"{before}\n{number}\n{entry}".encode()).hexdigest()


class AuditStore:
    """Appends to the trail, and can do nothing else with it.

    Every call raises a StorageError if the database fails.
    """

    def __init__(self, engine: ReadEngine, schema: SchemaVersion) -> None:
        self._engine = engine
        self._schema = schema

    async def append(self, entry: str) -> bool:
        """Append an entry; return False if the database is older and has no trail."""
        await self._schema.refresh()
        if not self._schema.supports(Feature.AUDIT):
            return False
        sql = self._engine.dialect.append_audit
        _require_appended(await self._engine.execute(sql, (entry,), patience=PATIENCE))
        return True


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a trail: kept elsewhere, it tells whether entries were taken away since."""

    number: int
    hash: str

    def __str__(self) -> str:
        return f"{self.number}:{self.hash}"


@dataclass(frozen=True, slots=True)
class AuditRow:
    """An entry, its number and its hash, as they are stored."""

    number: int
    entry: str
    hash: str

    @property
    def content(self) -> dict[str, Any]:
        """The fields of the entry; empty if it is none."""
        try:
            content = json.loads(self.entry)
        except ValueError:
            return {}
        return content if isinstance(content, dict) else {}


@dataclass(slots=True)
class Verification:
    """What is found about a trail: its span, its end and, if it is broken, the first fault."""

    entries: int = 0
    first: int = 1
    head: Head = Head(0, ORIGIN)
    fault: str | None = None


class _Chain:
    """Entries one after the other, each compared with the one before and with a head."""

    def __init__(self, kept: Head | None) -> None:
        self.found = Verification()
        self._kept = kept
        self._first: AuditRow | None = None
        self._anchor: str | None = ORIGIN
        """The hash before the first entry, None until a later entry tells it."""

    def fault(self, row: AuditRow) -> str | None:
        """Return what is wrong with the next entry."""
        before: str | None = self.found.head.hash
        if self._first is None:
            self._first, self.found.first = row, row.number
            before = self._anchor = ORIGIN if row.number == 1 else None
        elif row.number != self.found.head.number + 1:
            return f"entry {self.found.head.number + 1} is missing"
        if before is not None and not _follows(row, before):
            return _unlinked(row)
        if self._contradicts_kept(row.number, row.hash):
            return f"entry {row.number} is another than when the head was kept"
        if self._anchor is None:
            self._anchor = _pruned_hash(row, self._first.number - 1)
            if self._anchor is not None and not _follows(self._first, self._anchor):
                return _unlinked(self._first)
        return None

    def fault_of_beginning(self) -> str | None:
        """Return what is wrong with what comes before the first entry."""
        last_pruned = self.found.first - 1
        if self._anchor is None:
            return f"entries 1 to {last_pruned} are missing, and no entry tells why"
        if self._kept is not None and self._kept.number < last_pruned:
            return (
                f"entry {self._kept.number}, the kept head, was pruned since, and nothing tells"
                " whether the trail goes on from it: keep a new head after each prune"
            )
        if self._contradicts_kept(last_pruned, self._anchor):
            return f"entry {last_pruned}, now pruned, was another when the head was kept"
        return None

    def _contradicts_kept(self, number: int, hash_: str) -> bool:
        kept = self._kept
        return kept is not None and kept.number == number and kept.hash != hash_


class AuditAdmin:
    """Appends to the trail, reads, verifies and prunes it.

    Every call raises a StorageError if the database fails.
    """

    def __init__(self, engine: WriteEngine) -> None:
        self._engine = engine

    async def append(self, entry: str) -> None:
        """Append an entry, in the transaction that is open, if one is."""
        _require_appended(await self._engine.execute(self._engine.dialect.append_audit, (entry,)))

    @asynccontextmanager
    async def recorded(self, entry: Callable[[], str]) -> AsyncIterator[None]:
        """Make a change and append its entry, which is made at the end, both or neither."""
        async with transaction(self._engine):
            yield
            await self.append(entry())

    async def rows(self) -> AsyncGenerator[AuditRow]:
        """Yield the entries in their order, in bounded memory."""
        after = 0
        while True:
            rows = await self._engine.fetch(
                f"SELECT id, entry, hash FROM audit WHERE id > {after} ORDER BY id LIMIT {_CHUNK}"
            )
            for row in rows:
                yield AuditRow(*row)
            if len(rows) < _CHUNK:
                return
            after = int(rows[-1][0])

    async def verify(self, kept: Head | None = None) -> Verification:
        """Verify the chain up to now, and that it goes on from a head that was kept elsewhere."""
        async with self._snapshot():
            found = await self._follow(kept)
            rows = await self._engine.fetch("SELECT last, hash FROM audit_head")
        if found.fault is None and [tuple(row) for row in rows] != [
            (found.head.number, found.head.hash)
        ]:
            found.fault = (
                f"after entry {found.head.number}, entries are missing: the table audit_head"
                f" has {', '.join(str(Head(*row)) for row in rows) or 'no row'}"
            )
        if found.fault is None and kept is not None and kept.number > found.head.number:
            found.fault = (
                f"entries {found.head.number + 1} to {kept.number} are missing, which were there"
                " when the head was kept"
            )
        return found

    async def prune(self, before: str, *, actor: str, source: str) -> int:
        """Delete the entries before a time, and append one that the others are verified by.

        Return how many were deleted; raise Conflict if the trail is broken.
        """
        found = await self.verify()
        if found.fault is not None:
            raise Conflict(f"the audit trail is broken, nothing was pruned: {found.fault}")
        last = None
        async with aclosing(self.rows()) as rows:
            async for row in rows:
                if str(row.content.get("time")) >= before:
                    break
                last = row
        if last is None:
            return 0
        count = last.number - found.first + 1
        entry = make_entry(
            PRUNED,
            result="ok",
            actor=actor,
            source=source,
            before=before,
            entries=count,
            through=last.number,
            hash=last.hash,
        )
        async with self.recorded(lambda: entry):
            await self._engine.execute(f"UPDATE audit_head SET pruned = {last.number}")
            await self._engine.execute(f"DELETE FROM audit WHERE id <= {last.number}")
        return count

    async def _follow(self, kept: Head | None) -> Verification:
        """Follow the chain from its first entry to its end, or to its first fault."""
        chain = _Chain(kept)
        async with aclosing(self.rows()) as rows:
            async for row in rows:
                chain.found.fault = chain.fault(row)
                if chain.found.fault is not None:
                    return chain.found
                chain.found.entries += 1
                chain.found.head = Head(row.number, row.hash)
        chain.found.fault = chain.fault_of_beginning()
        return chain.found

    @asynccontextmanager
    async def _snapshot(self) -> AsyncIterator[None]:
        await self._engine.execute("BEGIN")
        try:
            yield
        finally:
            await self._engine.execute("ROLLBACK")


def _unlinked(row: AuditRow) -> str:
    return f"entry {row.number} was changed: its hash is not that of it and the entry before it"


def _follows(row: AuditRow, before: str) -> bool:
    return row.hash == chain_hash(before, row.number, row.entry)


def _pruned_hash(row: AuditRow, through: int) -> str | None:
    """Return the hash of the last entry that was deleted, if a row tells of that."""
    content = row.content
    details = content.get("details")
    if content.get("event") != PRUNED or not isinstance(details, dict):
        return None
    return str(details.get("hash")) if details.get("through") == through else None


def _require_appended(count: int) -> None:
    if count != 1:
        raise NotPrepared("the table audit_head has lost its row: nothing can be appended")

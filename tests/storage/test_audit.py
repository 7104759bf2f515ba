"""The audit trail: one chain, whoever writes it, which shows what was changed or taken away."""

import asyncio
import hashlib
import json
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress

import pymysql
import pytest

from storage.audit import AuditAdmin, Head, Verification, make_entry
from storage.backends.base import Row
from storage.common.errors import Conflict, NotPrepared, Unreachable
from tests.support.databases import DatabaseFixture
from tests.support.report_factory import numbered, quarters, report

pytestmark = pytest.mark.promise("Getting in")

REPORT = report(*numbered(quarters("2019-08-01", 4)))


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.audit._CHUNK", 4)


def entry(number: int) -> str:
    return make_entry("test", result="ok", actor="ö'\"\\\n\0", source=None, number=number)


@asynccontextmanager
async def trail(database: DatabaseFixture) -> AsyncIterator[AuditAdmin]:
    """The trail with the loader's rights."""
    async with database.writer() as writer:
        assert await writer.engine.is_prepared()
        yield writer.audit


async def verified(database: DatabaseFixture, kept: Head | None = None) -> Verification:
    async with trail(database) as audit:
        return await audit.verify(kept)


@pytest.fixture
async def loaded(database: DatabaseFixture) -> DatabaseFixture:
    """A database whose trail has some entries, of the server and of the loader."""
    await database.load(REPORT)
    async with database.reader() as reader, trail(database) as audit:
        for number in range(5):
            await reader.audit.append(entry(number))
            await audit.append(entry(number))
    return database


def tamper(database: DatabaseFixture, sql: str) -> None:
    """Change what the triggers refuse to change, as somebody with all rights can."""
    for trigger in ("refuse_changed_audit", "refuse_deleted_audit", "link_audit", "append_audit"):
        database.run(f"DROP TRIGGER IF EXISTS {trigger}")
    database.run(sql)


async def test_chain_can_be_verified_by_its_description_alone(loaded: DatabaseFixture) -> None:
    found = await verified(loaded)
    rows = await loaded.rows("SELECT id, entry, hash FROM audit ORDER BY id")
    before = "0" * 64
    for number, (id_, text, hash_) in enumerate(rows, 1):
        lines = f"{before}\n{id_}\n{text}".encode("ascii")
        assert (id_, hash_) == (number, hashlib.sha256(lines).hexdigest())
        before = hash_
    assert found == Verification(len(rows), 1, Head(len(rows), before))
    assert json.loads(rows[-1][1])["actor"] == "ö'\"\\\n\0"


async def test_writers_at_once_make_one_chain(loaded: DatabaseFixture) -> None:
    before = (await verified(loaded)).entries
    async with loaded.reader() as first, loaded.reader() as second, trail(loaded) as audit:

        async def loader() -> None:
            for number in range(15):
                await persistently(audit.append, entry(number))

        servers = (
            persistently(reader.audit.append, entry(number))
            for number in range(15)
            for reader in (first, second)
        )
        await asyncio.gather(loader(), *servers)
        await first.audit.append("no JSON: é😀")
    found = await verified(loaded)
    assert (found.fault, found.entries, found.head.number) == (None, before + 46, before + 46)


async def persistently(append: Callable[[str], Awaitable[object]], text: str) -> None:
    """Append as the server does: again, where other writers have kept it waiting."""
    while True:
        with suppress(Unreachable):
            await append(text)
            return


@pytest.fixture
def read_committed(loaded: DatabaseFixture) -> Iterator[None]:
    """A server that gives each statement a snapshot of its own, unless asked for another."""
    scope = "SET GLOBAL TRANSACTION ISOLATION LEVEL"
    if loaded.kind == "mariadb":
        loaded.run(f"{scope} READ COMMITTED")
    yield
    if loaded.kind == "mariadb":
        loaded.run(f"{scope} REPEATABLE READ")


@pytest.mark.usefixtures("read_committed")
async def test_entry_that_is_appended_during_a_verification_is_no_fault(
    loaded: DatabaseFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await verified(loaded)
    async with loaded.reader() as reader, trail(loaded) as audit:
        fetch = audit._engine.fetch

        async def fetched(sql: str, args: Sequence[object] = ()) -> Sequence[Row]:
            if "audit_head" in sql:
                await reader.audit.append(entry(1))
            return await fetch(sql, args)

        monkeypatch.setattr(audit._engine, "fetch", fetched)
        assert await audit.verify() == before
    assert (await verified(loaded)).entries == before.entries + 1


async def test_triggers_refuse_to_change_or_delete_entries(loaded: DatabaseFixture) -> None:
    before = await verified(loaded)
    for sql in (
        "UPDATE audit SET entry = '{}' WHERE id = 1",
        "UPDATE audit SET hash = ''",
        "DELETE FROM audit WHERE id = 1",
        "DELETE FROM audit",
    ):
        with pytest.raises((sqlite3.IntegrityError, pymysql.MySQLError), match="only appended to"):
            loaded.run(sql)
    assert await verified(loaded) == before


@pytest.mark.parametrize(
    ("sql", "fault"),
    [
        ("UPDATE audit SET entry = '{{}}' WHERE id = {n} - 2", "entry {1} was changed: "),
        ("UPDATE audit SET hash = '{h}' WHERE id = {n} - 2", "entry {1} was changed: "),
        ("UPDATE audit SET entry = '{{}}' WHERE id = 1", "entry 1 was changed: "),
        ("DELETE FROM audit WHERE id = {n} - 2", "entry {1} is missing"),
        ("DELETE FROM audit WHERE id <= 2", "entries 1 to 2 are missing, and no entry tells why"),
        ("DELETE FROM audit WHERE id > {n} - 3", "after entry {0}, entries are missing: "),
        ("DELETE FROM audit", "after entry 0, entries are missing: "),
        ("DELETE FROM audit_head", "after entry {2}, entries are missing: "),
    ],
)
async def test_first_fault_of_a_broken_chain_is_told(
    loaded: DatabaseFixture, sql: str, fault: str
) -> None:
    head = (await verified(loaded)).head
    tamper(loaded, sql.format(n=head.number, h="0" * 64))
    found = await verified(loaded)
    assert found.fault is not None
    n = head.number
    assert found.fault.startswith(fault.format(n - 3, n - 2, n))


async def test_kept_head_tells_what_an_attacker_with_all_rights_took_or_wrote_anew(
    loaded: DatabaseFixture,
) -> None:
    kept = (await verified(loaded)).head
    assert (await verified(loaded, kept)).fault is None
    n = kept.number - 1
    before = (await loaded.rows(f"SELECT hash FROM audit WHERE id = {n}"))[0][0]
    tamper(loaded, f"DELETE FROM audit WHERE id > {n}")
    loaded.run(f"UPDATE audit_head SET last = {n}, hash = '{before}'")
    assert (await verified(loaded)).fault is None
    missing = f"entries {n + 1} to {n + 1} are missing, which were there when the head was kept"
    assert (await verified(loaded, kept)).fault == missing
    forged = hashlib.sha256(f"{before}\n{n + 1}\n{{}}".encode()).hexdigest()
    loaded.run(f"INSERT INTO audit (id, entry, hash) VALUES ({n + 1}, '{{}}', '{forged}')")
    loaded.run(f"UPDATE audit_head SET last = {n + 1}, hash = '{forged}'")
    assert (await verified(loaded)).fault is None
    another = f"entry {n + 1} is another than when the head was kept"
    assert (await verified(loaded, kept)).fault == another


async def test_pruned_trail_is_verified_from_the_entry_that_tells_of_it(
    loaded: DatabaseFixture,
) -> None:
    whole = await verified(loaded)
    rows = await loaded.rows("SELECT entry FROM audit ORDER BY id")
    pruned = Head(4, (await loaded.rows("SELECT hash FROM audit WHERE id = 4"))[0][0])
    fifth = json.loads(rows[4][0])["time"]
    async with trail(loaded) as audit:
        assert await audit.prune("2020", actor="uid 0", source="here") == 0
        assert await audit.prune(fifth, actor="uid 0", source="here") == 4
        found = await audit.verify(whole.head)
        assert (found.fault, found.first, found.entries) == (None, 5, whole.entries - 3)
        # Once more, and the entry that told of the first time goes as well.
        assert await audit.prune("9999", actor="uid 0", source="here") == found.entries
        last = await audit.verify()
        assert (last.fault, last.first, last.entries) == (None, whole.head.number + 2, 1)
        assert (await audit.verify(found.head)).fault is None
        older = f"entry {whole.head.number}, the kept head, was pruned since"
        assert str((await audit.verify(whole.head)).fault).startswith(older)
        wrong = Head(found.head.number, pruned.hash)
        assert "now pruned, was another" in str((await audit.verify(wrong)).fault)
        await audit.append(entry(0))
        assert (await audit.verify()).fault is None
    tamper(loaded, f"UPDATE audit SET entry = '{{}}' WHERE id = {last.first}")
    assert (await verified(loaded)).fault == (
        f"entries 1 to {last.first - 1} are missing, and no entry tells why"
    )


async def test_first_entry_of_a_pruned_trail_cannot_be_changed(loaded: DatabaseFixture) -> None:
    third = json.loads((await loaded.rows("SELECT entry FROM audit WHERE id = 3"))[0][0])["time"]
    async with trail(loaded) as audit:
        await audit.prune(third, actor="uid 0", source="here")
    tamper(loaded, "UPDATE audit SET entry = '{}' WHERE id = 3")
    assert str((await verified(loaded)).fault).startswith("entry 3 was changed")


async def test_broken_trail_is_not_pruned(loaded: DatabaseFixture) -> None:
    tamper(loaded, "UPDATE audit SET entry = '{}' WHERE id = 2")
    async with trail(loaded) as audit:
        with pytest.raises(Conflict, match="the audit trail is broken, nothing was pruned: entry"):
            await audit.prune("9999", actor="uid 0", source="here")
    assert len(await loaded.rows("SELECT id FROM audit WHERE id < 4")) == 3


async def test_trail_without_its_head_says_so(loaded: DatabaseFixture) -> None:
    loaded.run("DELETE FROM audit_head")
    async with loaded.reader() as reader:
        with pytest.raises(NotPrepared, match="audit_head has lost its row"):
            await reader.audit.append(entry(1))

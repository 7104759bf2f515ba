"""A database that fails while a report is loaded into it."""

import asyncio
from collections.abc import Callable, Sequence
from itertools import product
from threading import Timer
from typing import Any

import pytest

from loader.imports.outcome import ImportSummary
from storage.backends.dialect import Condition
from storage.backends.mysql.session import Result, Session
from storage.common.errors import Unreachable
from tests.resilience.readings import READINGS, assert_kept_whole, numbered_report
from tests.support.databases import MariadbDatabase

pytestmark = [pytest.mark.promise("Bad nights", by_test=True), pytest.mark.trust]

MORE = 3 * READINGS
CORRECTED = 100_000
"""A later report counts from here."""

MOMENTS = {
    "before anything is sent": "SELECT JSON_ARRAY((SELECT COALESCE(MAX(id), 0) FROM readings",
    "while rows are sent": "LOAD DATA",
    "while readings are compared": "UPDATE readings",
    "while the import is recorded": "INSERT INTO imports",
    "at the last step": "COMMIT",
}


def befalls(patch: pytest.MonkeyPatch, fault: Callable[[], None], moment: str) -> None:
    """Lets a fault befall the database, once, right before a statement that begins so is sent."""
    execute, fetch, run = Session.execute, Session.fetch, Session.run
    is_over = False

    def reached(*statements: str) -> None:
        nonlocal is_over
        if not is_over and any(each.startswith(MOMENTS[moment]) for each in statements):
            is_over = True
            fault()

    async def executed(self: Session, sql: str, args: Sequence[object] = ()) -> int:
        reached(sql)
        return await execute(self, sql, args)

    async def fetched(
        self: Session, sql: str, args: Sequence[object] = ()
    ) -> Sequence[Sequence[Any]]:
        reached(sql)
        return await fetch(self, sql, args)

    async def ran(self: Session, statements: Sequence[Condition]) -> list[Result]:
        reached(*(statement.text for statement in statements))
        return await run(self, statements)

    patch.setattr(Session, "execute", executed)
    patch.setattr(Session, "fetch", fetched)
    patch.setattr(Session, "run", ran)


async def load_again(night: MariadbDatabase, first: int) -> ImportSummary:
    return (await night.load(numbered_report(MORE, first), allow_corrections=True))[0]


async def back_to_the_start(night: MariadbDatabase) -> None:
    await night.rows(f"DELETE FROM readings WHERE id > {READINGS}")
    await night.load(numbered_report(READINGS), allow_corrections=True)


@pytest.mark.parametrize(
    ("kind", "moment"),
    [*product(["killed", "cut"], MOMENTS), ("stopped", "while readings are compared")],
)
async def test_nothing_is_written_and_the_next_import_writes_all(
    night: MariadbDatabase, kind: str, moment: str
) -> None:
    """At the last step it may have been written all the same; then the next one changes nothing."""
    server = night.server

    def cut() -> None:
        night.run(
            "BEGIN NOT ATOMIC FOR t IN (SELECT id FROM information_schema.processlist"
            f" WHERE db = '{night.name}' AND id <> CONNECTION_ID()) DO KILL t.id; END FOR; END"
        )

    faults: dict[str, Callable[[], None]] = {
        "killed": server.kill,
        "stopped": server.stop,
        "cut": cut,
    }
    await back_to_the_start(night)
    with pytest.MonkeyPatch.context() as patch:
        befalls(patch, faults[kind], moment)
        with pytest.raises(Unreachable) as told:
            await load_again(night, CORRECTED)
    assert ("is not known: load them again" in str(told.value)) == (moment == "at the last step")
    if not server.is_running:
        await asyncio.to_thread(server.start)
    await assert_kept_whole(night)
    summary = await load_again(night, CORRECTED)
    assert summary.imported is not None
    assert (summary.imported.new, summary.imported.changed) == (MORE - READINGS, READINGS)
    await assert_kept_whole(night, MORE, CORRECTED)


@pytest.mark.parametrize("moment", MOMENTS)
async def test_import_waits_for_a_frozen_database_and_goes_on(
    night: MariadbDatabase, moment: str
) -> None:
    await back_to_the_start(night)

    def freeze() -> None:
        night.server.freeze()
        Timer(0.3, night.server.thaw).start()

    with pytest.MonkeyPatch.context() as patch:
        befalls(patch, freeze, moment)
        await load_again(night, CORRECTED)
    await assert_kept_whole(night, MORE, CORRECTED)

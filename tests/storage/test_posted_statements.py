"""Statements of an import that wait for the next one, to be sent together."""

from contextlib import suppress

import pytest

from storage.common.errors import StorageError
from tests.support.databases import DatabaseFixture
from tests.support.report_factory import numbered, quarters, report

ADD = "INSERT INTO intervals (meter_id, first_utc, seconds, said) VALUES (7, {}, 900, 1)"
COUNT = "SELECT COUNT(*) FROM intervals WHERE meter_id = 7"


async def test_posted_statement_has_run_when_the_next_one_does(database: DatabaseFixture) -> None:
    await database.load(report(*numbered(quarters("2019-08-01", 4))))
    async with database.writer() as writer:
        engine = writer.engine
        assert await engine.is_prepared()
        await engine.begin()
        await engine.post(ADD.format(engine.dialect.instant(0)))
        assert [*await engine.fetch(COUNT)] == [(1,)]
        await engine.post(ADD.format(engine.dialect.instant(900)))
        await engine.commit()
    assert [*await database.rows(COUNT)] == [(2,)]


async def test_error_of_a_posted_statement_keeps_what_follows_from_being_written(
    database: DatabaseFixture,
) -> None:
    """Not even a commit that is sent with it runs."""
    await database.load(report(*numbered(quarters("2019-08-01", 4))))
    async with database.writer() as writer:
        engine = writer.engine
        assert await engine.is_prepared()

        async def post(*instants: int) -> None:
            for instant in instants:
                await engine.post(ADD.format(engine.dialect.instant(instant)))

        async def write() -> None:
            await post(0, 0, 900)
            await engine.commit()

        await engine.begin()
        with pytest.raises(StorageError, match=r"(?i)duplicate|unique"):
            await write()
        await engine.rollback()
        assert [*await engine.fetch(COUNT)] == [(0,)]
        await engine.begin()
        with suppress(StorageError):  # SQLite runs them at once
            await post(0, 0)
        await engine.rollback()
        await engine.begin()
        await engine.commit()
    assert [*await database.rows(COUNT)] == [(0,)]

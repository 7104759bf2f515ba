"""A database server of these tests' own, to be stopped, killed and frozen."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.resilience.readings import READINGS, numbered_report
from tests.support.databases import MariadbDatabase
from tests.support.mariadb import MariaDB


@pytest.fixture(scope="module")
def loaded(mariadb: MariaDB, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariadbDatabase]:
    """A database with some readings, and rick, on a server that no other test uses."""
    with MariaDB(mariadb.program) as server:
        database = MariadbDatabase(tmp_path_factory.mktemp("night"), server)
        asyncio.run(database.load(numbered_report(READINGS)))
        asyncio.run(database.admit("rick"))
        yield database


@pytest.fixture
def night(loaded: MariadbDatabase) -> Iterator[MariadbDatabase]:
    """The same, whose server runs at the end of each test."""
    yield loaded
    if not loaded.server.is_running:
        loaded.server.start()
    loaded.server.thaw()

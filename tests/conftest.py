"""The servers that tests share, each started when the first test asks for it."""

import os
from collections.abc import Iterator
from typing import NoReturn

import pytest

from tests.mariadb import MariaDB, find_mariadb
from tests.redis_server import Redis, find_redis


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDB]:
    """A MariaDB server that has no database yet."""
    program = find_mariadb() or leave_out("MariaDB")
    with MariaDB(program) as server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Redis]:
    """A Redis server that holds nothing yet."""
    program = find_redis() or leave_out("Redis")
    with Redis(program) as server:
        yield server


@pytest.fixture(scope="session")
def redis_url(redis_server: Redis) -> str:
    return redis_server.url


def leave_out(server: str) -> NoReturn:
    reason = f"{server} is not installed: `make test` installs it, or says how"
    if os.environ.get("REQUIRE_SERVICES") == "1":
        pytest.fail(reason)
    pytest.skip(reason)

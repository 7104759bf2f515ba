"""The processor time that requests cost: other load on the machine hardly affects it."""

import time
from collections.abc import Callable

from bench.http_client import Connection
from bench.process import FailedError, Server
from bench.workspace import Workspace

MIN_REPETITIONS = 5


def request_cost(workspace: Workspace, server: Server, message: bytes, seconds: float) -> float:
    """Repeat a request for some seconds; return the processor time of each in milliseconds.

    It is the time of the service and of its connections' threads in MariaDB.
    """
    with Connection(server.port) as connection:
        status = connection.exchange(message).status
        if status != 200:
            raise FailedError(f"{message.partition(b' HTTP')[0].decode()}: HTTP {status}")
        before, before_in_database = server.cpu_seconds, workspace.mariadb.cpu_seconds
        count = repeat(lambda: connection.exchange(message), seconds)
        spent = sum(server.cpu_seconds.values()) - sum(before.values())
    after = workspace.mariadb.cpu_seconds
    in_database = (
        after[thread] - before_in_database.get(thread, 0) for thread in workspace.mariadb.threads()
    )
    return (spent + sum(in_database)) / count * 1000


def repeat(action: Callable[[], object], seconds: float) -> int:
    """Do something for some seconds; return how many times."""
    count = 0
    end = time.monotonic() + seconds
    while count < MIN_REPETITIONS or time.monotonic() < end:
        action()
        count += 1
    return count

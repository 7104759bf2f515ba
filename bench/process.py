"""The processes that are measured: servers, and commands that end."""

import os
import re
import select
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Self

from bench.paths import ROOT, WORK
from tests.support.live_server import free_port

HOST = "127.0.0.1"
START_SECONDS = 90
STOP_SECONDS = 15
_POLL_MILLISECONDS = 10


class FailedError(Exception):
    """A process failed, or its response is wrong."""


def peak(pid: int) -> float:
    """Return the peak memory of a process and its children in MiB; 0 once it has ended."""
    with suppress(OSError):
        folder = Path("/proc", str(pid))
        found = re.search(r"VmHWM:\s+(\d+) kB", (folder / "status").read_text())
        children = (folder / "task" / str(pid) / "children").read_text().split()
        return (int(found[1]) / 1024 if found else 0.0) + sum(map(peak, map(int, children)))
    return 0.0


def forget_peak(pid: int) -> None:
    """Reset the peak to the current memory of a process and its children."""
    folder = Path("/proc", str(pid))
    (folder / "clear_refs").write_text("5")
    for child in (folder / "task" / str(pid) / "children").read_text().split():
        forget_peak(int(child))


def cpu_seconds(pid: int) -> dict[int, float]:
    """Return the processor time so far of the threads of a process and of its children."""
    folder = Path("/proc", str(pid))
    spent = {}
    for thread in (folder / "task").iterdir():
        with suppress(OSError):  # it has ended meanwhile
            spent[int(thread.name)] = int((thread / "schedstat").read_text().split()[0]) / 1e9
    for child in (folder / "task" / str(pid) / "children").read_text().split():
        spent |= cpu_seconds(int(child))
    return spent


def environment(changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return this process's environment with changes and without the service's settings."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("ELECDATA_")}
    return {**kept, **(changes or {})}


class Server(ABC):
    """A server on a free port of the loopback interface, running from entry to exit."""

    name = "server"

    def __init__(self) -> None:
        self.port = free_port(HOST)
        self.headers: dict[str, str] = {}
        """Headers of every request to the server."""
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> Sequence[str]:
        """Return the command that runs the server in the foreground."""

    def environment(self) -> dict[str, str]:
        """Return the environment of the server."""
        return environment()

    def prepare(self) -> None:  # noqa: B027 - most have nothing to do
        """Prepare the server once it accepts connections."""

    @property
    def peak(self) -> float:
        """The peak memory since the server was ready, in MiB."""
        assert self._process is not None
        return peak(self._process.pid)

    @property
    def cpu_seconds(self) -> dict[int, float]:
        """The processor time so far, by thread."""
        assert self._process is not None
        return cpu_seconds(self._process.pid)

    def __enter__(self) -> Self:
        log = WORK / "logs" / f"{self.name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                self.command(),
                cwd=ROOT,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )
        try:
            self._wait(log)
            self.prepare()
            forget_peak(self._process.pid)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def _wait(self, log: Path) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            with suppress(OSError), socket.create_connection((HOST, self.port), 1):
                return
            time.sleep(0.02)
        raise FailedError(f"{self.name} did not start: {log.read_text(errors='replace')[-2000:]}")

    def _stop(self) -> None:
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self._process.kill()
            self._process.wait()


def timed(
    command: Sequence[str],
    *,
    changes: Mapping[str, str] | None = None,
    stdin: str | None = None,
    stdout: IO[bytes] | None = None,
) -> tuple[float, float]:
    """Run a command; return its seconds and peak memory in MiB. Raise FailedError."""
    with (
        (WORK / "logs" / "command.log").open("w+b") as errors,
        subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment(changes),
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=stdout or subprocess.DEVNULL,
            stderr=errors,
        ) as process,
    ):
        started = time.perf_counter()
        try:
            if process.stdin is not None:
                process.stdin.write((stdin or "").encode())
                process.stdin.close()
            most = _watched(process)
        except BaseException:
            process.kill()
            raise
        seconds = time.perf_counter() - started
        if process.wait():
            errors.seek(0)
            raise FailedError(f"{command[0]}: {errors.read()[-2000:].decode(errors='replace')}")
    return seconds, most


def _watched(process: subprocess.Popen[bytes]) -> float:
    """Wait until a process ends; return its peak memory in MiB."""
    ended = os.pidfd_open(process.pid)
    try:
        poll = select.poll()
        poll.register(ended, select.POLLIN)
        most = 0.0
        while not poll.poll(_POLL_MILLISECONDS):
            most = max(most, peak(process.pid))
        return most
    finally:
        os.close(ended)

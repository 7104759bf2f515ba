"""A private server of the tests, independent of others on the machine."""

import shutil
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar, Self

# Where programs live that an ordinary user's PATH leaves out.
SYSTEM_FOLDERS = "/usr/sbin:/usr/local/sbin:/usr/local/bin:/usr/libexec:/opt/homebrew/bin"
FOLDERS = f"{sys.prefix}/bin:{SYSTEM_FOLDERS}"
PORT_TRIES = 5
START_SECONDS = 60
STOP_SECONDS = 60
POLL_SECONDS = 0.02


def find_program(name: str) -> Path | None:
    found = shutil.which(name) or shutil.which(name, path=FOLDERS)
    return Path(found) if found else None


def free_port(host: str) -> int:
    with socket.create_server((host, 0)) as server:
        port: int = server.getsockname()[1]
    return port


class LiveServer(ABC):
    """A server on a free port of the loopback interface, with a folder of its own.

    As a context manager it runs from entry to exit. In between it may be stopped or killed and
    started again, and is then found at the same port with the same data.
    """

    host: ClassVar[str] = "127.0.0.1"

    def __init__(self, program: Path) -> None:
        self.program = program
        self._folder = TemporaryDirectory(prefix="elecdata-")
        self.folder = Path(self._folder.name)
        self.socket = self.folder / "socket"
        self.port = 0
        self._log = self.folder / "log"
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """Return the command that runs the server in the foreground."""

    @abstractmethod
    def is_ready(self, connection: socket.socket) -> bool:
        """Return whether the server at the other end is ready for clients."""

    def start(self) -> None:
        """Start the server and wait until it is ready."""
        if self._process:
            raise RuntimeError(f"{self.program.name} is running already")
        deadline = time.monotonic() + START_SECONDS
        if self.port:
            ready = self._launch(self.port, deadline)
        else:
            # A port that is free now may be taken by the time the server asks for it.
            ports = (free_port(self.host) for _ in range(PORT_TRIES))
            ready = any(self._launch(port, deadline) for port in ports)
        if not ready:
            raise RuntimeError(f"{self.program} did not start:\n{self._log.read_text()}")

    def stop(self) -> None:
        """Stop the server gracefully, if it is running."""
        if self._process:
            self.thaw()
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            finally:
                self.kill()

    def kill(self) -> None:
        """Kill the server, as a crash does."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    @property
    def is_running(self) -> bool:
        return self._process is not None

    def freeze(self) -> None:
        """Suspend the server: its connections stay open, and nothing is answered."""
        self._send(signal.SIGSTOP)
        assert self._process is not None
        # Each thread runs on until the kernel gets round to it.
        tasks = Path(f"/proc/{self._process.pid}/task")
        while tasks.exists() and not all(map(_is_stopped, tasks.iterdir())):
            time.sleep(0.001)

    def thaw(self) -> None:
        """Resume a suspended server."""
        self._send(signal.SIGCONT)

    def _send(self, signum: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(signum)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._folder.cleanup()

    def _launch(self, port: int, deadline: float) -> bool:
        self.port = port
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - a program of this machine's own
                self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        ready = False
        try:
            while not ready and self._process.poll() is None and time.monotonic() < deadline:
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(POLL_SECONDS)
                ready = self._answers()
        finally:
            if not ready:
                self.kill()
        return ready

    def _answers(self) -> bool:
        # Asked over its own socket: at the port, another's server might answer.
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1)
            try:
                connection.connect(str(self.socket))
                return self.is_ready(connection)
            except OSError:
                return False


def _is_stopped(task: Path) -> bool:
    try:
        return (task / "stat").read_text().rpartition(")")[2].split()[0] in "TtZX"
    except OSError:  # it has ended
        return True

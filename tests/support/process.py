"""A process that runs while a test uses it."""

import contextlib
import os
import queue
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Thread
from typing import Self

TIMEOUT = 30


class Process:
    """A process with its children, and the lines that they print."""

    def __init__(self, command: Sequence[str], folder: Path, environ: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(  # noqa: S603 - the program under test
            command,
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.lines: list[str] = []
        self._unread: queue.Queue[str | None] = queue.Queue()
        self._reader = Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._unread.put(line.rstrip("\n"))
        self._unread.put(None)

    def wait_for_line(self, text: str) -> str:
        """Return the first line that contains a text, once it was printed."""
        found = [line for line in self.lines if text in line]
        while not found:
            line = self._unread.get(timeout=TIMEOUT)
            assert line is not None, f"{text!r} was not printed:\n" + "\n".join(self.lines)
            self.lines.append(line)
            found = [line] if text in line else []
        return found[0]

    def said(self) -> list[str]:
        """Return the lines that it has printed so far."""
        while not self._unread.empty():
            line = self._unread.get()
            if line is None:
                self._unread.put(None)
                break
            self.lines.append(line)
        return self.lines

    def port(self) -> int:
        """Return the port of the service, once it listens."""
        (port,) = re.findall(
            r"http://127\.0\.0\.1:(\d+)", self.wait_for_line("listening on http://")
        )
        return int(port)

    def wait(self) -> int:
        """Wait until the process ends; return its exit status."""
        status = self.process.wait(TIMEOUT)
        while (line := self._unread.get(timeout=TIMEOUT)) is not None:
            self.lines.append(line)
        return status

    def stop(self) -> int:
        """Send SIGTERM; return the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: BaseException | None, *__: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()
        if error is None:
            assert not any("Traceback" in line or "Warning" in line for line in self.lines)

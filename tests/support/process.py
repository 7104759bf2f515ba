"""A program that runs on while a test uses it."""

import contextlib
import os
import queue
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Self

SECONDS = 30


class Program:
    """A process with all that it starts, and the lines that they print."""

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
        self._news: queue.Queue[str | None] = queue.Queue()
        self._reading = Thread(target=self._read)
        self._reading.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._news.put(line.rstrip("\n"))
        self._news.put(None)

    def said(self, text: str) -> str:
        """Waits for a line that holds a text, unless it was said already."""
        told = [line for line in self.lines if text in line]
        while not told:
            line = self._news.get(timeout=SECONDS)
            assert line is not None, f"{text!r} was not said:\n" + "\n".join(self.lines)
            self.lines.append(line)
            told = [line] if text in line else []
        return told[0]

    def port(self) -> int:
        """Waits until it listens."""
        (port,) = re.findall(r"http://127\.0\.0\.1:(\d+)", self.said("listening on http://"))
        return int(port)

    def left(self) -> int:
        """Waits until it has left, and gives its exit status."""
        status = self.process.wait(SECONDS)
        while (line := self._news.get(timeout=SECONDS)) is not None:
            self.lines.append(line)
        return status

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.left()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._reading.join()
        assert self.process.stdout is not None
        self.process.stdout.close()
        if error is None:
            assert not any("Traceback" in line or "Warning" in line for line in self.lines)

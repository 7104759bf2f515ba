"""What the workers of one service let each other know: a file of each in a folder they share."""

import asyncio
import fcntl
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Snapshot = dict[str, Any]
"""`answers` and `counts`, which only grow, and `levels`, which end with their process."""

_ENDED = "ended.json"


class WorkerSnapshots:
    """The snapshots of all workers, those included that have ended."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # One thread, so that an older snapshot never replaces a newer one.
        self._telling = ThreadPoolExecutor(1, thread_name_prefix="telling")

    async def tell(self, snapshot: Snapshot) -> None:
        """Lets the others know how this process stands."""
        name = f"{os.getpid()}.json"
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._telling, self._write, name, snapshot)

    async def close(self) -> None:
        """Returns once all is told."""
        await asyncio.to_thread(self._telling.shutdown)

    def told(self) -> list[Snapshot]:
        """What all of them have told."""
        with self._locked():
            return [json.loads(file.read_bytes()) for file in self._folder.glob("*.json")]

    def ended(self, worker: int) -> None:
        """Keeps what a worker had counted, now that it has ended."""
        with self._locked():
            own = self._folder / f"{worker}.json"
            kept = self._folder / _ENDED
            snapshots = [json.loads(file.read_bytes()) for file in (kept, own) if file.exists()]
            if snapshots:
                self._write(_ENDED, {**merge_snapshots(snapshots), "levels": {}})
            own.unlink(missing_ok=True)

    def _write(self, name: str, snapshot: Snapshot) -> None:
        draft = self._folder / f"{name}.{os.getpid()}"
        draft.write_text(json.dumps(snapshot))
        draft.rename(self._folder / name)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Alone: a snapshot that moves from one file to another must be found in exactly one."""
        with (self._folder / "lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def merge_snapshots(snapshots: list[Snapshot]) -> Snapshot:
    """Several snapshots added up."""
    total: Snapshot = {"answers": {}, "counts": {}, "levels": {}}
    for snapshot in snapshots:
        for part, values in total.items():
            for key, value in snapshot[part].items():
                values[key] = _sum(values[key], value) if key in values else value
    return total


def _sum(left: Any, right: Any) -> Any:
    if isinstance(left, list):
        return [_sum(*pair) for pair in zip(left, right, strict=True)]
    return left + right

"""Exchange of metric snapshots between workers, through files in a shared folder."""

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
"""`routes` and `counts`, which only grow, and `levels`, which end with their process."""

_ENDED = "ended.json"


class WorkerSnapshots:
    """The snapshots of all workers, including those that have ended."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # One thread, so that an older snapshot never replaces a newer one.
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="snapshots")

    async def publish(self, snapshot: Snapshot) -> None:
        """Write the snapshot of this process."""
        name = f"{os.getpid()}.json"
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._writer, self._write, name, snapshot)

    async def close(self) -> None:
        """Return once all snapshots are written."""
        await asyncio.to_thread(self._writer.shutdown)

    def collect(self) -> list[Snapshot]:
        """Return the latest snapshot of each worker, and of those that ended."""
        with self._locked():
            return [json.loads(file.read_bytes()) for file in self._folder.glob("*.json")]

    def merge_ended(self, worker: int) -> None:
        """Add the counts of a worker that has ended to those of earlier ones."""
        with self._locked():
            own = self._folder / f"{worker}.json"
            ended = self._folder / _ENDED
            snapshots = [json.loads(file.read_bytes()) for file in (ended, own) if file.exists()]
            if snapshots:
                self._write(_ENDED, {**merge_snapshots(snapshots), "levels": {}})
            own.unlink(missing_ok=True)

    def _write(self, name: str, snapshot: Snapshot) -> None:
        draft = self._folder / f"{name}.{os.getpid()}"
        draft.write_text(json.dumps(snapshot))
        draft.rename(self._folder / name)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Lock the folder: a snapshot that moves between files must be found in exactly one."""
        with (self._folder / "lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def merge_snapshots(snapshots: list[Snapshot]) -> Snapshot:
    """Return the sum of snapshots."""
    total: Snapshot = {"routes": {}, "counts": {}, "levels": {}}
    for snapshot in snapshots:
        for part, values in total.items():
            for key, value in snapshot[part].items():
                values[key] = _sum(values[key], value) if key in values else value
    return total


def _sum(left: Any, right: Any) -> Any:
    if isinstance(left, list):
        return [_sum(*pair) for pair in zip(left, right, strict=True)]
    return left + right

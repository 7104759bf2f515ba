"""Runs the loader again and again, and kills it.

    python -m tests.resilience.killed_loader CONFIG

reads lines such as `0.25 REPORT.csv`: after so many seconds the loader that loads the report is
killed. Each is answered with its exit status, -9 if it was killed. Each loader is a fork, which
saves it the time to start that is not to be tried.
"""

import os
import signal
import sys
import time

from loader.__main__ import main


def load(config: str, report: str) -> None:
    """What `python -m loader` does."""
    main(["--config", config, "--quiet", "--allow-corrections", report])


def killed(config: str, report: str, seconds: float) -> int:
    """How a loader ended that was killed after some seconds, unless it was done."""
    loader = os.fork()
    if not loader:
        load(config, report)
    deadline = time.monotonic() + seconds
    ended = 0
    while not ended and time.monotonic() < deadline:
        ended, status = os.waitpid(loader, os.WNOHANG)
        time.sleep(0.001)
    if not ended:
        os.kill(loader, signal.SIGKILL)
        _, status = os.waitpid(loader, 0)
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    for line in sys.stdin:
        after, _, path = line.rstrip("\n").partition(" ")
        print(killed(sys.argv[1], path, float(after)), flush=True)

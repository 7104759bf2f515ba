"""Temporary files of the tests in memory, where the disk would be waited for at each commit."""

import os
import tempfile
from pathlib import Path

_FOLDER = Path("/dev/shm")  # noqa: S108 - where Linux keeps files in memory
_NEEDED_BYTES = 4 * 2**30


def keep_files_in_memory() -> None:
    """Let this process and what it starts do so if there is plenty, unless TMPDIR says where."""
    if "TMPDIR" in os.environ or not os.access(_FOLDER, os.W_OK | os.X_OK):
        return
    space = os.statvfs(_FOLDER)
    memory = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if min(space.f_bavail * space.f_frsize, memory) >= _NEEDED_BYTES:
        os.environ["TMPDIR"] = str(_FOLDER)
        tempfile.tempdir = None

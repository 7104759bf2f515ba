"""Opening regular files, and nothing that would wait for another program."""

import errno
import os
import stat
from pathlib import Path
from typing import IO

_OF_THE_CALLER = ("/dev/fd/", "/dev/stdin")
"""What a shell opened before: `<(...)` is a pipe."""

_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def is_of_caller(path: str | Path) -> bool:
    """Return whether a path stands for what the caller of this process has opened."""
    return str(path).startswith(_OF_THE_CALLER)


def open_regular(path: str | Path, *, follow: bool = True) -> IO[bytes]:
    """Open a file for reading.

    Raises OSError, without any wait, if it is a pipe, a device or a folder, and unless `follow` if
    it is a symbolic link.
    """
    if is_of_caller(path):
        return Path(path).open("rb")
    # Without O_NONBLOCK, to open a named pipe would wait for one that writes to it.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        if error.errno == errno.ELOOP and not follow:
            raise _not_regular("a symbolic link", path) from None
        if error.errno == errno.ENXIO:
            raise _not_regular("a socket", path) from None
        raise
    try:
        require_regular(os.fstat(descriptor), path)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def require_regular(status: os.stat_result, path: str | Path) -> None:
    """Raise OSError if the status is not that of a regular file."""
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(status.st_mode):
        raise _not_regular(_KINDS.get(stat.S_IFMT(status.st_mode), "something else"), path)


def _not_regular(kind: str, path: str | Path) -> OSError:
    return OSError(errno.EINVAL, f"this is {kind}, expected a regular file", str(path))

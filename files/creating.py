"""Creating files, so that nobody else can choose their content, their mode or their place."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

_OTHERS = 0o007
_NAME_BYTES = 200


@contextmanager
def draft_file(target: Path) -> Iterator[IO[bytes]]:
    """Yield a new file beside the target that only its owner may read; remove it unless moved.

    Its name tells the target and ends at random, and it is opened with O_EXCL and O_NOFOLLOW, so
    nobody can prepare it.
    """
    draft = tempfile.NamedTemporaryFile(  # noqa: SIM115 - closed below
        prefix=f".elecdata-{_beginning(target.name)}-", dir=target.absolute().parent, delete=False
    )
    try:
        yield draft.file
    finally:
        with suppress(OSError):  # whoever has to know has flushed it
            draft.close()
        Path(draft.name).unlink(missing_ok=True)


@contextmanager
def new_file(target: Path) -> Iterator[IO[bytes]]:
    """Yield a file that takes its name once it is complete; nothing remains of a part.

    Raises FileExistsError if anything has that name.
    """
    with draft_file(target) as draft:
        yield draft
        draft.flush()
        os.fsync(draft.fileno())
        # Unlike a rename, a link does not replace what is there.
        try:
            target.hardlink_to(draft.name)
        except OSError as error:
            # The name of the draft says nothing to whoever reads it.
            raise OSError(error.errno, error.strerror, str(target)) from None


def _beginning(name: str) -> str:
    """Return as much of a name as leaves room for more in a file's name."""
    return os.fsdecode(os.fsencode(name)[:_NAME_BYTES])


def private_mode() -> int:
    """Return the mode of a file with secrets: the owner's, and the group's if the umask says so.

    A umask such as 027 or 007 that excludes all others names the group on purpose.
    """
    umask = current_umask()
    return 0o660 & ~umask if umask & _OTHERS == _OTHERS else 0o600


def current_umask() -> int:
    """Return the umask of this process."""
    umask = os.umask(0)
    os.umask(umask)
    return umask

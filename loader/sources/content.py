"""The content of a report's file, out of the compressed file or the archive that it may be in."""

import gzip
import hashlib
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import IO, Protocol

from files.regular import open_regular
from loader.rows import file_reader
from loader.rows.errors import ReportError
from loader.rows.file_reader import STANDARD_INPUT, ArchiveMember
from loader.sources.archive import member_info, open_archive, unread_told
from loader.sources.kinds import GZIP_MARK

_MAX_COMPRESSION_RATIO = 200
"""Of a compressed report; one of nothing but zeros has a ratio of about 30."""
_UNCHECKED_BYTES = 2**21
"""The compression ratio is not checked up to this uncompressed size."""


class _Readable(Protocol):
    """What bytes are read from."""

    def read(self, size: int, /) -> bytes:
        """Return the next bytes, at most so many; none at the end."""


class ReportContent:
    """The content of a report, read once; `sha256` is complete after that."""

    def __init__(
        self, path: str, on_progress: Callable[[int], None], archive: IO[bytes] | None = None
    ) -> None:
        """Take the archive that the report is in, if the path is no path of one."""
        self.path = path
        self.is_packed = isinstance(path, ArchiveMember)
        """Whether it is in an archive or a compressed file, as far as was read."""
        self._on_progress = on_progress
        self._archive = archive
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """The digest of the unpacked content, in hex."""
        return self._digest.hexdigest()

    def blocks(self) -> Iterator[bytes]:
        """Yield the unpacked content in blocks.

        Raises ReportError if the file can't be read.
        """
        with unread_told(self.path):
            if isinstance(self.path, ArchiveMember):
                yield from self._member_blocks(self.path)
                return
            with _open(self.path) as raw:
                block = raw.read(file_reader.CHUNK_BYTES)
                if block.startswith(GZIP_MARK):
                    self.is_packed = True
                    packed = _Counted(block, raw)
                    with gzip.GzipFile(fileobj=packed) as file:  # type: ignore[call-overload]  # it needs no more of a file than `read`
                        yield from self._unpacked(file, packed)
                    return
                is_seekable = raw.seekable()
                size = 0
                while block:
                    self._digest.update(block)
                    yield block
                    size += len(block)
                    self._on_progress(raw.tell() if is_seekable else size)
                    block = raw.read(file_reader.CHUNK_BYTES)

    def _member_blocks(self, path: ArchiveMember) -> Iterator[bytes]:
        with self._opened_archive(path) as raw:
            archive = open_archive(path.archive, raw)
            info = member_info(path, archive, path.member)
            with archive.open(info) as file:
                yield from self._unpacked(file, _Counted(b"", file, info.compress_size))

    def _opened_archive(self, path: ArchiveMember) -> AbstractContextManager[IO[bytes]]:
        return open_regular(path.archive) if self._archive is None else nullcontext(self._archive)

    def _unpacked(self, file: _Readable, packed: "_Counted") -> Iterator[bytes]:
        size = 0
        while block := file.read(file_reader.CHUNK_BYTES):
            self._digest.update(block)
            yield block
            size += len(block)
            if size > max(_UNCHECKED_BYTES, _MAX_COMPRESSION_RATIO * packed.size):
                raise ReportError(
                    f"{self.path}: cannot be read: it decompresses to more than "
                    f"{_MAX_COMPRESSION_RATIO} times its size: expected a report"
                )
            self._on_progress(min(size, packed.size))


class _Counted:
    """A compressed file whose beginning was read already; `size` is what was read of it."""

    def __init__(self, beginning: bytes, file: _Readable, size: int = 0) -> None:
        self._beginning = beginning
        self._file = file
        self.size = size

    def read(self, size: int) -> bytes:
        """Return the next bytes, at most so many."""
        block, self._beginning = self._beginning[:size], self._beginning[size:]
        block = block or self._file.read(size)
        self.size += len(block)
        return block


@contextmanager
def spooled(path: str, blocks: Iterable[bytes]) -> Iterator[IO[bytes]]:
    """Write content to a temporary file without a name, of which any part can be read."""
    with tempfile.TemporaryFile() as file:
        try:
            for block in blocks:
                file.write(block)
            file.seek(0)
        except OSError as error:
            raise ReportError(
                f"{path}: temporary file: {error.strerror or error}: set TMPDIR to a folder with"
                " room for the report"
            ) from error
        yield file


def _open(path: str) -> AbstractContextManager[IO[bytes]]:
    if path == STANDARD_INPUT:
        return nullcontext(sys.stdin.buffer)
    return open_regular(path)

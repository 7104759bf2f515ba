"""What the worker processes of an import and their parent tell each other."""

import struct
from dataclasses import dataclass
from enum import Enum

from loader.imports.transaction import ImportOptions
from settings import Settings

LENGTH = struct.Struct("=I")
"""The length of a worker's message, which comes before it."""


@dataclass(frozen=True, slots=True)
class ImportOrder:
    """What a worker reads first; then it reads one group of imports after the other."""

    settings: Settings
    format_name: str | None
    options: ImportOptions
    parent: int
    """The descriptor of a pipe that is closed when the parent has ended."""
    turns: int
    """The descriptor of a file that the workers share, to write in turn."""


class WorkerNotice(Enum):
    """What a worker tells besides the outcomes of its imports."""

    STARTED = "started"
    WAITS = "waits for another import"
    COMMITS = "commits a group of imports"

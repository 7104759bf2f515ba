"""The interface of an output format."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol

from domain.readings_query import NOTHING_FOUND
from domain.record_layout import Encoding, RecordLayout, TimeStyle
from server.transport.content_coding import Chunk
from storage.figures.result import Metadata, ResultTable
from storage.readings.reader import ReadingsResult


@dataclass(frozen=True, slots=True)
class ReadingsOptions:
    """How readings are written: the layout of a record, and metadata beside the records."""

    layout: RecordLayout
    zone: str
    """The time zone of typed instants."""
    metadata: Metadata
    message: str = NOTHING_FOUND
    """The message where there are no readings."""


@dataclass(frozen=True, slots=True)
class TableOptions:
    """How a table of figures is written."""

    time: TimeStyle
    numbers: bool
    """Whether JSON has quantities and counts as numbers rather than as texts."""


class Format(Protocol):
    """An output format, which writes the body of a response while it is sent."""

    name: str
    """The value of the parameter `format`, and the extension of a file."""
    media_type: str
    encoding: Encoding
    """How the database writes the pages of readings."""
    default_columns: tuple[str, ...]
    """The columns of a reading unless the client chooses some."""
    is_file: bool = False
    """Whether browsers save it as a file."""
    is_typed: bool = False
    """Whether pages become typed columns, rather than being sent as they are."""

    def readings(self, result: ReadingsResult, options: ReadingsOptions) -> AsyncGenerator[Chunk]:
        """Yield the body of readings."""

    def table(self, table: ResultTable, options: TableOptions) -> AsyncGenerator[Chunk]:
        """Yield the body of figures."""

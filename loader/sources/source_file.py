"""The file of a report as tables of lines in UTF-8, or in the encoding of the format."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from zipfile import ZipFile

from loader.rows.errors import ReportError
from loader.rows.file_reader import ArchiveMember, report_name
from loader.rows.header import RowDialect
from loader.rows.sorted_rows import NumberedRows
from loader.sources.archive import content_of, open_archive, unread_told
from loader.sources.content import ReportContent, spooled
from loader.sources.kinds import GZIP_MARK, ZIP_MARKS, kind_of, refuse_package
from loader.sources.text import text_rows

UTF8 = "utf-8"


@dataclass(frozen=True, slots=True)
class SourceTable:
    """Lines that may be those of a report, with their numbers in the file."""

    variants: Sequence[tuple[RowDialect | None, Iterator[NumberedRows]]]
    """The lines; those of a sheet in the dialect of each format, since it has none of its own."""
    encoding: str | None = None
    """The encoding if it is known, whatever a format says."""
    sheet: str | None = None
    """The name of a sheet of a workbook."""
    unread: Sequence[str] = ()
    """What of the file is not in the lines; known once these begin."""


class SourceFile:
    """The file of a report, to be read once; `sha256` is complete after that."""

    def __init__(self, path: str, on_progress: Callable[[int], None]) -> None:
        self.path = path
        self.name = report_name(path)
        self._on_progress = on_progress
        self._content = ReportContent(path, on_progress)

    @property
    def sha256(self) -> str:
        """The digest of the unpacked content, in hex."""
        return self._content.sha256

    def tables(self, dialects: Iterable[RowDialect]) -> Iterator[SourceTable]:
        """Yield the table of the file, or of a workbook each sheet in each of the dialects.

        The rows of a table are read before the next one is asked for. Raises ReportError, here or
        in the rows, if the file can't be read or can't be a report.
        """
        blocks = self._content.blocks()
        first = next(blocks, b"")
        blocks = chain([first], blocks)
        # What reads other layouts than text is loaded for their files alone, as every start would
        # take longer.
        if first.startswith(ZIP_MARKS):
            from loader.sources.workbook import is_workbook  # noqa: PLC0415 - see above

            with spooled(self.path, blocks) as file:
                with unread_told(self.path):
                    archive = open_archive(self.path, file)
                if is_workbook(archive):
                    yield from self._sheets(archive, dialects)
                    return
                refuse_package(self.path, archive.namelist())
                self._require_unpacked()
                reports = content_of(self.path, archive).reports
                if len(reports) > 1:
                    raise ReportError(
                        f"{self.path}: an archive of {len(reports)} reports: load it from a file"
                        " whose name ends with .zip"
                    )
                member = ArchiveMember(self.path, reports[0].member)
                self._content = ReportContent(member, self._on_progress, file)
                yield from self.tables(dialects)
            return
        if first.startswith(GZIP_MARK):
            self._require_unpacked()
        yield self._table(first, blocks)

    def _require_unpacked(self) -> None:
        if self._content.is_packed:
            raise ReportError(f"{self.path}: is packed twice: unpack it, and load what is in it")

    def _table(self, first: bytes, blocks: Iterable[bytes]) -> SourceTable:
        kind = kind_of(self.path, first)
        if kind.is_xml:
            from loader.sources.green_button import green_button_rows  # noqa: PLC0415 - see `tables`

            unread: list[str] = []
            return _single(green_button_rows(self.path, blocks, unread), UTF8, unread)
        rows = text_rows(self.path, blocks, kind)
        if kind.is_nem12:
            from loader.sources.nem12 import nem12_rows  # noqa: PLC0415 - see `tables`

            unread = []
            return _single(nem12_rows(self.path, rows, unread), UTF8, unread)
        return _single(rows, kind.encoding and UTF8)

    def _sheets(self, archive: ZipFile, dialects: Iterable[RowDialect]) -> Iterator[SourceTable]:
        from loader.sources.workbook import Workbook  # noqa: PLC0415 - see `tables`

        workbook = Workbook(self.path, archive)
        dialects = dict.fromkeys(dialects)
        for sheet in workbook.sheets:
            variants = [(dialect, workbook.rows(sheet, dialect)) for dialect in dialects]
            yield SourceTable(variants, UTF8, sheet)


def _single(
    rows: Iterator[NumberedRows], encoding: str | None, unread: Sequence[str] = ()
) -> SourceTable:
    return SourceTable([(None, rows)], encoding, unread=unread)

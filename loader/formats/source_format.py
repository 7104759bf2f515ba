"""Report formats of the tables that sources make of other layouts."""

from loader.formats.configured_format import ConfiguredFormat
from loader.formats.report_format import ReportFormat
from loader.rows.header import Header
from loader.table.heading import FoundHeading, Likeness
from loader.table.top import TopOfFile


class SourceFormat(ConfiguredFormat):
    """A format of tables that a source makes of another layout, with some of the columns."""

    def find_heading(self, top: TopOfFile, *, is_only: bool) -> FoundHeading | None:
        """Return the heading of a report; None if it is not of this format."""
        del is_only
        if not top.lines:
            return None
        header = top.header(0, self._settings.delimiter, self._settings.encoding)
        names = header.names
        settings = self._settings
        assert settings.quality is not None, "the tables have a column of it"
        always = {*map(str, settings.time.column), *map(str, settings.quality.column_names)}
        is_match = always < set(names) <= set(map(str, settings.headers()))
        is_match = is_match and len(names) == len(set(names))
        return FoundHeading(header, 1, (), header) if is_match else None

    def nearest_heading(self, top: TopOfFile) -> Likeness | None:
        """Return nothing, for a file is of this layout or of another one."""
        del top
        return None

    def fitted(self, header: Header) -> ReportFormat:
        """Return the format with the columns of a header alone."""
        columns = self._described.columns
        absent = {
            name: None
            for name, column in columns.named().items()
            if not column.header[0].positions(header.names)
        }
        identifier = self._settings.identifier_column
        has_identifier = identifier is not None and identifier.positions(header.names)
        return self._changed(
            {
                "columns": columns.model_copy(update=absent),
                "identifier": identifier if has_identifier else None,
            }
        )

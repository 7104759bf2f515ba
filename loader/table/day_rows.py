"""Days in rows, each with its intervals in columns."""

from collections.abc import Callable

from loader.rows.header import Header
from loader.table.unfolded_rows import RowPart, UnfoldedRows
from settings import INTERVAL_OF_DAY, ColumnSettings, FormatSettings, QualityColumnSettings

_MIN_HOURS, _MAX_HOURS = 23, 26
_HOUR = 3600


class DayRows(UnfoldedRows):
    """Unfolds rows of days, of which some have fewer intervals than others."""

    def __init__(
        self, settings: FormatSettings, header: Header, is_missing: Callable[[str], bool]
    ) -> None:
        """Take the format of reports with this header.

        Raises ValueError if there are not as many columns as a day has intervals.
        """
        quality = settings.quality
        columns = [_places(column, header) for column in settings.columns.named().values()]
        flags = [_places(quality, header)] if quality is not None and quality.is_day else []
        counts = {*map(len, columns), *map(len, flags)}
        seconds = len(columns[0]) * (settings.interval or _HOUR)
        if len(counts) > 1 or not _MIN_HOURS * _HOUR <= seconds < _MAX_HOURS * _HOUR:
            raise ValueError(
                f"expected columns for a day of intervals of {settings.interval} seconds from first"
                f" to last, there are {' and '.join(map(str, sorted(counts)))}"
            )
        parts = [
            RowPart(str(at + 1), [each[at] for each in columns], [each[at] for each in flags])
            for at in range(len(columns[0]))
        ]
        super().__init__(settings, header, is_missing, INTERVAL_OF_DAY, parts)


def _places(column: ColumnSettings | QualityColumnSettings, header: Header) -> range:
    """Return the positions of the columns of a day."""
    assert column.first is not None, "all columns are those of a day"
    assert column.last is not None, "as above"
    first, last = column.first.position(header.names), column.last.position(header.names)
    if (last - first) % column.every:
        raise ValueError(
            f"expected last to be one of every {column.every} columns from first, it is"
            f" {last - first} behind it"
        )
    return range(first, last + 1, column.every)

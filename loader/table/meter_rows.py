"""Rows with the readings of several meters, each in columns of its own."""

from collections.abc import Callable

from loader.rows.header import Header
from loader.table.unfolded_rows import RowPart, UnfoldedRows
from settings import METER_OF_COLUMN, FormatSettings


class MeterRows(UnfoldedRows):
    """Unfolds rows of several meters."""

    def __init__(
        self, settings: FormatSettings, header: Header, is_missing: Callable[[str], bool]
    ) -> None:
        """Take the format of reports with this header.

        Raises ValueError if headings do not tell which columns are those of the meters.
        """
        columns = columns_of_meters(settings, header.names)
        meters = dict.fromkeys(meter for each in columns for meter in each)
        parts = [RowPart(meter, [each.get(meter) for each in columns]) for meter in meters]
        super().__init__(settings, header, is_missing, METER_OF_COLUMN, parts)


def columns_of_meters(settings: FormatSettings, names: tuple[str, ...]) -> list[dict[str, int]]:
    """Return of each quantity the positions of the meters' columns; raise ValueError."""
    others = {
        at for column in (*settings.headers(), *settings.ignored) for at in column.positions(names)
    }
    return [
        column.meters.positions(names, others)
        for column in settings.columns.named().values()
        if column.meters is not None
    ]

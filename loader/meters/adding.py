"""Adding the meters that a file lists."""

from collections.abc import Sequence
from itertools import islice

from cli.error_report import ErrorReport, FaultyReportsError
from loader.meters.meter_list import MeterRow, read_meters
from loader.rows.errors import RowError
from storage.common.identifiers import supply_point
from storage.meter_directory import PAGE_METERS, MeterDirectory, MeterProperties

_NAMES = ("public_id", "identifier")
_EXPECTED = "one that no other meter has as public id or identifier"


async def add_listed(directory: MeterDirectory, path: str, timezone: str) -> int:
    """Add the meters of a file, in the transaction that is open; return how many.

    Raises FaultyReportsError if lines are wrong, ReportError, or a StorageError.
    """
    await directory.begin_adding()
    rows = read_meters(path, timezone)
    errors = ErrorReport()
    added = 0
    while some := list(islice(rows, PAGE_METERS)):
        good, wrong = await _sorted_out(directory, some)
        for error in wrong:
            errors.add(f"{path}:{error}")
        # After an error, too: the transaction is undone, and knows the names of all lines so far.
        await directory.add(good)
        added += len(good)
    if errors.count:
        raise FaultyReportsError(errors)
    return added


async def _sorted_out(
    directory: MeterDirectory, rows: Sequence[MeterRow]
) -> tuple[list[MeterProperties], list[RowError]]:
    """Return the meters that can be added, and what is wrong with the others."""
    names = [name for row in rows if row.meter for name in row.meter.names]
    taken = set(map(supply_point, await directory.taken(names)))
    good: list[MeterProperties] = []
    wrong: list[RowError] = []
    for row in rows:
        wrong += row.errors
        if row.meter is None:
            continue
        clashing = [
            RowError(row.line, column, name, _EXPECTED)
            for column in _NAMES
            if (name := getattr(row.meter, column)) and supply_point(name) in taken
        ]
        wrong += clashing
        if not clashing:
            good.append(row.meter)
            taken.update(map(supply_point, row.meter.names))
    return good, wrong

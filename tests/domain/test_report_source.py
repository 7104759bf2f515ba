"""Batches of rows: their text and their arrays say the same."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from domain.flags import ESTIMATED
from domain.quantities import ALL_QUANTITY_NAMES, QUANTITY_NAMES
from domain.report_source import RowBatch

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LARGEST = 10**15 - 1
values = st.none() | st.integers(-LARGEST, LARGEST)
rows = st.tuples(
    st.integers(-(2**31), 2**32).map(lambda at: EPOCH + timedelta(seconds=at)),
    st.sampled_from([0, 3600, 7200, -12_600, 1]),
    st.lists(values, min_size=10, max_size=10),
    st.booleans(),
)


def text(value: int | None) -> str:
    if value is None:
        return ""
    sign, digits = "-" if value < 0 else "", f"{abs(value):06}"
    return f"{sign}{digits[:-5]}.{digits[-5:]}"


@given(st.lists(rows, min_size=1, max_size=20), st.booleans())
def test_arrays_of_a_batch_hold_what_its_rows_say(
    readings: list[tuple[datetime, int, list[int | None], bool]], is_full: bool
) -> None:
    names = ALL_QUANTITY_NAMES if is_full else QUANTITY_NAMES
    lines = []
    for number, (local, ahead, quantities, is_estimated) in enumerate(readings, 7):
        fields = [str(number), f"{local:%Y-%m-%d %H:%M:%S}", str(ahead)]
        fields += [text(value) for value in quantities[: len(names)]]
        fields += ["1" if is_estimated else ""] if is_full else []
        lines.append(",".join(fields) + "\n")
    batch = RowBatch("".join(lines).encode(), len(lines), "", "", is_full)
    columns = batch.columns
    assert columns.ids.tolist() == [*range(7, 7 + len(readings))]
    assert batch.ahead.tolist() == [ahead for _, ahead, _, _ in readings]
    instants = [(local - EPOCH) // timedelta(seconds=1) - ahead for local, ahead, _, _ in readings]
    assert columns.utc.tolist() == instants
    assert [*columns.quantities] == [*names]
    for place, column in enumerate(columns.quantities.values()):
        expected = [quantities[place] for _, _, quantities, _ in readings]
        assert column.present.tolist() == [value is not None for value in expected]
        assert column.values.tolist() == [value or 0 for value in expected]
    bits = [ESTIMATED.bit * (is_full and is_estimated) for _, _, _, is_estimated in readings]
    assert columns.flags.tolist() == bits
    dates = [f"{local:%Y-%m-%d %H:%M:%S}" for local, _, _, _ in readings]
    assert batch.dates == dates
    same = RowBatch.of(columns, batch.ahead, is_full=is_full)
    assert same.rows == batch.rows
    assert (same.count, same.first, same.last) == (len(lines), min(dates), max(dates))

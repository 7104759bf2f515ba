"""Cursors and columns, as a client may write them."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.readings_query import QueryError
from domain.record_layout import KNOWN_COLUMNS, parse_columns
from server.api.cursors import Cursors, Position
from server.security.signing_keys import SigningKeys
from tests.support.app_client import SECRET

pytestmark = pytest.mark.promise("Bad input")


@given(st.one_of(st.text(max_size=40), st.binary(max_size=30).map(base64.urlsafe_b64encode)))
def test_cursor_is_rejected_unless_it_was_made_here(text: str | bytes) -> None:
    cursors = Cursors(SigningKeys.single(SECRET))
    with pytest.raises(ValueError):  # noqa: PT011 - with any text: callers use their own
        cursors.read("a query", text if isinstance(text, str) else text.decode())


IDS = st.integers(0, 2**31 - 1)


@given(
    st.builds(Position, IDS, st.integers(0, 2**62), IDS, st.binary(min_size=8, max_size=8)),
    st.text(max_size=40),
    st.text(max_size=40),
)
def test_cursor_is_valid_only_for_its_own_query(position: Position, query: str, other: str) -> None:
    cursors = Cursors(SigningKeys.single(SECRET))
    cursor = cursors.make(query, position)
    assert cursors.read(query, cursor) == position
    # It does not tell how many readings there are.
    assert position.last_id.to_bytes(8, "big") not in base64.urlsafe_b64decode(cursor)
    if other != query:
        with pytest.raises(ValueError):  # noqa: PT011 - see above
            cursors.read(other, cursor)


@given(st.text(max_size=60), st.lists(st.sampled_from([*KNOWN_COLUMNS, " id ", ""]), max_size=12))
def test_columns_are_those_named_or_refused(text: str, names: list[str]) -> None:
    for given_text in (text, ",".join(names)):
        wanted = [name.strip(" ") for name in given_text.split(",")]
        is_right = set(wanted) <= set(KNOWN_COLUMNS) and len(set(wanted)) == len(wanted)
        if is_right:
            assert parse_columns(given_text) == tuple(wanted)
        else:
            with pytest.raises(QueryError, match=r"^columns: "):
                parse_columns(given_text)

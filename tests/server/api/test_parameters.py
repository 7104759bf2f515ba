"""Places in an answer and columns, as a client may write them."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.readings_query import QueryError
from domain.record_layout import KNOWN_COLUMNS, parse_columns
from server.api.cursors import Cursors
from server.security.signing_keys import SigningKeys
from tests.support.app_client import SECRET

pytestmark = pytest.mark.promise("Bad input")


@given(st.one_of(st.text(max_size=40), st.binary(max_size=30).map(base64.urlsafe_b64encode)))
def test_place_that_was_not_given_is_never_believed(text: str | bytes) -> None:
    cursors = Cursors(SigningKeys.single(SECRET))
    with pytest.raises(ValueError):  # noqa: PT011 - of whatever text, the caller tells no more
        cursors.read("a question", text if isinstance(text, str) else text.decode())


@given(st.integers(0, 2**31 - 1), st.text(max_size=40), st.text(max_size=40))
def test_place_is_found_again_by_its_own_question_alone(
    place: int, question: str, other: str
) -> None:
    cursors = Cursors(SigningKeys.single(SECRET))
    written = cursors.make(question, place)
    assert cursors.read(question, written) == place
    if other != question:
        with pytest.raises(ValueError):  # noqa: PT011 - likewise
            cursors.read(other, written)


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

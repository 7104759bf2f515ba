"""Which new passwords are refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.common.password_policy import password_fault

pytestmark = pytest.mark.promise("Getting in")

LENGTH = "expected 10 to 256 characters"
REPEATED = "expected more than a repetition or a sequence"
NAMES = "expected more than the name of the user or the service"
COMMON = "expected none of the commonest passwords, also with digits or signs around it"
SURROGATE = "expected text that can be written as UTF-8"


@pytest.mark.parametrize(
    ("password", "fault"),
    [
        ("", LENGTH),
        ("g7!kP2#wq", LENGTH),
        ("ö" * 257, LENGTH),
        ("a good pass\ud800", SURROGATE),
        ("aaaaaaaaaaaa", REPEATED),
        ("abcabcabcabc", REPEATED),
        ("MortyMorty", REPEATED),
        ("1234567890", REPEATED),
        ("9876543210987", REPEATED),
        ("ABCDEFGHIJKL", REPEATED),
        ("poiuytrewq", REPEATED),
        ("morgan2026", NAMES),
        ("!Morgan-Elecdata!", NAMES),
        ("elecdata12", NAMES),
        ("basketball", COMMON),
        ("Password2026!", COMMON),
        ("123qweASDzxc", COMMON),
        ("**sunshine**", COMMON),
        ("morgan-password-1", COMMON),
        ("1029384756", COMMON),
    ],
)
def test_guessable_password_is_refused_with_its_fault(password: str, fault: str) -> None:
    assert password_fault(password, "morgan") == fault


@pytest.mark.parametrize(
    "password",
    [
        "a long walk in the rain",
        "g7!kP2#wqZ",
        "ñandúes y más ñandúes",
        "morgan and the seven lamps",
        "correct horse battery staple" * 9,
        " " + "x7" + " " * 6 + "end",
    ],
)
def test_password_that_is_long_and_uncommon_is_accepted(password: str) -> None:
    assert password_fault(password, "morgan") is None


def test_common_password_is_refused_beside_the_name_of_the_user() -> None:
    assert password_fault("qvxz11223344", "Qvxz") == COMMON


def test_short_name_of_a_user_says_nothing_of_a_password() -> None:
    assert password_fault("xavier met", "x") is None


@given(st.text(max_size=300), st.text(min_size=1, max_size=64))
def test_fault_never_shows_the_password_and_good_ones_can_be_hashed(
    password: str, user: str
) -> None:
    fault = password_fault(password, user)
    if fault is None:
        assert password.encode().decode() == password
        assert 10 <= len(password) <= 256
    else:
        assert fault in {LENGTH, SURROGATE, REPEATED, NAMES, COMMON}

"""Whole requests, of strangers and users: none holds the event loop or takes much memory."""

import random
from collections.abc import Iterator

import pytest

from tests.fuzz.whole_requests import Service, held_for, kept, search
from tests.support.promises import Tried

pytestmark = pytest.mark.promise("Bad input")

SECONDS = 4
LONG_SECONDS = 600


@pytest.fixture
def service() -> Iterator[Service]:
    """A service that has answered everything that is kept, and holds that within bounds."""
    service = Service()
    try:
        for recipe in kept():
            held_for(service, recipe)
        yield service
    finally:
        service.close()


def test_requests_cost_little(service: Service) -> None:
    assert search(service, SECONDS, seed=1) > SECONDS


@pytest.mark.trust
def test_many_requests_cost_little(service: Service, tried: Tried) -> None:
    """The same at length, from somewhere else each time."""
    seed = random.SystemRandom().getrandbits(32)
    print(f"seed {seed}")
    requests = search(service, LONG_SECONDS, seed)
    assert requests > LONG_SECONDS
    tried("whole requests, by cost of processor and memory", requests)

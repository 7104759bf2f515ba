import pytest
from redis import Redis as Client

from tests.support import live_server
from tests.support.redis_server import Redis


def test_a_new_one_answers_at_its_url_and_holds_nothing(redis_server: Redis) -> None:
    with Redis(redis_server.program) as server, Client.from_url(server.url) as client:
        assert client.dbsize() == 0


def test_a_port_that_was_taken_meanwhile_is_left_for_another(
    redis_server: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = live_server.free_port(Redis.host)
    ports = iter([redis_server.port, free])
    monkeypatch.setattr(live_server, "free_port", lambda _host: next(ports))
    with Redis(redis_server.program) as server:
        assert server.port == free

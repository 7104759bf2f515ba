"""Content codings: the same answer in each, fresh and kept, and the one that a client likes."""

import gzip
from collections.abc import Callable

import pytest
from aiohttp.test_utils import make_mocked_request

from server.transport.negotiation import negotiate_coding
from storage.common.zstandard import zstd
from tests.support.app_client import Api

DECODERS: dict[str, Callable[[bytes], bytes]] = {
    "identity": bytes,
    "gzip": gzip.decompress,
    "zstd": zstd.decompress,
}


async def body(api: Api, path: str, coding: str, *, fresh: bool) -> tuple[bytes, str]:
    """The decoded body of an answer, and its ETag."""
    headers = {"Accept-Encoding": coding} | ({"Cache-Control": "no-cache"} if fresh else {})
    client = api.client.session
    async with client.get(
        f"http://127.0.0.1:{api.port}/apielec/{path}",
        headers={"SESSION": api.token, **headers},
        auto_decompress=False,
    ) as response:
        assert response.headers.get("Content-Encoding", "identity") == coding
        assert response.headers["Vary"] == "Accept-Encoding, Accept"
        return DECODERS[coding](await response.read()), response.headers["ETag"]


@pytest.mark.parametrize(
    "path", ["getData", "getDataById?id=5,100", "getDataById?id=0", "getDataByDate?date=2019-1%25"]
)
async def test_answer_is_the_same_in_every_coding(api: Api, path: str) -> None:
    plain, _ = await body(api, path, "identity", fresh=True)
    tags = set()
    for coding in DECODERS:
        for fresh in (True, False, False):
            decoded, tag = await body(api, path, coding, fresh=fresh)
            assert decoded == plain
            tags.add(tag)
            await api.settled()
    assert len(tags) == len(DECODERS)


async def test_validator_of_any_coding_is_known(api: Api) -> None:
    for coding in DECODERS:
        _, tag = await body(api, "getDataById?id=5", coding, fresh=False)
        headers = {"If-None-Match": tag, "Accept-Encoding": "gzip"}
        async with await api.request("getDataById", {"id": "5"}, headers=headers) as response:
            assert response.status == 304


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        (None, "identity"),
        ("", "identity"),
        ("gzip", "gzip"),
        ("gzip, deflate, br, zstd", "gzip"),
        ("zstd", "zstd"),
        ("gzip;q=0.5, zstd", "zstd"),
        ("gzip;q=0", "identity"),
        ("*", "gzip"),
        ("*;q=0, identity", "identity"),
        ("br", "identity"),
        ("gzip;q=nonsense", "identity"),
        ("identity, gzip;q=0.9", "identity"),
    ],
)
def test_coding_is_the_one_that_the_client_likes(accepted: str | None, coding: str) -> None:
    headers = {} if accepted is None else {"Accept-Encoding": accepted}
    assert negotiate_coding(make_mocked_request("GET", "/", headers=headers)).name == coding

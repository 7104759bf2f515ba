"""Errors in the contract's shape, and a log that gives nothing away."""

import logging
import re
from io import BytesIO

import pytest
from aiohttp import encode_basic_auth

from tests.support.app_client import Api, Document

pytestmark = [pytest.mark.promise("Bad input"), pytest.mark.one_database]


@pytest.fixture(autouse=True)
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG)
    return caplog


async def failing(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_: str) -> str:
        raise RuntimeError("the inside of the server")

    monkeypatch.setattr(api.engine, "step_in", fail)


def error(code: int, message: str) -> Document:
    return {"message": message, "status": "ERROR", "statusCode": str(code)}


@pytest.mark.parametrize(
    "path",
    ["/apielec/nothing", "/apielec", "/apielec/nothing/", "/static/swagger/x"],
)
async def test_unknown_path_is_a_404(api: Api, path: str) -> None:
    async with await api.client.get(path) as response:
        assert response.status == 404
        assert await response.json() == error(404, "Not Found")


@pytest.mark.parametrize("path", ["/apielec/ping", "/apielec/getDataById", "/login", "/dashboard"])
async def test_slash_at_the_end_of_a_path_is_named(api: Api, path: str) -> None:
    async with api.client.get(f"{path}/?id=5") as response:
        assert response.status == 404
        message = f"Not Found: there is {path}, without the slash at its end"
        assert await response.json() == error(404, message)


async def test_options_names_the_methods(api: Api) -> None:
    for path, allowed in (
        ("/apielec/getData", "GET,HEAD,OPTIONS,POST"),
        ("/apielec/ping", "GET,HEAD,OPTIONS"),
    ):
        async with api.client.options(path) as response:
            assert (response.status, response.headers["Allow"]) == (204, allowed)
            assert await response.read() == b""
    async with api.client.options("/apielec/nothing") as response:
        assert response.status == 404


@pytest.mark.parametrize(
    "headers",
    [{"Range": "bytes=0-9"}, {"If-Modified-Since": "Sun, 29 Nov 2037 00:00:00 GMT"}],
)
async def test_conditions_on_what_responses_do_not_have_are_ignored(
    api: Api, headers: dict[str, str]
) -> None:
    """Neither parts nor times: a response is known by its ETag."""
    async with await api.request("getData?limit=5&format=csv") as response:
        whole = await response.read()
    async with await api.request("getData?limit=5&format=csv", headers=headers) as response:
        assert response.status == 200
        assert response.headers["Accept-Ranges"] == "none"
        assert "Last-Modified" not in response.headers
        assert await response.read() == whole


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/login", "GET,HEAD,POST"),
        ("/apielec/ping", "GET,HEAD"),
        ("/apielec/getData", "GET,HEAD,POST"),
        ("/apielec/getDataById", "GET,HEAD,POST"),
    ],
)
async def test_wrong_method_is_a_405_that_names_the_right_ones(
    api: Api, path: str, allowed: str
) -> None:
    for method in ("DELETE", "PUT", "PATCH"):
        async with await api.client.request(method, path) as response:
            assert response.status == 405
            assert response.headers["Allow"] == allowed
            assert await response.json() == error(405, "Method Not Allowed")


async def test_body_beyond_a_megabyte_is_a_413(api: Api) -> None:
    ids = ",".join(map(str, range(200_000)))
    for kind, text in (("json", f'{{"id": "{ids}"}}'), ("x-www-form-urlencoded", f"id={ids}")):
        headers = {"Content-Type": f"application/{kind}"}
        status, body = await api.get(
            "getDataById", method="POST", data=BytesIO(text.encode()), headers=headers
        )
        assert status == 413
        assert body == error(413, "body: expected at most 1048576 bytes")


async def test_unexpected_error_is_a_500_without_details(
    api: Api, monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    await failing(api, monkeypatch)
    async with await api.request("getDataById?id=5") as response:
        assert response.status == 500
        name = response.headers["X-Request-ID"]
        assert await response.json() == error(500, f"Unexpected error, logged as {name}")
    (line,) = [record for record in log.records if record.name == "server"]
    assert line.getMessage() == f"{name} unexpected error"
    assert line.exc_info is not None


@pytest.mark.parametrize("given", ["abc", "A-1_b.2", "x" * 64])
async def test_request_keeps_the_id_that_its_client_gives(
    api: Api, log: pytest.LogCaptureFixture, given: str
) -> None:
    async with await api.request("ping", headers={"X-Request-ID": given}) as response:
        assert response.headers["X-Request-ID"] == given
    assert f"id={given}" in log.text


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", "a\tb", "a=b", "é"])
async def test_request_gets_an_id_where_none_can_be_logged(api: Api, given: str) -> None:
    async with await api.request("ping", headers={"X-Request-ID": given}) as response:
        assert re.fullmatch("[0-9a-f-]{8,}", response.headers["X-Request-ID"])


async def test_every_answer_names_its_request(api: Api) -> None:
    for path in ("/", "/swagger.json", "/nothing", "/login", "/apielec/getDataById?id=5"):
        async with await api.client.get(path) as response:
            assert response.headers["X-Request-ID"]


# The log


async def test_log_has_a_line_for_each_request(api: Api, log: pytest.LogCaptureFixture) -> None:
    async with await api.request("getDataById?id=5", headers={"X-Request-ID": "r1"}) as response:
        await response.read()
    (line,) = [record.getMessage() for record in log.records if record.name == "access"]
    assert re.fullmatch(
        r"GET /apielec/getDataById 200 \d+ bytes \d+\.\d ms user=rick from=127.0.0.1 id=r1", line
    )


async def test_log_holds_no_query_token_or_password(
    api: Api, monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    """Whatever a client sends, be it HTTP or not."""
    secrets = ["Hunter2", "Sesame9", "2019-08-07", api.token]
    await api.get("getDataByDate?date=2019-08-07%25")
    await api.get("getDataByDate?Sesame9=2019-08-07")
    await api.get("getDataByDate", method="POST", json={"date": "2019-08-07 Sesame9"})
    await api.login("rick", "Hunter2")
    async with await api.client.get("/login", headers={"Authorization": "Basic Hunter2"}):
        pass
    async with await api.client.get(
        "/apielec/ping", headers={"Authorization": encode_basic_auth("a", "Hunter2")}
    ):
        pass
    for request in (
        api.head("ping?x=" + "Sesame9" * 2000),
        api.head("ping?x=\xffSesame9"),
        api.head("ping", "1.1", "Hunter2\x01: Sesame9"),
        api.head("ping", "1.1", "X: Sesame9\x01"),
        api.head("ping", "1.1", "Content-Length: Sesame9"),
        api.head("ping", "1.1", "Transfer-Encoding: chunked") + b"Sesame9\r\n",
        api.head("ping", "Sesame9"),
        b"Hunter2\r\n\r\n",
    ):
        reader, writer = await api.raw(request)
        await reader.readline()
        writer.close()
    api.token += "x"
    await api.get("ping")
    await failing(api, monkeypatch)
    api.token = api.token[:-1]
    await api.get("getDataByDate?date=2019-08-07%25")
    assert len(log.records) > 10
    for secret in secrets:
        assert secret not in log.text

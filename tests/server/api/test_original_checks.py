"""The eight checks of the service that this one replaces."""

import pytest

from storage.common.errors import StorageError
from tests.support.app_client import Api
from tests.support.databases import DatabaseFixture


async def test_reader_can_read(sample: DatabaseFixture) -> None:
    async with sample.reader() as reader:
        rows = await reader._engine.fetch("SELECT COUNT(*) FROM consumpdata")
    assert rows[0][0] == 11716


async def test_reader_cannot_insert(sample: DatabaseFixture) -> None:
    async with sample.reader() as reader:
        with pytest.raises(StorageError):
            await reader._engine.fetch("INSERT INTO users (user, password) VALUES ('eve', 'x')")
    assert await sample.rows("SELECT user FROM users") in ([("rick",)], (("rick",),))


async def test_login_is_refused(api: Api) -> None:
    status, _ = await api.login("rick", "Morty")
    assert status == 401


async def test_login_is_accepted(api: Api) -> None:
    status, body = await api.login("rick", "morty")
    assert status == 200
    assert body["value_token"]


async def test_get_data(api: Api) -> None:
    assert len(await api.records("getData")) == 11716


async def test_get_data_by_id(api: Api) -> None:
    assert len(await api.records("getDataById", id="5,100")) == 2


async def test_get_data_by_date(api: Api) -> None:
    assert len(await api.records("getDataByDate", date="2019-09-11_0_:00:00")) == 10


async def test_get_data_by_range(api: Api) -> None:
    bounds = {"date": "2019-09-12 10:00:00", "end_date": "2019-09-12 10:30:00"}
    assert len(await api.records("getDataByRange", **bounds)) == 3

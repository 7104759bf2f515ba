from collections.abc import Iterator
from contextlib import closing

import pymysql
import pytest

from tests.support.mariadb import MariaDB


def connect(
    server: MariaDB, user: str = MariaDB.root_user, password: str | None = None
) -> closing[pymysql.Connection]:
    if password is None:
        password = server.root_password
    return closing(
        pymysql.connect(host=server.host, port=server.port, user=user, password=password)
    )


@pytest.fixture
def own_mariadb(mariadb: MariaDB) -> Iterator[MariaDB]:
    """A server beside the shared one, for a test to stop and kill."""
    with MariaDB(mariadb.program) as server:
        yield server


def test_an_account_made_for_any_host_logs_in_over_the_port(mariadb: MariaDB) -> None:
    with connect(mariadb) as admin, admin.cursor() as cursor:
        cursor.execute("CREATE USER guest@'%' IDENTIFIED BY 'secret'")
        with connect(mariadb, user="guest", password="secret") as guest:
            assert guest.host_info == f"socket {mariadb.host}:{mariadb.port}"
        cursor.execute("DROP USER guest@'%'")


@pytest.mark.parametrize("user", ["root", "mysql", "", MariaDB.root_user])
def test_nobody_logs_in_without_a_password(mariadb: MariaDB, user: str) -> None:
    with pytest.raises(pymysql.OperationalError, match="Access denied"):
        connect(mariadb, user=user, password="")


def test_a_killed_server_comes_back_at_its_port_with_what_was_committed(
    own_mariadb: MariaDB,
) -> None:
    with connect(own_mariadb) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE shelf")
        cursor.execute("CREATE TABLE shelf.books (title TEXT)")
        cursor.execute("INSERT INTO shelf.books VALUES ('kept')")
        connection.commit()
        cursor.execute("INSERT INTO shelf.books VALUES ('lost')")
        port = own_mariadb.port

        own_mariadb.kill()
        with pytest.raises(pymysql.OperationalError, match="Can't connect"):
            connect(own_mariadb)
        own_mariadb.start()

    assert own_mariadb.port == port
    with connect(own_mariadb) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT title FROM shelf.books")
        assert cursor.fetchall() == (("kept",),)

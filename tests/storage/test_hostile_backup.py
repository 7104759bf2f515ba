"""A backup that somebody else wrote: to restore it runs no command and sends no file."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.backends.mysql import backup
from storage.common.errors import StorageError
from storage.factory import open_backup
from tests.support.databases import MariadbDatabase
from tests.support.mariadb import MariaDB

pytestmark = pytest.mark.promise("Bad input")

TABLE = "CREATE TABLE `consumpdata` (id INT);\n"
END = "\n-- Dump completed on 2026-11-28\n"

COMMANDS = {
    "system": "system touch {file}\n",
    "system after a semicolon": "SELECT 1;\nsystem touch {file};\n",
    "\\!": "\\! touch {file}\n",
    "\\! behind a statement": "SELECT 1; \\! touch {file}\n",
    "\\! after another delimiter": "DELIMITER //\nSELECT 1//\n\\! touch {file}\nDELIMITER ;\n",
    "\\! as a delimiter": "DELIMITER \\!\ntouch {file}\n\\! touch {file}\nDELIMITER ;\n",
    "system as a delimiter": "DELIMITER system\nSELECT 1 system touch {file}\n",
    "\\! in a comment": "/*!50000 SELECT 1 */ \\! touch {file}\n",
    "\\! after NUL": "SELECT '\0';\n\\! touch {file}\n",
    "tee": "tee {file}\nSELECT 1;\n",
    "\\T": "\\T {file}\nSELECT 1;\n",
    "pager": "pager touch {file}\nSELECT 1;\n",
    "\\P": "\\P touch {file}\nSELECT 1;\n",
    "edit": "\\e\n",
    "source": "source {script}\n",
    "\\.": "\\. {script}\n",
    "charset and source": "\\C gbk\nSELECT '\xbf\\'';\nsource {script}\n",
}


@pytest.fixture
def empty(mariadb: MariaDB, tmp_path: Path) -> Iterator[MariadbDatabase]:
    with MariadbDatabase(tmp_path / "db", mariadb) as database:
        yield database


async def restore(database: MariadbDatabase, text: str) -> str:
    """Restores a backup of this text; returns what went wrong."""
    file = database.folder / "backup"
    file.write_bytes(text.encode("latin-1"))
    try:
        async with open_backup(database.settings) as driver:
            await driver.restore(file)
    except StorageError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("text", COMMANDS.values(), ids=COMMANDS.keys())
@pytest.mark.parametrize("is_sandboxed", [True, False], ids=["sandbox", "binary mode alone"])
async def test_client_runs_no_command_of_a_backup(
    empty: MariadbDatabase,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    is_sandboxed: bool,
) -> None:
    """Whether the client has a sandbox, as MariaDB's of 2024 and later, or not, as MySQL's."""
    if not is_sandboxed:
        monkeypatch.setattr(backup, "SANDBOX", "--no-client-has-it")
    file, script = tmp_path / "ran", tmp_path / "script"
    script.write_text(f"\\! touch {file}\nCREATE TABLE sourced (id INT);\n")
    monkeypatch.setenv("EDITOR", f"touch {file} #")
    text = text.format(file=file, script=script)
    await restore(empty, f"{TABLE}{text}{END}")
    assert not file.exists()
    assert "sourced" not in {name for (name,) in empty.run("SHOW TABLES")}


async def test_backup_is_sent_no_file_of_this_machine(
    empty: MariadbDatabase, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("1\n")
    text = f"LOAD DATA LOCAL INFILE '{secret}' INTO TABLE consumpdata;\n"
    assert "mariadb failed: ERROR 4166 (HY000)" in await restore(empty, f"{TABLE}{text}{END}")
    assert empty.run("SELECT * FROM consumpdata") == ()


def test_client_without_binary_mode_is_refused(
    empty: MariadbDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stops at an option that it does not know."""
    monkeypatch.setattr(backup, "BINARY_MODE", "--a-mode-of-later-clients")
    told = asyncio.run(restore(empty, f"{TABLE}{END}"))
    assert told.startswith("mariadb failed: ")
    assert "unknown option '--a-mode-of-later-clients'" in told
    assert empty.run("SHOW TABLES") == ()

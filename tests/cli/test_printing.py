"""What others wrote reaches a terminal only as printable text."""

import ast
import asyncio
import json
import logging
import os
import pty
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unicodedata import category

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from cli.printing import print_json, printable
from elecdata import main
from server.observability.logging_setup import LineFormatter
from tests.loader.test_loader_command import ENVIRON
from tests.support.databases import SqliteDatabase
from tests.support.hostile_mysql import HostileMysql, listening
from tests.support.paths import ROOT
from tests.support.report_factory import numbered, quarters, report, row
from tests.test_architecture import FILES, module, tree

pytestmark = pytest.mark.promise("Bad input")

HOSTILE = "".join(
    letter
    for letter in map(chr, range(1, 0x110000))
    if category(letter) in {"Cc", "Zl", "Zp"} or re.match("[\u200b-\u206f\u061c\ufeff]", letter)
)
"""C0 but NUL, DEL, C1, the separators of lines, and what hides or reorders text."""

TEXTS = [
    "\x1b]0;owned\x07\x1b[2J\x9b31m",
    "[bold red]x[/] [/nonsense] :smile: [link=http://example.com]y[/link]",
    *(f"a{HOSTILE[at : at + 12]}b" for at in range(0, len(HOSTILE), 12)),
]
HEADING = report().strip()
CUPS = "CUPS;Fecha;Hora;Consumo_kWh;Metodo_obtencion\n{};01/08/2019;1;0,5;R\n"


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> SqliteDatabase:
    """A database that knows the meter and the users that the texts name."""
    database = SqliteDatabase(tmp_path_factory.mktemp("printing"))
    asyncio.run(database.load(database.file(CUPS.format("\x1b[31mfirst"), "cups.csv")))
    for text in TEXTS:
        name = text.replace("'", "''")
        database.run(f"INSERT INTO users (user, password) VALUES ('{name}', '{'0' * 64}')")
    return database


def config(folder: Path, **sections: object) -> list[str]:
    """The option --config with a file of these sections."""
    path = folder / "other.yaml"
    path.write_text(json.dumps(sections))
    return ["--config", str(path)]


def flat(text: str) -> str:
    """A text that can be a file's name."""
    return text.replace("/", "|")


CASES: dict[str, Callable[[SqliteDatabase, str], list[str]]] = {
    "report that is missing": lambda _, text: ["load", f"{flat(text)}.csv"],
    "name of a report": lambda db, text: ["load", db.file("x\n", f"{flat(text)}.csv")],
    "name of a good report": lambda db, text: [
        "load", "--dry-run", db.file(CUPS.format("\x1b[31mfirst"), f"{flat(text)}.csv"),
    ],
    "heading": lambda db, text: ["load", db.file(f"{text},Date\n1,2\n")],
    "cell": lambda db, text: ["load", db.file(f"{HEADING}\n{row(text, text)}")],
    "cell of a date": lambda db, text: ["load", db.file(f"{HEADING}\n{row(text[:8], '1')}")],
    "name of a meter": lambda db, text: ["load", db.file(CUPS.format(text.replace('\n', '')))],
    "format": lambda db, text: ["load", "--format", text, db.file("x\n")],
    "name of a format": lambda db, text: ["load", *config(db.folder, formats={text: {}}), "x.csv"],
    "heading of a format": lambda db, text: [
        "load", *config(db.folder, database=db.section(), formats={"other": {
            "columns": {"energy": text},
            "time": {"column": "T", "pattern": "iso", "marks": "start"},
        }}), db.file("x\n"),
    ],
    "key": lambda db, text: ["check", *config(db.folder, server={text: 1})],
    "value": lambda db, text: ["check", *config(db.folder, meter={"timezone": text})],
    "database": lambda db, text: [
        "check", *config(db.folder, database={"url": f"sqlite:///{db.folder}/{text}"}),
    ],
    "configuration": lambda _, text: ["users", "--config", text, "list"],
    "user": lambda _, text: ["users", "role", text, "admin"],
    "role": lambda _, text: ["users", "role", "rick", text],
    "users": lambda _, _text: ["users", "list"],
    "users as JSON": lambda _, _text: ["users", "list", "--json"],
    "backup": lambda db, text: ["backup", str(db.folder / flat(text))],
    "backup to restore": lambda _, text: ["backup", "--json", "--restore", flat(text)],
    "zone of a sample": lambda _, text: ["sample", "--timezone", text],
    "option": lambda _, text: ["sample", f"--{text}"],
    "option of a command": lambda _, text: ["users", "add", f"--{text}=1"],
    "command": lambda _, text: [text],
    "argument": lambda _, text: ["sample", text],
    "debug": lambda db, text: ["load", "--debug", db.file(f"{text},Date\n1,2\n")],
}  # fmt: skip


def is_plain(text: str) -> bool:
    return all(line.isprintable() for line in text.split("\n"))


@pytest.mark.parametrize("case", CASES)
def test_nothing_unprintable_is_printed(
    database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    monkeypatch.setenv("ELECDATA_DATABASE__URL", f"sqlite:///{database.path}")
    if case == "database":
        monkeypatch.delenv("ELECDATA_DATABASE__URL")
    for text in TEXTS:
        done = CliRunner().invoke(main, CASES[case](database, text))
        assert is_plain(done.output), (text, done.output)
        assert done.output
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception


def test_variables_of_the_environment_are_printed_as_printable_text() -> None:
    for text in TEXTS:
        for environ in (
            {"ELECDATA_" + text.replace("=", ""): "1"},
            {"ELECDATA_METER__TIMEZONE": text},
        ):
            done = CliRunner().invoke(main, ["load", "x.csv"], env=environ)
            assert done.exit_code == 1
            assert done.output
            assert is_plain(done.output), done.output


@contextmanager
def in_background(hostile: HostileMysql) -> Iterator[None]:
    """Runs the server in a thread, since commands have event loops of their own."""
    is_up = threading.Event()
    loop = asyncio.new_event_loop()
    over = asyncio.Event()

    async def serve() -> None:
        async with listening(hostile):
            is_up.set()
            await over.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    is_up.wait()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()


def test_errors_of_the_database_are_printed_as_printable_text(tmp_path: Path) -> None:
    hostile = HostileMysql(refusal="".join(TEXTS).encode())
    account = {"user": "morgan", "password": "a password"}
    with in_background(hostile):
        url = f"mysql://127.0.0.1:{hostile.port}/elecprod"
        section = {"url": url, "reader": account, "admin": account, "wait": 0}
        options = config(tmp_path, database=section, server={"port": 0})
        for command in (
            ["load", *options, str(tmp_path / "x.csv")],
            ["users", *options, "list"],
            ["backup", *options, str(tmp_path / "copy")],
            ["check", *options],
            ["check", "--json", *options],
            ["serve", *options],
        ):
            done = CliRunner().invoke(main, command)
            assert "owned" in done.output
            assert done.exit_code == 1
            assert is_plain(done.output), done.output


def test_text_log_has_printable_lines_with_their_time_and_level() -> None:
    for text in TEXTS:
        error = (ValueError, ValueError(text), None)
        record = logging.LogRecord("server", logging.INFO, "", 1, "%s", (text,), error)
        logged = LineFormatter().format(record)
        assert is_plain(logged), logged
        assert logged.count(" INFO ") == text.count("\n") + 1


def test_bar_shows_the_name_of_a_report_as_it_is(tmp_path: Path) -> None:
    """Neither as markup nor as control characters, where a terminal would follow them."""
    database = SqliteDatabase(tmp_path)
    name = "[red]x[bold] [link]\x1b]0;owned\x07"
    path = database.file(report(*numbered(quarters("2019-08-01", 9))), f"{name}.csv")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "elecdata", "load", "--config", str(database.config), path]
    with subprocess.Popen(  # noqa: S603 - this project's own program
        command,
        cwd=ROOT,
        env={**ENVIRON, "TERM": "xterm", "COLUMNS": "400"},
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                shown += os.read(ours, 65536)
            except OSError:  # how Linux says that the other end was closed
                break
    os.close(ours)
    assert process.returncode == 0, shown
    assert b"[red]x[bold] [link]\\x1b]0;owned\\x07.csv" in shown
    assert b"\x1b]0" not in shown


@given(st.text())
def test_text_is_printable_and_what_is_so_already_is_left_alone(text: str) -> None:
    assert printable(text).isprintable()
    assert printable(printable(text)) == printable(text)
    if text.isprintable():
        assert printable(text) == text


@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_json_is_one_printable_line_with_the_same_content(document: object) -> None:
    runner = CliRunner()
    with runner.isolation() as (output, _, _):
        print_json(document)
        printed = output.getvalue().decode()
    assert printed.removesuffix("\n").isprintable()
    assert json.loads(printed) == document


def test_commands_print_in_one_place_alone() -> None:
    def prints(file: Path) -> bool:
        return any(
            isinstance(node, ast.Call) and ast.unparse(node.func) in {"print", "click.echo"}
            for node in ast.walk(tree(file))
        )

    assert [module(file) for file in FILES if prints(file)] == ["cli.printing"]

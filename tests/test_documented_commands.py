"""The commands of the pages that lead through something, run as they stand, one after the other."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.databases import Database, MariadbDatabase
from tests.mariadb import MariaDB
from tests.original import make_original
from tests.serving import token
from tests.test_server_command import Server

ROOT = Path(__file__).parent.parent
SERVE = "python -m server --welcome\n"
KEPT = 'set -a; [ ! -e "$KEEP" ] || . "$KEEP"; {}\nexport -p >"$KEEP"'
"""What runs a block with the variables that those before it have set."""


class Reader:
    """Someone who follows a page in a folder, with a shell that has the environment's programs."""

    def __init__(self, folder: Path, page: str, **environ: str) -> None:
        bash = shutil.which("bash")
        if bash is None or shutil.which("curl") is None:
            pytest.skip("bash or curl is not installed")
        self.bash = bash
        text = (ROOT / "docs" / page).read_text()
        self.blocks = re.findall(r"(?ms)^```(\w+)\n(.*?)^```$", text)
        self.folder = folder
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("ELECDATA_")}
        programs = Path(sys.executable).parent
        self.environ = {
            **inherited,
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "KEEP": str(folder / "variables"),
            **environ,
        }
        self.said = ""

    def follow(self, replaced: Mapping[str, str]) -> None:
        """Runs each block up to one that serves, with other addresses than the page's."""
        while self.blocks and self.blocks[0] != ("sh", SERVE):
            kind, text = self.blocks.pop(0)
            if kind == "sh":
                for written, real in replaced.items():
                    text = text.replace(written, real)
                self.said = self.ran(text)
            else:
                assert self.said.rstrip("\n") == text.rstrip("\n")

    def ran(self, text: str) -> str:
        done = subprocess.run(  # noqa: S603 - the page's own commands
            [self.bash, "-o", "pipefail", "-ec", KEPT.format(text)],
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            check=False,
        )
        complaints = [line for line in done.stderr.splitlines() if " INFO " not in line]
        assert (done.returncode, complaints) == (0, []), done.stderr
        return re.sub(r"(?m)^(  time +)\d+\.\d s$", r"\g<1>0.0 s", done.stdout).replace("\r", "")


def test_tutorial_leads_from_a_csv_to_figures(tmp_path: Path) -> None:
    reader = Reader(tmp_path, "tutorial.md")
    url = f"sqlite:///{tmp_path}/home.db"
    reader.follow({"sqlite:///var/home.db": url})
    assert reader.blocks.pop(0) == ("sh", SERVE)
    with Server(ROOT / "config.yaml", "--welcome", ELECDATA_DATABASE__URL=url) as server:
        reader.follow({"127.0.0.1:5000": f"127.0.0.1:{server.port()}"})
    assert reader.blocks == []


def test_page_of_figures_asks_for_each(sample: Database, tmp_path: Path) -> None:
    reader = Reader(tmp_path, "aggregates.md", TOKEN=token())
    with Server(sample.config) as server:
        reader.follow({"127.0.0.1:5000": f"127.0.0.1:{server.port()}"})
    assert reader.said.count('"status":"OK","statusCode":200') == 4
    assert "\nmonth,time,readings,mean," in reader.said.replace("}", "\n")


def test_page_of_mariadb_makes_database_and_users(mariadb: MariaDB, tmp_path: Path) -> None:
    shutil.copy(ROOT / "Monitoring_report.csv", tmp_path)
    with MariadbDatabase(tmp_path, mariadb) as database:
        reader = Reader(
            tmp_path,
            "mariadb.md",
            ROOT_PASSWORD=mariadb.root_password,
            ELECDATA_DATABASE__READER__USER=database.reader_user,
        )
        server = f"{mariadb.host}:{mariadb.port}/{database.name}"
        reader.follow({"127.0.0.1:3306/elecprod": server, "USER=root": f"USER={mariadb.root_user}"})
        assert reader.blocks == []


def test_page_of_moving_takes_the_original_database_over(mariadb: MariaDB, tmp_path: Path) -> None:
    shutil.copy(ROOT / "Monitoring_report.csv", tmp_path)
    with MariadbDatabase(tmp_path, mariadb) as database:
        make_original(database, ROOT / "Monitoring_report.csv")
        reader = Reader(
            tmp_path,
            "moving.md",
            ROOT_PASSWORD=mariadb.root_password,
            ELECDATA_DATABASE__READER__USER=database.reader_user,
        )
        place = f"{mariadb.host}:{mariadb.port}/{database.name}"
        reader.follow({"127.0.0.1:3306/elecprod": place, "USER=root": f"USER={mariadb.root_user}"})
        assert reader.blocks.pop(0) == ("sh", SERVE)
        serving = {
            "ELECDATA_DATABASE__URL": f"mysql://{place}",
            "ELECDATA_DATABASE__READER__USER": database.reader_user,
        }
        with Server(ROOT / "config.yaml", "--welcome", **serving) as server:
            reader.follow({"127.0.0.1:5000": f"127.0.0.1:{server.port()}"})
        assert reader.blocks == []

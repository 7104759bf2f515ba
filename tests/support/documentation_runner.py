"""Running the commands of a documentation page in a copy of the project."""

import os
import re
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from tests.conftest import require
from tests.support.live_server import find_program
from tests.support.paths import ROOT
from tests.support.process import Process

PAGES = {
    str(path.relative_to(ROOT)): path
    for path in (
        ROOT / "README.md",
        ROOT / "examples/README.md",
        *sorted(ROOT.glob("docs/**/*.md")),
    )
}
BLOCK = re.compile(r"(?ms)^```(\w*)\n(.*?)^```$")
SERVES = re.compile(r"(?m)^(?:\w+=\S+ )*(?:\S*elecdata serve(?! .*2>&1).*|make run)\Z")
OURS = "127.0.0.1:5000"
KEPT = 'set -a; [ ! -e "$KEEP" ] || . "$KEEP"; {}\n[ "$KEEP" = - ] || export -p >"$KEEP"'
"""Runs a block with the shell variables of earlier blocks."""
COPIED = {"bin", "config.yaml", "deploy"}
"""Copied, because users change it or it locates its project; the rest is linked."""
HIDDEN = {"var", ".venv", ".git"}

LEFT_OUT = {
    "docs/how-to/running.md": {
        "python3 -m venv .venv": "installs from a registry, as `make check` does for these tests",
    },
    "docs/explanation/performance.md": {
        "make bench": ("takes most of an hour; the bench's own parts are tested where they are"),
    },
    "docs/how-to/nginx.md": {
        "install -m 644 deploy/nginx.conf /etc/nginx/conf.d/elecdata.conf": (
            "changes the system; the same file is run by a private nginx here"
        ),
    },
    "docs/how-to/systemd.md": {
        "install -d /opt/elecdata && cp -r . /opt/elecdata && make -C /opt/elecdata .venv/.run": (
            "needs root and a running systemd; the units are verified by test_deploy.py"
        ),
        "systemd-analyze verify --man=no /etc/systemd/system/elecdata.service": (
            "needs what the block above installs; test_deploy.py runs both on the units"
        ),
        "sudo -u elecdata /opt/elecdata/bin/elecdata users --config /etc/elecdata/config.yaml"
        " add morgan": "needs the account created above",
    },
    "docs/how-to/docker.md": {
        "docker compose -f deploy/compose.yaml up --detach --build": "needs a container engine",
        "docker build -f deploy/Dockerfile -t elecdata .": "needs a container engine",
    },
    "examples/README.md": {
        "grafana cli plugins install yesoreyeram-infinity-datasource": "needs Grafana",
        "API_URL=http://127.0.0.1:5000 API_KEY=elecdata_... grafana server": "needs Grafana",
        "API_URL=http://127.0.0.1:5000 API_TOKEN=... grafana server": "needs Grafana",
    },
}
"""Blocks that no test can run, by page and first line, with the reason."""


def blocks(page: str) -> list[tuple[str, str]]:
    """Return the language and the text of each code block of a page."""
    return [(kind, text) for kind, text in BLOCK.findall(PAGES[page].read_text())]


class DocumentationRunner:
    """Runs the commands of a page in order, with a shell, and compares what they say.

    Blocks of `sh` are commands, those of `yaml` go to the end of config.yaml, `python` is run, and
    all others are what the commands above them say. A server that a page starts runs on behind the
    following blocks.
    """

    def __init__(self, folder: Path, page: str, *, lines: int = 0, **environ: str) -> None:
        """`lines` cuts the sample short, where what a page says does not hang on its length."""
        require("bash", "curl", "openssl")
        self.bash = str(find_program("bash"))
        left_out = LEFT_OUT.get(page, {})
        self.blocks = [block for block in blocks(page) if _first(block) not in left_out]
        self.folder = _copied(folder / "project")
        if lines:
            sample = self.folder / "Monitoring_report.csv"
            begin = sample.read_text().splitlines(keepends=True)[:lines]
            sample.unlink()
            sample.write_text("".join(begin))
        self.replaced = {
            path: f"{folder}{path}" for path in ("/etc/elecdata", "/var/lib/elecdata", "/backup/")
        }
        for path in self.replaced.values():
            Path(path).mkdir(parents=True, exist_ok=True)
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("ELECDATA_")}
        self.environ = {
            **inherited,
            "PATH": f"{self.folder}/.venv/bin{os.pathsep}{os.environ['PATH']}",
            "KEEP": str(folder / "variables"),
            "ELECDATA_SERVER__PORT": "0",
            **environ,
        }
        self.said = ""
        self.servers: list[Process] = []
        self._running = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: BaseException | None, *__: object) -> None:
        with self._running:
            if error is None:
                assert self.blocks == []

    def follow(self) -> None:
        """Run all remaining blocks."""
        while self.follow_to_server():
            pass

    def follow_to_server(self) -> int:
        """Run blocks up to one that starts a server; return its port, or 0 if there is none."""
        while self.blocks:
            kind, text = self.blocks.pop(0)
            if kind == "sh" and (found := SERVES.search(text.strip())):
                return self._served(text[: found.start()], found.group())
            if kind == "sh":
                self.said = self.ran(text)
                if not self.blocks or self.blocks[0][0] in {"sh", "yaml"}:
                    # curl takes an error for an answer; where one is meant, the page shows it.
                    assert '"status": "ERROR"' not in self.said, self.said
            elif kind == "yaml":
                self._configured(text)
            elif kind == "python":
                self.said = self._output([sys.executable, "-c", text])
            else:
                assert self.said.rstrip("\n") == text.rstrip("\n"), f"said was:\n{self.said}"
        return 0

    def ran(self, text: str) -> str:
        """Run commands; return their output."""
        for written, real in self.replaced.items():
            text = text.replace(written, real)
        said = self._output([self.bash, "-o", "pipefail", "-ec", KEPT.format(text)])
        return re.sub(r"(?m)^(  time +)\d+\.\d s$", r"\g<1>0.0 s", said).replace("\r", "")

    def _output(self, command: list[str]) -> str:
        done = subprocess.run(  # noqa: S603 - the page's own commands
            command,
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        complaints = [line for line in done.stderr.splitlines() if " INFO " not in line]
        assert (done.returncode, complaints) == (0, []), done.stdout + done.stderr
        return done.stdout

    def _served(self, before: str, serving: str) -> int:
        if before:
            self.ran(before)
        for written, real in self.replaced.items():
            serving = serving.replace(written, real)
        command = [self.bash, "-ec", KEPT.format(serving)]
        server = self._running.enter_context(Process(command, self.folder, self.environ))
        self.servers.append(server)
        port = server.port()
        self.replaced[OURS] = f"127.0.0.1:{port}"
        return port

    def _configured(self, text: str) -> None:
        """Write a section to config.yaml, replacing the one of its name."""
        file = self.folder / "config.yaml"
        section = re.escape(text.split(":", maxsplit=1)[0])
        kept = re.sub(rf"(?m)^{section}:.*\n(?:[ #].*\n|\n)*", "", file.read_text())
        file.write_text(f"{kept}\n{text}")


def _first(block: tuple[str, str]) -> str:
    return block[1].partition("\n")[0]


def _copied(place: Path) -> Path:
    """The project, as somebody has it who has just cloned it and made the environment."""
    place.mkdir()
    for part in ROOT.iterdir():
        if part.name in COPIED:
            (shutil.copytree if part.is_dir() else shutil.copy)(part, place / part.name)
        elif part.name not in HIDDEN:
            (place / part.name).symlink_to(part)
    _make_environment(place / ".venv")
    return place


def _make_environment(environment: Path) -> None:
    """The environment of the tests, as `make` would have made it in that place."""
    programs = environment / "bin"
    programs.mkdir(parents=True)
    for name in ("lib", "pyvenv.cfg"):
        (environment / name).symlink_to(Path(sys.prefix) / name)
    for program in (Path(sys.prefix) / "bin").iterdir():
        if program.name == "activate":
            text = program.read_text().replace(sys.prefix, str(environment))
            (programs / program.name).write_text(text)
        elif program.name != "elecdata":
            (programs / program.name).symlink_to(program)
    (programs / "elecdata").symlink_to("../../bin/elecdata")
    (environment / ".run").touch()

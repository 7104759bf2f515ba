"""Run the README's commands on empty systems, and the tests with each Python: `make matrix`.

A system is a minimal root of Debian with Python, make, git and certificates only. Each root is
entered in namespaces of its own, so nothing stays mounted or running, however it ends. Of the host,
only what installing packages needs is carried over.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from socket import create_server
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

PROJECT = Path(__file__).parent.parent
FOLDER = PROJECT / "var" / "matrix"
PAGE = PROJECT / "docs" / "how-to" / "developing.md"
BEGIN, END = "<!-- make matrix writes from here -->\n", "<!-- to here -->\n"

DEBIAN = {"bookworm": "Debian 12", "trixie": "Debian 13", "sid": "Debian unstable"}
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PACKAGES = ("python3", "python3-venv", "make", "git", "ca-certificates")
CLONE = "srv/elecdata"

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
CERTIFICATE_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT")
PROXY_VARIABLES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy")

ENTER = """
mount -t proc proc "$1/proc" && mount --rbind /dev "$1/dev" && shift && chroot "$@"
exit "$?"
"""
START_SECONDS = 900
STOP_SECONDS = 60


class RunError(Exception):
    """`make run` did not do what the README says."""


class LeftOutError(Exception):
    """A row cannot be tried here."""


@dataclass(frozen=True)
class Place:
    """Where a row's commands run: a root, or the host."""

    name: str
    clone: Path
    """As the host sees it."""
    root: Path | None = None
    make: tuple[str, ...] = ("make",)

    @property
    def log(self) -> Path:
        return FOLDER / f"{self.name}.log"

    def command(self, words: Sequence[str], **environ: str) -> list[str]:
        """The whole command, with no variable of the host but those that are carried."""
        home = "/root" if self.root else str(self.clone.parent / "home")
        known = {"PATH": PATH, "HOME": home, "LANG": "C", **_carried(self.root), **environ}
        clean = ["/usr/bin/env", "-i", *(f"{name}={value}" for name, value in known.items())]
        if self.root is None:
            return [*clean, *words]
        unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
        root = str(self.root)
        return [*unshare, "sh", "-c", ENTER, "sh", root, root, *clean, *words]

    def made(self, target: str) -> list[str]:
        """The words of a `make` in the clone."""
        folder = f"/{CLONE}" if self.root else str(self.clone)
        return [*self.make, "-C", folder, target]

    def output(self, *words: str) -> str:
        done = subprocess.run(self.command(words), capture_output=True, text=True, check=False)
        return done.stdout.strip()


@dataclass
class Row:
    """A line of the table."""

    system: str
    python: str = ""
    mariadb: str = ""
    run: str = ""
    test: str = ""
    is_good: bool = False

    def line(self) -> str:
        return f"| {self.system} | {self.python} | {self.mariadb} | {self.run} | {self.test} |"


def main() -> int:
    """Run the rows, print their table and put it into the documentation."""
    parser = argparse.ArgumentParser(prog="make matrix", description=__doc__)
    parser.add_argument("rows", nargs="*", help=f"of {', '.join((*DEBIAN, *PYTHONS))}")
    parser.add_argument("--keep", action="store_true", help="keep the roots and environments")
    parser.add_argument("--rebuild", action="store_true", help="make the empty roots anew")
    options = parser.parse_args()
    wanted = options.rows or ["bookworm", "trixie", *PYTHONS]
    if unknown := set(wanted) - {*DEBIAN, *PYTHONS}:
        parser.error(f"unknown rows: {' '.join(sorted(unknown))}")
    FOLDER.mkdir(parents=True, exist_ok=True)
    if _git("status", "--porcelain"):
        print("What is not committed is not tried.", file=sys.stderr)
    rows = []
    for name in wanted:
        row = _tried(name, keep=options.keep, rebuild=options.rebuild)
        print(row.line(), flush=True)
        rows.append(row)
    table = table_of(rows)
    print(f"\n{table}")
    if not options.rows:
        write(PAGE, table)
    return 0 if all(row.is_good for row in rows) else 1


def _tried(name: str, *, keep: bool, rebuild: bool) -> Row:
    """The row of a system or a Python."""
    is_root = name in DEBIAN
    row = Row(DEBIAN[name] if is_root else "the host", "" if is_root else name)
    folder = FOLDER / name
    _remove(folder)
    try:
        place = _system(name, folder, rebuild=rebuild) if is_root else _host(name, folder)
        _clone(place.clone)
        place.log.write_text("")
        _fill(row, place)
    except LeftOutError as error:
        row.test = f"left out: {error}"
        row.is_good = True
    except RunError as error:
        row.test = str(error)
    finally:
        if not keep:
            _remove(folder)
    return row


def _fill(row: Row, place: Place) -> None:
    """Run the commands and note how they went."""
    interpreter = str(place.clone / ".venv/bin/python") if place.root is None else "python3"
    if place.root is not None:
        seconds = _run(place, signal.SIGINT)
        _run(place, signal.SIGTERM)
        row.run = f"{seconds:.0f}"
    print(f"{place.name}: make test, see {place.log}", flush=True)
    with place.log.open("a") as log:
        done = subprocess.run(
            place.command(place.made("test")), stdout=log, stderr=subprocess.STDOUT, check=False
        )
    row.test = outcome(place.log.read_text())
    row.is_good = done.returncode == 0
    if not row.is_good and " 0 failed" in row.test:
        row.test += f", but status {done.returncode}"
    row.python = place.output(interpreter, "--version").removeprefix("Python ")
    version = re.search(r"(\d+\.\d+\.\d+)-MariaDB", place.output("mariadbd", "--version"))
    row.mariadb = version[1] if version else "none"


def _run(place: Place, signum: signal.Signals) -> float:
    """The seconds of a `make run` until the service answers; it is ended by a signal."""
    print(f"{place.name}: make run, until {signum.name}", flush=True)
    said_before = len(place.log.read_text())
    port = _free_port()
    words = place.command(place.made("run"), ELECDATA_SERVER__PORT=str(port))
    begin = time.monotonic()
    with place.log.open("a") as log:
        process = subprocess.Popen(
            words, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
        )
        try:
            while not _answers(port):
                if process.poll() is not None or time.monotonic() > begin + START_SECONDS:
                    raise RunError(f"`make run` does not serve, see {place.log}")
                time.sleep(0.1)
            seconds = time.monotonic() - begin
            os.killpg(process.pid, signum)
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise RunError(f"`make run` goes on after {signum.name}") from error
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    said = place.log.read_text()[said_before:]
    if _answers(port) or "Traceback" in said or "INFO stopping" not in said:
        raise RunError(f"`make run` does not end cleanly by {signum.name}, see {place.log}")
    return seconds


def _answers(port: int) -> bool:
    try:
        url = f"http://127.0.0.1:{port}/health/live"
        with build_opener(ProxyHandler({})).open(url, timeout=1) as response:
            return bool(response.status == 200)
    except (URLError, OSError):
        return False


def _free_port() -> int:
    with create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def outcome(log: str) -> str:
    """How many tests passed, failed and were left out."""
    ends = re.findall(r"(?m)^=+ (.*) in [\d.]+s.* =+$", log)
    if not ends:
        return "no test ran"
    counted = {word: int(count) for count, word in re.findall(r"(\d+) (\w+)", ends[-1])}
    failed = counted.get("failed", 0) + counted.get("error", 0) + counted.get("errors", 0)
    left_out = counted.get("skipped", 0)
    return f"{counted.get('passed', 0):,} passed, {failed} failed, {left_out} left out"


# Systems


def _system(suite: str, folder: Path, *, rebuild: bool) -> Place:
    """A fresh copy of an empty root, which is made where there is none."""
    if os.geteuid() != 0:
        raise LeftOutError("only root can make a minimal system and enter it")
    words = ["unshare", "--mount", "--pid", "--fork", "true"]
    if not shutil.which(words[0]) or subprocess.run(words, check=False).returncode:
        raise LeftOutError("here not even root may mount, as in most containers")
    empty = FOLDER / f"{suite}.empty"
    if rebuild:
        _remove(empty)
    if not empty.exists():
        _bootstrap(suite, empty)
    subprocess.run(["cp", "-a", str(empty), str(folder)], check=True)
    _prepare(folder)
    return Place(suite, folder / CLONE, root=folder)


def _bootstrap(suite: str, empty: Path) -> None:
    """Make an empty root."""
    if not shutil.which("debootstrap") and shutil.which("apt-get"):
        subprocess.run(["apt-get", "install", "-qq", "-y", "debootstrap"], check=False)
    if not shutil.which("debootstrap"):
        raise LeftOutError("debootstrap is not installed")
    print(f"{suite}: debootstrap", flush=True)
    unfinished = empty.with_suffix(".unfinished")
    _remove(unfinished)
    words = ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}"]
    log = FOLDER / f"{suite}.debootstrap.log"
    with log.open("w") as file:
        done = subprocess.run(
            # Its mounts are undone with the namespace, also where it is broken off.
            ["unshare", "--mount", *words, suite, str(unfinished), *_mirror()],
            stdout=file,
            stderr=file,
            check=False,
        )
    if done.returncode:
        raise LeftOutError(f"debootstrap failed, see {log}")
    unfinished.rename(empty)


def _prepare(root: Path) -> None:
    """Carry over what installing packages needs: names, certificates, apt's and pip's settings."""
    shutil.copy("/etc/resolv.conf", root / "etc" / "resolv.conf")
    if bundle := _bundle():
        shutil.copy(bundle, root / CERTIFICATES.lstrip("/"))
    settings = Path("/etc/pip.conf")
    if settings.exists():
        shutil.copy(settings, root / "etc" / "pip.conf")
    if shutil.which("apt-config"):
        told = subprocess.run(
            ["apt-config", "dump", "--no-empty", "Acquire"],
            capture_output=True,
            text=True,
            check=True,
        )
        (root / "etc/apt/apt.conf.d/90host").write_text(told.stdout)
    # An installer writes it; debootstrap does not.
    hosts = root / "etc/hosts"
    if not hosts.exists():
        hosts.write_text("127.0.0.1 localhost\n::1 localhost\n")
    # As in a container, packages start no service.
    policy = root / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)


def _mirror() -> Sequence[str]:
    """The host's mirror of Debian; none where debootstrap takes its own."""
    if not shutil.which("apt-get"):
        return ()
    words = ["apt-get", "indextargets", "--format", "$(REPO_URI)"]
    told = subprocess.run(
        [*words, "Created-By: Packages", "Origin: Debian", "Label: Debian"],
        capture_output=True,
        text=True,
        check=False,
    )
    return told.stdout.split()[:1]


def _bundle() -> str:
    """The host's certificates."""
    found = (os.environ.get("SSL_CERT_FILE", ""), CERTIFICATES)
    return next((path for path in found if path and Path(path).exists()), "")


def _carried(root: Path | None) -> dict[str, str]:
    """The host's variables that installing packages needs, as they are in a root."""
    carried = dict(_installing(os.environ))
    if root is not None:
        for name in CERTIFICATE_VARIABLES:
            if name in carried:
                carried[name] = CERTIFICATES
    return carried


def _installing(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in environ.items():
        is_pip = name.startswith("PIP_") and not Path(value).is_dir()
        if is_pip or name in CERTIFICATE_VARIABLES or name.lower() in PROXY_VARIABLES:
            yield name, value


# Pythons of the host


def _host(version: str, folder: Path) -> Place:
    """The tests with a Python of the host."""
    interpreter = _interpreter(version)
    if interpreter is None:
        raise LeftOutError(f"Python {version} is not on the host")
    (folder / "home").mkdir(parents=True)
    make = ("make", f"PYTHON={interpreter}")
    return Place(f"python-{version}", folder / "elecdata", make=make)


def _interpreter(version: str) -> Path | None:
    """The newest of a version, in pyenv's folder or in the path."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    found = [
        path / "bin" / f"python{version}"
        for path in sorted(pyenv.glob(f"{version}.*"), key=_patch, reverse=True)
    ]
    if (program := shutil.which(f"python{version}")) is not None:
        found.append(Path(program))
    return next((path for path in found if _is_usable(path)), None)


def _patch(folder: Path) -> int:
    digits = re.findall(r"\d+", folder.name)
    return int(digits[2]) if len(digits) > 2 else -1


def _is_usable(interpreter: Path) -> bool:
    """A shim of pyenv is there for Pythons that can't be run."""
    words = [str(interpreter), "-c", "import ensurepip, venv"]
    return (
        interpreter.exists()
        and not subprocess.run(words, check=False, capture_output=True).returncode
    )


# Files


def _clone(place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    words = ["clone", "--quiet", "--no-hardlinks", str(PROJECT), str(place)]
    _git(*words)


def _git(*words: str) -> str:
    done = subprocess.run(
        ["git", *words], cwd=PROJECT, stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def table_of(rows: Sequence[Row]) -> str:
    head = ["| system | Python | MariaDB | `make run`, s | `make test` |", "|---|---|---|---|---|"]
    return "\n".join([*head, *(row.line() for row in rows)])


def write(page: Path, table: str) -> None:
    """Put the table into the documentation, between its markers."""
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    assert begin and end, f"{page} has no markers"  # noqa: PT018 - not a test
    page.write_text(f"{before}{begin}\n{table}\n\n{end}{after}")


if __name__ == "__main__":
    # A script that runs this in the background has interrupts ignored, by what is started here too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)

"""The command `python -m tests.fuzz`: atheris tries inputs that reach what no other one did.

`python -m tests.fuzz TARGET SECONDS` runs one target, its finds in var/fuzz/TARGET beside what
is kept in tests/fuzz/corpus/TARGET. `python -m tests.fuzz TARGET keep` adds to what is kept what
reaches more of the code.
"""

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["loader", "server", "settings", "storage"]):
    from tests.fuzz.targets import TARGETS

FOLDER = Path(__file__).parent
LONGEST = 2048
"""Bytes of an input."""


def main() -> None:
    """Runs a target until it fails or its time is over, or adds to what is kept."""
    name, how, *given = sys.argv[1:]
    kept, found = FOLDER / "corpus" / name, Path("var/fuzz") / name
    for folder in (kept, found):
        folder.mkdir(parents=True, exist_ok=True)
    usual = [
        f"-max_len={LONGEST}",
        f"-dict={FOLDER / 'words'}",
        "-timeout=10",
        "-rss_limit_mb=1024",
        "-print_final_stats=1",
        f"-artifact_prefix={found}-",
    ]
    if how == "keep":
        usual += ["-merge=1", str(kept), str(found)]
    else:
        usual += [f"-max_total_time={how}", str(found), str(kept)]
    # To keep, it runs itself anew, through a shell, with options of its own.
    atheris.Setup(
        [f"{sys.executable} -m tests.fuzz {name} {how}", *(given or usual)], TARGETS[name]
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()

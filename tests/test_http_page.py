"""The commands of docs/http.md, run as they stand there."""

import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.commands import output
from tests.serving import Api

PAGE = Path(__file__).parent.parent / "docs" / "http.md"
BLOCKS = re.findall(r"(?ms)^```(\w+)\n(.*?)^```$", PAGE.read_text())


async def test_commands_of_the_page_give_what_it_says(api: Api, tmp_path: Path) -> None:
    bash, curl = shutil.which("bash"), shutil.which("curl")
    if bash is None or curl is None:
        pytest.skip("bash or curl is not installed")
    told = ""
    for kind, text in BLOCKS:
        if kind == "sh":
            environ = {"URL": f"http://127.0.0.1:{api.port}", "TOKEN": api.token}
            told = await output([bash, "-o", "pipefail", "-ec", text], tmp_path, **environ)
        elif kind == "python":
            told = await output([sys.executable, "-c", text], tmp_path)
            assert told.startswith("[(11716, Decimal(")
        else:
            assert told.rstrip("\n") == text.rstrip("\n")
    assert {kind for kind, _ in BLOCKS} == {"sh", "json", "csv", "text", "python"}

"""A client that openapi-python-client generates from the document of /v1."""

import json
import sys
from pathlib import Path

import pytest

from tests.support.app_client import Serve
from tests.support.commands import output
from tests.support.databases import DatabaseFixture
from tests.support.paths import ROOT
from tests.support.promises import Tried
from tests.support.report_factory import report, row

GENERATE = "openapi_python_client generate --meta none --path openapi.json --output-path"


@pytest.mark.promise("Running it")
@pytest.mark.trust
async def test_generated_client_of_v1_reads_two_meters(
    serve: Serve, database: DatabaseFixture, tmp_path: Path, tried: Tried
) -> None:
    for meter in ("attic", "cellar"):
        rows = [row(f"02 Sep 2019 00:{n}:00", f"{n}.5", str(len(meter))) for n in ("00", "15")]
        await database.load(report(*rows), meter=meter, register=True)
    api = await serve(database)
    async with api.client.get("/openapi.json") as response:
        (tmp_path / "openapi.json").write_text(await response.text())
    own = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}  # where it finds ruff
    await output([sys.executable, "-m", *GENERATE.split(), "electricity"], tmp_path, **own)
    url = str(api.client.make_url("/")).rstrip("/")
    script = [sys.executable, "-m", "tests.support.v1_client", str(tmp_path), url, api.token]
    found, detail = json.loads(await output(script, ROOT))
    times = ["2019-09-02T00:00:00+02:00", "2019-09-02T00:15:00+02:00"]
    energies = [*zip(times, (0.5, 15.5), strict=True)]
    assert found == {meter: [[*pair] for pair in energies] for meter in ("attic", "cellar")}
    assert detail == "meter: there is no meter absent"
    tried(f"meters read by a generated client, {database.kind}", len(found))

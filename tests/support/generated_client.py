"""Log in and read with a client that bravado generates from the OpenAPI document; print the result.

It runs in a process of its own: validators that other tests load change how it reads schemas.
"""

import json
import sys
from typing import Any

from bravado.client import SwaggerClient
from bravado.exception import HTTPBadRequest
from bravado.requests_client import RequestsClient
from yarl import URL


def main(url: URL) -> None:
    """Print the records that the client reads, and an error's message."""
    http = RequestsClient()
    client: Any = SwaggerClient.from_url(  # type: ignore[no-untyped-call]  # bravado's
        str(url / "swagger.json"), http_client=http
    )
    http.set_basic_auth(url.authority, "rick", "morty")
    token = client.access.post_login().result()
    http.set_api_key(url.authority, token.value_token, param_name=token.Key, param_in=token.In)

    readings = (
        client.readings.get_apielec_getDataById(id="5,100", columns="date,energy")
        .result()
        .values.records
    )
    month = {"date": "2019-09", "end_date": "2019-10", "end": "exclusive"}
    summary = client.figures.post_apielec_getSummary(**month).result().values.records
    try:
        client.readings.get_apielec_getDataByRange(
            date="2019-09-12", end_date="2019-09-11"
        ).result()
    except HTTPBadRequest as error:
        refusal: Any = error.swagger_result
        print(json.dumps([*map(fields, [*readings, *summary]), refusal.message]))


def fields(record: Any) -> dict[str, Any]:
    """Return the fields of a record."""
    return {name: record[name] for name in dir(record) if record[name] is not None}


if __name__ == "__main__":
    main(URL(sys.argv[1]))

"""Read all meters with a client that was generated from the document of /v1; print the result.

It is a program of its own: the client is made while tests run.
"""

import importlib
import json
import sys


def main(folder: str, url: str, token: str) -> None:
    """Print the energy of the first readings of each meter, by its id, and an error's detail."""
    sys.path.insert(0, folder)
    client = importlib.import_module("electricity").AuthenticatedClient(base_url=url, token=token)
    list_meters = importlib.import_module("electricity.api.meters.list_meters")
    get_readings = importlib.import_module("electricity.api.readings.get_readings")
    found = {}
    for meter in list_meters.sync(client=client).data:
        answer = get_readings.sync(meter.id, client=client, from_="2019-09-02", limit=2)
        found[meter.id] = [[reading.start.isoformat(), reading.energy] for reading in answer.data]
    refusal = get_readings.sync("absent", client=client)
    print(json.dumps([found, refusal.detail]))


if __name__ == "__main__":
    main(*sys.argv[1:])

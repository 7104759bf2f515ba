"""Read a day, and a month page by page, with requests."""

import os
from collections.abc import Iterator
from decimal import Decimal
from urllib.parse import urljoin

import requests

URL = os.environ.get("API_URL", "http://127.0.0.1:5000")
LOGIN = (os.environ.get("API_USER", "rick"), os.environ.get("API_PASSWORD", "morty"))
METER = {"meter": meter} if (meter := os.environ.get("API_METER")) else {}

Reading = dict[str, str | None]


def logged_in() -> requests.Session:
    """A session whose requests carry the token."""
    session = requests.Session()
    answer = session.post(f"{URL}/login", auth=LOGIN, timeout=30)
    answer.raise_for_status()
    session.headers["SESSION"] = answer.json()["value_token"]
    return session


def readings(session: requests.Session, route: str, **params: str) -> Iterator[Reading]:
    """Readings, part by part where there is a limit: each answer's Link leads to the next."""
    url = f"{URL}/apielec/{route}"
    params |= METER
    while url:
        answer = session.get(url, params=params, timeout=30)
        answer.raise_for_status()
        yield from answer.json()["values"]["records"]
        following = answer.links.get("next")
        url = urljoin(answer.url, following["url"]) if following else ""
        params = {}  # the link has them


def energy(found: Iterator[Reading]) -> Decimal:
    """Their kWh, to the last digit; a reading that the meter missed has none."""
    return sum((Decimal(each["energy"]) for each in found if each["energy"]), Decimal(0))


if __name__ == "__main__":
    with logged_in() as session:
        day = readings(session, "getDataByDate", date="2019-09-11%")
        print("11 September:", energy(day), "kWh")

        month = {"date": "2019-09", "end_date": "2019-10", "end": "exclusive", "limit": "1000"}
        print("September:", energy(readings(session, "getDataByRange", **month)), "kWh")

        session.post(f"{URL}/logout", timeout=30).raise_for_status()

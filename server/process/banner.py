"""The banner with the URL, a login and example commands."""

import ipaddress
from contextlib import suppress

from settings import Settings, is_demonstration, url_host

_TEXT = r"""
Electricity readings: {url}/dashboard
{login}API documentation:    {url}/

Try it in another terminal:

  TOKEN=$(curl -s -X POST -u {user} {url}/login | sed -n 's/.*"value_token": *"\([^"]*\)".*/\1/p')
  curl -s -H "SESSION: $TOKEN" '{url}/apielec/getDataById?id=5,100'
  curl -s -H "SESSION: $TOKEN" -G --data-urlencode 'date=2019-09-11%' {url}/apielec/getDataByDate

Press Ctrl-C to stop.
"""


def banner(settings: Settings, port: int) -> str:
    """Return the URLs of the service, and three commands to try it with."""
    published = [
        f"{name}:{password.get_secret_value()}"
        for name, password in settings.api_users.items()
        if is_demonstration(name, password.get_secret_value())
    ]
    login = f"User and password:    {published[0].replace(':', ' / ')}\n" if published else ""
    scheme = "http" if settings.server.tls.certificate is None else "https"
    user = published[0] if published else "USER"
    return _TEXT.format(
        url=f"{scheme}://{_host(settings.server.host)}:{port}", login=login, user=user
    )


def _host(host: str) -> str:
    """Return the host to connect to from the same machine."""
    with suppress(ValueError):
        address = ipaddress.ip_address(host)
        if address.is_unspecified:
            return "127.0.0.1" if address.version == 4 else "[::1]"
    return url_host(host)

"""Who a client is, with and without proxies in between."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.transport.client_address import is_among, nearest_untrusted

pytestmark = pytest.mark.promise("Getting in")

PROXIES = (ip_network("10.0.0.0/8"), ip_network("::1"))


@pytest.mark.parametrize(
    ("remote", "heard", "client"),
    [
        ("192.0.2.1", "", "192.0.2.1"),
        ("192.0.2.1", "192.0.2.9", "192.0.2.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "192.0.2.9", "192.0.2.9"),
        ("10.0.0.1", "192.0.2.9, 10.0.0.2", "192.0.2.9"),
        ("10.0.0.1", "203.0.113.5, 192.0.2.9, 10.0.0.2", "192.0.2.9"),
        ("10.0.0.1", "10.0.0.3,10.0.0.2", "10.0.0.3"),
        ("::1", "2001:db8::7", "2001:db8::7"),
        ("::1", "[2001:db8::7]:4711", "2001:db8::7"),
        ("::1", "192.0.2.9:4711", "192.0.2.9"),
        ("::ffff:10.0.0.1", "192.0.2.9", "192.0.2.9"),
        ("10.0.0.1", "192.0.2.9, unknown", "192.0.2.9"),
        ("10.0.0.1", "<script>", "10.0.0.1"),
        ("-", "192.0.2.9", "-"),
        # Longer chains are not followed to their end.
        ("10.0.0.1", "192.0.2.9" + ",10.0.0.2" * 15, "192.0.2.9"),
        ("10.0.0.1", "192.0.2.9" + ",10.0.0.2" * 16, "10.0.0.2"),
    ],
)
def test_client_is_the_nearest_that_is_no_proxy(remote: str, heard: str, client: str) -> None:
    assert nearest_untrusted(remote, heard, PROXIES) == client


@given(st.text())
def test_stranger_is_not_believed_whatever_it_says(heard: str) -> None:
    assert nearest_untrusted("192.0.2.1", heard, PROXIES) == "192.0.2.1"


@given(st.lists(st.one_of(st.text(), st.ip_addresses().map(str))).map(",".join))
def test_client_is_an_address_whatever_a_proxy_says(heard: str) -> None:
    client = nearest_untrusted("10.0.0.1", heard, PROXIES)
    assert str(ip_address(client)) == client


def test_what_is_no_address_is_in_no_network() -> None:
    assert not is_among("-", [ip_network("0.0.0.0/0"), ip_network("::/0")])

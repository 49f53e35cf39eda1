"""Addresses as patterns and events spell them (1.5 point 15)."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from router.patterns.addresses import Address, parse_address, parse_network


@given(st.ip_addresses())
def test_every_spelling_of_an_address(address):
    wanted = Address(address.version, int(address))
    assert parse_address(str(address)) == wanted
    assert parse_address(address.exploded.upper()) == wanted


@pytest.mark.parametrize(
    "text",
    ["", ":", "1.2.3", "1.2.3.4.5", "1.2.3.256", "1.2.3.4 ", "1.2.3.x", "12:34", "1::2::3",
     "::ffff:10.0.0.1", "fe80::1%eth0", "0000000000010.0.0.1", "٣.1.1.1", "1.2.3.4\n",
     "1" * 5_000 + ".1.1.1", ":" * 5_000],
)  # fmt: skip
def test_no_address(text):
    assert parse_address(text) is None


@given(st.ip_addresses(), st.ip_addresses(), st.integers(0, 127))
def test_a_block_holds_what_the_standard_library_says(one, other, bits):
    assume(one.version == 4 or one.ipv4_mapped is None)
    bits = min(bits, one.max_prefixlen - 1)
    network = parse_network(f"{one}/{bits}")
    held = ip_network((int(one), bits) if one.version == 4 else (one, bits), strict=False)
    for address in (one, other, held[0], held[-1], ip_address(int(held[-1]) ^ 1)):
        is_held = address.version == one.version and address in held
        assert network.contains(Address(address.version, int(address))) == is_held


def test_ipv4_written_as_ipv6_is_no_ipv4():
    assert not parse_network("10.0.0.0/8").contains(parse_address("::ffff:a00:1"))

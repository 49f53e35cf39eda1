"""IP addresses in patterns and events."""

import re
from ipaddress import AddressValueError, IPv6Address
from typing import Final, NamedTuple

from router.patterns.problems import PatternError

IPV4_TEXT_MAX: Final = 15
"""Longest text of an IPv4 address, leading zeros included."""

IPV6_TEXT_MAX: Final = 39
"""Longest text of an IPv6 address."""

_BITS: Final = {4: 32, 6: 128}
_IPV4: Final = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+")
_IPV6: Final = re.compile(r"[0-9a-fA-F:]*:[0-9a-fA-F:]*")
_INTEGER: Final = re.compile(r"[-+]?[0-9]{1,9}")
_MAPPED: Final = 0xFFFF
"""Bits 32 to 127 of an IPv4 address written as an IPv6 one."""


class Address(NamedTuple):
    """An address: IP version 4 or 6, and its bits as a number."""

    version: int
    number: int


class Network(NamedTuple):
    """The addresses from `first` to `last`."""

    version: int
    first: int
    last: int

    def contains(self, address: Address) -> bool:
        """Whether an address is one of them; of another version it never is."""
        return address.version == self.version and self.first <= address.number <= self.last


def parse_address(text: str) -> Address | None:
    """The address a text spells; leading zeros are decimal (`010` is ten)."""
    if _IPV4.fullmatch(text):
        parts = text.split(".")
        if len(text) > IPV4_TEXT_MAX or any(int(part) > 0xFF for part in parts):
            return None
        return Address(4, int.from_bytes(map(int, parts)))
    if len(text) > IPV6_TEXT_MAX or not _IPV6.fullmatch(text):
        return None
    try:
        return Address(6, int(IPv6Address(text)))
    except AddressValueError:
        return None


def parse_network(text: str) -> Network:
    """The addresses of `a.b.c.d/0..31` or `v6/0..127`; bits of the host may be set.

    Raises `PatternError`.
    """
    parts = text.split("/")
    while parts and not parts[-1]:
        parts.pop()
    if len(parts) != 2:
        raise PatternError("Malformed CIDR, one '/' required")
    if not _INTEGER.fullmatch(parts[1]):
        raise PatternError("Malformed CIDR, mask bits must be an integer")
    bits = int(parts[1])
    if bits < 0:
        raise PatternError("Malformed CIDR, mask bits must not be negative")
    if not _IPV4.fullmatch(parts[0]) and not _IPV6.fullmatch(parts[0]):
        raise PatternError(f"Nonstandard IP address: {parts[0]}")
    address = parse_address(parts[0])
    if address is None:
        raise PatternError(f"Invalid IP address: {parts[0]}")
    if address.version == 6 and address.number >> 32 == _MAPPED:
        address = Address(4, address.number & 0xFFFFFFFF)
    width = _BITS[address.version]
    if bits >= width:
        raise PatternError(f"IPv{address.version} mask bits must be < {width}")
    hosts = (1 << (width - bits)) - 1
    return Network(address.version, address.number & ~hosts, address.number | hosts)

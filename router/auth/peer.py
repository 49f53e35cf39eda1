"""Who is at the other end of a loopback connection: the user its process runs as.

At isolation rung 3 every function has a user of its own, so the api listener can refuse functions
whatever keys they hold (`design.md` 4). The kernel is asked for the one socket by netlink; where it
lacks that (no `inet_diag`) its tables in `/proc/net` are read.
"""

import ipaddress
import os
import socket
import struct
from pathlib import Path
from typing import NamedTuple, Protocol

ASK_S_MAX = 1.0
"""The kernel answers at once; this only keeps a surprise from blocking for ever."""

_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY = 4, 20
_NLM_F_REQUEST = 1
_NLMSG_ERROR = 2
_ANY_STATE = 0xFFFF_FFFF
_NO_COOKIE = 0xFFFF_FFFF
_OWNER_OFFSET = 16 + 4 + 48 + 12  # nlmsghdr, family to retrans, inet_diag_sockid, expires to wqueue
_REPLY_BYTES_MAX = 8192
_LISTENING = "0A"


class Owner(NamedTuple):
    """Who holds a socket."""

    uid: int
    inode: int
    """The socket's number: `socket:[inode]` among the descriptors of whoever holds it; 0 when the
    process has closed it already."""


Address = tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int]


class Connected(Protocol):
    """What is needed of a socket; asyncio's `TransportSocket` has it too."""

    def getsockname(self) -> tuple[str, int]:
        """Our end."""

    def getpeername(self) -> tuple[str, int]:
        """The other end."""


class FunctionPeers:
    """Tells functions from everybody else by the range their users come from."""

    def __init__(self, uid_first: int, uid_count: int) -> None:
        """A count of 0 (below rung 3): functions share the router's user, nobody is told apart."""
        self._uids = range(uid_first, uid_first + uid_count)

    def must_refuse(self, connection: Connected) -> bool:
        """Whether the peer is a function, or a local one that cannot be told.

        Peers on other machines are not functions: those connect from here.
        """
        if not self._uids:
            return False
        try:
            ours, theirs = _address(connection.getsockname()), _address(connection.getpeername())
        except OSError:  # closed meanwhile
            return True
        if not _is_local(ours, theirs):
            return False
        owner = owner_of(theirs, ours)
        return owner is None or owner.uid in self._uids


def peer_owner(connection: Connected) -> Owner | None:
    """Who is at the other end of a connection within this host; None when not to be found.

    Raises `OSError` when the socket is not connected any more.
    """
    return owner_of(_address(connection.getpeername()), _address(connection.getsockname()))


def listener_owner(port: int) -> Owner | None:
    """Who listens for TCP connections to this port of 127.0.0.1; None when nobody is found."""
    ends = (ipaddress.IPv4Address("127.0.0.1"), port), (ipaddress.IPv4Address(0), 0)
    try:
        return _ask_kernel(*ends)
    except OSError:
        return _search_listeners(port)


def owner_of(local: Address, remote: Address) -> Owner | None:
    """Who owns the TCP socket with these ends, as its own process names them."""
    try:
        return _ask_kernel(local, remote)
    except OSError:
        return _search_tables(local, remote)


def _address(name: tuple[str, int]) -> Address:
    address = ipaddress.ip_address(name[0].partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address, name[1]


def _is_local(ours: Address, theirs: Address) -> bool:
    """A process of this host reaches us from a loopback address or from the one it connects to."""
    return theirs[0].is_loopback or theirs[0] == ours[0]


def _ask_kernel(local: Address, remote: Address) -> Owner | None:
    """One exact question to `inet_diag`; raises `OSError` where there is no such thing."""
    family = socket.AF_INET if local[0].version == 4 else socket.AF_INET6
    ends = struct.pack(">HH16s16s", local[1], remote[1], local[0].packed, remote[0].packed)
    ends += struct.pack("=III", 0, _NO_COOKIE, _NO_COOKIE)
    body = struct.pack("=BBBBI", family, socket.IPPROTO_TCP, 0, 0, _ANY_STATE) + ends
    head = struct.pack("=IHHII", 16 + len(body), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as netlink:
        netlink.settimeout(ASK_S_MAX)
        netlink.send(head + body)
        reply = netlink.recv(_REPLY_BYTES_MAX)
    kind = struct.unpack_from("=H", reply, 4)[0]
    if kind != _NLMSG_ERROR:
        return Owner(*struct.unpack_from("=II", reply, _OWNER_OFFSET))
    number = -struct.unpack_from("=i", reply, 16)[0]
    if number == 2:  # ENOENT: no such socket
        return None
    raise OSError(number, os.strerror(number))


def _search_tables(local: Address, remote: Address) -> Owner | None:
    table = Path("/proc/net/tcp" if local[0].version == 4 else "/proc/net/tcp6")
    ends = [_as_listed(local), _as_listed(remote)]
    try:
        lines = table.read_text(encoding="ascii").splitlines()[1:]
    except OSError:
        return None
    for line in lines:
        fields = line.split()
        if fields[1:3] == ends:
            return Owner(int(fields[7]), int(fields[9]))
    return None


def _search_listeners(port: int) -> Owner | None:
    for name in ("tcp", "tcp6"):
        try:
            lines = Path(f"/proc/net/{name}").read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                return Owner(int(fields[7]), int(fields[9]))
    return None


def _as_listed(address: Address) -> str:
    """An end as `/proc/net/tcp` writes it: 32-bit words in the machine's order, then the port."""
    packed = address[0].packed
    words = struct.unpack(f">{len(packed) // 4}I", packed)
    in_order = struct.unpack(f">{len(words)}I", struct.pack(f"={len(words)}I", *words))
    return "".join(f"{word:08X}" for word in in_order) + f":{address[1]:04X}"

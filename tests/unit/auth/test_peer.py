import os
import socket

import pytest

from router.auth import peer
from router.auth.peer import FunctionPeers

OTHER = 200_005


def listen(family):
    server = socket.socket(family)
    server.bind(("127.0.0.1" if family == socket.AF_INET else "::1", 0))
    server.listen()
    return server


def connect_from(uid, address, family):
    """A process of `uid` that connects and stays until the returned pipe is closed."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(write)
        if uid != os.getuid():
            os.setresuid(uid, uid, uid)
        connection = socket.socket(family)
        connection.connect(address)
        os.read(read, 1)
        os._exit(0)
    os.close(read)
    return pid, write


@pytest.fixture(params=[socket.AF_INET, socket.AF_INET6], ids=["IPv4", "IPv6"])
def connection(request):
    uid = OTHER if os.getuid() == 0 else os.getuid()
    with listen(request.param) as server:
        pid, write = connect_from(uid, server.getsockname()[:2], request.param)
        accepted, _ = server.accept()
        with accepted:
            yield accepted, uid
        os.close(write)
        os.waitpid(pid, 0)


def test_the_peers_user_is_found_by_either_way(connection):
    accepted, uid = connection
    owner = peer.peer_owner(accepted)
    assert owner is not None
    assert owner.uid == uid
    assert owner.inode > 0
    ends = peer._address(accepted.getpeername()), peer._address(accepted.getsockname())
    assert peer._search_tables(*ends) == owner
    assert peer._ask_kernel(*ends) == owner


def test_functions_are_refused_by_their_range(connection):
    accepted, uid = connection
    assert FunctionPeers(uid, 1).must_refuse(accepted)
    assert FunctionPeers(uid - 5, 10).must_refuse(accepted)
    assert not FunctionPeers(uid + 1, 10).must_refuse(accepted)
    assert not FunctionPeers(0, 0).must_refuse(accepted)


def test_a_dual_stack_listener_sees_through_mapped_addresses():
    with socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        address = ("127.0.0.1", server.getsockname()[1])
        with socket.create_connection(address), server.accept()[0] as accepted:
            assert accepted.getpeername()[0].startswith("::ffff:")
            assert peer.peer_owner(accepted).uid == os.getuid()
            assert FunctionPeers(os.getuid(), 1).must_refuse(accepted)


def test_a_local_peer_that_cannot_be_told_is_refused():
    class Strange:
        def __init__(self, ours, theirs):
            self.getsockname = lambda: ours
            self.getpeername = lambda: theirs

    guard = FunctionPeers(OTHER, 1)
    assert guard.must_refuse(Strange(("127.0.0.1", 1), ("127.0.0.1", 2)))
    assert guard.must_refuse(Strange(("192.0.2.1", 1), ("192.0.2.1", 2)))
    assert not guard.must_refuse(Strange(("192.0.2.1", 1), ("192.0.2.9", 2)))


def test_a_closed_connection_is_refused():
    server = listen(socket.AF_INET)
    client = socket.create_connection(server.getsockname())
    accepted, _ = server.accept()
    accepted.close()
    assert FunctionPeers(OTHER, 1).must_refuse(accepted)
    client.close()
    server.close()

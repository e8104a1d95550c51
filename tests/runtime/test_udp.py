from __future__ import annotations

import select
import socket
from pathlib import Path

import pytest

from ghost.errors import HostError
from ghost.runtime.udp import Udp, UdpSocket


def receive(sock: UdpSocket) -> tuple[bytes, tuple[str, int]] | None:
    select.select([sock.fileno()], [], [], 5)
    return sock.receive()


def listen(host: str = "127.0.0.1") -> Udp:
    return Udp.listen(host, 0)


def test_datagrams_arrive_with_the_address_that_answers_them() -> None:
    server, client = listen(), Udp.dial()
    client.send([(b"question", ("127.0.0.1", server.sockets[0].port))])
    arrived = receive(server.sockets[0])
    assert arrived is not None
    assert arrived[0] == b"question"
    server.send([(b"answer", arrived[1])])
    answer = receive(client.sockets[0])
    assert answer is not None
    assert answer[0] == b"answer"
    assert server.sockets[0].receive() is None


@pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="this host has no IPv6")
def test_an_address_is_host_and_port_over_ipv6_too() -> None:
    server, client = listen("::1"), Udp.dial()
    client.send([(b"question", ("::1", server.sockets[0].port))])
    arrived = receive(server.sockets[0])
    assert arrived is not None
    assert arrived[1][0] == "::1"
    assert len(arrived[1]) == 2


def test_a_client_has_other_ports_when_it_has_dialled_again() -> None:
    client = Udp.dial()
    former = {sock.port for sock in client.sockets}
    client.redial()
    assert {sock.port for sock in client.sockets}.isdisjoint(former)
    server = listen()
    client.send([(b"question", ("127.0.0.1", server.sockets[0].port))])
    arrived = receive(server.sockets[0])
    assert arrived is not None
    assert arrived[1][1] not in former


def test_an_occupied_port_is_named_with_the_cure() -> None:
    first = listen()
    port = first.sockets[0].port
    with pytest.raises(HostError, match=rf"UDP port {port} is in use.*--listen"):
        Udp.listen("127.0.0.1", port)
    first.close()


def test_an_address_of_another_host_is_named() -> None:
    with pytest.raises(HostError, match=r"no address 198\.18\.0\.9"):
        Udp.listen("198.18.0.9", 8000)


def test_what_cannot_be_sent_is_dropped_and_counted() -> None:
    server, client = listen(), Udp.dial()
    here = ("127.0.0.1", server.sockets[0].port)
    client.send([(bytes(70_000), here), (b"fits", here)])
    assert client.errors == {"EMSGSIZE": 1}
    assert receive(server.sockets[0])[0] == b"fits"


def test_a_family_that_the_server_does_not_listen_on_is_counted() -> None:
    server = listen()
    server.send([(b"x", ("::1", 9))])
    assert server.errors == {"EAFNOSUPPORT": 1}


def test_datagrams_are_never_fragmented() -> None:
    dont_fragment = listen().sockets[0]
    with socket.socket(fileno=socket.dup(dont_fragment.fileno())) as sock:
        assert sock.getsockopt(socket.IPPROTO_IP, 10) == 3

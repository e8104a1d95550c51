from __future__ import annotations

import errno
import select
import socket
from collections import Counter
from pathlib import Path

import pytest

from ghost.errors import HostError
from ghost.runtime.udp import Udp, UdpSocket


def receive(sock: UdpSocket) -> tuple[bytes, tuple[str, int]] | None:
    select.select([sock.fileno()], [], [], 5)
    arrived = sock.receive()
    return (arrived[0][0], arrived[1]) if arrived else None


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


def test_neighbours_of_one_size_arrive_as_they_were_sent() -> None:
    server, client = listen(), listen()
    here = ("127.0.0.1", server.sockets[0].port)
    sizes = [1400] * 70 + [900, 1400, 1400, 20, 30, 30, 1]
    sent = [bytes([number]) * size for number, size in enumerate(sizes)]
    client.send([(data, here) for data in sent])
    arrived: list[bytes] = []
    while len(arrived) < len(sent):
        select.select([server.sockets[0].fileno()], [], [], 5)
        datagrams = server.sockets[0].receive()
        assert datagrams
        arrived += datagrams[0]
    assert arrived == sent
    assert not client.errors


class Refusing:
    """A socket whose device segments nothing: that shows with the first datagrams, not before."""

    family = socket.AF_INET

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.asked = 0

    def setsockopt(self, *option: int) -> None: ...

    def sendmsg(self, *arguments: object) -> None:
        self.asked += 1
        raise OSError(errno.EIO, "Input/output error")

    def sendto(self, data: bytes, address: object) -> None:
        self.sent.append(data)


def test_a_device_that_refuses_segmentation_loses_nothing_and_is_asked_again_after_a_while() -> None:
    refusing = Refusing()
    sock = UdpSocket(refusing, Counter())  # type: ignore[arg-type]
    assert sock.has_segmentation
    sock.send([b"first", b"next"], ("192.0.2.1", 9))
    assert refusing.sent == [b"first", b"next"]
    assert not sock.has_segmentation
    assert not sock.errors
    for _ in range(1000):
        sock.send([b"first", b"next"], ("192.0.2.1", 9))
    assert len(refusing.sent) == 2002
    assert 3 <= refusing.asked <= 6
    refusing.sendmsg = lambda *_: None  # type: ignore[method-assign]
    for _ in range(300):
        sock.send([b"first", b"next"], ("192.0.2.1", 9))
    assert sock.has_segmentation

"""The outer socket: datagrams in and out, never blocking, never fragmented.

One socket per address family. What cannot be sent (full buffer, too large for the path, no route, a port that
answered "unreachable") is dropped and counted by its errno, exactly as the network would have dropped it: the
tunnel's own loss recovery is the only retry. Addresses are (host, port), host an IP address as text.

Where the kernel offers it, neighbours of one size to one address leave by one call (UDP_SEGMENT) and such as arrived
together come by one (UDP_GRO).
A device that refuses (no checksum offload, an MTU below the size) gets them one by one, and is asked again now and
then: what was switched off may be switched on.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
from collections import Counter
from collections.abc import Iterator

from gevent.monkey import get_original

from ghost.errors import HostError

Address = tuple[str, int]

# A quarter second of 100 Mbit/s: what arrives while the process is not scheduled must not be lost to a full buffer.
_BUFFER_SIZE = 4 << 20
_LARGEST_READ = 65_535  # a longer datagram than any path MTU in use fails to authenticate
_UDP_SEGMENT, _UDP_GRO = 103, 104  # linux/udp.h; since Linux 4.18 and 5.0
_RETRY_AFTER = 256  # runs sent one by one: a fraction of a second where it would matter
_MOST_SEGMENTS = 64  # UDP_MAX_SEGMENTS
_MOST_BYTES = 65_535 - 40 - 8  # IP's and UDP's headers count
_SEGMENT_SIZE = struct.Struct("=H")
_GRO_SIZE = struct.Struct("=i")
_ANCILLARY_SIZE = socket.CMSG_SPACE(_GRO_SIZE.size)
_REFUSALS = frozenset((errno.EIO, errno.EINVAL, errno.EMSGSIZE, errno.ENOPROTOOPT, errno.EOPNOTSUPP))
_IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER = 10, 23  # linux/in.h, linux/in6.h
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33  # asm-generic/socket.h
_PMTUDISC_PROBE = 3  # sets "don't fragment" and sends whatever size we say, for our own path MTU probing

# gevent's sockets wait for readiness on every call; the driver has waited already and wants the plain call.
_PlainSocket = get_original("socket", "socket")


class UdpSocket:
    """One bound socket of one family. `has_segmentation` and `has_merging` say which offloads are in use."""

    __slots__ = ("_is_ipv6", "_runs_until_retry", "_socket", "errors", "has_merging", "has_segmentation")

    def __init__(self, sock: socket.socket, errors: Counter[str]) -> None:
        self._socket = sock
        self.has_segmentation = _has_option(sock, _UDP_SEGMENT, 0)
        self.has_merging = _has_option(sock, _UDP_GRO, 1)
        self._runs_until_retry = 0  # below 1 it is never tried
        self._is_ipv6 = sock.family == socket.AF_INET6
        self.errors = errors

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    def receive(self) -> tuple[list[bytes], Address] | None:
        """Datagrams that arrived together, and whence; None when none waits, or when an ICMP error did (counted)."""
        try:
            data, ancillary, _, address = self._socket.recvmsg(_LARGEST_READ, _ANCILLARY_SIZE)
        except BlockingIOError:
            return None
        except OSError as error:
            self.errors[_name(error)] += 1
            return None
        if self._is_ipv6:
            host, port, _, scope = address
            address = (f"{host}%{scope}" if scope else host, port)
        if not ancillary:
            return [data], address
        size = _GRO_SIZE.unpack_from(ancillary[0][2])[0]
        return [data[at : at + size] for at in range(0, len(data), size)], address

    def send(self, datagrams: list[bytes], address: Address) -> None:
        """Datagrams of one size to one address, the last of which may be shorter: a run."""
        if len(datagrams) > 1 and self._may_segment():
            size = _SEGMENT_SIZE.pack(len(datagrams[0]))
            try:
                self._socket.sendmsg(datagrams, ((socket.IPPROTO_UDP, _UDP_SEGMENT, size),), 0, address)
                self.has_segmentation = True
                return
            except OSError as error:
                if error.errno not in _REFUSALS:
                    self.errors[_name(error)] += len(datagrams)
                    return
                self.has_segmentation = False
                self._runs_until_retry = _RETRY_AFTER
        for data in datagrams:
            try:
                self._socket.sendto(data, address)
            except OSError as error:
                self.errors[_name(error)] += 1

    def _may_segment(self) -> bool:
        if self.has_segmentation:
            return True
        self._runs_until_retry -= 1
        return self._runs_until_retry == 0

    def close(self) -> None:
        self._socket.close()


class Udp:
    """The sockets of a tunnel end: one for a server's listening address, one per family for a client."""

    __slots__ = ("_by_family", "errors", "sockets")

    def __init__(self, by_family: dict[bool, UdpSocket], errors: Counter[str]) -> None:
        self._by_family = by_family  # keyed by "is IPv6"
        self.sockets = list(by_family.values())
        self.errors = errors

    @classmethod
    def listen(cls, host: str, port: int, *, shares: bool = False) -> Udp:
        """A server's socket. Raises HostError naming the address and the cure.

        `shares`: other sockets of this user may listen there too, and the kernel gives each a share of the senders.
        """
        errors: Counter[str] = Counter()
        try:
            family, *_, where = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE)[0]
            bound = _open(socket.AddressFamily(family), where, accepts_ipv4=host == "::", shares=shares)
        except OSError as error:
            raise HostError(_bind_message(host, port, error)) from error
        return cls({family == socket.AF_INET6: UdpSocket(bound, errors)}, errors)

    @classmethod
    def dial(cls) -> Udp:
        """A client's sockets, on ports that the kernel chooses, for the families this host has."""
        errors: Counter[str] = Counter()
        return cls(cls._dialled(errors), errors)

    def redial(self) -> None:
        """A client's sockets on other ports, as after a NAT's rebinding: what comes for the former ones is lost."""
        self.close()
        self._by_family = self._dialled(self.errors)
        self.sockets = list(self._by_family.values())

    @staticmethod
    def _dialled(errors: Counter[str]) -> dict[bool, UdpSocket]:
        by_family = {}
        for family, anywhere in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
            with contextlib.suppress(OSError):
                by_family[family == socket.AF_INET6] = UdpSocket(
                    _open(family, (anywhere, 0), accepts_ipv4=False), errors
                )
        if not by_family:
            raise HostError("no UDP socket to be had: neither IPv4 nor IPv6 works on this host, check `ip address`")
        return by_family

    def send(self, datagrams: list[tuple[bytes, Address]]) -> None:
        for run, address in _runs(datagrams):
            sock = self._by_family.get(":" in address[0])
            if sock is None:
                self.errors["EAFNOSUPPORT"] += len(run)
            else:
                sock.send(run, address)

    @property
    def offloads(self) -> list[str]:
        """Which of the kernel's offloads are in use."""
        segmentation = any(sock.has_segmentation for sock in self.sockets)
        merging = any(sock.has_merging for sock in self.sockets)
        return ["UDP segmentation"] * segmentation + ["UDP merging"] * merging

    def close(self) -> None:
        for sock in self.sockets:
            sock.close()


def local_address() -> str | None:
    """This host's address on its way to the Internet, None when there is no way. Nothing is sent."""
    with _PlainSocket(socket.AF_INET, socket.SOCK_DGRAM) as sock, contextlib.suppress(OSError):
        sock.connect(("192.0.2.1", 9))  # connecting UDP only looks up the route; the address is for documentation
        return str(sock.getsockname()[0])
    return None


def _open(
    family: socket.AddressFamily, where: tuple[object, ...], *, accepts_ipv4: bool, shares: bool = False
) -> socket.socket:
    """`accepts_ipv4`: an IPv6 socket listening on every address serves IPv4 too, as ::ffff:a.b.c.d."""
    sock: socket.socket = _PlainSocket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        if shares:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        _enlarge(sock, _SO_RCVBUFFORCE, socket.SO_RCVBUF)
        _enlarge(sock, _SO_SNDBUFFORCE, socket.SO_SNDBUF)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not accepts_ipv4)
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PMTUDISC_PROBE)
        else:
            sock.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_PROBE)
        sock.bind(where)
    except OSError:
        sock.close()
        raise
    return sock


def _runs(datagrams: list[tuple[bytes, Address]]) -> Iterator[tuple[list[bytes], Address]]:
    """Neighbours that may leave by one call: to one address, of one size, only the last one shorter."""
    run: list[bytes] = []
    size = room = 0
    to: Address | None = None
    for data, address in datagrams:
        length = len(data)
        if address != to or length > size or length > room or len(run) == _MOST_SEGMENTS:
            if run and to is not None:
                yield run, to
            run, to, size, room = [], address, length, _MOST_BYTES
        run.append(data)
        room = room - length if length == size else 0
    if run and to is not None:
        yield run, to


def _has_option(sock: socket.socket, option: int, value: int) -> bool:
    """Sets it where the kernel knows it."""
    try:
        sock.setsockopt(socket.IPPROTO_UDP, option, value)
    except OSError:
        return False
    return True


def _enlarge(sock: socket.socket, forced: int, plain: int) -> None:
    """The FORCE options ignore net.core.rmem_max but need CAP_NET_ADMIN in the host's own user namespace."""
    for option in (forced, plain):
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, option, _BUFFER_SIZE)
            return


def _bind_message(host: str, port: int, error: OSError) -> str:
    cause = {
        errno.EADDRINUSE: f"UDP port {port} is in use: stop what uses it (`ss -lunp sport = :{port}`)",
        errno.EADDRNOTAVAIL: f"this host has no address {host}: see `ip address`",
        errno.EACCES: f"UDP port {port} needs root: run it with sudo",
    }.get(error.errno or 0, f"cannot listen on {host} port {port} ({error.strerror or error})")
    return f"{cause} or choose another --listen ADDR:PORT"


def _name(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, os.strerror(error.errno or 0))

"""The TUN device: whole IP packets in and out of the kernel, without blocking.

python-pytun opens it where it is installed; where it is not (OpenWrt has no package of it) the same ioctl is made
here. Either way only the file descriptor is used from then on: pytun's own read() would stop every greenlet. The
device is never persistent, so it vanishes with the process, however that ends. Address, MTU and state are changes to
the host and belong to host/network.py.

Where the kernel offers it (`TUNSETOFFLOAD`), TCP segments pass in both directions as super-packets, and checksums are
left to whoever needs them: then every packet has a header of virtio_net (linux/virtio_net.h) before it on the
descriptor.

Several processes may have a queue each of one device: the kernel gives a packet to the queue into which its flow was
written last, and spreads flows that it does not know.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import struct
from typing import Final, Protocol

from ghost.compression.checksum import complement, remainder
from ghost.compression.trains import SuperPacket, Train
from ghost.errors import HostError

try:
    import pytun
except ImportError:
    pytun = None

NODE = "/dev/net/tun"
_TUNSETIFF = 0x400454CA  # linux/if_tun.h; MIPS and PowerPC number their ioctls differently
_TUNSETIFF_ALTERNATE = 0x800454CA
_ALTERNATE_MACHINES = ("mips", "ppc", "powerpc", "sparc", "alpha")
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_IFREQ_SIZE = 40
_IFF_VNET_HDR = 0x4000
_IFF_MULTI_QUEUE = 0x0100
_TUNSETOFFLOAD, _TUNSETOFFLOAD_ALTERNATE = 0x400454D0, 0x800454D0
_OFFLOADS = 0x01 | 0x02  # TUN_F_CSUM and TUN_F_TSO4: the tunnel carries IPv4 alone
_VNET_HEADER = struct.Struct("=BBHHHH")  # flags, kind, size of headers, of a segment, start and offset of the checksum
_NEEDS_CHECKSUM = 1
_KIND_NONE, _KIND_TCP = 0, 1
_NO_OFFLOAD: Final = bytes(_VNET_HEADER.size)
_LARGEST = 65_535
_RETRY_AFTER = 256  # super-packets
_TCP_CHECKSUM, _UDP_CHECKSUM = 16, 6  # where in the header

_CURES = {
    errno.ENOENT: f"{NODE} is missing: `modprobe tun`, or start the container with --device={NODE}",
    errno.ENODEV: f"{NODE} has no driver: `modprobe tun`, or a kernel built with CONFIG_TUN",
    errno.ENXIO: f"{NODE} has no driver: `modprobe tun`, or a kernel built with CONFIG_TUN",
    errno.EACCES: f"no permission for {NODE}: run it with sudo, or start the container with --device={NODE}",
    errno.EPERM: "no permission to make a TUN device: run it with sudo, in a container with --cap-add=NET_ADMIN",
}


class _Opened(Protocol):
    """Whatever keeps a TUN descriptor open."""

    def fileno(self) -> int: ...

    def close(self) -> None: ...


class Tun:
    """An open TUN device; `read` and `write` raise BlockingIOError or OSError, `name` is the kernel's."""

    __slots__ = ("_fd", "_opened", "name")

    is_offloading = False
    """Whether segments pass as super-packets."""

    def __init__(self, name: str, opened: _Opened) -> None:
        self.name = name
        self._opened = opened
        self._fd = opened.fileno()
        os.set_blocking(self._fd, False)

    def fileno(self) -> int:
        return self._fd

    def read(self, size: int) -> bytes | SuperPacket:
        """One IP packet, cut at `size`."""
        return os.read(self._fd, size)

    def write(self, packet: bytes | SuperPacket) -> None:
        if isinstance(packet, bytes):
            os.write(self._fd, packet)
            return
        train = Train.of(packet)
        while train:
            os.write(self._fd, train.next_packet())

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._opened.close()


class OffloadingTun(Tun):
    """The same where segments pass as super-packets.

    `is_offloading` ends where the kernel takes no super-packet any more; they are cut here then, but for a trial.
    """

    __slots__ = ("is_offloading", "_body", "_head", "_view", "_writes_until_retry")

    def __init__(self, name: str, opened: _Opened) -> None:
        super().__init__(name, opened)
        machine = os.uname().machine
        request = _TUNSETOFFLOAD_ALTERNATE if machine.startswith(_ALTERNATE_MACHINES) else _TUNSETOFFLOAD
        fcntl.ioctl(self._fd, request, _OFFLOADS)
        self.is_offloading = True
        self._writes_until_retry = 0
        self._head = bytearray(_VNET_HEADER.size)
        self._body = bytearray(_LARGEST)
        self._view = memoryview(self._body)

    def read(self, size: int) -> bytes | SuperPacket:
        """One IP packet or many segments of a flow; `size` does not matter."""
        count = os.readv(self._fd, (self._head, self._body)) - _VNET_HEADER.size
        flags, kind, _, segment_size, start, offset = _VNET_HEADER.unpack(self._head)
        if kind == _KIND_TCP:
            return SuperPacket(bytes(self._view[:count]), segment_size)
        if flags & _NEEDS_CHECKSUM and start + offset + 2 <= count:
            check = complement(remainder(self._body[start:count]))
            if not check and offset == _UDP_CHECKSUM:
                check = 0xFFFF  # a sum of 0 says that there is none (RFC 768)
            self._body[start + offset : start + offset + 2] = check.to_bytes(2, "big")
        return bytes(self._view[:count])

    def write(self, packet: bytes | SuperPacket) -> None:
        if isinstance(packet, bytes):
            os.writev(self._fd, (_NO_OFFLOAD, packet))
            return
        if self.is_offloading or self._is_retry_due():
            try:
                self._write_super_packet(packet)
                self.is_offloading = True
                return
            except OSError as error:
                if error.errno != errno.EINVAL:  # the device is down: nothing that cutting would mend
                    raise
                self.is_offloading = False
                self._writes_until_retry = _RETRY_AFTER
        train = Train.of(packet)
        while train:
            os.writev(self._fd, (_NO_OFFLOAD, train.next_packet()))

    def _is_retry_due(self) -> bool:
        self._writes_until_retry -= 1
        return self._writes_until_retry == 0

    def _write_super_packet(self, super_packet: SuperPacket) -> None:
        packet, segment_size = super_packet
        tcp_at = (packet[0] & 0x0F) * 4
        data_at = tcp_at + (packet[tcp_at + 12] >> 4 << 2)
        kind = _KIND_TCP if len(packet) > data_at + segment_size else _KIND_NONE
        head = _VNET_HEADER.pack(_NEEDS_CHECKSUM, kind, data_at, segment_size if kind else 0, tcp_at, _TCP_CHECKSUM)
        os.writev(self._fd, (head, packet))


def open_tun(name: str, *, offloads: bool = False, shares: bool = False) -> Tun:
    """Makes the device `name`. Raises HostError with the cure; an existing device is never taken over.

    `offloads`: an OffloadingTun where the kernel has what it needs. `shares`: others may `join_tun`.
    """
    if _exists(name):
        raise HostError(f"network device {name} exists already: stop what uses it or choose another --tun-name")
    return _open(name, offloads=offloads, queue=_IFF_MULTI_QUEUE if shares else 0)


def join_tun(name: str, *, offloads: bool) -> Tun:
    """One more queue of a device that `open_tun` has made to be shared; `offloads`: whether it has them."""
    return _open(name, offloads=offloads, queue=_IFF_MULTI_QUEUE)


def _open(name: str, *, offloads: bool, queue: int) -> Tun:
    open_device = _open_directly if pytun is None else _open_with_pytun
    try:
        if offloads:
            with contextlib.suppress(OSError):
                opened = open_device(name, _IFF_TUN | _IFF_NO_PI | _IFF_VNET_HDR | queue)
                try:
                    return OffloadingTun(name, opened)
                except OSError:
                    opened.close()
                    raise
        return Tun(name, open_device(name, _IFF_TUN | _IFF_NO_PI | queue))
    except OSError as error:
        code = error.errno or 0
        cure = _CURES.get(code, f"cannot make TUN device {name} ({os.strerror(code)}): choose another --tun-name")
        raise HostError(cure) from error


def _exists(name: str) -> bool:
    # Not by /sys/class/net, which shows the namespace it was mounted in, not the one this thread is in.
    with contextlib.suppress(OSError):
        return socket.if_nametoindex(name) > 0
    return False


def _open_with_pytun(name: str, flags: int) -> _Opened:
    try:
        return pytun.TunTapDevice(name=name, flags=flags)  # type: ignore[no-any-return]
    except pytun.Error as error:
        raise OSError(*error.args) from error


def _open_directly(name: str, flags: int) -> _Opened:
    device = open(NODE, "r+b", buffering=0)  # noqa: SIM115 (lives as long as the tunnel)
    request = _TUNSETIFF_ALTERNATE if os.uname().machine.startswith(_ALTERNATE_MACHINES) else _TUNSETIFF
    try:
        fcntl.ioctl(device, request, struct.pack(f"16sH{_IFREQ_SIZE - 18}x", name.encode(), flags))
    except OSError:
        device.close()
        raise
    return device

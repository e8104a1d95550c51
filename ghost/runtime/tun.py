"""The TUN device: whole IP packets in and out of the kernel, without blocking.

python-pytun opens it where it is installed; where it is not (OpenWrt has no package of it) the same ioctl is made
here. Either way only the file descriptor is used from then on: pytun's own read() would stop every greenlet. The
device is never persistent, so it vanishes with the process, however that ends. Address, MTU and state are changes to
the host and belong to host/network.py.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import struct
from typing import Protocol

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

    def __init__(self, name: str, opened: _Opened) -> None:
        self.name = name
        self._opened = opened
        self._fd = opened.fileno()
        os.set_blocking(self._fd, False)

    def fileno(self) -> int:
        return self._fd

    def read(self, size: int) -> bytes:
        """One IP packet, cut at `size`."""
        return os.read(self._fd, size)

    def write(self, packet: bytes) -> None:
        os.write(self._fd, packet)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._opened.close()


def open_tun(name: str) -> Tun:
    """Makes the device `name`. Raises HostError with the cure; an existing device is never taken over."""
    if _exists(name):
        raise HostError(f"network device {name} exists already: stop what uses it or choose another --tun-name")
    try:
        return Tun(name, _open_with_pytun(name) if pytun is not None else _open_directly(name))
    except OSError as error:
        code = error.errno or 0
        cure = _CURES.get(code, f"cannot make TUN device {name} ({os.strerror(code)}): choose another --tun-name")
        raise HostError(cure) from error


def _exists(name: str) -> bool:
    # Not by /sys/class/net, which shows the namespace it was mounted in, not the one this thread is in.
    with contextlib.suppress(OSError):
        return socket.if_nametoindex(name) > 0
    return False


def _open_with_pytun(name: str) -> _Opened:
    try:
        return pytun.TunTapDevice(name=name, flags=pytun.IFF_TUN | pytun.IFF_NO_PI)  # type: ignore[no-any-return]
    except pytun.Error as error:
        raise OSError(*error.args) from error


def _open_directly(name: str) -> _Opened:
    device = open(NODE, "r+b", buffering=0)  # noqa: SIM115 (lives as long as the tunnel)
    request = _TUNSETIFF_ALTERNATE if os.uname().machine.startswith(_ALTERNATE_MACHINES) else _TUNSETIFF
    try:
        fcntl.ioctl(device, request, struct.pack(f"16sH{_IFREQ_SIZE - 18}x", name.encode(), _IFF_TUN | _IFF_NO_PI))
    except OSError:
        device.close()
        raise
    return device

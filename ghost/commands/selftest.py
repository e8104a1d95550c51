"""`ghosttunnel selftest`: can this host run a tunnel, and if not, what to do about it."""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass

from ghost.chaos.spec import parse
from ghost.compression.zstd import is_available
from ghost.config import Parser
from ghost.crypto import backend as crypto
from ghost.errors import GhostError, HostError
from ghost.host.changes import require_network_admin
from ghost.runtime.tun import open_tun
from ghost.runtime.udp import Udp
from ghost.simulation.pair import Pair
from ghost.simulation.workloads import Pings
from ghost.tunnel import connection

HELP = "Check that this host can run a tunnel. Exit code 1 when something that is needed is missing."


@dataclass(frozen=True, slots=True)
class Check:
    """`run` returns what it found, or raises GhostError with cause and cure."""

    name: str
    is_required: bool
    run: Callable[[], str]


def configure(parser: Parser) -> None:
    """No options."""


def run(options: argparse.Namespace) -> int:
    has_failed = False
    for check in CHECKS:
        try:
            verdict, found = "ok", check.run()
        except GhostError as error:
            verdict, found = ("FAILED" if check.is_required else "missing"), str(error)
            has_failed |= check.is_required
        print(f"{verdict:<8}{check.name:<14}{found}", flush=True)
    print("this host cannot run a tunnel yet" if has_failed else "this host can run a tunnel")
    return 1 if has_failed else 0


# RFC 8439 section 2.8.2
_AEAD_KEY = bytes(range(0x80, 0xA0))
_AEAD_NONCE = bytes.fromhex("070000004041424344454647")
_AEAD_ASSOCIATED = bytes.fromhex("50515253c0c1c2c3c4c5c6c7")
_AEAD_PLAINTEXT = (
    b"Ladies and Gentlemen of the class of '99: "
    b"If I could offer you only one tip for the future, sunscreen would be it."
)
_LINK = "rate=10mbit,delay=50ms,loss=30%"
_PINGED = 12.0  # seconds
_AEAD_TAG = bytes.fromhex("1ae10b594f09e26a7e902ecbd0600691")


def _cryptography() -> str:
    backends = crypto.available()
    for name, backend in backends.items():
        aead = backend.aead(_AEAD_KEY)
        sealed = aead.seal(_AEAD_NONCE, _AEAD_PLAINTEXT, _AEAD_ASSOCIATED)
        if sealed[-16:] != _AEAD_TAG or aead.open(_AEAD_NONCE, sealed, _AEAD_ASSOCIATED) != _AEAD_PLAINTEXT:
            raise HostError(f"{name} computes ChaCha20-Poly1305 wrongly: reinstall it")
    fastest = crypto.choose().name
    slow = "" if fastest == "cryptography" else "; the package `cryptography` would be many times faster"
    return f"{', '.join(backends)} agree with RFC 8439, {fastest} is used{slow}"


def _core() -> str:
    if str(connection.__file__).endswith(".py"):
        return "interpreted; compiled, as `make build` makes it, it needs a third less of the processor"
    return "compiled"


def _tunnel() -> str:
    """A client, a server and a bad link between them, all of it in this process and in virtual time."""
    pair = Pair(parse(_LINK), seed=1)
    up_after = pair.run_until_connected()
    pings = Pings(pair)
    pair.applications.append(pings)
    pair.run(_PINGED)
    lost = pings.lost(sent_before=pair.now - 2.0)
    if lost:
        raise HostError(f"{lost} pings were lost inside the tunnel: this build is broken, install it anew")
    return f"up after {up_after:.2f} s and no ping lost over a simulated link of {_LINK}"


def _rights() -> str:
    require_network_admin()
    return "may make network devices and routes"


def _device() -> str:
    name = f"gtest{os.getpid()}"
    tun = open_tun(name, offloads=True)
    tun.close()
    return f"a network device could be made and removed, TCP segmentation {'offloaded' if tun.is_offloading else 'not'}"


def _sockets() -> str:
    udp = Udp.dial()
    udp.close()
    lacking = [name for name in ("UDP segmentation", "UDP merging") if name not in udp.offloads]
    if lacking:
        raise HostError(f"no {' and no '.join(lacking)}: a kernel from 5.0 on would make the tunnel faster")
    return f"{' and '.join(udp.offloads)} offloaded"


def _tool(program: str, package: str, purpose: str) -> Callable[[], str]:
    def look() -> str:
        found = shutil.which(program)
        if found is None:
            raise HostError(f"{program} is missing, {purpose}: install the package {package}")
        return found

    return look


def _zstandard() -> str:
    if not is_available():
        raise HostError(
            "the Python package zstandard is missing, without it nothing is compressed: install it with pip"
        )
    return "installed"


CHECKS = (
    Check("encryption", True, _cryptography),
    Check("compression", False, _zstandard),
    Check("core", False, _core),
    Check("tunnel", True, _tunnel),
    Check("rights", True, _rights),
    Check("TUN device", True, _device),
    Check("offloads", False, _sockets),
    Check("ip", True, _tool("ip", "iproute2", "which gives the device its address")),
    Check(
        "nft",
        False,
        _tool("nft", "nftables", "which the kill switch needs, and a server's NAT unless iptables does it"),
    ),
)

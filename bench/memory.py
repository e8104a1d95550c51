"""What an idle client and a flow cost a server in memory: the real endpoint, clients that shake hands and fall silent.

.venv/bin/python bench/memory.py                    1000 clients, then 1000 flows of one of them; no root, 5 s
.venv/bin/python bench/memory.py --clients 200

Measured is by how much the resident memory of this process grows. The clients are made and thrown away one by one, so
what grows is the server's. Time is virtual.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import sys
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from ghost.crypto import backend as crypto
from ghost.simulation import packets
from ghost.tunnel.client import ClientEndpoint
from ghost.tunnel.events import PeerJoined
from ghost.tunnel.invitation import Invitation
from ghost.tunnel.registry import Invite, MemoryRegistry
from ghost.tunnel.server import ServerEndpoint

SERVER = ("server", 8000)
STEP = 0.02  # seconds: as many handshakes a second as a server allows
FLOWS = 1000
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Server:
    """A server, and clients that come to it one after the other."""

    def __init__(self) -> None:
        self._rng = random.Random(1)
        self._backend = crypto.choose()
        self._key = self._rng.randbytes(32)
        self._registry = MemoryRegistry()
        self.now = 0.0
        self.endpoint = ServerEndpoint(
            private_key=self._key,
            registry=self._registry,
            subnet=IPv4Network("10.64.0.0/16"),
            profile="noise",
            compression="auto",
            max_rate_bps=None,
            rng=self._rng,
            now=self.now,
            wall_offset=1.7e9,
            backend=self._backend,
        )

    def admit(self, number: int) -> IPv4Address:
        """One more client shakes hands, sends its first packet and is never heard of again."""
        self.now += STEP
        client, address = self._client(f"client {number}"), (f"192.0.2.{number % 250}", number)
        client.connect([SERVER], self.now)
        for _ in range(8):
            for data, _ in client.datagrams_to_send(self.now):
                self.endpoint.receive_datagram(data, address, self.now)
            for data, _ in self.endpoint.datagrams_to_send(self.now):
                client.receive_datagram(data, SERVER, self.now)
            while (event := self.endpoint.next_event()) is not None:
                if isinstance(event, PeerJoined):
                    return event.address
        raise AssertionError(f"client {number} was not admitted: {self.endpoint.snapshot(self.now)['dropped']}")

    def _client(self, name: str) -> ClientEndpoint:
        rng = self._rng
        invite = Invite(rng.randbytes(8), rng.randbytes(32), name, expires=2e9)
        self._registry.add_invite(invite)
        public = self._backend.x25519_public(self._key)
        return ClientEndpoint(
            private_key=rng.randbytes(32),
            invitation=Invitation((SERVER,), public, invite.invite_id, invite.secret, name),
            profile="noise",
            compression="auto",
            max_rate_bps=None,
            rng=rng,
            now=self.now,
            wall_offset=1.7e9,
            last_timestamp=0,
            backend=self._backend,
        )


def resident() -> int:
    """Bytes that this process has in memory."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


def main() -> int:
    parser = argparse.ArgumentParser(description="A server's memory per idle client and per thousand flows.")
    parser.add_argument("--clients", type=int, default=1000)
    count = parser.parse_args().clients
    server = Server()
    address = server.admit(1)  # what is made once is no client's
    before = resident()
    for number in range(2, count + 2):
        server.admit(number)
    grown = resident() - before
    assert len(server.endpoint.snapshot(server.now)["peers"]) == count + 1
    print(f"a server alone        {before / 1e6:8.1f} MB")
    print(f"an idle client        {grown / count / 1e3:8.1f} kB, measured over {count}")
    before = resident()
    for port in range(FLOWS):
        packet = packets.udp((IPv4Address("192.0.2.1"), port + 1), (address, 443), bytes(200))
        server.endpoint.send_packet(packet, server.now)
    print(f"{FLOWS} flows of one      {(resident() - before) / 1e3:8.1f} kB, a packet of each waiting")
    return 0


if __name__ == "__main__":
    sys.exit(main())

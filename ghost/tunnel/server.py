"""The server endpoint: many clients behind one socket.

A datagram's unmasked connection id finds its connection; id 0 is a handshake; anything else is dropped in silence and
counted. A handshake that authenticates makes a candidate, which replaces the client's former connection with the first
packet that arrives in it: until then nothing of what exists has changed, so a replayed or lost handshake costs nobody
anything. Inner packets go to the client that owns their destination, and come only from the address it was given.
Where several processes serve one port, each has such an endpoint, and what belongs to another's clients goes to it
(ghost.tunnel.siblings).
"""

from __future__ import annotations

import itertools
from collections import Counter, deque
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from random import Random
from typing import Any, Final

from ghost.compression.agreement import DEFAULT_MEMORY, Agreement, offered, streams_of
from ghost.compression.trains import SuperPacket, Train
from ghost.constants import PACKET_OVERHEAD, TAG_SIZE
from ghost.crypto.backend import Backend
from ghost.crypto.noise import Responder, TransportKeys
from ghost.errors import PeerError
from ghost.obfuscation.envelope import HANDSHAKE_CONNECTION_ID, Envelope
from ghost.obfuscation.mask import HeaderMask
from ghost.obfuscation.padding import PROFILES
from ghost.tunnel import runs
from ghost.tunnel.composer import Composer
from ghost.tunnel.connection import AMPLIFICATION, Connection
from ghost.tunnel.epochs import Epoch
from ghost.tunnel.events import Address, Event, PeerJoined, PeerLeft
from ghost.tunnel.farewells import Farewells
from ghost.tunnel.handshake import INITIATION, PROLOGUE, RESPONSE, ReplyCache, is_proven
from ghost.tunnel.registry import Peer, Registry
from ghost.tunnel.siblings import DATAGRAMS, JOINED, PACKET, Siblings, packet_of
from ghost.wire import hello, inner

HANDSHAKES_PER_SECOND: Final = 50.0  # each costs a millisecond of CPU with the slower backend
HANDSHAKE_BURST: Final = 100.0
MAX_CANDIDATES: Final = 64
CANDIDATE_LIFETIME: Final = 10.0  # seconds to the first packet
_PLAIN_HEADER: Final = 0x45  # IPv4 without options: the ports follow at once
CLOSE_REVOKED: Final = 3  # wire.frames.CLOSE_REASONS
CLIENT_TIMEOUT: Final = 180.0  # seconds of silence; a client keeps its NAT open every 20-25


class _Session:
    """A client's connection, and who that is."""

    __slots__ = ("connection", "peer", "token", "invite_id", "expires")

    def __init__(self, connection: Connection, peer: Peer, token: bytes, invite_id: bytes, expires: float) -> None:
        self.connection = connection
        self.peer = peer
        self.token = token
        self.invite_id = invite_id
        self.expires = expires


class ServerEndpoint:
    """The facade that a driver polls; see ghost.runtime.driver for the order of calls."""

    def __init__(
        self,
        *,
        private_key: bytes,
        registry: Registry,
        subnet: IPv4Network,
        profile: str,
        compression: str,
        max_rate_bps: float | None,
        rng: Random,
        now: float,
        wall_offset: float,
        backend: Backend,
        compression_memory: int = DEFAULT_MEMORY,
        siblings: Siblings | None = None,
    ) -> None:
        self._private_key = private_key
        self._registry = registry
        self._subnet = subnet
        self._gateway = subnet.network_address + 1
        self._profile = PROFILES[profile]
        self._compression = compression
        self._streams = streams_of(compression_memory) if compression == "auto" else 0
        self._max_rate = max_rate_bps / 8 if max_rate_bps else None
        self._rng = rng
        self._started = now
        self._wall_offset = wall_offset
        self._backend = backend
        public_key = backend.x25519_public(private_key)
        self._envelope = Envelope(backend, public_key)
        self._mask = HeaderMask(public_key)
        self._sessions: dict[bytes, _Session] = {}  # by the client's public key
        self._by_address: dict[bytes, _Session] = {}  # by packed inner address
        self._by_id: dict[int, _Session] = {}  # live sessions and candidates
        self._candidates: dict[int, _Session] = {}
        self._timeouts: dict[Connection, float] = {}
        self._touched: dict[Connection, None] = {}
        self._full: dict[bytes, tuple[Composer, int]] = {}
        """Flows of UDP, by the start of their packets, whose queue had no room in this turn for so many bytes: nothing
        leaves it before the turn ends, so what a flood sends more costs a tenth until then."""
        self._due_anew: dict[Connection, None] = {}  # whose timeout is not known any more
        self._receiving: dict[_Session, None] = {}
        self._replies = ReplyCache()
        self._answers: list[tuple[bytes, Address]] = []
        self._farewells = Farewells()
        self._allowance = HANDSHAKE_BURST
        self._allowance_at = now
        self._dropped: Counter[str] = Counter()
        self._events: deque[Event] = deque()
        self._packets: list[bytes | SuperPacket] = []
        self._siblings = siblings or Siblings()
        self._is_handed_over = False  # what is looked at now
        self.joins_segments = False
        """Whether `packets_to_deliver` may hold super-packets; for connections that begin from now on."""

    # ---- in ---------------------------------------------------------------------------------------------------

    def receive_datagram(self, data: bytes, address: Address, now: float) -> None:
        try:
            if len(data) < PACKET_OVERHEAD:
                raise PeerError("truncated")
            connection_id, number = self._mask.reveal(data)
            session = self._by_id.get(connection_id)
            if session is not None:
                self._on_packet(session, connection_id, number, data, address, now)
            elif connection_id == HANDSHAKE_CONNECTION_ID:
                self._on_handshake(data, address, now)
            elif not self._siblings.is_own(connection_id):
                self._siblings.hand_datagrams(connection_id % self._siblings.count, [data], address)
            else:
                self._answers += self._farewells.answer(connection_id, number, data, address, now)
        except PeerError as error:
            self._dropped[error.reason] += 1

    def receive_datagrams(self, datagrams: list[bytes], address: Address, now: float) -> None:
        """As `receive_datagram` for each of these, which arrived together."""
        for connection_id, number, run in runs.among(datagrams, self._mask):
            session = self._by_id.get(connection_id)
            if len(run) >= runs.LEAST and session is not None and connection_id not in self._candidates:
                self._on_run(session, connection_id, number, run, address, now)
            elif len(run) >= runs.LEAST and connection_id and not self._siblings.is_own(connection_id):
                self._siblings.hand_datagrams(connection_id % self._siblings.count, run, address)
            else:
                for data in run:
                    self.receive_datagram(data, address, now)

    def send_packet(self, packet: bytes, now: float) -> None:
        full = self._full.get(packet[:2] + packet[9:10] + packet[12:24]) if self._full else None
        if full is not None and len(packet) >= full[1]:
            full[0].refuse()
            return
        parsed = inner.parse(packet)
        if parsed is None:
            self._dropped["inner_not_ipv4"] += 1
            return
        session = self._recipient(packet, 0)
        if session is None:
            return
        composer = session.connection.sender.composer
        refused = composer.refused
        session.connection.send_packet(packet, parsed, now)
        self._touched[session.connection] = None
        if composer.refused > refused and parsed.protocol == inner.UDP and packet[0] == _PLAIN_HEADER:
            self._full[packet[:2] + packet[9:10] + packet[12:24]] = composer, len(packet)

    def send_super_packet(self, super_packet: SuperPacket, now: float) -> None:
        """As `send_packet`: segments of a TCP flow in one packet."""
        packet = super_packet.packet
        parsed = inner.parse(packet)
        train = Train.of(super_packet) if parsed is not None and parsed.protocol == inner.TCP else None
        if parsed is None or train is None:
            self._dropped["inner_not_ipv4"] += 1
            return
        session = self._recipient(packet, super_packet.segment_size)
        if session is None:
            return
        session.connection.send_train(train, parsed, now)
        self._touched[session.connection] = None

    def _recipient(self, packet: bytes, segment_size: int) -> _Session | None:
        """Whose address the packet is for; None if that is nobody's here."""
        session = self._by_address.get(packet[16:20])
        if session is None:
            other = self._siblings.having_address(packet[16:20])
            if other is None or self._is_handed_over:
                self._dropped["inner_no_route"] += 1
            else:
                self._siblings.hand_packet(other, packet, segment_size)
        return session

    def receive_message(self, message: bytes, now: float) -> None:
        """What another process of this server has to say or to hand over."""
        heard = self._siblings.heard(message)
        self._is_handed_over = True
        if heard[0] == DATAGRAMS:
            self.receive_datagrams(heard[1], heard[2], now)
        elif heard[0] == PACKET:
            packet = packet_of(heard)
            if isinstance(packet, bytes):
                self.send_packet(packet, now)
            else:
                self.send_super_packet(packet, now)
        elif heard[0] == JOINED:
            for session in (self._sessions.get(heard[2]), self._by_address.get(heard[3])):
                if session is not None:
                    self._end(session, "it came back by another way")
        self._is_handed_over = False

    def handle_timeout(self, now: float) -> None:
        for connection, due in list(self._timeouts.items()):
            if due <= now:
                connection.handle_timeout(now)
                self._touched[connection] = None
        for session in list(self._sessions.values()):
            if session.connection in self._touched and session.connection.has_packets:
                self._receiving[session] = None
            if now >= session.connection.last_contact + CLIENT_TIMEOUT:
                self._end(session, f"silent for {CLIENT_TIMEOUT:.0f} s")
        for connection_id, candidate in list(self._candidates.items()) if self._candidates else ():
            if now >= candidate.expires:
                self._forget_candidate(connection_id)

    def close(self, now: float) -> None:
        """Tells every client; poll the datagrams once more."""
        for session in self._sessions.values():
            session.connection.close(0)
            self._touched[session.connection] = None

    def revoke(self, public_key: bytes, now: float) -> None:
        """This client is no client any more: its connection ends with a word why, its key and invites are forgotten."""
        self._registry.forget_peer(public_key)
        for connection_id, candidate in list(self._candidates.items()):
            if candidate.peer.public_key == public_key:
                self._forget_candidate(connection_id)
        session = self._sessions.get(public_key)
        if session is not None:
            self._answers += self._farewells.begin(session.connection, CLOSE_REVOKED, now)
            self._end(session, "revoked")

    def reconfigure(self, *, profile: str, compression: str, max_rate_bps: float | None) -> None:
        """The rate holds at once, the rest for connections that begin from now on."""
        self._profile = PROFILES[profile]
        self._compression = compression
        self._max_rate = max_rate_bps / 8 if max_rate_bps else None
        for session in self._sessions.values():
            session.connection.sender.limit(self._max_rate)

    # ---- out --------------------------------------------------------------------------------------------------

    def datagrams_to_send(self, now: float) -> list[tuple[bytes, Address]]:
        datagrams, self._answers = self._answers, []
        self._full.clear()
        touched, self._touched = self._touched, {}
        for connection in touched:
            datagrams += [(data, connection.address) for data in connection.datagrams_to_send(now)]
            self._due_anew[connection] = None
        return datagrams

    def packets_to_deliver(self) -> list[bytes | SuperPacket]:
        for session in self._receiving:
            self._deliver(session)
        self._receiving.clear()
        packets, self._packets = self._packets, []
        return packets

    def next_timeout(self) -> float | None:
        for connection in self._due_anew:  # not before what they send has left: it takes a tenth of an echo's time
            due, end = connection.next_timeout(), connection.last_contact + CLIENT_TIMEOUT
            self._timeouts[connection] = due if due < end else end
        self._due_anew.clear()
        earliest = None
        for each in self._timeouts.values():
            if earliest is None or each < earliest:
                earliest = each
        for candidate in self._candidates.values():
            if earliest is None or candidate.expires < earliest:
                earliest = candidate.expires
        return earliest

    def messages_to_send(self) -> list[tuple[int, bytes]]:
        """(index of another process, message) for `receive_message` there."""
        return self._siblings.take_messages()

    def next_event(self) -> Event | None:
        return self._events.popleft() if self._events else None

    def snapshot(self, now: float) -> dict[str, Any]:
        """JSON-able status."""
        return {
            "role": "server",
            "state": "listening",
            "inner_address": str(IPv4Interface((self._gateway, self._subnet.prefixlen))),
            "uptime_s": round(now - self._started, 3),
            "crypto": self._backend.name,
            "dropped": dict(self._dropped),
            **({"handed_over": self._siblings.handed_over} if self._siblings.count > 1 else {}),
            "peers": [
                {
                    "name": session.peer.name,
                    "address": str(session.peer.address),
                    "public_key": session.peer.public_key.hex(),
                    **session.connection.snapshot(now),
                }
                for session in self._sessions.values()
            ],
        }

    # ---- packets ----------------------------------------------------------------------------------------------

    def _on_packet(
        self, session: _Session, connection_id: int, number: int, data: bytes, address: Address, now: float
    ) -> None:
        connection = session.connection
        epoch = connection.epochs.by_id(connection_id)
        if epoch is None:
            self._by_id.pop(connection_id, None)
            raise PeerError("foreign")
        received = connection.received_bytes
        try:
            connection.receive_datagram(epoch, data, number, address, now)
        finally:
            # even a malformed frame leaves an acknowledgement to send; a forged packet leaves nothing
            if connection.received_bytes > received and (
                connection_id not in self._candidates or self._is_admitted(connection_id, session)
            ):
                self._touched[connection] = None
                if self.joins_segments:  # until the end of the turn, so that there are some to join
                    self._receiving[session] = None
                else:
                    self._deliver(session)
        if connection.closed_by_peer is not None:
            self._end(session, connection.closed_by_peer)

    def _on_run(
        self, session: _Session, connection_id: int, number: int, data: list[bytes], address: Address, now: float
    ) -> None:
        """`_on_packet` for consecutive packets of a client that is no candidate."""
        connection = session.connection
        epoch = connection.epochs.by_id(connection_id)
        if epoch is None:
            self._by_id.pop(connection_id, None)
            self._dropped["foreign"] += len(data)
            return
        received = connection.received_bytes
        self._dropped.update(fault.reason for fault in connection.receive_run(epoch, data, number, address, now))
        if connection.received_bytes > received:
            self._touched[connection] = None
            self._receiving[session] = None
        if connection.closed_by_peer is not None:
            self._end(session, connection.closed_by_peer)

    def _deliver(self, session: _Session) -> None:
        """What its packets have brought."""
        source = session.peer.address.packed
        for item in session.connection.take_packets():
            packet = item.packet if isinstance(item, SuperPacket) else item
            if packet[12:16] == source and inner.parse(packet) is not None:
                self._packets.append(item)
            else:
                self._dropped["inner_source"] += 1

    def _is_admitted(self, connection_id: int, session: _Session) -> bool:
        """False for a candidate that has lost its invite or its address to somebody else since its handshake."""
        if session.invite_id and not self._enrol(session.peer, session.invite_id):
            self._drop(session)
            self._dropped["refused"] += 1
            return False
        self._promote(connection_id, session)
        return True

    def _enrol(self, peer: Peer, invite_id: bytes) -> bool:
        """Makes it a client for good, unless the invite was spent or removed, or the address given away."""
        with self._registry.claimed():
            invite = self._registry.invite(invite_id)
            if invite is None or invite.used_by not in (None, peer.public_key):
                return False
            others = (other for other in self._registry.peers() if other.public_key != peer.public_key)
            if self._siblings.count > 1 and any(other.address == peer.address for other in others):
                return False
            # In this order: a crash in between must not leave an invite for somebody else.
            self._registry.spend_invite(invite_id, peer.public_key)
            self._registry.save_peer(peer)
        return True

    def _promote(self, connection_id: int, session: _Session) -> None:
        """The first packet of a candidate: the client is here, and whatever it had before is over."""
        del self._candidates[connection_id]
        peer = session.peer
        former = self._sessions.get(peer.public_key)
        if former is not None:
            self._drop(former)
        rival = self._by_address.get(peer.address.packed)
        if rival is not None:
            self._end(rival, "its address was given to another client")
        self._sessions[peer.public_key] = session
        self._by_address[peer.address.packed] = session
        self._siblings.joined(peer.public_key, peer.address.packed)
        self._events.append(PeerJoined(peer.name, peer.address, session.connection.address))

    def _end(self, session: _Session, reason: str) -> None:
        if self._sessions.get(session.peer.public_key) is session:
            del self._sessions[session.peer.public_key]
            self._siblings.left(session.peer.public_key, session.peer.address.packed)
            self._events.append(PeerLeft(session.peer.name, session.peer.address, reason))
        self._drop(session)

    def _drop(self, session: _Session) -> None:
        for connection_id in [key for key, value in self._by_id.items() if value is session]:
            del self._by_id[connection_id]
            self._candidates.pop(connection_id, None)
        if self._by_address.get(session.peer.address.packed) is session:
            del self._by_address[session.peer.address.packed]
        self._timeouts.pop(session.connection, None)
        self._touched.pop(session.connection, None)
        self._due_anew.pop(session.connection, None)

    def _forget_past_epochs(self, session: _Session) -> None:
        live = session.connection.epochs.local_ids()
        for connection_id in [key for key, value in self._by_id.items() if value is session]:
            if connection_id not in live:
                del self._by_id[connection_id]

    def _forget_candidate(self, connection_id: int) -> None:
        del self._candidates[connection_id]
        self._by_id.pop(connection_id, None)

    # ---- handshakes -------------------------------------------------------------------------------------------

    def _on_handshake(self, data: bytes, address: Address, now: float) -> None:
        message = self._envelope.unwrap(data)
        if message[:1] != INITIATION:
            raise PeerError("malformed")
        tag = data[-TAG_SIZE:]
        reply = self._replies.find(message, tag)
        if reply is None:
            self._spend_allowance(now)
            answer = self._answer(message[1:], data, address, now)
            if answer is None:
                return
            reply = RESPONSE + answer
            self._replies.add(message, tag, reply)
        least, most = self._profile.handshake_sizes
        most = min(most, AMPLIFICATION * len(data) - 1)  # nobody gets more for a forged source address
        wrapped = self._envelope.wrap(reply, size_range=(least, max(least, most)), rng=self._rng)
        self._answers.append((wrapped, address))

    def _answer(self, message: bytes, datagram: bytes, address: Address, now: float) -> bytes | None:
        """Noise message 2 for an initiation by somebody we know; PeerError, and no answer, for anybody else.

        None where its `datagram` is for another process to answer.
        """
        noise = Responder(backend=self._backend, prologue=PROLOGUE, static_private=self._private_key)
        initiation = noise.read_message_1(message)
        other = self._siblings.having_client(initiation.remote_static)
        if other is not None and not self._is_handed_over:
            self._siblings.hand_datagrams(other, [datagram], address)
            return None
        client = hello.ClientHello.decode(initiation.payload)
        peer, refusal, invite_id = self._recognise(initiation.remote_static, client, initiation.proof_hash, now)
        if not refusal and client.version != hello.VERSION:
            refusal = hello.VERSION_UNKNOWN
        former = self._sessions.get(peer.public_key)
        is_resumed = (
            former is not None
            and former.token == client.token
            and former.peer.address == peer.address
            and not invite_id
        )
        local_id = self._free_connection_id()
        features = client.features & offered(self._compression)
        streams = min(client.streams, self._streams)
        answer = hello.ServerHello(
            connection_id=local_id,
            features=features,
            streams=streams,
            interface=IPv4Interface((peer.address, self._subnet.prefixlen)),
            gateway=self._gateway,
            is_resumed=is_resumed,
            refusal=refusal,
        )
        reply = noise.write_message_2(
            answer.encode(), psk=peer.pre_shared_key, ephemeral_private=self._rng.randbytes(32)
        )
        if refusal:
            self._dropped["refused"] += 1
            return reply
        peer = replace(peer, last_timestamp=client.timestamp)
        if not invite_id:
            self._registry.save_peer(peer)  # its timestamp; a new peer is saved when it has proved the handshake's end
        epoch = self._epoch(noise.keys(), local_id, client.connection_id, now)
        if is_resumed and former is not None:
            former.peer = peer
            former.connection.epochs.offer(epoch)
            self._forget_past_epochs(former)
            self._by_id[local_id] = former
        else:
            self._add_candidate(epoch, peer, client.token, invite_id, Agreement.of(features, streams), address, now)
        return reply

    def _recognise(
        self, public_key: bytes, client: hello.ClientHello, proof_hash: bytes, now: float
    ) -> tuple[Peer, int, bytes]:
        """(who it is, refusal or 0, the invite to spend or b""); PeerError for a stranger or a replay.

        A known client that brings another invite is enrolled anew under that one's secret.
        """
        peer = self._registry.peer(public_key)
        if peer is not None and client.timestamp <= peer.last_timestamp:
            raise PeerError("replayed_handshake")
        if peer is not None and is_proven(peer.pre_shared_key, proof_hash, client.proof):
            return peer, 0, b""
        invite = self._registry.invite(client.invite_id)
        if invite is None or not is_proven(invite.secret, proof_hash, client.proof):
            raise PeerError("uninvited")
        refusal = 0
        if invite.used_by not in (None, public_key):
            refusal = hello.INVITE_USED
        elif invite.expires < now + self._wall_offset:
            refusal = hello.INVITE_EXPIRED
        address = peer.address if peer is not None else self._free_address(public_key)
        if address is None:
            address, refusal = self._gateway, refusal or hello.POOL_FULL
        return (
            Peer(public_key, invite.secret, invite.name, address, client.timestamp),
            refusal,
            invite.invite_id,
        )

    def _free_address(self, public_key: bytes) -> IPv4Address | None:
        """The first address that no peer has; a session's or candidate's is taken for everybody but itself.

        Those of other processes' candidates are unknown, so that each gives away a share of its own first.
        """
        taken = {self._gateway, *(peer.address for peer in self._registry.peers())}
        here = [session.peer for session in (*self._sessions.values(), *self._candidates.values())]
        taken |= {peer.address for peer in here if peer.public_key != public_key}
        share = (address for address in self._subnet.hosts() if self._siblings.is_own(int(address)))
        return next((address for address in itertools.chain(share, self._subnet.hosts()) if address not in taken), None)

    def _add_candidate(
        self,
        epoch: Epoch,
        peer: Peer,
        token: bytes,
        invite_id: bytes,
        agreement: Agreement,
        address: Address,
        now: float,
    ) -> None:
        connection = Connection(
            epoch=epoch,
            address=address,
            is_server=True,
            compression=agreement,
            profile=self._profile,
            joins_segments=self.joins_segments,
            max_rate=self._max_rate,
            rng=self._rng,
            now=now,
        )
        if len(self._candidates) >= MAX_CANDIDATES:
            self._forget_candidate(next(iter(self._candidates)))
        session = _Session(connection, peer, token, invite_id, now + CANDIDATE_LIFETIME)
        self._candidates[epoch.local_id] = self._by_id[epoch.local_id] = session

    def _epoch(self, keys: TransportKeys, local_id: int, remote_id: int, now: float) -> Epoch:
        return Epoch(backend=self._backend, keys=keys, mask=self._mask, local_id=local_id, remote_id=remote_id, now=now)

    def _spend_allowance(self, now: float) -> None:
        earned = (now - self._allowance_at) * HANDSHAKES_PER_SECOND
        self._allowance = min(self._allowance + earned, HANDSHAKE_BURST)
        self._allowance_at = now
        if self._allowance < 1:
            raise PeerError("handshake_limit")
        self._allowance -= 1

    def _free_connection_id(self) -> int:
        while True:
            connection_id = self._rng.getrandbits(32)
            is_free = connection_id != HANDSHAKE_CONNECTION_ID and connection_id not in self._by_id
            if is_free and self._siblings.is_own(connection_id):
                return connection_id

"""The client endpoint: one server, one connection, for ever.

    idle -> (addresses) -> handshaking -> (answer) -> connected -> (silence, or age) -> handshaking ...

While connected a new handshake runs beside the connection: for a rekey, or because the server fell silent. Its answer
says whether the server still holds the connection; if so only the epoch changes, else a new connection begins. The
client never gives up by itself, except when the server, having recognised it, refuses.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from random import Random
from typing import Any, Final

from ghost.compression.agreement import DEFAULT_MEMORY, Agreement, offered, streams_of
from ghost.compression.trains import SuperPacket, Train
from ghost.constants import INNER_MTU, PACKET_OVERHEAD
from ghost.crypto.backend import Backend
from ghost.errors import PeerError
from ghost.obfuscation.envelope import HANDSHAKE_CONNECTION_ID, Envelope
from ghost.obfuscation.mask import HeaderMask
from ghost.obfuscation.padding import PROFILES
from ghost.tunnel import runs
from ghost.tunnel.connection import Connection
from ghost.tunnel.epochs import Epoch
from ghost.tunnel.events import Address, Connected, Disconnected, Event, NeedAddresses, Refused, TimestampUsed
from ghost.tunnel.handshake import FIRST_REPEAT, ClientHandshake
from ghost.tunnel.invitation import Invitation
from ghost.wire import hello, inner

ATTEMPT: Final = 4.0  # seconds at one address with one timestamp, then the next one is tried
SILENCE: Final = 4.0  # seconds without contact, while something is unanswered, until a handshake runs alongside
LOST_AFTER: Final = 15.0  # seconds of silence that count as a lost server
REKEY_JITTER: Final = 15.0  # seconds: not every tunnel in the world rekeys at the same age


class ClientEndpoint:
    """The facade that a driver polls; see ghost.runtime.driver for the order of calls."""

    def __init__(
        self,
        *,
        private_key: bytes,
        invitation: Invitation,
        profile: str,
        compression: str,
        max_rate_bps: float | None,
        rng: Random,
        now: float,
        wall_offset: float,
        last_timestamp: int,
        backend: Backend,
        compression_memory: int = DEFAULT_MEMORY,
    ) -> None:
        self._private_key = private_key
        self._invitation = invitation
        self._profile = PROFILES[profile]
        self._compression = compression
        self._streams = streams_of(compression_memory) if compression == "auto" else 0
        self._max_rate = max_rate_bps / 8 if max_rate_bps else None
        self._rng = rng
        self._started = now
        self._wall_offset = wall_offset
        self._last_timestamp = last_timestamp
        self._backend = backend
        self._envelope = Envelope(backend, invitation.server_public_key)
        self._mask = HeaderMask(invitation.server_public_key)
        self._token = b""
        self._addresses: list[Address] = []
        self._address_index = 0
        self._handshake: ClientHandshake | None = None
        self._handshake_id = 0  # the connection id that the handshake offers
        self._attempt_ends = 0.0
        self._connection: Connection | None = None
        self._is_connected = False
        self._silent_since = math.inf
        self._rekey_slack = rng.random() * REKEY_JITTER
        self._interface: Connected | None = None
        self._refusal: str | None = None
        self._dropped: Counter[str] = Counter()
        self._events: deque[Event] = deque([NeedAddresses()])
        self._packets: list[bytes | SuperPacket] = []
        self.joins_segments = False
        """Whether `packets_to_deliver` may hold super-packets; for connections that begin from now on."""

    # ---- in ---------------------------------------------------------------------------------------------------

    def connect(self, addresses: list[Address], now: float) -> None:
        """Where the server may be, in order of preference: the answer to NeedAddresses."""
        self._addresses = list(addresses)
        self._address_index = 0
        if self._addresses and self._refusal is None and not self._is_connected:
            self._begin_handshake(now)

    def receive_datagram(self, data: bytes, address: Address, now: float) -> None:
        try:
            if len(data) < PACKET_OVERHEAD:
                raise PeerError("truncated")
            connection_id, number = self._mask.reveal(data)
            epoch = self._connection.epochs.by_id(connection_id) if self._connection else None
            if epoch is not None and self._connection is not None:
                self._connection.receive_datagram(epoch, data, number, address, now)
                self._after_packet(self._connection, now)
            elif connection_id == HANDSHAKE_CONNECTION_ID and self._handshake is not None:
                self._on_answer(self._handshake, data, address, now)
            else:
                raise PeerError("foreign")
        except PeerError as error:
            self._dropped[error.reason] += 1
        finally:
            if not self.joins_segments:
                self._collect()

    def receive_datagrams(self, datagrams: list[bytes], address: Address, now: float) -> None:
        """As `receive_datagram` for each of these, which arrived together."""
        for connection_id, number, run in runs.among(datagrams, self._mask):
            epoch = self._connection.epochs.by_id(connection_id) if self._connection else None
            if len(run) >= runs.LEAST and epoch is not None and self._connection is not None:
                faults = self._connection.receive_run(epoch, run, number, address, now)
                self._dropped.update(fault.reason for fault in faults)
                self._after_packet(self._connection, now)
            else:
                for data in run:
                    self.receive_datagram(data, address, now)
        if not self.joins_segments:
            self._collect()

    def send_packet(self, packet: bytes, now: float) -> None:
        parsed = inner.parse(packet)
        if parsed is None:
            self._dropped["inner_not_ipv4"] += 1
        elif self._connection is None:
            self._dropped["inner_unconnected"] += 1
        else:
            self._connection.send_packet(packet, parsed, now)

    def send_super_packet(self, super_packet: SuperPacket, now: float) -> None:
        """As `send_packet`: segments of a TCP flow in one packet."""
        parsed = inner.parse(super_packet.packet)
        train = Train.of(super_packet) if parsed is not None and parsed.protocol == inner.TCP else None
        if parsed is None or train is None:
            self._dropped["inner_not_ipv4"] += 1
        elif self._connection is None:
            self._dropped["inner_unconnected"] += 1
        else:
            self._connection.send_train(train, parsed, now)

    def handle_timeout(self, now: float) -> None:
        if self._handshake is not None and now >= self._attempt_ends:
            self._next_attempt(now)
        connection = self._connection
        if connection is None:
            return
        connection.handle_timeout(now)
        self._note_silence(connection, now)
        if self._is_connected and self._is_silent(now, LOST_AFTER):
            self._is_connected = False
            self._events.append(Disconnected(f"no answer for {now - connection.last_contact:.0f} s"))
        if self._handshake is None and self._refusal is None:
            is_old = connection.epochs.current.is_due_for_rekey(now - self._rekey_slack)
            if is_old or not self._is_connected or self._is_silent(now, SILENCE):
                self._begin_handshake(now)

    def reconfigure(self, *, profile: str, compression: str, max_rate_bps: float | None) -> None:
        """The rate holds at once, the rest for connections that begin from now on."""
        self._profile = PROFILES[profile]
        self._compression = compression
        self._max_rate = max_rate_bps / 8 if max_rate_bps else None
        if self._connection is not None:
            self._connection.sender.limit(self._max_rate)

    def close(self, now: float) -> None:
        """Tells the server; poll the datagrams once more."""
        self._handshake = None
        if self._connection is not None:
            self._connection.close(0)

    # ---- out --------------------------------------------------------------------------------------------------

    def datagrams_to_send(self, now: float) -> list[tuple[bytes, Address]]:
        datagrams: list[tuple[bytes, Address]] = []
        if self._handshake is not None:
            initiation = self._handshake.next_datagram(now)
            if initiation is not None:
                datagrams.append((initiation, self._addresses[self._address_index]))
        if self._connection is not None:
            address = self._connection.address
            datagrams += [(data, address) for data in self._connection.datagrams_to_send(now)]
        return datagrams

    def packets_to_deliver(self) -> list[bytes | SuperPacket]:
        self._collect()
        packets, self._packets = self._packets, []
        return packets

    def next_timeout(self) -> float | None:
        connection = self._connection
        due = math.inf if connection is None else connection.next_timeout()
        if self._handshake is not None:
            due = min(due, self._handshake.next_time, self._attempt_ends)
        if connection is not None and self._silent_since < math.inf:
            # only what handle_timeout will act upon: a time that stays in the past would spin the driver
            if self._is_connected:
                due = min(due, self._silent_since + LOST_AFTER)
            if self._handshake is None and self._refusal is None:
                due = min(due, self._silent_since + SILENCE)
        return due if due < math.inf else None

    def next_event(self) -> Event | None:
        return self._events.popleft() if self._events else None

    def snapshot(self, now: float) -> dict[str, Any]:
        """JSON-able status."""
        place = self._interface
        return {
            "role": "client",
            "state": "refused" if self._refusal else "connected" if self._is_connected else "connecting",
            "refusal": self._refusal,
            "inner_address": str(place.address) if place else None,
            "uptime_s": round(now - self._started, 3),
            "crypto": self._backend.name,
            "dropped": dict(self._dropped),
            "peers": [
                {"name": "server", "address": str(place.gateway), **self._connection.snapshot(now)}
                for place in (self._interface,)
                if place and self._connection
            ],
        }

    # ---- inside -----------------------------------------------------------------------------------------------

    def _collect(self) -> None:
        """Takes what the connection has brought, before there is another one or at the end of the turn."""
        if self._connection is not None:
            self._packets += self._connection.take_packets()

    def _note_silence(self, connection: Connection, now: float) -> None:
        """Silence begins with the last contact, but not long before the first unanswered probe.

        An idle server had no reason to speak, and one lost keep-alive is no reason for a handshake.
        """
        if not connection.sender.probing.unanswered:
            self._silent_since = math.inf
        elif self._silent_since == math.inf or connection.last_contact > self._silent_since:
            self._silent_since = max(connection.last_contact, now - SILENCE / 2)

    def _is_silent(self, now: float, limit: float) -> bool:
        return now >= self._silent_since + limit

    def _begin_handshake(self, now: float, *, is_urgent: bool = False) -> None:
        """In place of one under way it keeps that one's pace, and unless `is_urgent` it leaves when that one would."""
        former = self._handshake
        interval = former.interval if former else FIRST_REPEAT
        first_time = max(now, former.next_time) if former and not is_urgent else now
        if not self._token:
            self._token = self._rng.randbytes(hello.TOKEN_SIZE)
        self._last_timestamp = max(self._last_timestamp + 1, int((now + self._wall_offset) * 1000))
        self._events.append(TimestampUsed(self._last_timestamp))
        self._handshake_id = self._free_connection_id()
        self._handshake = ClientHandshake(
            backend=self._backend,
            private_key=self._private_key,
            invitation=self._invitation,
            envelope=self._envelope,
            profile=self._profile,
            hello=hello.ClientHello(
                connection_id=self._handshake_id,
                token=self._token,
                timestamp=self._last_timestamp,
                features=offered(self._compression),
                streams=self._streams,
                invite_id=self._invitation.invite_id,
                proof=b"",
            ),
            first_time=first_time,
            first_repeat=interval,
            rng=self._rng,
        )
        self._attempt_ends = first_time + max(ATTEMPT, 2 * interval)

    def _next_attempt(self, now: float) -> None:
        """No answer there in time: the next address, or after the last one the names once more."""
        self._address_index += 1
        if self._address_index >= len(self._addresses):
            self._address_index = 0
            self._events.append(NeedAddresses())
        self._begin_handshake(now)

    def _on_answer(self, handshake: ClientHandshake, data: bytes, address: Address, now: float) -> None:
        answer, keys = handshake.receive(data)
        self._handshake = None
        if answer.refusal:
            self._refusal = hello.REFUSALS.get(answer.refusal, f"refused for reason {answer.refusal}")
            self._events.append(Refused(self._refusal))
            return
        epoch = Epoch(
            backend=self._backend,
            keys=keys,
            mask=self._mask,
            local_id=self._handshake_id,
            remote_id=answer.connection_id,
            now=now,
        )
        if answer.is_resumed and self._connection is not None:
            self._connection.address = address
            self._connection.last_contact = now  # else the silence would begin a next handshake at once
            self._connection.epochs.confirm(epoch, now)
        else:
            self._collect()
            self._connection = Connection(
                epoch=epoch,
                address=address,
                is_server=False,
                compression=Agreement.of(
                    answer.features & offered(self._compression), min(answer.streams, self._streams)
                ),
                profile=self._profile,
                joins_segments=self.joins_segments,
                max_rate=self._max_rate,
                rng=self._rng,
                now=now,
            )
        self._connection.greet()
        self._rekey_slack = self._rng.random() * REKEY_JITTER
        place = Connected(answer.interface, answer.gateway, INNER_MTU, address)
        if not self._is_connected or place != self._interface:
            self._is_connected = True
            self._interface = place
            self._events.append(place)

    def _after_packet(self, connection: Connection, now: float) -> None:
        if connection.closed_by_peer is not None:
            self._events.append(Disconnected(f"the server closed the connection: {connection.closed_by_peer}"))
            self._collect()
            self._connection = None
            self._is_connected = False
            self._token = b""
            self._begin_handshake(now, is_urgent=True)  # one under way carries the token of what has ended
        elif not self._is_connected and self._interface is not None:
            self._is_connected = True  # it was only silent
            self._handshake = None
            self._events.append(self._interface)

    def _free_connection_id(self) -> int:
        taken = {HANDSHAKE_CONNECTION_ID, *(self._connection.epochs.local_ids() if self._connection else ())}
        while True:
            connection_id = self._rng.getrandbits(32)
            if connection_id not in taken:
                return connection_id

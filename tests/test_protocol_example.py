"""The worked example in docs/protocol.md, computed anew: what the document says is what the code sends.

Its lines read `NAME HEX`; a longer value goes on in lines that begin with blanks.
"""

from __future__ import annotations

import random
import re
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

import pytest

from ghost.compression import exchange, tcp
from ghost.compression.references import PromptMemory, References
from ghost.crypto.backend import Backend, available
from ghost.crypto.noise import Initiator, Responder
from ghost.obfuscation.envelope import Envelope
from ghost.obfuscation.mask import HeaderMask
from ghost.reliability.field import combine, factors, unit
from ghost.tunnel.epochs import Epoch
from ghost.tunnel.handshake import INITIATION, PROLOGUE, RESPONSE, prove
from ghost.wire import frames, records
from ghost.wire.hello import FEATURE_ZSTD, ClientHello, ServerHello
from ghost.wire.inner import TCP

DOCUMENT = Path(__file__).parents[1] / "docs" / "protocol.md"
HEADING = "## Worked example"

SERVER_PRIVATE, CLIENT_PRIVATE = bytes(range(0x20)), bytes(range(0x20, 0x40))
CLIENT_EPHEMERAL, SERVER_EPHEMERAL = bytes(range(0x40, 0x60)), bytes(range(0x60, 0x80))
SECRET, INVITE_ID = bytes(range(0x80, 0xA0)), bytes(range(0xA0, 0xA8))
CLIENT_ID, SERVER_ID = 0xC1C2C3C4, 0x51525354
PACKET_NUMBER = 0x1_0000_0005

ECHO_REQUEST = bytes.fromhex("4500001c00004000400126450a4d00020a4d0001" + "0800f7fd00010001")


TCP_PACKETS = [
    "450000340007400040066e670a4d0002c00002079c4001bb0000100000002000801001f5da7300000101080a0001000000020000",
    "450000340008400040066e660a4d0002c00002079c4001bb0000100000002a68801001f5d00400000101080a0001000400020003",
    "45000034000a400040066e640a4d0002c00002079c4001bb00001000000034d5801001f4c58f00000101080a0001000a00020006",
]
UDP_PACKET = bytes.fromhex("450000210000400040116e760a4d0002c000020714e90035000dce777175657279")


class Counting(random.Random):
    """Draws 00 01 02 ... and the smallest of every range, so that nobody needs this language's generator."""

    def randbytes(self, n: int) -> bytes:
        return bytes(range(n))

    def randrange(self, start: int, stop: int | None = None, step: int = 1) -> int:
        return start


def handshake(backend: Backend) -> tuple[dict[str, bytes], bytes]:
    """The handshake's lines, and the key for packets to the server."""
    server_public = backend.x25519_public(SERVER_PRIVATE)
    initiator = Initiator(
        backend=backend,
        prologue=PROLOGUE,
        static_private=CLIENT_PRIVATE,
        remote_static=server_public,
        ephemeral_private=CLIENT_EPHEMERAL,
    )
    proof_hash = initiator.begin()
    client_hello = ClientHello(
        connection_id=CLIENT_ID,
        token=bytes(range(0xB0, 0xB8)),
        timestamp=1_700_000_000_000,
        features=FEATURE_ZSTD,
        invite_id=INVITE_ID,
        proof=prove(SECRET, proof_hash),
    ).encode()
    initiation = initiator.write_message_1(client_hello)
    responder = Responder(backend=backend, prologue=PROLOGUE, static_private=SERVER_PRIVATE)
    assert responder.read_message_1(initiation).proof_hash == proof_hash
    server_hello = ServerHello(
        connection_id=SERVER_ID,
        features=FEATURE_ZSTD,
        interface=IPv4Interface("10.77.0.2/24"),
        gateway=IPv4Address("10.77.0.1"),
    ).encode()
    answer = responder.write_message_2(server_hello, psk=SECRET, ephemeral_private=SERVER_EPHEMERAL)
    assert initiator.read_message_2(answer, SECRET) == server_hello
    keys = initiator.keys()
    envelope = Envelope(backend, server_public)
    lines = {
        "server public key": server_public,
        "client public key": backend.x25519_public(CLIENT_PRIVATE),
        "proof hash": proof_hash,
        "client hello": client_hello,
        "message 1": initiation,
        "datagram 1": envelope.wrap(INITIATION + initiation, size_range=(0, 0), rng=Counting()),
        "server hello": server_hello,
        "message 2": answer,
        "datagram 2": envelope.wrap(RESPONSE + answer, size_range=(0, 0), rng=Counting()),
        "key to server": keys.send,
        "key to client": keys.receive,
    }
    return lines, server_public


def packet(backend: Backend, key: bytes, server_public: bytes) -> dict[str, bytes]:
    """The lines of one packet from client to server: an acknowledgement, a ping inside, padding."""
    ack = frames.Ack(
        first=0xFFFFFFF0,
        packets=0b1_0000_0101,
        behind=6,
        received_clock=0x0A0B0C0D,
        delay=0.0016,
        symbol_floor=0x000102,
        symbols=0b110,
        rank=1,
        redundant=2,
    )
    echo = records.Record(records.Encoding.PLAIN, True, True, records.UNORDERED, 0, ECHO_REQUEST)
    prompt = frames.encode_prompt(7, records.encode(echo, is_sized=False))
    plaintext = frames.encode_ack(ack) + prompt + frames.padding(3)
    assert len(frames.decode(plaintext)) == 2
    epoch = Epoch(
        backend=backend,
        keys=_Keys(key),
        mask=HeaderMask(server_public),
        local_id=CLIENT_ID,
        remote_id=SERVER_ID,
        now=0.0,
    )
    datagram = epoch.seal(PACKET_NUMBER, plaintext)
    return {
        "ack frame": frames.encode_ack(ack),
        "prompt frame": prompt,
        "plaintext": plaintext,
        "nonce": bytes(4) + PACKET_NUMBER.to_bytes(8, "little"),
        "header": (SERVER_ID << 32 | PACKET_NUMBER & 0xFFFFFFFF).to_bytes(8, "big"),
        "mask": HeaderMask(server_public).mask(datagram[-16:]).to_bytes(8, "big"),
        "datagram": datagram,
    }


def repair() -> dict[str, bytes]:
    """The lines of a repair over two symbols of different sizes, the first with two records of a flow."""
    parts = [
        records.encode(records.Record(records.Encoding.PLAIN, True, True, 5, 65535, b"first"), is_sized=True),
        records.encode(records.Record(records.Encoding.PLAIN, True, True, 300, 0, b"second"), is_sized=False),
    ]
    payloads = [(0x1000001, b"".join(parts)), (0x1000004, bytes.fromhex("30") + b"abc")]
    seed = 9
    members = 1 | 1 << 3
    ids = [symbol_id for symbol_id, _ in payloads]
    coded = combine(ids, [unit(payload) for _, payload in payloads], seed)
    return {
        "symbol 1000001": payloads[0][1],
        "symbol 1000004": payloads[1][1],
        "factors": bytes(factors(seed, ids)),
        "coded bytes": coded,
        "symbol frame": frames.encode_symbol(*payloads[0]),
        "repair frame": frames.encode_repair(frames.Repair(seed, payloads[0][0], members, coded)),
    }


def headers() -> dict[str, bytes]:
    """The lines of compressed headers: two TCP packets of a flow, acknowledgements against a reference, UDP."""
    first, second, third = (bytes.fromhex(packet) for packet in TCP_PACKETS)
    last = tcp.remember(first)
    assert last is not None
    packed = tcp.compress(last, second)
    assert packed is not None
    references, memory, shorts = References(), PromptMemory(), []
    for prompt_id, packet in enumerate((first, second, second, third)):
        shorts.append(references.compress(packet, TCP, memory, prompt_id=prompt_id, now=float(prompt_id)))
        references.on_acked(prompt_id)
    parsed = exchange.parse(UDP_PACKET)
    assert parsed is not None
    return {
        "tcp packet 1": first,
        "tcp packet 2": second,
        "delta of 2": packed[0],
        "tcp packet 3": third,
        "prompt 1": shorts[1],
        "prompt 2": shorts[2],
        "prompt 3": shorts[3],
        "frame of prompt 3": frames.encode_near_prompt(3, shorts[3]),
        "udp packet": UDP_PACKET,
        "alone": exchange.encode(parsed[0]) + parsed[1],
    }


def example(backend: Backend) -> dict[str, bytes]:
    shaken, server_public = handshake(backend)
    return shaken | packet(backend, shaken["key to server"], server_public) | repair() | headers()


class _Keys:
    """Transport keys of which only the sending one matters here."""

    def __init__(self, send: bytes) -> None:
        self.send = send
        self.receive = bytes(32)
        self.handshake_hash = bytes(32)


def documented() -> dict[str, bytes]:
    """Every NAME and value in the code blocks below the heading."""
    section = DOCUMENT.read_text(encoding="utf-8").partition(HEADING)[2]
    assert section, f"{DOCUMENT.name} has no section '{HEADING}'"
    values: dict[str, str] = {}
    name = ""
    for block in re.findall(r"```\n(.*?)```", section, re.DOTALL):
        for line in block.splitlines():
            label, _, digits = line.rpartition(" ")
            name = label.strip() or name
            values[name] = values.get(name, "") + digits
    return {name: bytes.fromhex(digits) for name, digits in values.items()}


@pytest.mark.parametrize("backend", available().values(), ids=available())
def test_the_documented_bytes_are_what_the_code_makes(backend: Backend) -> None:
    assert documented() == example(backend)


def test_the_documented_datagram_opens_with_the_documented_keys() -> None:
    values = documented()
    backend = next(iter(available().values()))
    connection_id, low = HeaderMask(values["server public key"]).reveal(values["datagram"])
    assert (connection_id, low) == (SERVER_ID, PACKET_NUMBER & 0xFFFFFFFF)
    plaintext = backend.aead(values["key to server"]).open(values["nonce"], values["datagram"][8:], values["header"])
    ack, prompt = frames.decode(plaintext)
    assert isinstance(ack, frames.Ack)
    assert isinstance(prompt, frames.Prompt)
    assert records.decode(prompt.record)[0].body == ECHO_REQUEST

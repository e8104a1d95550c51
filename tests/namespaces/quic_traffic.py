"""A transfer over QUIC, inside a namespace: `python quic_traffic.py serve|fetch ADDRESS PORT [SECONDS]`, by aioquic.

The server sends without an end whatever is asked; who fetches prints {"bytes", "seconds"}, counted from the first byte.
"""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import json
import ssl
import sys
import time

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.asyncio.server import serve
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import QuicEvent, StreamDataReceived
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PROTOCOL = "transfer"
MOST = 40_000_000  # bytes: more than any of these links carries meanwhile
CONNECT_LIMIT = 20.0


class Sender(QuicConnectionProtocol):
    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, StreamDataReceived):
            self._quic.send_stream_data(event.stream_id, bytes(MOST), end_stream=True)
            self.transmit()


class Fetcher(QuicConnectionProtocol):
    received = 0
    begun: float | None = None

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, StreamDataReceived):
            self.begun = self.begun or time.monotonic()
            self.received += len(event.data)

    def ask(self) -> None:
        self._quic.send_stream_data(self._quic.get_next_available_stream_id(), b"all", end_stream=True)
        self.transmit()


async def serve_for_ever(address: str, port: int) -> None:
    configuration = QuicConfiguration(is_client=False, alpn_protocols=[PROTOCOL], max_datagram_size=1200)
    configuration.certificate, configuration.private_key = certificate(address)
    await serve(address, port, configuration=configuration, create_protocol=Sender)
    print("ready", flush=True)
    await asyncio.Future()


async def fetch(address: str, port: int, seconds: float) -> None:
    configuration = QuicConfiguration(is_client=True, alpn_protocols=[PROTOCOL], verify_mode=ssl.CERT_NONE)
    configuration.max_data = configuration.max_stream_data = 2 * MOST
    received, spent = 0, seconds
    try:
        async with asyncio.timeout(CONNECT_LIMIT + seconds):  # Python 3.11
            async with connect(address, port, configuration=configuration, create_protocol=Fetcher) as fetcher:
                assert isinstance(fetcher, Fetcher)
                fetcher.ask()
                await asyncio.sleep(seconds)
                received = fetcher.received
                spent = time.monotonic() - fetcher.begun if fetcher.begun else seconds
                print(json.dumps({"bytes": received, "seconds": spent}), flush=True)
    except (ConnectionError, TimeoutError):
        if not received:
            print(json.dumps({"bytes": 0, "seconds": seconds}), flush=True)


def certificate(name: str) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """Signed by itself, good for an hour."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(name))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return made, key


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        asyncio.run(serve_for_ever(sys.argv[2], int(sys.argv[3])))
    else:
        asyncio.run(fetch(sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))

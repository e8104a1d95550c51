"""The `ghost://` line that admits one client: a codec, nothing else.

    ghost://ENDPOINT[,ENDPOINT...]/BASE32[#NAME]

ENDPOINT is HOST:PORT, an IPv6 host in brackets. BASE32 (RFC 4648, lower case, no padding) holds
    version: 1 | invite id: 8 | server public key: 32 | secret: 32 | check: 4
where the check is the first 4 bytes of BLAKE2s over everything before it, endpoints included, so that a line cut
short or mistyped is refused on the spot rather than by a server's silence. Base32 survives QR codes' alphanumeric
mode, e-mail and being read aloud.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

from ghost.errors import ConfigError
from ghost.tunnel.registry import INVITE_ID_SIZE, KEY_SIZE, SECRET_SIZE

SCHEME = "ghost://"
_VERSION = 1
_CHECK_SIZE = 4
_BODY_SIZE = 1 + INVITE_ID_SIZE + KEY_SIZE + SECRET_SIZE
_PORT = re.compile("[0-9]{1,5}")
_CURE = "copy the whole line that `ghosttunnel invite` printed"


@dataclass(frozen=True, slots=True)
class Invitation:
    """What the client learns from the line. Endpoints are (host, port), host a name or an IP address."""

    endpoints: tuple[tuple[str, int], ...]
    server_public_key: bytes
    invite_id: bytes
    secret: bytes = field(repr=False)
    name: str = ""

    def to_uri(self) -> str:
        where = ",".join(format_endpoint(host, port) for host, port in self.endpoints)
        body = bytes([_VERSION]) + self.invite_id + self.server_public_key + self.secret
        text = base64.b32encode(body + _check(where, body)).decode().rstrip("=").lower()
        return f"{SCHEME}{where}/{text}" + (f"#{quote(self.name)}" if self.name else "")

    @classmethod
    def from_uri(cls, uri: str) -> Invitation:
        """Raises ConfigError, whose message never repeats the line: it holds a secret."""
        if not uri.startswith(SCHEME):
            raise ConfigError(f"an invite starts with {SCHEME}: {_CURE}")
        rest, _, name = uri[len(SCHEME) :].strip().partition("#")
        where, slash, text = rest.partition("/")
        padded = text.upper() + "=" * (-len(text) % 8)
        try:
            raw = base64.b32decode(padded)
        except ValueError:  # not base32, or not even ASCII
            raw = b""
        if not slash or len(raw) != _BODY_SIZE + _CHECK_SIZE or raw[_BODY_SIZE:] != _check(where, raw[:_BODY_SIZE]):
            raise ConfigError(f"this invite is damaged: {_CURE}")
        if raw[0] != _VERSION:
            raise ConfigError(f"this invite is of version {raw[0]}, this program reads {_VERSION}: update ghosttunnel")
        key_at, secret_at = 1 + INVITE_ID_SIZE, 1 + INVITE_ID_SIZE + KEY_SIZE
        return cls(
            endpoints=tuple(parse_endpoint(part) for part in where.split(",")),
            server_public_key=raw[key_at:secret_at],
            invite_id=raw[1:key_at],
            secret=raw[secret_at:_BODY_SIZE],
            name=unquote(name),
        )


def parse_endpoint(text: str) -> tuple[str, int]:
    """ "HOST:PORT" or "[IPV6]:PORT" to (host, port); ConfigError says what is wrong with it."""
    host, colon, port = text.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not host or not _PORT.fullmatch(port) or not 0 < int(port) < 65536:
        raise ConfigError(f"'{text}' is no endpoint: write HOST:PORT, for example vpn.example.org:8000")
    return host, int(port)


def format_endpoint(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _check(where: str, body: bytes) -> bytes:
    return hashlib.blake2s(where.encode() + b"/" + body, digest_size=_CHECK_SIZE).digest()

"""Which library does the arithmetic: `cryptography` where it imports, pycryptodome everywhere else.

A backend is a module that satisfies `Backend`; both give the same bytes, so the two ends of a tunnel need not
agree. Each library is imported by its own module only, and not before somebody asks for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ghost.errors import ConfigError

KEY_SIZE = 32
NONCE_SIZE = 12
XNONCE_SIZE = 24


class Aead(Protocol):
    """Authenticated encryption under one 32-byte key; a nonce must never be used twice with it."""

    def seal(self, nonce: bytes, plaintext: bytes, associated: bytes, /) -> bytes:
        """Ciphertext, as long as the plaintext, followed by a 16-byte tag."""

    def open(self, nonce: bytes, sealed: bytes, associated: bytes, /) -> bytes:
        """The plaintext; PeerError("unauthentic") for anything but what `seal` made of these inputs."""


class PacketAead(Aead, Protocol):
    """The one for packets, of which many come at once."""

    def open_run(self, nonces: list[bytes], sealed: list[bytes], associated: list[bytes], /) -> list[bytes]:
        """The plaintexts of so many, up to the first that is not authentic."""


class Backend(Protocol):
    """The primitives that GhostTunnel is built on."""

    @property
    def name(self) -> str: ...

    def aead(self, key: bytes) -> PacketAead:
        """ChaCha20-Poly1305 with 12-byte nonces (RFC 8439 section 2.8). Keep it: building one costs."""

    def xaead(self, key: bytes) -> Aead:
        """XChaCha20-Poly1305 with 24-byte nonces, which may be random (draft-irtf-cfrg-xchacha-03)."""

    def x25519_public(self, private: bytes) -> bytes:
        """The 32-byte public key of a private key, which is any 32 bytes (RFC 7748 section 6.1)."""

    def x25519(self, private: bytes, public: bytes) -> bytes:
        """The 32-byte shared secret; PeerError("unauthentic") when it is all zeros (a point of low order)."""


def _load_cryptography() -> Backend:
    from ghost.crypto import cryptography_backend

    return cryptography_backend


def _load_pycryptodome() -> Backend:
    from ghost.crypto import pycryptodome_backend

    return pycryptodome_backend


# In order of preference.
_LOADERS: dict[str, Callable[[], Backend]] = {
    "cryptography": _load_cryptography,
    "pycryptodome": _load_pycryptodome,
}


def choose(name: str | None = None) -> Backend:
    """The backend of that name, or the fastest that imports; ConfigError when there is none."""
    if name is not None and name not in _LOADERS:
        raise ConfigError(f"unknown crypto backend '{name}': choose one of {', '.join(_LOADERS)}")
    for candidate in (name,) if name else _LOADERS:
        try:
            return _LOADERS[candidate]()
        except ImportError:
            continue
    if name:
        raise ConfigError(f"crypto backend '{name}' cannot be imported: run 'pip install --upgrade {name}'")
    raise ConfigError(f"none of {', '.join(_LOADERS)} can be imported: run 'pip install --upgrade pycryptodome'")


def available() -> dict[str, Backend]:
    """Every backend that imports here, by name, the preferred one first."""
    backends = {}
    for name, load in _LOADERS.items():
        try:
            backends[name] = load()
        except ImportError:
            continue
    return backends

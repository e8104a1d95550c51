"""Both backends compute what the standards print, the same bytes as each other, and refuse the same."""

from __future__ import annotations

import random
import sys

import pytest

import ghost.crypto
from ghost.crypto import backend as backends
from ghost.crypto import cryptography_backend
from ghost.crypto.backend import Backend
from ghost.errors import ConfigError, PeerError

SUNSCREEN = (
    b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
    b"sunscreen would be it."
)
INTERNET_DRAFTS = (
    "Internet-Drafts are draft documents valid for a maximum of six months and may be updated, replaced, or "
    "obsoleted by other documents at any time. It is inappropriate to use Internet-Drafts as reference "
    "material or to cite them other than as /\u201cwork in progress./\u201d"
).encode()

# kind, key, nonce, associated data, plaintext, ciphertext with tag
AEAD_VECTORS = {
    "RFC 8439 section 2.8.2": (
        "aead",
        "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
        "070000004041424344454647",
        "50515253c0c1c2c3c4c5c6c7",
        SUNSCREEN,
        "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b"
        "1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
        "3ff4def08e4b7a9de576d26586cec64b6116"
        "1ae10b594f09e26a7e902ecbd0600691",
    ),
    "RFC 8439 appendix A.5": (
        "aead",
        "1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0",
        "000000000102030405060708",
        "f33388860000000000004e91",
        INTERNET_DRAFTS,
        "64a0861575861af460f062c79be643bd5e805cfd345cf389f108670ac76c8cb24c6cfc18755d43eea09ee94e382d26b0"
        "bdb7b73c321b0100d4f03b7f355894cf332f830e710b97ce98c8a84abd0b948114ad176e008d33bd60f982b1ff37c855"
        "9797a06ef4f0ef61c186324e2b3506383606907b6a7c02b0f9f6157b53c867e4b9166c767b804d46a59b5216cde7a4e9"
        "9040c5a40433225ee282a1b0a06c523eaf4534d7f83fa1155b0047718cbc546a0d072b04b3564eea1b422273f548271a"
        "0bb2316053fa76991955ebd63159434ecebb4e466dae5a1073a6727627097a1049e617d91d361094fa68f0ff77987130"
        "305beaba2eda04df997b714d6c6f2c29a6ad5cb4022b02709b"
        "eead9d67890cbb22392336fea1851f38",
    ),
    "draft-irtf-cfrg-xchacha-03 appendix A.3.1": (
        "xaead",
        "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
        "404142434445464748494a4b4c4d4e4f5051525354555657",
        "50515253c0c1c2c3c4c5c6c7",
        SUNSCREEN,
        "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39"
        "ae64c6708c54c216cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9"
        "21f9664c97637da9768812f615c68b13b52e"
        "c0875924c1c7987947deafd8780acf49",
    ),
}

# RFC 7748 section 5.2: scalar, u-coordinate, result
X25519_VECTORS = [
    (
        "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
        "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
        "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
    ),
    (
        "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
        "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
        "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957",
    ),
]

FIELD = 2**255 - 19
LOW_ORDER_POINTS = {
    "zero": 0,
    "one": 1,
    "first of order 8": 325606250916557431795983626356110631294008115727848805560023387167927233504,
    "second of order 8": 39382357235489614581723060781553021112529911719440698176882885853963445705823,
    "minus one": FIELD - 1,
    "zero, not reduced": FIELD,
    "one, not reduced": FIELD + 1,
}


@pytest.mark.parametrize("source", AEAD_VECTORS)
def test_aead_gives_the_published_bytes(backend: Backend, source: str) -> None:
    kind, key, nonce, associated, plaintext, sealed = AEAD_VECTORS[source]
    aead = getattr(backend, kind)(bytes.fromhex(key))
    arguments = bytes.fromhex(nonce), bytes.fromhex(associated)
    assert aead.seal(arguments[0], plaintext, arguments[1]).hex() == sealed
    assert aead.open(arguments[0], bytes.fromhex(sealed), arguments[1]) == plaintext


def test_hchacha20_gives_the_published_subkey() -> None:
    """draft-irtf-cfrg-xchacha-03 section 2.2.1."""
    nonce = bytes.fromhex("000000090000004a0000000031415927")
    subkey = cryptography_backend.hchacha20(bytes(range(32)), nonce)
    assert subkey.hex() == "82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc"


@pytest.mark.parametrize(("kind", "nonce_size"), [("aead", 12), ("xaead", 24)])
def test_backends_seal_to_the_same_bytes_and_open_each_other(kind: str, nonce_size: int) -> None:
    rng = random.Random(1)
    for size in [0, 1, 15, 16, 17, 63, 64, 65, 1400, 65535]:
        key, nonce = rng.randbytes(32), rng.randbytes(nonce_size)
        plaintext, associated = rng.randbytes(size), rng.randbytes(rng.choice([0, 8, 33]))
        aeads = [getattr(backend, kind)(key) for backend in backends.available().values()]
        sealed = {aead.seal(nonce, plaintext, associated) for aead in aeads}
        assert len(aeads) == 2
        assert len(sealed) == 1
        (only,) = sealed
        assert len(only) == size + 16
        assert [aead.open(nonce, only, associated) for aead in aeads] == [plaintext, plaintext]


def test_a_run_opens_up_to_the_first_that_is_forged(backend: Backend) -> None:
    rng = random.Random(2)
    aead = backend.aead(rng.randbytes(32))
    nonces, associated = [rng.randbytes(12) for _ in range(5)], [rng.randbytes(8) for _ in range(5)]
    plaintexts = [rng.randbytes(size) for size in (0, 1, 64, 1400, 9)]
    sealed = list(map(aead.seal, nonces, plaintexts, associated))
    assert aead.open_run(nonces, sealed, associated) == plaintexts
    sealed[3] = bytes(1416)
    assert aead.open_run(nonces, sealed, associated) == plaintexts[:3]
    assert aead.open_run([], [], []) == []


@pytest.mark.parametrize(("kind", "nonce_size"), [("aead", 12), ("xaead", 24)])
def test_any_flipped_bit_and_any_truncation_is_unauthentic(backend: Backend, kind: str, nonce_size: int) -> None:
    rng = random.Random(2)
    aead = getattr(backend, kind)(rng.randbytes(32))
    inputs = [rng.randbytes(nonce_size), b"", rng.randbytes(8)]
    inputs[1] = aead.seal(inputs[0], b"packet", inputs[2])
    forgeries = [
        [flip(part, bit) if which == index else part for which, part in enumerate(inputs)]
        for index, target in enumerate(inputs)
        for bit in range(8 * len(target))
    ] + [[inputs[0], inputs[1][:size], inputs[2]] for size in range(len(inputs[1]))]
    for forged in forgeries:
        with pytest.raises(PeerError, match="unauthentic"):
            aead.open(*forged)
    assert aead.open(*inputs) == b"packet"


@pytest.mark.parametrize(("scalar", "point", "product"), X25519_VECTORS)
def test_x25519_gives_the_published_product(backend: Backend, scalar: str, point: str, product: str) -> None:
    assert backend.x25519(bytes.fromhex(scalar), bytes.fromhex(point)).hex() == product


def test_x25519_iterated_a_thousand_times_gives_the_published_value(backend: Backend) -> None:
    """RFC 7748 section 5.2."""
    scalar = point = bytes([9]) + bytes(31)
    for _ in range(1000):
        scalar, point = backend.x25519(scalar, point), scalar
    assert scalar.hex() == "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51"


def test_two_people_agree_on_the_published_secret(backend: Backend) -> None:
    """RFC 7748 section 6.1."""
    alice = bytes.fromhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
    bob = bytes.fromhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")
    alice_public, bob_public = backend.x25519_public(alice), backend.x25519_public(bob)
    assert alice_public.hex() == "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
    assert bob_public.hex() == "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"
    secret = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"
    assert backend.x25519(alice, bob_public).hex() == secret
    assert backend.x25519(bob, alice_public).hex() == secret


@pytest.mark.parametrize("high_bit", [0, 1])
@pytest.mark.parametrize("point", LOW_ORDER_POINTS)
def test_points_of_low_order_are_refused(backend: Backend, point: str, high_bit: int) -> None:
    """RFC 7748 section 6.1 says to check for the all-zero secret; the top bit of a point is ignored."""
    public = (LOW_ORDER_POINTS[point] | high_bit << 255).to_bytes(32, "little")
    with pytest.raises(PeerError, match="unauthentic"):
        backend.x25519(random.Random(3).randbytes(32), public)


def test_backends_agree_on_random_and_on_unreduced_points() -> None:
    rng = random.Random(4)
    points = [rng.randbytes(32) for _ in range(20)]
    points += [(FIELD + extra).to_bytes(32, "little") for extra in range(2, 19)]
    for point in points:
        scalar = rng.randbytes(32)
        both = backends.available().values()
        assert len({backend.x25519(scalar, point) for backend in both}) == 1
        assert len({backend.x25519_public(scalar) for backend in both}) == 1


def test_cryptography_is_preferred_where_it_imports() -> None:
    assert backends.choose().name == "cryptography"
    assert list(backends.available()) == ["cryptography", "pycryptodome"]


def test_without_cryptography_pycryptodome_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "cryptography")
    assert backends.choose().name == "pycryptodome"
    assert list(backends.available()) == ["pycryptodome"]


def test_a_missing_backend_asked_for_by_name_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "cryptography")
    with pytest.raises(ConfigError, match="'cryptography' cannot be imported: run 'pip install"):
        backends.choose("cryptography")


def test_no_backend_at_all_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "cryptography")
    hide(monkeypatch, "pycryptodome")
    with pytest.raises(ConfigError, match="run 'pip install --upgrade pycryptodome'"):
        backends.choose()


def test_an_unknown_backend_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="choose one of cryptography, pycryptodome"):
        backends.choose("openssl")


def flip(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def hide(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Make the backend of that name fail to import, as it does where its library is missing."""
    monkeypatch.setitem(sys.modules, f"ghost.crypto.{name}_backend", None)
    monkeypatch.delattr(ghost.crypto, f"{name}_backend", raising=False)

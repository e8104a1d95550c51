"""The one door to zstd: the package zstandard, the standard library's module (Python 3.14), or neither.

Frames are written without zstd's magic number, content size, dictionary id and checksum (RFC 8878 section 3.1.1): the
tunnel's tag already protects them, and constant bytes would be waste. What comes out is bounded by the caller's limit
plus a piece, whatever the frame claims.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, Protocol

from ghost.errors import PeerError

try:
    import zstandard
except ImportError:
    zstandard = None  # type: ignore[assignment]
try:
    from compression import zstd as standard
except ImportError:  # before Python 3.14
    standard = None

WINDOW_LOG: Final = 19
"""A decoder refuses frames that want more memory."""
READER_MEMORY: Final = 200 << 10
"""Bytes that a decoder takes beside its window (measured)."""
PRIMER: Final = 9
"""Bytes: the shortest piece that a compressor remembers all of, and the longest that cannot shrink unless it repeats
what came before."""
_PACKET_WINDOW_LOG: Final = 16  # no packet is longer
MAGIC: Final = b"\x28\xb5\x2f\xfd"
_SIZE_FLAGS: Final = 0xE0  # of the frame header: any of them set announces a content size
_FRAME_HEADER: Final = 2  # bytes: its flags and its window
_LEAST_WINDOW_LOG: Final = 10
_LEVEL: Final = 3  # of packets by themselves: level 9 saves 1-2 % more of one for 1.5 times the time
_DICTIONARY_LEVEL: Final = 9  # of small ones with a dictionary: 3 % smaller than at level 3
_MOST_OUTPUT: Final = 1 << 16
"""Bytes that the package's stream writer makes at a time; it holds back what does not fit."""


class Effort(NamedTuple):
    """zstd's parameters of one level of effort, and the bytes that a stream then takes."""

    window_log: int
    hash_log: int
    chain_log: int
    search_log: int
    min_match: int
    target_length: int
    strategy: int
    memory: int


# Measured on a megabyte of text in pieces of 1344 bytes: 3.4, 4.1 and 4.4 to 1, in 14, 130 and 340 us a piece.
QUICK: Final = Effort(17, 16, 16, 1, 4, 32, 2, memory=850_000)
GOOD: Final = Effort(19, 17, 18, 6, 4, 32, 6, memory=2_200_000)
THOROUGH: Final = Effort(19, 18, 19, 7, 3, 256, 9, memory=4_150_000)


class Compressor(Protocol):
    """One stream of history; each piece can be decompressed at once."""

    def compress(self, data: bytes) -> bytes: ...


class Decompressor(Protocol):
    """The other end of a stream; PeerError for bytes that are none, or hold more than `limit` bytes."""

    def decompress(self, data: bytes, limit: int) -> bytes: ...


def is_available() -> bool:
    """Whether this host can compress payloads at all."""
    return zstandard is not None or standard is not None


class PacketCodec(Protocol):
    """Packets by themselves, without history."""

    def compress(self, packet: bytes) -> bytes: ...

    def decompress(self, body: bytes, limit: int) -> bytes:
        """PeerError for bytes that are no whole frame, or hold more than `limit` bytes."""


def packet_codec(dictionary: bytes = b"") -> PacketCodec:
    """`dictionary` is text that every packet may refer to."""
    return _PackagePackets(dictionary) if zstandard is not None else _StandardPackets(dictionary)


def compressor(effort: Effort, dictionary: bytes) -> Compressor:
    """A new stream that knows the dictionary's text from the start."""
    return _PackageStream(effort, dictionary) if zstandard is not None else _StandardStream(effort, dictionary)


def reader_memory(head: bytes) -> int:
    """Bytes that the decompressor of a stream takes which begins so; PeerError as there."""
    if len(head) < _FRAME_HEADER:
        raise PeerError("malformed")
    window = 1 << _LEAST_WINDOW_LOG + (head[1] >> 3)
    return min(window + (window >> 3) * (head[1] & 7), 1 << WINDOW_LOG) + READER_MEMORY


def decompressor(dictionary: bytes) -> Decompressor:
    return _PackageReader(dictionary) if zstandard is not None else _StandardReader(dictionary)


def _parameters(effort: Effort) -> dict[str, int]:
    return {name: value for name, value in effort._asdict().items() if name != "memory"}


if zstandard is not None:
    _FORMAT: Final = {
        "format": zstandard.FORMAT_ZSTD1_MAGICLESS,
        "write_content_size": False,
        "write_checksum": False,
        "write_dict_id": False,
    }


class _PackageStream:
    """A dictionary given in the package's way makes tables of the dictionary's size, which find a tenth less of what
    follows. So it is the stream's first text instead, in pieces too short to shrink: such a block is stored as it is,
    leaves nothing behind but its text, as a dictionary does at the other end, and need not be sent."""

    __slots__ = ("_head", "_stream")

    def __init__(self, effort: Effort, dictionary: bytes) -> None:
        parameters = zstandard.ZstdCompressionParameters(**_parameters(effort), **_FORMAT)
        self._head = b""
        self._stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
        blocks = [self.compress(dictionary[at : at + PRIMER]) for at in range(0, len(dictionary), PRIMER)]
        if blocks:
            self._head, blocks[0] = blocks[0][:_FRAME_HEADER], blocks[0][_FRAME_HEADER:]
            if b"".join(blocks) != _stored(dictionary):  # another version of the library may think otherwise
                self._head = b""
                self._stream = zstandard.ZstdCompressor(compression_params=parameters, **_raw(dictionary)).compressobj()

    def compress(self, data: bytes) -> bytes:
        head, self._head = self._head, b""
        return head + self._stream.compress(data) + self._stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)


class _PackageReader:
    """The library's stream writer asks for no limit, so what it writes to counts; limits are below _MOST_OUTPUT."""

    __slots__ = ("_writer", "_pieces", "_room", "_is_new")

    def __init__(self, dictionary: bytes) -> None:
        decoder = zstandard.ZstdDecompressor(
            format=zstandard.FORMAT_ZSTD1_MAGICLESS, max_window_size=1 << WINDOW_LOG, **_raw(dictionary)
        )
        self._pieces: list[bytes] = []
        self._room = 0
        self._is_new = True
        sink: Any = self
        self._writer = decoder.stream_writer(sink, write_size=_MOST_OUTPUT)

    def write(self, piece: bytes) -> int:
        self._room -= len(piece)
        if self._room < 0:
            raise PeerError("malformed")
        self._pieces.append(piece)
        return len(piece)

    def decompress(self, data: bytes, limit: int) -> bytes:
        if self._is_new:
            _check_head(data)
            self._is_new = False
        self._pieces, self._room = [], limit
        try:
            self._writer.write(data)
        except zstandard.ZstdError:
            raise PeerError("malformed") from None
        return b"".join(self._pieces)


class _StandardStream:
    """The library writes the magic number, which is taken off the first piece."""

    __slots__ = ("_stream", "_is_new")

    def __init__(self, effort: Effort, dictionary: bytes) -> None:
        known = standard.ZstdDict(dictionary, is_raw=True).as_prefix if dictionary else None
        self._stream = standard.ZstdCompressor(options=_standard_options(effort), zstd_dict=known)
        self._is_new = True

    def compress(self, data: bytes) -> bytes:
        body: bytes = self._stream.compress(data, self._stream.FLUSH_BLOCK)
        if self._is_new:
            self._is_new = False
            return body[len(MAGIC) :]
        return body


class _StandardReader:
    __slots__ = ("_reader", "_is_new")

    def __init__(self, dictionary: bytes, *, window_log: int = WINDOW_LOG) -> None:
        known = standard.ZstdDict(dictionary, is_raw=True).as_prefix if dictionary else None
        options = {standard.DecompressionParameter.window_log_max: window_log}
        self._reader = standard.ZstdDecompressor(zstd_dict=known, options=options)
        self._is_new = True

    @property
    def is_at_end(self) -> bool:
        """Whether a frame has ended exactly here."""
        return bool(self._reader.eof and not self._reader.unused_data)

    def decompress(self, data: bytes, limit: int) -> bytes:
        if self._is_new:
            _check_head(data)
            data = MAGIC + data
            self._is_new = False
        try:
            content: bytes = self._reader.decompress(data, limit + 1)
        except (standard.ZstdError, EOFError):
            raise PeerError("malformed") from None
        if len(content) > limit:
            raise PeerError("malformed")
        return content


class _PackagePackets:
    __slots__ = ("_compressor", "_decompressor")

    def __init__(self, dictionary: bytes) -> None:
        level = _DICTIONARY_LEVEL if dictionary else _LEVEL
        parameters = zstandard.ZstdCompressionParameters.from_level(level, window_log=_PACKET_WINDOW_LOG, **_FORMAT)
        self._compressor = zstandard.ZstdCompressor(compression_params=parameters, **_raw(dictionary))
        self._decompressor = zstandard.ZstdDecompressor(
            format=zstandard.FORMAT_ZSTD1_MAGICLESS, max_window_size=1 << _PACKET_WINDOW_LOG, **_raw(dictionary)
        )

    def compress(self, packet: bytes) -> bytes:
        return self._compressor.compress(packet)

    def decompress(self, body: bytes, limit: int) -> bytes:
        _check_head(body)
        try:
            return self._decompressor.decompress(body, max_output_size=limit)
        except zstandard.ZstdError:
            raise PeerError("malformed") from None


class _StandardPackets:
    __slots__ = ("_dictionary", "_known", "_options")

    def __init__(self, dictionary: bytes) -> None:
        self._dictionary = dictionary
        self._known = standard.ZstdDict(dictionary, is_raw=True).as_prefix if dictionary else None
        self._options = _standard_options(QUICK._replace(window_log=_PACKET_WINDOW_LOG))

    def compress(self, packet: bytes) -> bytes:
        compressor = standard.ZstdCompressor(options=self._options, zstd_dict=self._known)
        body: bytes = compressor.compress(packet, compressor.FLUSH_FRAME)
        return body[len(MAGIC) :]

    def decompress(self, body: bytes, limit: int) -> bytes:
        reader = _StandardReader(self._dictionary, window_log=_PACKET_WINDOW_LOG)
        packet = reader.decompress(body, limit)
        if not reader.is_at_end:
            raise PeerError("malformed")
        return packet


def _standard_options(effort: Effort) -> dict[Any, int]:
    names = standard.CompressionParameter
    flags = dict.fromkeys((names.content_size_flag, names.checksum_flag, names.dict_id_flag), 0)
    return flags | {names[name]: value for name, value in _parameters(effort).items()}


def _stored(text: bytes) -> bytes:
    """Blocks of PRIMER bytes as they are (RFC 8878 section 3.1.1.2)."""
    pieces = [text[at : at + PRIMER] for at in range(0, len(text), PRIMER)]
    return b"".join([(len(piece) << 3).to_bytes(3, "little") + piece for piece in pieces])


def _raw(dictionary: bytes) -> dict[str, Any]:
    """The package's options for a dictionary that is plain text."""
    if not dictionary:
        return {}
    return {"dict_data": zstandard.ZstdCompressionDict(dictionary, dict_type=zstandard.DICT_TYPE_RAWCONTENT)}


def _check_head(data: bytes) -> None:
    """A library would allocate whatever size the frame announces."""
    if not data or data[0] & _SIZE_FLAGS:
        raise PeerError("malformed")

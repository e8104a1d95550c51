"""What a new flow's history begins with: words of its class, made here, the same at both ends.

What packets by themselves build on is made the same way, and named by another feature.

Text that zstd may refer to from the first packet on; what is likeliest comes last, where it is cheapest to reach. The
feature *history* names this version of them: another text is another feature, and the tests hold its digest.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from ghost.compression.zstd import PRIMER


class Kind(IntEnum):
    """The class of a flow, as its packets name it."""

    NONE = 0
    WEB = 1
    TLS = 2
    DNS = 3


_STATUSES = ("404 Not Found", "304 Not Modified", "301 Moved Permanently", "206 Partial Content", "200 OK")
_TYPES = (
    *(
        "image/png",
        "image/jpeg",
        "image/svg+xml",
        "font/woff2",
        "text/css",
        "text/javascript",
        "application/javascript",
    ),
    *("application/octet-stream", "text/plain", "application/json", "text/html; charset=utf-8"),
)
_DAYS = "Mon, Tue, Wed, Thu, Fri, Sat, Sun, "
_MONTHS = " Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec 2025 2026 00:00:00 GMT\r\n"
_RESPONSE_FIELDS = (
    *("Server: Apache", "Server: nginx", "Server: cloudflare", "Via: 1.1 varnish", "X-Cache: HIT", "Age: "),
    *("Access-Control-Allow-Origin: *", "Strict-Transport-Security: max-age=31536000; includeSubDomains"),
    *("X-Content-Type-Options: nosniff", "X-Frame-Options: SAMEORIGIN", "Location: https://www.", 'ETag: W/"'),
    *("Expires: Thu, 01 Jan 1970 00:00:00 GMT", "Cache-Control: public, max-age=3600", "Cache-Control: no-cache"),
    *("Accept-Ranges: bytes", "Vary: Accept-Encoding", "Connection: keep-alive", "Transfer-Encoding: chunked"),
    *("Last-Modified: ", "Content-Length: ", "Date: "),
)
_TAGS = (
    *(
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>',
        "</title>\n",
        '<link rel="stylesheet" ',
    ),
    *(
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
        'type="text/css" href="/',
        '<script src="/',
    ),
    *(
        "</script>\n</head>\n<body>\n",
        "<table>\n<tr><td>",
        "</td></tr>\n</table>\n",
        '<ul>\n<li><a href="https://www.',
        "</a></li>\n",
    ),
    *(
        '<img src="/',
        '" alt="',
        '" width="',
        '" height="',
        "<h1>",
        "</h1>\n<h2>",
        "</h2>\n",
        '<span class="',
        "</span>",
    ),
    *('<div id="', '<div class="', "</div>\n", "<p>", "</p>\n", "</body>\n</html>\n"),
)
_KEYS = (
    *("null", "true", "false", '"error":', '"status":', '"message":', '"description":', '"title":', '"url":"https://'),
    *('"created_at":"2026-01-01T00:00:00Z",', '"updated_at":"2026-', '"count":', '"total":', '"items":[{', '"data":{'),
    *('"type":"', '"value":', '"name":"', '"id":', '},{"id":', '"},{"', '","'),
)
_WORDS = (
    "which there their about would other these people could first after where being before through because between "
    "another should number system information service without against during under available following different "
    "however example include general result support program general will more than have been with that from this "
    "not are was for and in the to of "
)
_CERTIFICATE_FIELDS = (
    *(b"http://ocsp.", b"http://crl.", b".crl0", b".crt0", b"https://www.", b"0\x82\x01\x0a\x02\x82\x01\x01\x00"),
    *(b"\x06\x03U\x04\x06\x13\x02US1", b"\x06\x03U\x04\x0a\x0c", b"\x06\x03U\x04\x0a\x13", b"\x06\x03U\x04\x03\x0c"),
    *(b"Let's Encrypt1", b"DigiCert Inc1", b"Google Trust Services1", b"Amazon1", b"\x06\x03U\x04\x03\x13"),
    *(
        b"0\x13\x06\x03U\x1d%\x04\x0c0\x0a\x06\x08+\x06\x01\x05\x05\x07\x03\x01",
        b"0\x0c\x06\x03U\x1d\x13\x01\x01\xff\x04\x020\x00",
    ),
    *(b"0\x0e\x06\x03U\x1d\x0f\x01\x01\xff\x04\x04\x03\x02\x05\xa0", b"0\x1f\x06\x03U\x1d#\x04\x180\x16\x80\x14"),
    *(
        b"0\x1d\x06\x03U\x1d\x0e\x04\x16\x04\x14",
        b"\x06\x08+\x06\x01\x05\x05\x070\x01\x86",
        b"\x06\x08+\x06\x01\x05\x05\x070\x02\x86",
    ),
    *(
        b"0\x0d\x06\x09*\x86H\x86\xf7\x0d\x01\x01\x0b\x05\x00",
        b"0\x0d\x06\x09*\x86H\x86\xf7\x0d\x01\x01\x01\x05\x00\x03\x82\x01\x0f\x00",
    ),
    *(
        b"0\x0a\x06\x08*\x86H\xce=\x04\x03\x02",
        b"0Y0\x13\x06\x07*\x86H\xce=\x02\x01\x06\x08*\x86H\xce=\x03\x01\x07\x03B\x00\x04",
    ),
)
_HELLO_FIELDS = (
    b"\x00\x0b\x00\x04\x03\x00\x01\x02\x00\x0a\x00\x0c\x00\x0a\x00\x1d\x00\x17\x00\x1e\x00\x19\x00\x18\x00#\x00\x00",
    b"\x00\x16\x00\x00\x00\x17\x00\x00\x00\x0d\x00*\x00(\x04\x03\x05\x03\x06\x03\x08\x07\x08\x08\x08\x09\x08\x0a\x08\x0b",
    b"\x08\x04\x08\x05\x08\x06\x04\x01\x05\x01\x06\x01\x00+\x00\x05\x04\x03\x04\x03\x03"
    b"\x00-\x00\x02\x01\x01\x003\x00&\x00$\x00\x1d\x00 ",
    b"\x00\x10\x00\x0e\x00\x0c\x02h2\x08http/1.1",
    b"\x13\x02\x13\x03\x13\x01\xc0,\xc00\x00\x9f\xcc\xa9\xcc\xa8\xcc\xaa\xc0+\xc0/\x00\x9e\xc0$\xc0(\x00k\xc0#\xc0'\x00g",
    b"\x00.\x00+\x02\x03\x04\x003\x00$\x00\x1d\x00 ",
    b"\x14\x03\x03\x00\x01\x01\x17\x03\x03",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"\x16\x03\x03\x00z\x02\x00\x00v\x03\x03",
)


_SUFFIXES = "co.uk org.uk com.au co.jp de fr nl ru it pl br in io me tv app dev ai info gov edu org net com"
_HOSTS = (
    "in-addr.arpa ip6.arpa amazonaws.com compute.amazonaws.com elb.amazonaws.com cloudapp.net azure.com azureedge.net "
    "trafficmanager.net windows.net windowsupdate.com msedge.net office.com live.com microsoft.com icloud.com "
    "aaplimg.com apple.com facebook.com fbcdn.net instagram.com whatsapp.net doubleclick.net google-analytics.com "
    "googletagmanager.com googleusercontent.com googlevideo.com youtube.com ytimg.com gstatic.com googleapis.com "
    "google.com cloudflare.net cloudflare.com fastly.net fastlylb.net edgesuite.net edgekey.net akamai.net "
    "akamaized.net akamaiedge.net akadns.net cloudfront.net"
)
_LABELS = (
    "_tcp _udp _dns-sd _https autodiscover smtp imap pop ns1 ns2 ns hostmaster awsdns dns time ntp pool assets media "
    "images img static cdn edge api app login accounts auth mail m www"
)
_TYPES_AND_SIZES = ((2, 4), (15, 9), (16, 40), (6, 64), (65, 60), (5, 20), (28, 16), (1, 4))
_LIFETIMES = (86400, 3600, 300, 60)
_QUESTIONS = (65, 28, 1)
_DNS_HEADS = (
    *("81830001000000010000", "81800001000400000000", "81800001000300000001", "81800001000200000000"),
    *("81800001000100000001", "81800001000100000000", "01200001000000000001", "01000001000000000001"),
    "01000001000000000000",
)
_EXTENSIONS = ("1000", "0200", "04d0")  # sizes of answers that resolvers ask for (RFC 6891)


def _dns() -> bytes:
    """Names, resource records, questions and headers as RFC 1035 section 4 writes them."""

    def name(text: str) -> bytes:
        return b"".join(bytes((len(label),)) + label.encode() for label in text.split("."))

    def numbers(*fields: tuple[int, int]) -> bytes:
        return b"".join(value.to_bytes(size, "big") for value, size in fields)

    parts = [name(host) + b"\0" for host in _HOSTS.split()]
    parts += [name(label) for label in _LABELS.split()]
    for kind, size in _TYPES_AND_SIZES:
        parts += [b"\xc0\x0c" + numbers((kind, 2), (1, 2), (lifetime, 4), (size, 2)) for lifetime in _LIFETIMES]
    parts += [name(suffix) + b"\0" + numbers((kind, 2), (1, 2)) for suffix in _SUFFIXES.split() for kind in _QUESTIONS]
    parts += [b"\0\0\x29" + bytes.fromhex(size) + bytes(6) for size in _EXTENSIONS]
    return b"".join(parts) + b"".join(map(bytes.fromhex, _DNS_HEADS))


def _primer(text: bytes) -> bytes:
    """The text in whole pieces without those that repeat something: a compressor wants to be told it in such."""
    kept = b""
    for at in range(len(text) % PRIMER, len(text), PRIMER):
        piece = text[at : at + PRIMER]
        kept += piece if piece not in kept else b""
    return kept


def _web() -> bytes:
    heads = [f"HTTP/1.1 {status}\r\n" for status in _STATUSES]
    types = [f"Content-Type: {name}\r\n" for name in _TYPES]
    fields = "\r\n".join(_RESPONSE_FIELDS)
    return "".join([_WORDS, *_KEYS, *_TAGS, *types, _DAYS, _MONTHS, fields, *heads]).encode()


DICTIONARIES: Final = {
    Kind.NONE: b"",
    Kind.WEB: _primer(_web()),
    Kind.TLS: _primer(b"".join(_CERTIFICATE_FIELDS + _HELLO_FIELDS)),
    Kind.DNS: _dns(),
}
STREAM_KINDS: Final = frozenset((Kind.NONE, Kind.WEB, Kind.TLS))
"""Those that a stream may begin with."""


def kind_of(payload: bytes) -> Kind:
    """The class of a flow that begins with this payload."""
    return Kind.TLS if payload[:2] == b"\x16\x03" else Kind.WEB

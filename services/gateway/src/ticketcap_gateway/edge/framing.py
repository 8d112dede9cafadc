"""Check a request's head against RFC 9112 where the parser is lenient.

The parser (llhttp) refuses bare LF, folded headers, wrong lengths and chunks.
This module refuses the malformed heads that it accepts, because a proxy in
front may read them in another way, and then one request becomes two.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final

Headers = Sequence[tuple[bytes, bytes]]

_BLANK_LINES: Final = re.compile(rb"(?:\r\n)*")
_REQUEST_LINE: Final = re.compile(rb"(?:\r\n)*[!#$%&'*+.^_`|~0-9A-Za-z-]+ [!-~]+ HTTP/(\d\.\d)\r\n")
_VERSIONS: Final = frozenset({"1.0", "1.1"})
# Versions that exist but are not supported. A line with any other version is malformed.
_OTHER_VERSIONS: Final = frozenset({"0.9", "2.0", "3.0"})
# RFC 3986, 3.2.2, without the comma, which a name may hold: a proxy may have joined two Host headers with it.
_HOST: Final = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[\w.~!$&'()*+;=%-]*)(?::\d*)?", re.ASCII)
_ABSOLUTE: Final = re.compile(rb"https?://([^/?@]+)(/[^?]*)?(\?.*)?", re.ASCII | re.IGNORECASE)
_LENGTH_DIGITS: Final = 19


class Fault(Exception):
    """A refused request; its connection closes after the answer."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail


def malformed(detail: str) -> Fault:
    """Return the fault of a request with no valid reading, or with two."""
    return Fault(400, "MALFORMED_REQUEST", detail)


def misread(received: bytes) -> Fault:
    """Return why the parser refused ``received``, which begins with a head."""
    line = _REQUEST_LINE.match(received)
    if line is None:
        return malformed("the request is not HTTP/1.1")
    if line[1].decode() in _OTHER_VERSIONS:
        return _other_version()
    return malformed("the request line or the headers are malformed")


def check(method: bytes, target: bytes, version: str, headers: Headers) -> None:
    """Raise a Fault unless this head has exactly one reading."""
    if version not in _VERSIONS:
        raise _other_version()
    if method == b"CONNECT":
        raise _not_implemented("the method CONNECT")
    framing: dict[bytes, list[bytes]] = {b"host": [], b"content-length": [], b"transfer-encoding": []}
    for name, value in headers:
        if name in framing:
            framing[name].append(value)
    _check_host(version, framing[b"host"])
    _check_length(framing[b"content-length"])
    _check_coding(version, framing[b"transfer-encoding"])
    if b"#" in target or (target == b"*" and method != b"OPTIONS"):
        raise malformed("the request target is malformed")


def check_line(method: bytes, target: bytes, version: str, received: bytes, *, aligned: bool) -> None:
    """Raise a Fault unless the request line is spelled exactly as the parser understood it.

    ``received`` holds the head; ``aligned`` says that the head stands at its
    start, after blank lines. The parser also accepts other protocols and more
    spaces.
    """
    line = b"%b %b HTTP/%b\r\n" % (method, target, version.encode())
    blank = _BLANK_LINES.match(received)
    start = blank.end() if blank else 0
    if not (received.startswith(line, start) if aligned else line in received):
        raise malformed("the request line must be a method, a target and HTTP/1.1, with one space between")


def origin_form(target: bytes) -> bytes:
    """Return path and query of a request target; raises a Fault when there is none."""
    if target.startswith(b"/") or target == b"*":
        return target
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None or not _HOST.fullmatch(absolute[1]):
        raise malformed("the request target is malformed")
    return (absolute[2] or b"/") + (absolute[3] or b"")


def without_upgrade(method: bytes, target: bytes, version: str, headers: Headers) -> bytes:
    """Return the same head without its offer of another protocol (RFC 9110, 7.8: a server may ignore it)."""
    remaining = b"".join(b"%b: %b\r\n" % header for header in _not_upgrading(headers))
    return b"%b %b HTTP/%b\r\n%b\r\n" % (method, target, version.encode(), remaining)


def _not_upgrading(headers: Headers) -> Iterable[tuple[bytes, bytes]]:
    for name, value in headers:
        if name == b"connection":
            options = [option.strip() for option in value.split(b",")]
            yield name, b", ".join(option for option in options if option.lower() != b"upgrade")
        elif name != b"upgrade":
            yield name, value


def _check_host(version: str, hosts: Sequence[bytes]) -> None:
    if len(hosts) > 1 or (not hosts and version != "1.0"):
        raise malformed("the request must have one Host header")
    if hosts and not _HOST.fullmatch(hosts[0]):
        raise malformed("the Host header must be a host with an optional port")


def _check_length(lengths: Sequence[bytes]) -> None:
    if any(len(length) > _LENGTH_DIGITS for length in lengths):
        raise malformed(f"Content-Length must have at most {_LENGTH_DIGITS} digits")


def _check_coding(version: str, codings: Sequence[bytes]) -> None:
    if not codings:
        return
    if version == "1.0":
        raise malformed("HTTP/1.0 has no Transfer-Encoding; send a Content-Length")
    names = [name.strip().lower() for value in codings for name in value.split(b",")]
    if not all(names):
        raise malformed("Transfer-Encoding must be chunked")
    if names != [b"chunked"]:
        raise _not_implemented("the transfer coding; send chunked, or a Content-Length")


def _other_version() -> Fault:
    return Fault(505, "VERSION_NOT_SUPPORTED", "the gateway speaks HTTP/1.1 and HTTP/1.0")


def _not_implemented(feature: str) -> Fault:
    return Fault(501, "NOT_IMPLEMENTED", f"the gateway does not implement {feature}")

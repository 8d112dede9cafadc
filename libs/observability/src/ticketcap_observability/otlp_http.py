"""Sends OTLP over HTTP with what Python brings along: one connection, short timeouts, one more try.

The stock exporter carries a whole HTTP library into every service, some 5 MB
of memory; what it does with it is one POST a second.
"""

import gzip
import http.client
import ssl
import threading
import time
from collections.abc import Mapping
from typing import Final
from urllib.parse import SplitResult, urlsplit

from google.protobuf.message import Message

from ticketcap_observability.otlp import LOST, Delivery, delivery_of
from ticketcap_observability.settings import TlsFiles

_PAUSE_SECONDS: Final = 0.5
_PROTOBUF: Final = "application/x-protobuf"
_ANSWER_BYTES: Final = 64 * 1024
"""What is read of an answer; a partial success is some hundred bytes."""
# https://opentelemetry.io/docs/specs/otlp/#retryable-response-codes
_TRY_AGAIN: Final = frozenset({429, 502, 503, 504})
_SYSTEM: Final = TlsFiles()


class OtlpSender:
    """Posts messages to one address, one at a time."""

    def __init__(self, endpoint: str, headers: Mapping[str, str], *, timeout: float, tls: TlsFiles = _SYSTEM) -> None:
        self._address: Final[SplitResult] = urlsplit(endpoint)
        self._headers = {"Content-Type": _PROTOBUF, "Content-Encoding": "gzip", **headers}
        self._timeout = timeout
        self._tls = tls
        self._stopped = threading.Event()
        self._connection: http.client.HTTPConnection | None = None

    def send(self, message: Message | bytes) -> Delivery:
        """Post ``message``. Never raises for what the other side does."""
        written = message if isinstance(message, bytes) else message.SerializeToString()
        body = gzip.compress(written, compresslevel=1)
        status, answer = self._post(body)
        if status is None or status in _TRY_AGAIN:
            if self._stopped.wait(_PAUSE_SECONDS):
                return LOST
            status, answer = self._post(body)
        # Some answer 202 or 204: every success is one.
        taken = status is not None and http.HTTPStatus(200) <= status < http.HTTPStatus(300)
        return delivery_of(answer) if taken else LOST

    def stop(self) -> None:
        """Give up waiting for another try, and close."""
        self._stopped.set()
        self._close()

    def _post(self, body: bytes) -> tuple[int | None, bytes]:
        """Return the answer's status, None when there was none, and what it says in protobuf."""
        deadline = time.monotonic() + self._timeout
        try:
            connection = self._open()
            connection.request("POST", self._path, body, self._headers)
            response = connection.getresponse()
            answer = response.read(_ANSWER_BYTES)
        except (OSError, http.client.HTTPException):
            self._close()
            return None, b""
        if response.will_close or not response.isclosed() or time.monotonic() > deadline:
            self._close()
        kind = response.getheader("Content-Type", "").partition(";")[0].strip().lower()
        return response.status, answer if kind == _PROTOBUF else b""

    @property
    def _path(self) -> str:
        return f"{self._address.path or '/'}{'?' + self._address.query if self._address.query else ''}"

    def _open(self) -> http.client.HTTPConnection:
        if self._connection is None:
            host, port = self._address.hostname or "", self._address.port
            if self._address.scheme == "https":
                context = _context(self._tls)
                self._connection = http.client.HTTPSConnection(host, port, timeout=self._timeout, context=context)
            else:
                self._connection = http.client.HTTPConnection(host, port, timeout=self._timeout)
        return self._connection

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _context(tls: TlsFiles) -> ssl.SSLContext:
    """Raise OSError for a file that is none of its kind."""
    context = ssl.create_default_context(cafile=tls.roots or None)
    if tls.client_chain:
        context.load_cert_chain(tls.client_chain, tls.client_key or None)
    return context

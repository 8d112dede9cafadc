"""Send OTLP over gRPC: one channel, short timeouts, one more try.

The stock exporter reads two dozen variables for itself, and a wrong one of them stops the process; it does not look at
what the collector answers.
"""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import grpc
from google.protobuf.message import Message

from ticketcap_observability.otlp import LOST, Delivery, delivery_of
from ticketcap_observability.settings import TlsFiles

TRACES: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
METRICS: Final = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
LOGS: Final = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"

_PAUSE_SECONDS: Final = 0.5
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", 64 * 1024),
    ("grpc.max_reconnect_backoff_ms", 5000),
)
# https://opentelemetry.io/docs/specs/otlp/#failures
_TRY_AGAIN: Final = frozenset(
    {
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)


class GrpcSender:
    """Calls ``method`` of one collector, one call at a time."""

    def __init__(
        self, endpoint: str, method: str, headers: Mapping[str, str], *, timeout: float, tls: TlsFiles
    ) -> None:
        self._endpoint = endpoint
        self._method = method
        self._headers = tuple(headers.items())
        self._timeout = timeout
        self._tls = tls
        self._stopped = threading.Event()
        self._channel: grpc.Channel | None = None

    def send(self, message: Message | bytes) -> Delivery:
        """Send ``message``. Never raises for what the other side does."""
        written = message if isinstance(message, bytes) else message.SerializeToString()
        delivery = self._call(written)
        if delivery is None and not self._stopped.wait(_PAUSE_SECONDS):
            delivery = self._call(written)
        return delivery or LOST

    def stop(self) -> None:
        """Give up waiting for another try, and close."""
        self._stopped.set()
        self._close()

    def _call(self, written: bytes) -> Delivery | None:
        """Return what the collector says, None when another try may help."""
        try:
            export: grpc.UnaryUnaryMultiCallable[bytes, bytes] = self._open().unary_unary(self._method)
            return delivery_of(export(written, timeout=self._timeout, metadata=self._headers))
        except grpc.RpcError as error:
            # The channel may lead into nothing: the next call makes another.
            self._close()
            return None if error.code() in _TRY_AGAIN else LOST
        except (OSError, ValueError):
            # A certificate that can't be read any more, or a channel that was closed meanwhile.
            self._close()
            return LOST

    def _open(self) -> grpc.Channel:
        if self._channel is None:
            target = urlsplit(self._endpoint)
            if target.scheme == "http":
                self._channel = grpc.insecure_channel(target.netloc, _OPTIONS, compression=grpc.Compression.Gzip)
            else:
                credentials = grpc.ssl_channel_credentials(
                    _content(self._tls.roots), _content(self._tls.client_key), _content(self._tls.client_chain)
                )
                self._channel = grpc.secure_channel(
                    target.netloc, credentials, _OPTIONS, compression=grpc.Compression.Gzip
                )
        return self._channel

    def _close(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()


def _content(path: str) -> bytes | None:
    return Path(path).read_bytes() if path else None

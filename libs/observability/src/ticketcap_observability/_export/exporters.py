"""Make OpenTelemetry's OTLP exporters, and count the items that a collector rejects.

The stock exporters ignore partial success (https://opentelemetry.io/docs/specs/otlp/#partial-success), so their
answers are read here: over HTTP by a hook of the session, over gRPC by a wrapper around the stub. A module of an
exporter is imported when a signal needs it; a process without an endpoint pays nothing.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from ticketcap_observability.settings import Signal, TelemetrySettings

Rejected = Callable[[int], None]

_EXPORTERS: Final[dict[Signal, tuple[str, str]]] = {
    "traces": ("trace_exporter", "OTLPSpanExporter"),
    "metrics": ("metric_exporter", "OTLPMetricExporter"),
    "logs": ("_log_exporter", "OTLPLogExporter"),
}
_PROTOBUF: Final = "application/x-protobuf"


def exporter(settings: TelemetrySettings, signal: Signal, rejected: Rejected) -> Any:
    """Return the exporter of ``signal``. Call it inside ``settings.environment()``: it reads the variables itself."""
    module, name = _EXPORTERS[signal]
    compression = settings.compressions[signal]
    if settings.protocols[signal] == "grpc":
        stock = getattr(import_module(f"opentelemetry.exporter.otlp.proto.grpc.{module}"), name)
        return _over_grpc(stock, compression, rejected)
    stock = getattr(import_module(f"opentelemetry.exporter.otlp.proto.http.{module}"), name)
    return _over_http(stock, compression, rejected)


def _over_http(stock: Any, compression: str, rejected: Rejected) -> Any:
    import requests
    from opentelemetry.exporter.otlp.proto.http import Compression

    def read(response: requests.Response, **_: Any) -> None:
        if response.ok and response.headers.get("Content-Type", "").startswith(_PROTOBUF):
            _count(response.content, rejected)

    session = requests.Session()
    session.hooks["response"].append(read)
    return stock(compression=Compression(compression), session=session)


def _over_grpc(stock: Any, compression: str, rejected: Rejected) -> Any:
    import grpc

    class Stub:
        """The generated stub; its answers are read."""

        def __init__(self, stub: Any) -> None:
            self._stub = stub

        def Export(self, **request: Any) -> Any:  # noqa: N802 - the name in the proto
            answer = self._stub.Export(**request)
            _count(answer.SerializeToString(), rejected)
            return answer

    class Exporter(stock):  # type: ignore[misc]  # a class that is chosen at run time
        """The stock exporter. It makes its stub again after a lost connection."""

        _client: Any

        def _initialize_channel_and_stub(self) -> None:
            super()._initialize_channel_and_stub()
            self._client = Stub(self._client)

    # gRPC has no deflate of OTLP's; the stock exporter would raise.
    return Exporter(compression=grpc.Compression.NoCompression if compression == "none" else grpc.Compression.Gzip)


def _count(answer: bytes, rejected: Rejected) -> None:
    """Report the number of rejected items. In all three signals it is field 1 of field 1 of the answer."""
    try:
        count = ExportTraceServiceResponse.FromString(answer).partial_success.rejected_spans
    except DecodeError:
        return
    if count > 0:
        rejected(count)

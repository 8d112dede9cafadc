"""Receive OTLP for tests and store the messages."""

import gzip
from typing import Any

from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from ticketcap_testing.http_server import HttpStandIn, StandInHandler

_REQUESTS: dict[str, type[Message]] = {
    "/v1/logs": ExportLogsServiceRequest,
    "/v1/metrics": ExportMetricsServiceRequest,
    "/v1/traces": ExportTraceServiceRequest,
}


class OtlpReceiver(HttpStandIn):
    """Listens on a port of its own while the code inside runs."""

    def __init__(self) -> None:
        self.bodies: dict[str, list[bytes]] = {path: [] for path in _REQUESTS}
        receiver = self

        class Handler(StandInHandler):
            def serve(self) -> None:
                receiver.bodies[self.path].append(gzip.decompress(self.body()))
                self.answer()

        super().__init__(Handler)

    @property
    def endpoint(self) -> str:
        return f"http://{self.address}"

    def requests(self, path: str) -> list[Any]:
        """Return what came under ``path``, parsed."""
        return [_REQUESTS[path].FromString(body) for body in self.bodies[path]]

    def log_records(self) -> list[Any]:
        return [
            record
            for request in self.requests("/v1/logs")
            for resource in request.resource_logs
            for scope in resource.scope_logs
            for record in scope.log_records
        ]

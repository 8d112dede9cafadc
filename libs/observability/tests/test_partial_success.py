"""Check that items which a collector rejects are counted."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager

import grpc
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsPartialSuccess, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsPartialSuccess,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)
from ticketcap_testing.http_server import HttpStandIn, StandInHandler

ANSWERS = {
    "traces": ExportTraceServiceResponse(
        partial_success=ExportTracePartialSuccess(rejected_spans=2, error_message="no room")
    ),
    "metrics": ExportMetricsServiceResponse(partial_success=ExportMetricsPartialSuccess(rejected_data_points=3)),
    "logs": ExportLogsServiceResponse(partial_success=ExportLogsPartialSuccess(rejected_log_records=1)),
}


class GrpcCollector(grpc.GenericRpcHandler):
    """Answers each signal with its partial success, after what the test lays out."""

    def __init__(self) -> None:
        self.failures: list[grpc.StatusCode] = []
        self.calls = 0

    def service(self, call: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
        signal = next(name for name in ANSWERS if name.removesuffix("s") in call.method.lower())

        def answer(_: bytes, context: grpc.ServicerContext) -> bytes:
            self.calls += 1
            if self.failures:
                context.abort(self.failures.pop(0), "not now")
            return ANSWERS[signal].SerializeToString()

        return grpc.unary_unary_rpc_method_handler(answer)


@contextmanager
def over_grpc(collector: GrpcCollector) -> Iterator[str]:
    server = grpc.server(futures.ThreadPoolExecutor(4), handlers=[collector])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait(5)


@contextmanager
def over_http() -> Iterator[str]:
    class Handler(StandInHandler):
        def serve(self) -> None:
            self.body()
            answer = ANSWERS[self.path.rpartition("/")[2]].SerializeToString()
            self.answer(content=answer, headers={"Content-Type": "application/x-protobuf"})

    with HttpStandIn(Handler) as collector:
        yield f"http://{collector.address}"


@pytest.fixture(params=["http/protobuf", "grpc"])
def environ(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """Yield the settings that lead to a collector."""
    shared = {"OTEL_EXPORTER_OTLP_PROTOCOL": request.param, "OTEL_EXPORTER_OTLP_INSECURE": "true"}
    with over_grpc(GrpcCollector()) if request.param == "grpc" else over_http() as endpoint:
        yield {**shared, "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}


PUSH = {"OTEL_METRICS_EXPORTER": "otlp", "OTEL_METRIC_EXPORT_INTERVAL": "500"}
PROCESS = """
import time, urllib.request
from ticketcap_observability import Telemetry, configure_logging, get_logger
configure_logging("shop", "1")
telemetry = Telemetry.start("shop", "1", metrics_address="127.0.0.1:0")
for _ in range(4):
    telemetry.tracer.start_span("work").end()
get_logger("shop").info("thing.done")
page = ""
deadline = time.monotonic() + 30
while page.count('reason="rejected"') < 3 and time.monotonic() < deadline:
    time.sleep(0.1)
    page = urllib.request.urlopen(f"http://127.0.0.1:{telemetry.metrics_port}/metrics").read().decode()
print(page)
"""


def test_what_is_rejected_is_dropped_and_what_is_taken_is_not(environ: dict[str, str]) -> None:
    """Of every signal, from the collector's answer to the page that alerts are made of."""
    done = subprocess.run(
        [sys.executable, "-c", PROCESS],
        env={"PATH": os.environ["PATH"], **PUSH, **environ},
        capture_output=True,
        text=True,
        timeout=90,
        check=True,
    )
    pattern = r'^telemetry_dropped_total{reason="(\w+)",signal="(\w+)"} (\d+)'
    dropped = {(reason, signal): int(count) for reason, signal, count in re.findall(pattern, done.stdout, re.MULTILINE)}
    points = dropped.pop(("rejected", "metrics"))
    assert (points > 0, points % 3) == (True, 0)
    assert dropped == {("rejected", "traces"): 2, ("rejected", "logs"): 1}

"""The OTLP sender: what it posts, when it tries again, and that nothing the other side does harms it."""

import contextlib
import gzip
import http.server
import threading
from collections.abc import Iterator

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from ticketcap_observability import Telemetry
from ticketcap_observability.otlp import LOST, Delivery, OtlpSpanExporter
from ticketcap_observability.otlp_http import OtlpSender


def partly(rejected: int) -> bytes:
    """Return the answer of a collector that took a part."""
    answer = ExportTraceServiceResponse()
    answer.partial_success.rejected_spans = rejected
    return answer.SerializeToString()


class Collector(http.server.ThreadingHTTPServer):
    """Answers with the statuses that the test lays out, the last one for ever."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.statuses = [200]
        self.posts: list[tuple[str, dict[str, str], bytes]] = []
        self.connections: set[int] = set()
        self.answer = b""
        self.kind = "application/x-protobuf"

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a sender that gave its connection up."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posts.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        self.server.connections.add(self.client_address[1])
        statuses = self.server.statuses
        self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
        self.send_header("Content-Length", str(len(self.server.answer)))
        self.send_header("Content-Type", self.server.kind)
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(self.server.answer)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def sender(collector: Collector) -> Iterator[OtlpSender]:
    made = OtlpSender(f"http://127.0.0.1:{collector.server_port}/v1/traces?a=b", {"api-key": "k"}, timeout=2)
    yield made
    made.stop()


def test_spans_are_posted_as_gzipped_protobuf(collector: Collector, sender: OtlpSender) -> None:
    """To the whole address, with the headers, over one connection."""
    telemetry = Telemetry.in_memory()
    telemetry.tracer.start_span("work").end()
    exporter = OtlpSpanExporter(sender, rejected=lambda _: None)
    assert exporter.export(telemetry.spans).name == exporter.export(telemetry.spans).name == "SUCCESS"
    path, headers, body = collector.posts[0]
    assert (path, headers["api-key"], headers["content-type"]) == ("/v1/traces?a=b", "k", "application/x-protobuf")
    sent = ExportTraceServiceRequest.FromString(gzip.decompress(body))
    assert sent.resource_spans[0].scope_spans[0].spans[0].name == "work"
    assert len(collector.connections) == 1


@pytest.mark.parametrize(
    ("statuses", "taken", "posts"),
    [
        ([200], True, 1),
        ([202], True, 1),
        ([204], True, 1),
        ([503, 202], True, 2),
        ([429, 429, 200], False, 2),
        ([301], False, 1),
        ([400], False, 1),
        ([500], False, 1),
    ],
)
def test_it_tries_once_more_when_that_may_help(
    collector: Collector, sender: OtlpSender, statuses: list[int], taken: bool, posts: int
) -> None:
    """After a status that says so; never for ever."""
    collector.statuses = statuses
    assert sender.send(ExportTraceServiceRequest()).taken is taken
    assert len(collector.posts) == posts


def test_nobody_there_is_no_exception() -> None:
    """It says that it was not taken."""
    assert OtlpSender("http://127.0.0.1:1/", {}, timeout=1).send(ExportTraceServiceRequest()) == LOST


def test_an_endless_answer_is_not_read(collector: Collector, sender: OtlpSender) -> None:
    """Its first part is enough; the connection is given up."""
    collector.answer = b"x" * 1_000_000
    assert sender.send(ExportTraceServiceRequest()).taken
    assert sender.send(ExportTraceServiceRequest()).taken
    assert len(collector.connections) == 2


def test_a_stopped_sender_does_not_wait_for_its_second_try(collector: Collector, sender: OtlpSender) -> None:
    """So that an exit stays within its bound."""
    collector.statuses = [503]
    sender.stop()
    assert sender.send(ExportTraceServiceRequest()) == LOST
    assert len(collector.posts) == 1


@pytest.mark.parametrize(
    ("kind", "answer", "rejected"),
    [
        ("application/x-protobuf", partly(3), 3),
        ("application/x-protobuf; charset=utf-8", partly(3), 3),
        ("application/x-protobuf", partly(-1), 0),
        ("application/x-protobuf", b"", 0),
        ("application/x-protobuf", b"\xff\xff", 0),
        ("text/html", partly(3), 0),
    ],
)
def test_what_the_collector_rejects_is_read(
    collector: Collector, sender: OtlpSender, kind: str, answer: bytes, rejected: int
) -> None:
    """The message was taken all the same, and is not sent again; an answer that is none says nothing."""
    collector.kind, collector.answer = kind, answer
    assert sender.send(ExportTraceServiceRequest()) == Delivery(True, rejected)
    assert len(collector.posts) == 1

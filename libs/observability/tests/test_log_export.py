"""Check log lines over OTLP: text, queue, level, share."""

import io
import logging
import threading
from collections.abc import Iterator, Sequence

import pytest
import structlog
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.resources import Resource
from ticketcap_observability import InMemoryTelemetry, Telemetry, configure_logging, get_logger, schema
from ticketcap_observability._export.log_handler import OtlpHandler
from ticketcap_observability._export.queues import LogQueue
from ticketcap_observability.settings import QueueSettings


class Collector(LogRecordExporter):
    """Blocks in ``export`` until ``let_go`` is set, then returns ``answer``."""

    def __init__(self, answer: LogRecordExportResult = LogRecordExportResult.SUCCESS) -> None:
        self.answer = answer
        self.let_go = threading.Event()
        self.records: list[ReadableLogRecord] = []

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        assert self.let_go.wait(10)
        self.records += batch
        return self.answer

    def shutdown(self) -> None: ...

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True


class Pipeline:
    """A process's log lines on their way to a collector."""

    def __init__(self, collector: Collector, telemetry: InMemoryTelemetry, *, level: str, ratio: float) -> None:
        self.telemetry = telemetry
        queue = LogQueue(collector, telemetry.counter(schema.DROPPED), QueueSettings(max_queue_size=8))
        self.handler = OtlpHandler(Resource({}), queue, level=level, ratio=ratio)
        logging.getLogger().addHandler(self.handler)

    def dropped(self) -> dict[str, int]:
        points = self.telemetry.points("telemetry.dropped")
        return {point.attributes["reason"]: point.value for point in points if point.attributes["signal"] == "logs"}


@pytest.fixture
def collector() -> Collector:
    return Collector()


@pytest.fixture
def stdout() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    stream = io.StringIO()
    configure_logging("shop", "1.2", "DEBUG", stream)
    yield stream
    root.handlers[:], root.level = before
    structlog.reset_defaults()


def piped(collector: Collector, level: str = "INFO", ratio: float = 1.0) -> Pipeline:
    return Pipeline(collector, Telemetry.in_memory(), level=level, ratio=ratio)


def test_a_line_arrives_with_its_trace_and_what_it_says(collector: Collector, stdout: io.StringIO) -> None:
    """TicketCap's lines and other libraries', redacted like on stdout, with severity, logger and exception."""
    pipeline = piped(collector)
    collector.let_go.set()
    with pipeline.telemetry.tracer.start_as_current_span("work") as span:
        get_logger("a.b").info("thing.done", count=3, phone="050-1234567")
        try:
            raise ValueError("050-1234567")
        except ValueError:
            logging.getLogger("lib").exception("call %s", "050-1234567")
    pipeline.handler.shutdown()
    ours, theirs = (record.log_record for record in collector.records)
    assert (ours.body, ours.severity_text) == ("thing.done", "INFO")
    assert dict(ours.attributes or {}) == {"count": 3, "phone": "[redacted]", "logger": "a.b"}
    assert (theirs.body, theirs.severity_text) == ("call [redacted]", "ERROR")
    assert (theirs.attributes or {})["exception.type"] == "ValueError"
    assert {ours.trace_id, theirs.trace_id} == {span.get_span_context().trace_id}
    assert len(stdout.getvalue().splitlines()) == 2


def test_a_full_queue_drops_and_counts(collector: Collector, stdout: io.StringIO) -> None:
    """A call that logs never waits, and stdout has every line."""
    pipeline = piped(collector)
    for number in range(100):
        get_logger("a").info("x", number=number)
    lost = pipeline.dropped()["queue_full"]
    collector.let_go.set()
    pipeline.handler.shutdown()
    assert lost >= 100 - 2 * 8
    assert stdout.getvalue().count('"event": "x"') == 100


def test_what_is_not_taken_is_counted(stdout: io.StringIO) -> None:
    """As of spans."""
    collector = Collector(LogRecordExportResult.FAILURE)
    collector.let_go.set()
    pipeline = piped(collector)
    get_logger("a").info("x")
    pipeline.handler.shutdown()
    assert pipeline.dropped() == {"export_failed": 1}
    assert stdout.getvalue()


def test_levels_and_shares_are_settings(collector: Collector, stdout: io.StringIO) -> None:
    """The level and the ratio decide which lines are exported.

    - A line below the level: never.
    - A line below a warning: a share, whole traces at a time.
    - A warning or worse: always.
    """
    pipeline = piped(collector, level="INFO", ratio=0.0)
    collector.let_go.set()
    get_logger("a").debug("too low")
    get_logger("a").info("not chosen")
    get_logger("a").warning("always")
    pipeline.handler.shutdown()
    assert [record.log_record.body for record in collector.records] == ["always"]
    assert len(stdout.getvalue().splitlines()) == 3


def test_a_trace_is_chosen_as_a_whole(collector: Collector, stdout: io.StringIO) -> None:
    """Its lines are all there or not at all."""
    pipeline = piped(collector, ratio=0.5)
    collector.let_go.set()
    for _ in range(40):
        with pipeline.telemetry.tracer.start_as_current_span("work"):
            get_logger("a").info("first")
            get_logger("a").info("second")
        pipeline.handler._provider.force_flush()
    pipeline.handler.shutdown()
    by_trace: dict[int | None, int] = {}
    for record in collector.records:
        by_trace[record.log_record.trace_id] = by_trace.get(record.log_record.trace_id, 0) + 1
    assert set(by_trace.values()) == {2}
    assert 5 < len(by_trace) < 35
    assert stdout.getvalue()

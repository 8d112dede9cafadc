"""Check the queue of spans: bounded, and lost spans are counted."""

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler
from ticketcap_observability import schema
from ticketcap_observability._export.queues import SpanQueue
from ticketcap_observability._metrics.instruments import Instruments
from ticketcap_observability.settings import QueueSettings


class Collector(SpanExporter):
    """Blocks in ``export`` until ``let_go`` is set, then returns ``answer`` or raises it."""

    def __init__(self, answer: SpanExportResult | Exception = SpanExportResult.SUCCESS) -> None:
        self.answer = answer
        self.let_go = threading.Event()
        self.busy = threading.Event()
        self.names: list[str] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.busy.set()
        assert self.let_go.wait(10)
        self.names += [span.name for span in spans]
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Pipeline:
    """A queue that holds eight spans, and the count of spans that it dropped."""

    def __init__(self, collector: Collector, sampler: Sampler = ALWAYS_ON) -> None:
        self._reader = InMemoryMetricReader()
        self._meters = MeterProvider([self._reader], shutdown_on_exit=False)
        dropped = Instruments(self._meters.get_meter("t"), strict=True).counter(schema.DROPPED)
        self.tracers = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        self.queue = SpanQueue(collector, dropped, QueueSettings(max_queue_size=8))
        self.tracers.add_span_processor(self.queue)

    def work(self, *names: object) -> None:
        for name in names:
            self.tracers.get_tracer("t").start_span(str(name)).end()

    def dropped(self) -> dict[str, int]:
        data: Any = self._reader.get_metrics_data()
        if data is None:
            return {}
        points = data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points
        assert {point.attributes["signal"] for point in points} == {"traces"}
        return {point.attributes["reason"]: point.value for point in points}

    def close(self) -> None:
        self.tracers.shutdown()
        self._meters.shutdown()


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.let_go.set()


def test_a_full_queue_drops_the_oldest_and_counts_them(collector: Collector) -> None:
    """Ending a span never waits for the collector."""
    pipeline = Pipeline(collector)
    pipeline.work(*(f"first {number}" for number in range(8)))
    assert collector.busy.wait(5)
    pipeline.work(*range(11))
    assert pipeline.dropped() == {"queue_full": 3}
    collector.let_go.set()
    pipeline.queue.force_flush()
    assert collector.names[8:] == [str(number) for number in range(3, 11)]
    pipeline.work("later")
    pipeline.queue.force_flush()
    assert pipeline.dropped() == {"queue_full": 3}
    pipeline.close()


@pytest.mark.parametrize("answer", [SpanExportResult.FAILURE, ValueError("phone 050-1234567")])
def test_what_is_not_delivered_is_counted(
    collector: Collector, answer: SpanExportResult | Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """Whether the sender says so or breaks."""
    collector.answer = answer
    collector.let_go.set()
    pipeline = Pipeline(collector)
    pipeline.work(1, 2, 3)
    pipeline.queue.force_flush()
    assert pipeline.dropped() == {"export_failed": 3}
    pipeline.close()


def test_what_is_delivered_is_not_counted(collector: Collector) -> None:
    """Nothing was lost."""
    collector.let_go.set()
    pipeline = Pipeline(collector)
    pipeline.work(1, 2)
    pipeline.close()
    assert collector.names == ["1", "2"]
    assert pipeline.dropped() == {}


def test_spans_that_are_not_kept_take_no_place(collector: Collector) -> None:
    """They are dropped by choice."""
    pipeline = Pipeline(collector, ALWAYS_OFF)
    pipeline.work(*range(100))
    assert pipeline.dropped() == {}
    pipeline.close()

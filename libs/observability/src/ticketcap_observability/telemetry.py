"""Start telemetry, hand out its parts, end it within a bound."""

import asyncio
import contextlib
import logging
import os
import threading
import uuid
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import grpc.aio
from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, TraceIdRatioBased
from opentelemetry.sdk.version import __version__ as sdk_version
from opentelemetry.trace import Tracer

from ticketcap_observability import schema, sentry
from ticketcap_observability._export.exporters import exporter
from ticketcap_observability._export.log_handler import OtlpHandler
from ticketcap_observability._export.queues import LogQueue, SpanQueue
from ticketcap_observability._fast.meter import FastMeter
from ticketcap_observability._metrics import process
from ticketcap_observability._metrics.instruments import Counter, Histogram, Instruments, Look
from ticketcap_observability._metrics.page import MetricsPage
from ticketcap_observability._metrics.reader import SCOPE, SharedReader, metrics_of
from ticketcap_observability._propagation import Propagator
from ticketcap_observability._rpc.client import client_interceptors
from ticketcap_observability._rpc.server import ServerTelemetry
from ticketcap_observability._tracing import StatusTracer
from ticketcap_observability.logs import get_logger
from ticketcap_observability.schema.kinds import CounterMetric, GaugeMetric, HistogramMetric
from ticketcap_observability.settings import BLANK, Signal, TelemetrySettings

SHUTDOWN_SECONDS: Final = 4.0
"""The time that a dead collector costs at exit. With the steps around it a process ends within five seconds."""

_log = get_logger(__name__)


class Telemetry:
    """The telemetry of one process."""

    def __init__(
        self,
        settings: TelemetrySettings,
        tracers: TracerProvider,
        meters: MeterProvider,
        instruments: Instruments,
        *,
        page: MetricsPage | None = None,
        logs: OtlpHandler | None = None,
        errors: sentry.Sentry | None = None,
    ) -> None:
        self._tracers = tracers
        self._meters = meters
        self._instruments = instruments
        self._page = page
        self._logs = logs
        self._errors = errors
        self.tracer: Final[Tracer] = StatusTracer(tracers.get_tracer(SCOPE))
        self.propagator: Final = Propagator(settings.propagators)

    @classmethod
    def start(
        cls,
        service_name: str,
        service_version: str,
        environ: Mapping[str, str] = os.environ,
        *,
        metrics_address: str = "",
        set_global: bool = True,
    ) -> "Telemetry":
        """Start telemetry. Without an endpoint nothing is exported, but traces still have ids.

        Prometheus reads at ``metrics_address`` (host:port); an empty one serves no page. A wrong variable is logged by
        its name, and its default stands. Raises OSError when the address is in use.
        """
        settings = TelemetrySettings.read(environ, service_name)
        with settings.environment():
            started = cls._start(settings, service_version, environ, metrics_address, set_global=set_global)
        for variable, problem in settings.unused.items():
            _log.warning("telemetry.setting_unused", variable=variable, problem=problem)
        return started

    @classmethod
    def _start(
        cls,
        settings: TelemetrySettings,
        service_version: str,
        environ: Mapping[str, str],
        metrics_address: str,
        *,
        set_global: bool,
    ) -> "Telemetry":
        resource = _resource(settings, service_version, environ)
        reader = _reader(settings, scraped=bool(metrics_address))
        readers = [reader] if reader else []
        meters = MeterProvider(readers, resource=resource, shutdown_on_exit=False)
        if set_global:
            # Before the SDK looks for one: it would load another by a variable.
            metrics.set_meter_provider(meters)
        instruments = Instruments(meters.get_meter(SCOPE), strict=False, fast=reader.fast if reader else None)
        dropped = instruments.counter(schema.DROPPED)
        if reader:
            reader.export(_exporter(settings, "metrics", dropped), dropped)
        tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
        if (spans := _exporter(settings, "traces", dropped)) is not None:
            tracers.add_span_processor(SpanQueue(spans, dropped, settings.span_queue))
        process.observe(instruments)
        page = MetricsPage(metrics_address, reader.snapshot) if reader and metrics_address else None
        logs = errors = None
        if set_global:
            trace.set_tracer_provider(tracers)
            logs = _logs(settings, resource, dropped)
            errors = _errors(environ, service_version, dropped)
        return cls(settings, tracers, meters, instruments, page=page, logs=logs, errors=errors)

    @classmethod
    def in_memory(cls, *, sampling_ratio: float = 1.0) -> "InMemoryTelemetry":
        """Return telemetry of a test, which reads spans and points from memory."""
        return InMemoryTelemetry(sampling_ratio)

    def samples_new_trace(self) -> bool:
        """Decide whether a trace that starts here is sampled, independent of its caller's decision."""
        trace_id = self._tracers.id_generator.generate_trace_id()
        decision = self._tracers.sampler.should_sample(Context(), trace_id, "").decision
        return decision is Decision.RECORD_AND_SAMPLE

    def grpc_server_interceptor(self) -> grpc.aio.ServerInterceptor:
        """Return the interceptor to put first on a server."""
        return ServerTelemetry(self.tracer, self.duration(schema.RPC_SERVER_DURATION), self.propagator)

    def grpc_client_interceptors(self, target: str | None = None) -> list[grpc.aio.ClientInterceptor]:
        """Return the interceptors to put first on a channel to ``target``; with it, they name the server."""
        duration = self.duration(schema.RPC_CLIENT_DURATION)
        return client_interceptors(self.tracer, duration, self.propagator, target)

    def counter(self, definition: CounterMetric) -> Counter:
        """Return the counter of a definition: ``telemetry.counter(schema.X).add(1, reason="…")``."""
        return self._instruments.counter(definition)

    def histogram(self, definition: HistogramMetric) -> Histogram:
        """Return the histogram of a definition: ``telemetry.histogram(schema.X).record(seconds, outcome="…")``."""
        return self._instruments.histogram(definition)

    def gauge(self, definition: GaugeMetric, look: Look) -> None:
        """Call ``look`` for values and their labels at each read; several looks add up."""
        self._instruments.gauge(definition, look)

    @property
    def metrics_port(self) -> int | None:
        """The port of the page for Prometheus; None without one."""
        return None if self._page is None else self._page.port

    async def watch_loop(self) -> None:
        """Measure the event loop's lag until cancelled."""
        await process.watch_loop(self._instruments)

    def duration(self, definition: HistogramMetric) -> metrics.Histogram:
        """Return OpenTelemetry's histogram; the caller bounds its attributes."""
        return self._instruments.conventional(definition)

    async def shutdown(self, timeout: float = SHUTDOWN_SECONDS) -> None:  # noqa: ASYNC109 - a bound, not a cancellation
        """Export the rest and end, within ``timeout`` seconds even with a dead collector."""
        loop = asyncio.get_running_loop()
        work = [self._tracers.shutdown, self._meters.shutdown]
        if self._page is not None:
            work.append(self._page.close)
        if self._logs is not None:
            work.append(self._logs.shutdown)
        if self._errors is not None:
            work.append(self._errors.close)
        ends = [_in_thread(loop, each) for each in work]
        await asyncio.wait(ends, timeout=timeout)


class InMemoryTelemetry(Telemetry):
    """Telemetry of a test."""

    def __init__(self, sampling_ratio: float = 1.0) -> None:
        self._exporter = InMemorySpanExporter()
        fast = FastMeter()
        self._reader = SharedReader(fast=fast)
        tracers = TracerProvider(ParentBased(TraceIdRatioBased(sampling_ratio)), shutdown_on_exit=False)
        tracers.add_span_processor(SimpleSpanProcessor(self._exporter))
        meters = MeterProvider([self._reader], shutdown_on_exit=False)
        instruments = Instruments(meters.get_meter(SCOPE), strict=True, fast=fast)
        super().__init__(TelemetrySettings(service_name="test"), tracers, meters, instruments)

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        """The spans that have ended, in the order of their ends."""
        return self._exporter.get_finished_spans()

    def points(self, name: str) -> list[Any]:
        """Return the data points of a metric. Raises UnknownLabel when a gauge reported one."""
        data = self._reader.snapshot()
        for failure in self._instruments.failures():
            raise failure
        found = [metric.data.data_points for metric in metrics_of(data) if metric.name == name]
        return [point for points in found for point in points]

    def clear(self) -> None:
        """Forget the spans."""
        self._exporter.clear()


def _resource(settings: TelemetrySettings, version: str, environ: Mapping[str, str]) -> Resource:
    return Resource(
        {
            "service.version": version,
            # Two replicas must not write into one series.
            "service.instance.id": str(uuid.uuid4()),
            "deployment.environment.name": environ.get("DEPLOYMENT_ENVIRONMENT") or "development",
            **settings.resource,
            "service.name": settings.service_name,
            "telemetry.sdk.language": "python",
            "telemetry.sdk.name": "opentelemetry",
            "telemetry.sdk.version": sdk_version,
        }
    )


def _reader(settings: TelemetrySettings, *, scraped: bool) -> SharedReader | None:
    """Return the reader of metrics; None when no page and no collector reads them."""
    if settings.disabled or not (scraped or "metrics" in settings.exported):
        return None
    return SharedReader(interval=settings.metric_interval, fast=FastMeter() if settings.fast else None)


def _exporter(settings: TelemetrySettings, signal: Signal, dropped: Counter) -> Any:
    """Return the exporter of ``signal``; None when it is off, or can't be made."""
    if signal not in settings.exported:
        return None
    try:
        return exporter(settings, signal, partial(dropped.add, signal=signal, reason="rejected"))
    except Exception as error:  # noqa: BLE001 - telemetry never stops a service
        _log.warning("telemetry.exporter_unavailable", signal=signal, error_type=type(error).__name__)
        return None


def _logs(settings: TelemetrySettings, resource: Resource, dropped: Counter) -> OtlpHandler | None:
    """Export log lines too, beside the stream of configure_logging."""
    logs = _exporter(settings, "logs", dropped)
    if logs is None:
        return None
    queue = LogQueue(logs, dropped, settings.log_queue)
    handler = OtlpHandler(resource, queue, level=settings.logs_level, ratio=settings.logs_ratio)
    logging.getLogger().addHandler(handler)
    return handler


def _errors(environ: Mapping[str, str], release: str, dropped: Counter) -> sentry.Sentry | None:
    settings = sentry.SentrySettings.read(environ, release)
    try:
        started = sentry.start(settings, dropped)
    except ValueError as error:
        _log.warning("telemetry.setting_unused", variable="SENTRY_DSN", problem=f"{error}; no error is reported")
        return None
    if settings.dsn != environ.get("SENTRY_DSN", ""):
        _log.warning("telemetry.setting_unused", variable="SENTRY_DSN", problem=BLANK)
    return started


def _in_thread(loop: asyncio.AbstractEventLoop, work: Callable[[], object]) -> asyncio.Future[None]:
    """Run ``work`` in a daemon thread: a process that exits does not wait for it."""
    done: asyncio.Future[None] = loop.create_future()

    def finish() -> None:
        if not done.done():
            done.set_result(None)

    def run() -> None:
        try:
            work()
        finally:
            # The loop is closed when the bound passed first.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(finish)

    threading.Thread(target=run, name="telemetry-shutdown", daemon=True).start()
    return done

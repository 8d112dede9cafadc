"""Sets telemetry up from the environment, hands out its parts, and shuts it down within a bound."""

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
from opentelemetry.sdk.metrics import MeterProvider, TraceBasedExemplarFilter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace import Tracer as SdkTracer
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, Sampler, TraceIdRatioBased
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.sdk.version import __version__ as sdk_version
from opentelemetry.trace import Tracer

from ticketcap_observability import exporters, runtime, schema, sentry
from ticketcap_observability.grpc_client import client_interceptors
from ticketcap_observability.grpc_server import ServerTelemetry
from ticketcap_observability.instruments import Counter, Histogram, Instruments, Look
from ticketcap_observability.log_export import LogExport, LogQueue
from ticketcap_observability.logs import get_logger
from ticketcap_observability.metric_reader import SCOPE, SharedReader
from ticketcap_observability.metrics_page import MetricsPage
from ticketcap_observability.otlp import Rejected
from ticketcap_observability.schema.kinds import CounterMetric, GaugeMetric, HistogramMetric
from ticketcap_observability.settings import BLANK, TelemetrySettings
from ticketcap_observability.span_queue import SpanQueue
from ticketcap_observability.tracing import QuickTracer

SHUTDOWN_SECONDS: Final = 4.0
"""What a dead collector costs at exit; with what is closed around it a process is gone within five seconds."""
_QUEUE_SPANS: Final = 8192
_QUEUE_LOGS: Final = 4096

# Never looked at, our spans have bounds of their own: said so that the SDK reads no variable for them.
_UNUSED_LIMITS: Final = SpanLimits(
    max_span_attributes=128,
    max_events=128,
    max_links=128,
    max_attributes=128,
    max_event_attributes=128,
    max_link_attributes=128,
    max_attribute_length=SpanLimits.UNSET,
    max_span_attribute_length=SpanLimits.UNSET,
)

_ids: Final = RandomIdGenerator()
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
        logs: LogExport | None = None,
        errors: sentry.Sentry | None = None,
    ) -> None:
        self._tracers = tracers
        self._meters = meters
        self._instruments = instruments
        self._page = page
        self._logs = logs
        self._errors = errors
        self._root = TraceIdRatioBased(settings.sampling_ratio)
        self.tracer: Final[Tracer] = _tracer(tracers)

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
        """Begin. Without an endpoint nothing is exported, but traces still have ids.

        ``metrics_address`` (host:port) is where Prometheus reads; there is no page when it is empty.
        A variable that can't be used is warned of by its name. Raises OSError when the address is taken.
        """
        settings = TelemetrySettings.read(environ, service_name)
        resource = _resource(settings, service_version, environ)

        def rejected(count: int) -> None:
            # The counter is one of the metrics that are read: it is made below.
            instruments.counter(schema.DROPPED).add(count, signal="metrics", reason="rejected")

        reader = _reader(settings, rejected, scraped=bool(metrics_address))
        meters = MeterProvider(
            metric_readers=[reader] if reader else [],
            resource=resource,
            exemplar_filter=TraceBasedExemplarFilter(),
            shutdown_on_exit=False,
        )
        if set_global:
            # Before the SDK asks for it: else it loads what OTEL_PYTHON_METER_PROVIDER names, or raises.
            metrics.set_meter_provider(meters)
        instruments = Instruments(meters.get_meter(SCOPE), strict=False, read=reader is not None)
        tracers = _tracers(settings, resource, instruments.counter(schema.DROPPED))
        runtime.watch_process(instruments)
        page = MetricsPage(metrics_address, reader.snapshot) if reader and metrics_address else None
        if reader:
            reader.add(instruments.measured)
            reader.count_dropped(
                partial(instruments.counter(schema.DROPPED).add, signal="metrics", reason="export_failed")
            )
        if set_global:
            trace.set_tracer_provider(tracers)
        logs = _logs(settings, resource, instruments.counter(schema.DROPPED)) if set_global else None
        errors = _errors(environ, service_version, instruments.counter(schema.DROPPED)) if set_global else None
        for variable, problem in settings.unused.items():
            _log.warning("telemetry.setting_unused", variable=variable, problem=problem)
        return cls(settings, tracers, meters, instruments, page=page, logs=logs, errors=errors)

    @classmethod
    def in_memory(cls, *, sampling_ratio: float = 1.0) -> "InMemoryTelemetry":
        """Return telemetry that keeps everything where a test can look at it."""
        return InMemoryTelemetry(TelemetrySettings(service_name="test", sampling_ratio=sampling_ratio))

    def samples_new_trace(self) -> bool:
        """Decide whether a trace that begins here is kept, whatever its caller wished."""
        decision = self._root.should_sample(None, _ids.generate_trace_id(), "").decision
        return decision is Decision.RECORD_AND_SAMPLE

    def grpc_server_interceptor(self) -> grpc.aio.ServerInterceptor:
        """Return the interceptor to put first on a server."""
        return ServerTelemetry(self.tracer, self.duration(schema.RPC_SERVER_DURATION))

    def grpc_client_interceptors(self, target: str | None = None) -> list[grpc.aio.ClientInterceptor]:
        """Return the interceptors to put first on a channel to ``target``; with it, they name the server."""
        return client_interceptors(self.tracer, self.duration(schema.RPC_CLIENT_DURATION), target)

    def counter(self, definition: CounterMetric) -> Counter:
        """Return the counter of a definition: ``telemetry.counter(schema.X).add(1, reason="…")``."""
        return self._instruments.counter(definition)

    def histogram(self, definition: HistogramMetric) -> Histogram:
        """Return the histogram of a definition: ``telemetry.histogram(schema.X).record(seconds, outcome="…")``."""
        return self._instruments.histogram(definition)

    def gauge(self, definition: GaugeMetric, look: Look) -> None:
        """Ask ``look`` for values and their labels whenever metrics are read; several looks add up."""
        self._instruments.gauge(definition, look)

    @property
    def metrics_port(self) -> int | None:
        """Where the page for Prometheus is served, None when it is not."""
        return None if self._page is None else self._page.port

    async def watch_loop(self) -> None:
        """Measure for ever how late the event loop is; run it beside the service."""
        await runtime.watch_loop(self._instruments)

    def duration(self, definition: HistogramMetric) -> metrics.Histogram:
        """Return OpenTelemetry's own histogram, whose attributes are the caller's to bound."""
        return self._instruments.conventional(definition)

    async def shutdown(self, timeout: float = SHUTDOWN_SECONDS) -> None:  # noqa: ASYNC109 - a bound, not a cancellation
        """Send what is left and end, within ``timeout`` seconds whatever the collector does."""
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

    def __init__(self, settings: TelemetrySettings) -> None:
        self._exporter = InMemorySpanExporter()
        self._reader = SharedReader(None, interval=settings.metric_interval)
        tracers = TracerProvider(sampler=_sampler(settings), shutdown_on_exit=False)
        tracers.add_span_processor(SimpleSpanProcessor(self._exporter))
        meters = MeterProvider([self._reader], shutdown_on_exit=False)
        instruments = Instruments(meters.get_meter(SCOPE), strict=True)
        self._reader.add(instruments.measured)
        super().__init__(settings, tracers, meters, instruments)

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        """The spans that have ended, in the order of their ends."""
        return self._exporter.get_finished_spans()

    def points(self, name: str) -> list[Any]:
        """Return the data points of a metric. Raises UnknownLabel when a gauge was told one."""
        data = self._reader.snapshot()
        for failure in self._instruments.failures():
            raise failure
        if data is None:
            return []
        found = [
            metric.data.data_points
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
        ]
        return [point for points in found for point in points]

    def clear(self) -> None:
        """Forget the spans."""
        self._exporter.clear()


class _Tracers(TracerProvider):
    """Gives ids to spans even when OTEL_SDK_DISABLED stands in the process's environment: log lines carry them."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._disabled = False


def _tracer(tracers: TracerProvider) -> Tracer:
    inner = tracers.get_tracer(SCOPE)
    # Only a provider that is switched off has another kind.
    return QuickTracer(inner, InstrumentationScope(SCOPE)) if isinstance(inner, SdkTracer) else inner


def _sampler(settings: TelemetrySettings) -> Sampler:
    return ParentBased(TraceIdRatioBased(settings.sampling_ratio))


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


def _reader(settings: TelemetrySettings, rejected: Rejected, *, scraped: bool) -> SharedReader | None:
    """Return what reads metrics, or None when nobody would look at them."""
    if settings.disabled or not (scraped or settings.metrics_endpoint):
        return None
    exporter = exporters.metric_exporter(settings, rejected) if settings.metrics_endpoint else None
    return SharedReader(exporter, interval=settings.metric_interval)


def _tracers(settings: TelemetrySettings, resource: Resource, dropped: Counter) -> "_Tracers":
    limits = _UNUSED_LIMITS
    tracers = _Tracers(resource=resource, sampler=_sampler(settings), shutdown_on_exit=False, span_limits=limits)
    if settings.traces_endpoint and not settings.disabled:
        exporter = exporters.span_exporter(settings, partial(dropped.add, signal="traces", reason="rejected"))
        tracers.add_span_processor(SpanQueue(exporter, dropped, size=_QUEUE_SPANS))
    return tracers


def _logs(settings: TelemetrySettings, resource: Resource, dropped: Counter) -> LogExport | None:
    """Send log lines too, from now on, beside where configure_logging sends them."""
    if not settings.logs_endpoint or settings.disabled:
        return None
    exporter = exporters.log_exporter(settings, partial(dropped.add, signal="logs", reason="rejected"))
    queue = LogQueue(exporter, dropped, size=_QUEUE_LOGS)
    export = LogExport(resource, queue, level=settings.logs_level, ratio=settings.logs_ratio)
    logging.getLogger().addHandler(export)
    return export


def _errors(environ: Mapping[str, str], release: str, dropped: Counter) -> sentry.Sentry | None:
    given = sentry.SentrySettings.read(environ, release)
    try:
        started = sentry.start(given, dropped)
    except ValueError as error:
        _log.warning("telemetry.setting_unused", variable="SENTRY_DSN", problem=f"{error}; no error is sent")
        return None
    if given.dsn != environ.get("SENTRY_DSN", ""):
        _log.warning("telemetry.setting_unused", variable="SENTRY_DSN", problem=BLANK)
    return started


def _in_thread(loop: asyncio.AbstractEventLoop, work: Callable[[], object]) -> asyncio.Future[None]:
    """Run ``work`` in a thread that a process may leave behind when it exits."""
    done: asyncio.Future[None] = loop.create_future()

    def tell() -> None:
        if not done.done():
            done.set_result(None)

    def run() -> None:
        try:
            work()
        finally:
            # The loop is closed when the bound was reached before.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(tell)

    threading.Thread(target=run, name="telemetry-shutdown", daemon=True).start()
    return done

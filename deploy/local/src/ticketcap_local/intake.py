"""Count spans as a collector does, and refuse them on demand."""

import time
from typing import Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from ticketcap_local.trace_store import TraceStore

MAX_REFUSE_SECONDS: Final = 60.0
"""The sink accepts spans again after that, even when the process that asked for the refusal has died."""
_HELP: Final = {
    "otelcol_receiver_accepted_spans_total": "Accepted spans.",
    "otelcol_receiver_refused_spans_total": "Spans refused as if memory were full.",
}


class SpansRefused(Exception):
    """The sink refuses spans at the moment; the sender may retry."""

    def __init__(self) -> None:
        super().__init__("the sink refuses spans for a while: retry")


class Intake:
    """The entry to ``store``."""

    def __init__(self, store: TraceStore) -> None:
        self._store = store
        self._refuses_until = 0.0
        self._counts = dict.fromkeys(_HELP, 0)

    def refuse(self, seconds: float) -> None:
        """Refuse spans for ``seconds``, at most 60; 0 accepts them again."""
        self._refuses_until = time.monotonic() + min(max(seconds, 0.0), MAX_REFUSE_SECONDS)

    def add(self, request: ExportTraceServiceRequest) -> None:
        """Store spans; raise SpansRefused."""
        accepted, refused = _HELP
        spans = sum(len(scope.spans) for resource in request.resource_spans for scope in resource.scope_spans)
        if time.monotonic() < self._refuses_until:
            self._counts[refused] += spans
            raise SpansRefused
        self._counts[accepted] += spans
        self._store.add(request)

    def metrics_page(self) -> str:
        """Return both counters as Prometheus' text, under the names of a collector."""
        return "".join(
            f"# HELP {name} {_HELP[name]}\n# TYPE {name} counter\n"
            f'{name}{{receiver="otlp",service_name="ticketcap-sink"}} {count}\n'
            for name, count in self._counts.items()
        )

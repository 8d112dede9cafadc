"""What the sink takes in, and how much of it: counted as a real collector counts, and refused for a while on demand."""

import time
from typing import Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from ticketcap_local.trace_store import TraceStore

REFUSED_SECONDS_AT_MOST: Final = 60.0
"""By itself the sink takes everything again after that, whatever becomes of whoever asked."""
_HELP: Final = {
    "otelcol_receiver_accepted_spans_total": "Spans that were taken.",
    "otelcol_receiver_refused_spans_total": "Spans that were refused, as if memory were full.",
}


class Full(Exception):
    """Spans are refused at the moment; whoever sends them may try again."""


class Intake:
    """Stands before ``store``."""

    def __init__(self, store: TraceStore) -> None:
        self._store = store
        self._full_until = 0.0
        self._counts = dict.fromkeys(_HELP, 0)

    def refuse(self, seconds: float) -> None:
        """Refuse what comes within ``seconds``, 60 at most; 0: take it."""
        self._full_until = time.monotonic() + min(max(seconds, 0.0), REFUSED_SECONDS_AT_MOST)

    def take(self, request: ExportTraceServiceRequest) -> None:
        """Keep spans; raise Full."""
        accepted, refused = _HELP
        spans = sum(len(scope.spans) for resource in request.resource_spans for scope in resource.scope_spans)
        if time.monotonic() < self._full_until:
            self._counts[refused] += spans
            raise Full
        self._counts[accepted] += spans
        self._store.add(request)

    def page(self) -> str:
        """Return what Prometheus reads, under the names of a collector."""
        return "".join(
            f"# HELP {name} {_HELP[name]}\n# TYPE {name} counter\n"
            f'{name}{{receiver="otlp",service_name="ticketcap-sink"}} {count}\n'
            for name, count in self._counts.items()
        )

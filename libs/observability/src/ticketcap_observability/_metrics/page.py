"""Serve the page that Prometheus reads.

It is OpenMetrics with exemplars when the client accepts that, else the older text format. One thread serves one reader
at a time, so a reader never delays a request. ``prometheus_client`` writes the text.
"""

import socket
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics.export import HistogramDataPoint, Metric, MetricsData
from opentelemetry.trace import format_span_id, format_trace_id

from ticketcap_observability import schema
from ticketcap_observability._metrics.reader import metrics_of, resource_of
from ticketcap_observability.schema.kinds import Metric as Definition

if TYPE_CHECKING:
    from prometheus_client.core import Metric as Family

_READER_SECONDS: Final = 2.0
_FRESH_SECONDS: Final = 0.5
_BACKLOG: Final = 8
_POLL_SECONDS: Final = 0.5
_PATH: Final = "/metrics"

Snapshot = Callable[[], MetricsData | None]

_DEFINITIONS: Final[dict[str, Definition]] = {metric.name: metric for metric in schema.METRICS}


class MetricsPage:
    """A server on ``address`` (host:port; port 0 takes any). Raises OSError when the address is in use."""

    def __init__(self, address: str, snapshot: Snapshot) -> None:
        host, _, port = address.rpartition(":")
        self._pages = _Pages(snapshot)
        try:
            self._server = _Server((host.strip("[]"), int(port)), self._pages)
        except OSError as error:
            raise OSError(
                f"can't serve metrics on {address} ({error.strerror}); set METRICS_ADDRESS to a free one, or to nothing"
            ) from error
        threading.Thread(
            target=self._server.serve_forever, args=(_POLL_SECONDS,), name="metrics-page", daemon=True
        ).start()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Close the server; a reader that is being served loses its connection."""
        self._server.shutdown()
        self._server.server_close()


class _Pages:
    """A cache of half a second: several readers cost as much as one."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._cached: dict[bool, tuple[float, bytes]] = {}

    def page(self, *, openmetrics: bool) -> bytes:
        at, page = self._cached.get(openmetrics, (float("-inf"), b""))
        if time.monotonic() - at > _FRESH_SECONDS:
            page = render(self._snapshot(), openmetrics=openmetrics)
            self._cached[openmetrics] = (time.monotonic(), page)
        return page


class _Server(HTTPServer):
    request_queue_size = _BACKLOG

    def __init__(self, address: tuple[str, int], pages: _Pages) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.pages = pages
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """Bind without a look-up of this host's name, which the base class makes."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def handle_error(self, request: object, client_address: object) -> None:
        """Log nothing: a reader that disconnected is no error."""


class _Handler(BaseHTTPRequestHandler):
    timeout = _READER_SECONDS
    server: _Server

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != _PATH:
            self.send_error(HTTPStatus.NOT_FOUND, "only /metrics is served here")
            return
        openmetrics = "application/openmetrics-text" in self.headers.get("Accept", "")
        page = self.server.pages.page(openmetrics=openmetrics)
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", _content_type(openmetrics=openmetrics))
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *_: Any) -> None:
        """Log nothing: each scrape would be a line."""


def _content_type(*, openmetrics: bool) -> str:
    kind = "application/openmetrics-text; version=1.0.0" if openmetrics else "text/plain; version=0.0.4"
    return f"{kind}; charset=utf-8"


def render(data: MetricsData | None, *, openmetrics: bool) -> bytes:
    """Return the page."""
    # 3 MB that a process without scrapes saves.
    from prometheus_client.exposition import generate_latest as plain
    from prometheus_client.openmetrics.exposition import generate_latest as with_exemplars

    registry: Any = _Registry(data)
    return with_exemplars(registry) if openmetrics else plain(registry)


class _Registry:
    """The registry that prometheus_client collects from."""

    def __init__(self, data: MetricsData | None) -> None:
        self._data = data

    def collect(self) -> Iterator["Family"]:
        if self._data is None:
            return
        yield _target_info(self._data)
        for metric in metrics_of(self._data):
            definition = _DEFINITIONS.get(metric.name)
            if definition is not None:
                yield _family(metric, definition)
            # Let a request have the interpreter.
            time.sleep(0)


def _target_info(data: MetricsData) -> "Family":
    from prometheus_client.core import InfoMetricFamily

    labels = {key.replace(".", "_"): str(value) for key, value in sorted(resource_of(data).items())}
    family: Family = InfoMetricFamily("target", "The process.", value=labels)
    return family


def _family(metric: Metric, definition: Definition) -> "Family":
    from prometheus_client.core import Metric as Family

    family = Family(definition.prometheus.removesuffix(definition.suffix), definition.description, definition.kind)
    for point in metric.data.data_points:
        labels = {key.replace(".", "_"): str(value) for key, value in sorted((point.attributes or {}).items())}
        if isinstance(point, HistogramDataPoint):
            _add_histogram(family, definition.prometheus, labels, point)
        else:
            family.add_sample(definition.prometheus, labels, vars(point)["value"])
    return family


def _add_histogram(family: "Family", name: str, labels: dict[str, str], point: HistogramDataPoint) -> None:
    from prometheus_client.utils import floatToGoString

    by_bucket = {bisect_left(point.explicit_bounds, exemplar.value): exemplar for exemplar in point.exemplars}
    below = 0
    for bucket, (bound, count) in enumerate(
        zip((*point.explicit_bounds, float("inf")), point.bucket_counts, strict=True)
    ):
        below += count
        le = {**labels, "le": floatToGoString(bound)}
        family.add_sample(f"{name}_bucket", le, below, exemplar=_exemplar(by_bucket.get(bucket)))
    family.add_sample(f"{name}_count", labels, point.count)
    family.add_sample(f"{name}_sum", labels, point.sum)


def _exemplar(exemplar: Exemplar | None) -> Any:
    if exemplar is None or exemplar.trace_id is None or exemplar.span_id is None:
        return None
    from prometheus_client.samples import Exemplar as Sample

    ids = {"trace_id": format_trace_id(exemplar.trace_id), "span_id": format_span_id(exemplar.span_id)}
    return Sample(ids, float(exemplar.value), exemplar.time_unix_nano / 1e9)

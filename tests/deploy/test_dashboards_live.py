"""Run every dashboard query against a real Prometheus under traffic."""

import math
import time
from collections.abc import Iterator
from typing import Any, Final

import httpx
import pytest

from deploy.grafana.metrics import NOT_SYNTHETIC, without_synthetic
from deploy.grafana.panels import without_variables
from tests.deploy.drilled_stack import DrilledStack, drilled_stack
from tests.deploy.monitoring import Monitoring, monitoring
from tests.deploy.test_dashboards import queries

_EVENTS: Final = "/api/v1/schools/herzl/events"
_REFUSED_AT_THE_CHARGE: Final = "5253360000008004"
_MEASURED_SECONDS: Final = 30
"""Within this time every gauge has been measured once."""
BACKENDS_ONLY: Final = ("otelcol_exporter_", "otelcol_process_", "traces_span_")
"""Metrics of a real collector, which the sink of this stack does not have; see test_backends.py."""
_TROUBLE_ONLY: Final = {
    'api_error_rate{route!="all"} > 0',
    "sum(tenant_isolation_violation_total)",
    "60 * sum(rate(hold_expired_total[5m]))",
    "60 * sum(rate(seat_announcement_dropped_total[5m]))",
    "sum by (job, signal) (increase(telemetry_dropped_total[10m]))",
    'sum by (kind) (max by (kind, age, school_synthetic) (payment_unsettled{age!~"under_1m|under_10m|under_1h"}))',
    "sum by (kind, age) (max by (kind, age, school_synthetic) (payment_unsettled))",
}
"""Empty while nothing is wrong and no hold expires. The drills and the rules' own tests fill them."""
QUERIES: Final = sorted(
    {expression for _, expression in queries() if not any(name in expression for name in BACKENDS_ONLY)}
    - {without_synthetic(expression) for expression in _TROUBLE_ONLY}
)


class _Families:
    """Parents and a school, as the gateway meets them."""

    def __init__(self, stack: DrilledStack, client: httpx.Client) -> None:
        token = stack.ticketcap("token", "--role", "OWNER", "--school", "herzl").strip()
        self._owner = {"Authorization": f"Bearer {token}"}
        self._client = client
        self._simulator = stack.address("YAADPAY")
        self._number = 0

    def round(self, name: str) -> None:
        """Everything that a panel shows: full events, promotions, payments that succeed and fail, bad requests."""
        self._promotion(f"{name}-small")
        self._open(f"{name}-paid", price_agorot=1000, capacity=20)
        for card in (None, None, _REFUSED_AT_THE_CHARGE):
            self._pay(f"{name}-paid", card)
        self._client.get("/api/v1/payments/yaadpay/return?Id=1&CCode=0&Amount=1&Order=x&Sign=00")
        self._client.get(f"{_EVENTS}/no-such-event")

    def _promotion(self, event: str) -> None:
        self._open(event, capacity=1)
        first, _ = self._register(event), self._register(event)
        path = f"/api/v1/registrations/{first['id']}/cancel"
        # The delay of a promotion is measured only while a client watches the event.
        with self._client.stream("GET", f"{_EVENTS}/{event}/stream") as seats:
            lines = seats.iter_lines()
            next(lines)
            self._client.post(path, headers={"X-Manage-Token": first["manage_token"]}).raise_for_status()
            for _ in range(3):
                next(lines)

    def _pay(self, event: str, card: str | None) -> None:
        registration = self._register(event)
        path = f"/api/v1/registrations/{registration['id']}/payments"
        headers = {"X-Manage-Token": registration["manage_token"]}
        opened = self._client.post(path, headers=headers).raise_for_status().json()
        order = {"page_url": opened["redirect_url"], **({"card": card} if card else {})}
        came = httpx.post(f"{self._simulator}/simulator/customer", json=order, timeout=10, trust_env=False).json()
        for redirect in came["redirects"]:
            self._client.get(redirect)

    def _open(self, slug: str, **fields: Any) -> None:
        body = {"slug": slug, "title": "משחק", "starts_at": "2030-01-01T10:00:00Z", **fields}
        self._client.post(_EVENTS, json=body, headers=self._owner).raise_for_status()

    def _register(self, event: str) -> dict[str, Any]:
        self._number += 1
        body = {"name": "דנה כהן", "phone": f"052-{self._number:07d}", "spots": 1}
        answer = self._client.post(f"{_EVENTS}/{event}/registrations", json=body).raise_for_status()
        registration: dict[str, Any] = answer.json()
        return registration


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Monitoring, float]]:
    """Prometheus, and when it began to look."""
    folder = tmp_path_factory.mktemp("watched")
    with drilled_stack(folder) as stack, monitoring(folder, stack.targets, scrape_seconds=0.3) as watch:
        for job in stack.targets:
            watch.wait_for_scrapes(job)
        began = time.time()
        with httpx.Client(base_url=stack.address("GATEWAY"), timeout=30, trust_env=False) as client:
            families = _Families(stack, client)
            # A series counts from its second sample on: the second round is what rates are made of.
            for name in ("first", "second"):
                stack.ticketcap("traffic", "--parents", "300", "--concurrency", "50")
                families.round(name)
                time.sleep(1)
        yield watch, began


@pytest.mark.parametrize("expression", QUERIES)
def test_a_query_returnsfigures(watched: tuple[Monitoring, float], expression: str) -> None:
    """A number at some moment since the traffic began; NaN, which a percentile of nothing is, is none."""
    watch, began = watched
    deadline = began + _MEASURED_SECONDS
    while not (found := figures(watch, _with_synthetic(expression), began)) and time.time() < deadline:
        time.sleep(0.5)
    assert found


def _with_synthetic(expression: str) -> str:
    """Return a query that counts the demo school, which is synthetic."""
    real_only = without_variables(expression)
    return real_only.replace(f"{NOT_SYNTHETIC}, ", "").replace(f"{{{NOT_SYNTHETIC}}}", "")


def test_a_query_for_what_nobody_makes_returns_none(watched: tuple[Monitoring, float]) -> None:
    """The control of the test above."""
    watch, began = watched
    assert not figures(watch, "sum(rate(registration_imagined_total[5m]))", began)
    assert not figures(watch, 'histogram_quantile(0.5, rate(lane_wait_seconds_bucket{job="nobody"}[5m]))', began)


def figures(watch: Monitoring, expression: str, began: float) -> list[float]:
    """Return every number that a query had since ``began``."""
    parameters: dict[str, str | float] = {"query": expression, "start": began, "end": time.time(), "step": 0.5}
    answer = watch.client.get(f"http://{watch.prometheus}/api/v1/query_range", params=parameters).raise_for_status()
    series = answer.json()["data"]["result"]
    values = [float(value) for one in series for _, value in one["values"]]
    return [value for value in values if not math.isnan(value)]

"""Check that instruments follow the schema and stay bounded."""

from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from ticketcap_observability import Telemetry, schema
from ticketcap_observability._fast.meter import FastMeter
from ticketcap_observability._metrics.instruments import Instruments, UnknownLabel
from ticketcap_observability._metrics.reader import SharedReader, metrics_of


class Production:
    """Instruments as a service has them, and what they tell."""

    def __init__(self, fast: FastMeter | None) -> None:
        self._reader = SharedReader(fast=fast)
        self._meters = MeterProvider([self._reader], shutdown_on_exit=False)
        self.instruments = Instruments(self._meters.get_meter("t"), strict=False, fast=fast)

    def points(self, name: str) -> list[Any]:
        found = [metric for metric in metrics_of(self._reader.snapshot()) if metric.name == name]
        return [point for metric in found for point in metric.data.data_points]

    def dropped(self) -> dict[str, int]:
        return {point.attributes["reason"]: point.value for point in self.points("telemetry.dropped")}


@pytest.fixture(params=[True, False], ids=["fast", "sdk"])
def production(request: pytest.FixtureRequest) -> Production:
    """Return instruments that never raise: the fast ones, and the SDK's."""
    return Production(FastMeter() if request.param else None)


def test_an_instrument_is_its_definition() -> None:
    """Name, unit, description and buckets come from the schema; the same one is given out again."""
    telemetry = Telemetry.in_memory()
    telemetry.counter(schema.PAYMENT_FAILED).add(1, reason="declined", school_synthetic="false")
    telemetry.counter(schema.PAYMENT_FAILED).add(2, reason="declined", school_synthetic="false")
    telemetry.histogram(schema.REGISTRATION_DURATION).record(0.02, outcome="confirmed")
    [failed] = telemetry.points("payment.failed")
    [duration] = telemetry.points("registration.duration")
    assert (failed.value, dict(failed.attributes)) == (3, {"reason": "declined", "school_synthetic": "false"})
    assert (duration.count, tuple(duration.explicit_bounds)) == (1, schema.DURATION_BUCKETS)


@pytest.mark.parametrize(
    "labels", [{}, {"reason": "x", "person": "dana"}, {"outcome": "confirmed"}], ids=["missing", "more", "another"]
)
def test_a_label_that_the_definition_does_not_know_is_loud_in_tests(labels: dict[str, str]) -> None:
    """So it never reaches production."""
    with pytest.raises(UnknownLabel, match=r"payment\.failed has labels \['reason', 'school_synthetic'\]"):
        Telemetry.in_memory().counter(schema.PAYMENT_FAILED).add(1, **labels)


def test_so_is_a_value_that_it_does_not_know() -> None:
    """Where the definition lists them."""
    with pytest.raises(UnknownLabel, match="outcome"):
        Telemetry.in_memory().histogram(schema.REGISTRATION_DURATION).record(1, outcome="great")


def test_so_is_a_gauge_with_another_label() -> None:
    """Although it is asked by another thread."""
    telemetry = Telemetry.in_memory()
    telemetry.gauge(schema.ACTIVE_EVENTS, lambda: [(1, {"person": "dana"})])
    with pytest.raises(UnknownLabel, match=r"school\.active_events"):
        telemetry.points("school.active_events")


def test_in_production_nothing_is_raised_and_it_is_counted(production: Production) -> None:
    """The label is left out, the value becomes another, the measurement stays."""
    production.instruments.counter(schema.PAYMENT_FAILED).add(
        1, reason="declined", school_synthetic="false", person="dana"
    )
    production.instruments.histogram(schema.REGISTRATION_DURATION).record(1, outcome="great")
    assert [dict(point.attributes) for point in production.points("payment.failed")] == [
        {"reason": "declined", "school_synthetic": "false"}
    ]
    assert [dict(point.attributes) for point in production.points("registration.duration")] == [{"outcome": "_OTHER"}]
    assert production.dropped() == {"unknown_label": 1, "unknown_value": 1}


def test_a_flood_of_values_stays_within_the_bound(production: Production) -> None:
    """Ten thousand routes make as many series as the definition allows, and one for the rest."""
    counter = production.instruments.counter(schema.API_REQUEST_COUNT)
    for number in range(10_000):
        counter.add(1, method="GET", route=f"/{number}", school_synthetic="false")
    points = production.points("api.request.count")
    [route] = [label for label in schema.API_REQUEST_COUNT.labels if label.name == "route"]
    assert len(points) == route.bound
    assert sum(point.value for point in points) == 10_000
    assert production.dropped() == {"label_limit": 10_000 - route.limit}


def test_a_flood_of_events_stays_within_the_bound(production: Production) -> None:
    """Each look at a gauge counts its events again: events that are over make room."""
    now = 0
    school = {"school_id": "1", "school_slug": "herzl", "school_synthetic": "false"}
    look = lambda: [(0.5, {"event_id": f"{now}-{n}", **school}) for n in range(5000)]  # noqa: E731
    production.instruments.gauge(schema.CAPACITY_UTILIZATION, look)
    for now in (1, 2):
        points = production.points("registration.capacity_utilization")
        assert len(points) == schema.CAPACITY_UTILIZATION.series
        assert {point.attributes["event_id"].partition("-")[0] for point in points} == {str(now)}


def test_looks_at_one_gauge_add_up() -> None:
    """Two pools are so many connections together."""
    telemetry = Telemetry.in_memory()
    for count in (3, 4):
        telemetry.gauge(schema.DB_CONNECTION_COUNT, lambda count=count: [(count, {"state": "idle"})])  # type: ignore[misc]
    [point] = telemetry.points("db.connection.count")
    assert point.value == 7


def test_no_label_tells_of_a_person(production: Production) -> None:
    """Even where any text may stand."""
    production.instruments.counter(schema.PAYMENT_FAILED).add(
        1, reason="card 4111 1111 1111 1111 of dana@x.co.il", school_synthetic="false"
    )
    [point] = production.points("payment.failed")
    assert point.attributes["reason"] == "card [redacted] of [redacted]"


def test_a_point_has_the_trace_it_was_measured_in() -> None:
    """A slow point on a graph opens its trace."""
    telemetry = Telemetry.in_memory()
    with telemetry.tracer.start_as_current_span("x") as span:
        telemetry.histogram(schema.WAITLIST_WAIT).record(5)
    [point] = telemetry.points("waitlist.wait")
    assert [exemplar.trace_id for exemplar in point.exemplars] == [span.get_span_context().trace_id]

"""Check the metrics of requests."""

import asyncio
from typing import Any

import httpx
from ticketcap_observability import schema
from ticketcap_observability.telemetry import InMemoryTelemetry
from ticketcap_testing.service_fakes import FakeRegistration, bearer

EVENT = "/api/v1/schools/herzl/events/football"
ROUTE = "/api/v1/schools/{school}/events/{event}"


def counts(telemetry: InMemoryTelemetry, name: str) -> dict[tuple[str, ...], float]:
    """Return the values of a metric by the values of its labels, without zeros."""
    values = {
        tuple(str(value) for value in point.attributes.values()): getattr(point, "value", getattr(point, "count", 0))
        for point in telemetry.points(name)
    }
    return {labels: value for labels, value in values.items() if value}


def series(telemetry: InMemoryTelemetry, name: str) -> int:
    return len(telemetry.points(name))


async def test_requests_are_counted_and_timed_by_route(client: httpx.AsyncClient, telemetry: InMemoryTelemetry) -> None:
    """A route is its template for every path; paths without a route share one label."""
    for _ in range(3):
        await client.get(EVENT)
    await client.get("/nowhere/050-1234567")
    await client.put(EVENT)
    assert counts(telemetry, "api.request.count") == {
        ("GET", ROUTE, "false"): 3,
        ("GET", "_OTHER", "false"): 1,
        ("PUT", ROUTE, "false"): 1,
    }
    durations = counts(telemetry, "api.request.duration")
    assert durations["GET", ROUTE, "false", "2xx"] == 3
    assert durations["GET", "_OTHER", "false", "4xx"] == 1
    assert counts(telemetry, "api.error.count") == {}


async def test_faults_of_ours_are_errors(client: httpx.AsyncClient, telemetry: InMemoryTelemetry) -> None:
    """An exception by its type, what callers do wrong not at all."""
    await client.get("/api/test-error", headers=bearer("SUPER_ADMIN", None))
    await client.get("/api/test-error")
    assert counts(telemetry, "api.error.count") == {("RuntimeError", "GET", "/api/test-error", "false"): 1}


async def test_a_stream_is_timed_until_it_begins(
    client: httpx.AsyncClient, registration: FakeRegistration, telemetry: InMemoryTelemetry
) -> None:
    """The length of a stream is no latency."""
    assert registration.target
    async with client.stream("GET", f"{EVENT}/stream") as answer:
        assert answer.status_code == 200
        await asyncio.sleep(1)
    points: list[Any] = []
    while not points:
        await asyncio.sleep(0.02)
        points = telemetry.points("api.request.duration")
    assert points[0].sum < 0.9


async def test_a_flood_of_paths_makes_no_series(client: httpx.AsyncClient, telemetry: InMemoryTelemetry) -> None:
    """Labels are routes, never paths."""
    metrics = (schema.API_REQUEST_COUNT, schema.API_REQUEST_DURATION, schema.HTTP_SERVER_DURATION)
    before = [series(telemetry, metric.name) for metric in metrics]
    for number in range(100):
        await client.get(f"/{number}")
        await client.get(f"/api/v1/schools/s{number}/events/e{number}")
    after = [series(telemetry, metric.name) for metric in metrics]
    assert all(now - then <= 3 for now, then in zip(after, before, strict=True))


async def test_every_call_begins_at_zero(client: httpx.AsyncClient, telemetry: InMemoryTelemetry) -> None:
    """An error in the first second is a rise: there was a 0 before."""
    route = {"method": "POST", "route": f"{ROUTE}/registrations", "school_synthetic": "false"}
    points = {
        tuple(sorted(point.attributes.items())): point.value
        for name in ("api.request.count", "api.error.count")
        for point in telemetry.points(name)
    }
    assert points[tuple(sorted(route.items()))] == 0
    for error_type in ("500", "503", "504"):
        assert points[tuple(sorted({**route, "error_type": error_type}.items()))] == 0

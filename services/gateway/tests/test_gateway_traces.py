"""Check that an HTTP request and its gRPC call share one trace."""

import asyncio

import httpx
from opentelemetry.sdk.trace import ReadableSpan
from ticketcap_observability.telemetry import InMemoryTelemetry, Telemetry
from ticketcap_testing.gateway import running_gateway
from ticketcap_testing.service_fakes import FakeRegistration, bearer, running_registration

EVENT = "/api/v1/schools/herzl/events/football"
CLAIM = {"name": "Noa Levi", "phone": "050-123-4567", "spots": 2}
EVENT_ROUTE = "/api/v1/schools/{school}/events/{event}/registrations"
SERVICE = "ticketcap.registration.v1.RegistrationService"


def _named(telemetry: InMemoryTelemetry, name: str) -> ReadableSpan:
    (span,) = [span for span in telemetry.spans if span.name == name]
    return span


def _trace_id(span: ReadableSpan) -> int:
    assert span.context is not None
    return int(span.context.trace_id)


async def test_the_call_continues_the_trace_of_the_request() -> None:
    """HTTP span, client span and server span are one trace, each the parent of the next; a claim's too."""
    served, gateway_side = Telemetry.in_memory(), Telemetry.in_memory()
    async with (
        running_registration(telemetry=served) as registration,
        running_gateway(registration.target, telemetry=gateway_side) as gateway,
        httpx.AsyncClient(base_url=gateway.url) as client,
    ):
        await client.get(EVENT)
        await client.post(f"{EVENT}/registrations", json=CLAIM)
        for method, route, call in (
            ("GET", "/api/v1/schools/{school}/events/{event}", "GetEvent"),
            ("POST", "/api/v1/schools/{school}/events/{event}/registrations", "RegisterBatch"),
        ):
            http_span = _named(gateway_side, f"{method} {route}")
            calling, serving = (_named(side, f"{SERVICE}/{call}") for side in (gateway_side, served))
            assert _trace_id(http_span) == _trace_id(calling) == _trace_id(serving)
            assert calling.parent is not None
            assert http_span.context is not None
            assert calling.parent.span_id == http_span.context.span_id
            assert http_span.attributes is not None
            assert http_span.attributes["school.slug"] == "herzl"
        item = registration.requests["RegisterBatch"][0].items[0]
        assert item.traceparent.split("-")[1] == f"{_trace_id(_named(gateway_side, f'POST {EVENT_ROUTE}')):032x}"


async def test_each_claim_of_a_batch_carries_its_own_trace(
    client: httpx.AsyncClient, registration: FakeRegistration, telemetry: InMemoryTelemetry
) -> None:
    """Claims that travel together keep their traces apart, and the batch belongs to none of them."""
    registration.gate = asyncio.Event()
    posts = [asyncio.create_task(client.post(f"{EVENT}/registrations", json=CLAIM)) for _ in range(8)]
    async with asyncio.timeout(5):
        while not registration.requests["RegisterBatch"]:
            await asyncio.sleep(0.01)
    registration.gate.set()
    answers = await asyncio.gather(*posts)
    trace_ids = {answer.headers["traceresponse"].split("-")[1] for answer in answers}
    items = [item for batch in registration.requests["RegisterBatch"] for item in batch.items]
    assert {item.traceparent.split("-")[1] for item in items} == trace_ids
    assert len(trace_ids) == len(items) == 8
    assert telemetry.spans


async def test_baggage_of_strangers_is_dropped(client: httpx.AsyncClient, registration: FakeRegistration) -> None:
    """A caller's trace continues, its baggage does not; the gateway itself names the school."""
    headers = {
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "baggage": "secret=yes,school.slug=balfour",
    }
    await client.get(EVENT, headers=headers | bearer())
    (metadata,) = registration.metadata["GetEvent"]
    assert metadata["traceparent"].split("-")[1] == "0af7651916cd43dd8448eb211c80319c"
    assert metadata["baggage"] == "school.slug=herzl"

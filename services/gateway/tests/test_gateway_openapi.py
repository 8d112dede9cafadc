"""Check that the OpenAPI document is valid, complete and true."""

import itertools
import re
from collections.abc import Iterator
from datetime import date
from typing import Any

import httpx
import pytest
from openapi_schema_validator import validate
from openapi_spec_validator import OpenAPIV31SpecValidator
from ticketcap_chassis.errors import (
    Aborted,
    AlreadyExists,
    Busy,
    DeadlineExceeded,
    FailedPrecondition,
    InternalError,
    InvalidInput,
    NotFound,
    PermissionDenied,
    ServiceError,
    Unavailable,
)
from ticketcap_gateway.edge.openapi import resolved
from ticketcap_testing.gateway import RunningGateway
from ticketcap_testing.service_fakes import (
    MANAGE_TOKEN,
    PAY_TOKEN,
    PAYMENT_ID,
    REDIRECT_URL,
    REGISTRATION_ID,
    FakePayment,
    FakeRegistration,
    bearer,
)

HERZL = "/api/v1/schools/herzl"
EVENT = f"{HERZL}/events/football"
RETURN = "/api/v1/payments/yaadpay/return"
OWNER = bearer()
SUPER_ADMIN = bearer("SUPER_ADMIN", None)
RUNNING = {"payment_id": PAYMENT_ID, "state": "REDIRECTED", "redirect_url": REDIRECT_URL}
CALLS: list[tuple[str, str, dict[str, str], Any]] = [
    ("POST", f"{EVENT}/registrations", {}, {"name": "Noa", "phone": "0501234567", "spots": 1}),
    ("GET", f"{EVENT}/registrations", OWNER, None),
    ("GET", f"/api/v1/registrations/{REGISTRATION_ID}", {"x-manage-token": MANAGE_TOKEN}, None),
    ("POST", f"/api/v1/registrations/{REGISTRATION_ID}/cancel", {"x-manage-token": MANAGE_TOKEN}, {}),
    ("GET", f"{HERZL}/events", {}, None),
    ("POST", f"{HERZL}/events", OWNER, {"title": "Match", "starts_at": "2026-12-01T18:00:00Z", "capacity": 9}),
    ("GET", EVENT, {}, None),
    ("PATCH", EVENT, OWNER, {"capacity": 10}),
    ("DELETE", EVENT, OWNER, None),
    ("GET", f"{EVENT}/registrations.csv", OWNER, None),
    ("POST", f"{EVENT}/check-ins", OWNER, {"confirmation_code": "K7M3QX"}),
    ("DELETE", f"{EVENT}/check-ins/{REGISTRATION_ID}", OWNER, None),
    ("POST", "/api/v1/schools", SUPER_ADMIN, {"slug": "herzl", "name": "Herzl"}),
    ("GET", f"{HERZL}/stats", OWNER, None),
    ("POST", f"/api/v1/registrations/{REGISTRATION_ID}/payments", {"x-manage-token": MANAGE_TOKEN}, {"language": "en"}),
    ("GET", f"/api/v1/payments/{PAYMENT_ID}", {"x-manage-token": MANAGE_TOKEN}, None),
    ("POST", f"/api/v1/payments/{PAYMENT_ID}/refunds", OWNER, {"amount_agorot": 2500}),
    ("GET", f"{RETURN}?Id=1&CCode=0", {"accept": "application/json"}, None),
    ("GET", f"{HERZL}/payments.csv", OWNER, None),
    ("GET", "/api/v1/escalations", SUPER_ADMIN, None),
    ("POST", f"/api/v1/escalations/payment/{PAYMENT_ID}/resolve", SUPER_ADMIN, {"moved": True, "yaadpay_id": "12"}),
    ("GET", f"/pay/{REGISTRATION_ID}?token={PAY_TOKEN}", {}, None),
    ("POST", f"/pay/{REGISTRATION_ID}", {}, {"token": PAY_TOKEN, "key": "k" * 32, "lang": "en"}),
    ("GET", f"/payments/{PAYMENT_ID}", {}, None),
    ("GET", "/api/health", {}, None),
    ("GET", "/livez", {}, None),
    ("GET", "/readyz", {}, None),
    ("GET", "/api/test-error", {}, None),
    ("GET", "/openapi.json", {}, None),
    ("GET", "/docs", {}, None),
]


@pytest.fixture
async def document(client: httpx.AsyncClient) -> dict[str, Any]:
    """The document as it is served."""
    response = await client.get("/openapi.json")
    served: dict[str, Any] = response.json()
    return served


async def test_the_document_is_valid(document: dict[str, Any]) -> None:
    """It keeps the rules of OpenAPI 3.1, and every operation has a name of its own."""
    OpenAPIV31SpecValidator(document).validate()
    names = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(names) == len(set(names)) == len(CALLS) + 1


async def test_every_number_is_bounded(document: dict[str, Any]) -> None:
    """A number in a request has a minimum and a maximum, a number in an answer a minimum."""
    calls = [operation for path in document["paths"].values() for operation in path.values()]
    parameters = [parameter["schema"] for call in calls for parameter in call["parameters"]]
    shapes = document["components"]["schemas"]
    bodies = {
        content["schema"]["$ref"].rsplit("/", 1)[1]
        for call in calls
        for content in call.get("requestBody", {}).get("content", {}).values()
    }
    sent = [*_numbers(parameters), *_numbers([shapes[name] for name in bodies])]
    assert len(sent) > 8
    assert [schema for schema in sent if not {"minimum", "maximum"} <= schema.keys()] == []
    assert [schema for schema in _numbers(document) if "minimum" not in schema] == []


def _numbers(part: Any) -> Iterator[dict[str, Any]]:
    """Yield the schema of every number in a part of the document."""
    if isinstance(part, dict):
        if str(part.get("type")) in {"integer", "number"}:
            yield part
        yield from _numbers(list(part.values()))
    elif isinstance(part, list):
        for each in part:
            yield from _numbers(each)


async def test_the_pattern_of_a_day_knows_the_calendar(document: dict[str, Any]) -> None:
    """Every day of 2000 to 2100, leap days included, and none that does not exist."""
    [day] = document["paths"]["/api/v1/schools/{school}/payments.csv"]["get"]["parameters"][1:]
    for year in (1999, *range(2000, 2101), 2101):
        for month, number in itertools.product(range(14), range(33)):
            text = f"{year}-{month:02}-{number:02}"
            exists = year in range(2000, 2101) and _exists(text)
            assert bool(re.search(day["schema"]["pattern"], text)) is exists, text


def _exists(day: str) -> bool:
    try:
        date.fromisoformat(day)
    except ValueError:
        return False
    return True


async def test_every_call_names_what_the_connection_answers(document: dict[str, Any]) -> None:
    """Not HTTP, too slow, headers too large, too many connections: they come before any call, and so to any."""
    for path in document["paths"].values():
        for operation in path.values():
            for status in ("400", "408", "431", "503"):
                response = resolved(document, operation["responses"][status])
                assert "application/problem+json" in response["content"]
                assert status != "503" or "Retry-After" in response["headers"]


def _described(document: dict[str, Any], method: str, path: str) -> dict[str, Any]:
    for template, operations in document["paths"].items():
        parts, segments = template.split("/"), path.partition("?")[0].split("/")
        matching = [a == b or a.startswith("{") for a, b in zip(parts, segments, strict=False)]
        if len(parts) == len(segments) and all(matching) and method.lower() in operations:
            operation: dict[str, Any] = operations[method.lower()]
            return operation
    raise AssertionError(f"{method} {path} is not described")


def _conforms(document: dict[str, Any], response: httpx.Response, operation: dict[str, Any]) -> None:
    described = operation["responses"][str(response.status_code)]
    always = set(described.get("headers", {})) - {"Retry-After", "Idempotent-Replayed"}
    assert all(name in response.headers for name in always)
    if response.status_code in {204, 303}:
        assert "content" not in described
        return
    media_type = response.headers["content-type"].partition(";")[0]
    schema = described["content"][media_type]["schema"]
    if media_type.endswith("json") and "$ref" in schema:
        validate(response.json(), {**schema, "components": document["components"]})
        reference = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
        assert set(response.json()) <= set(reference["properties"])


async def test_what_is_answered_is_what_is_described(
    client: httpx.AsyncClient, document: dict[str, Any], registration: FakeRegistration
) -> None:
    """Every call's answer, and a problem of each, has a described status, type, shape and headers."""
    for method, path, headers, body in CALLS:
        sent = {"data" if path.startswith("/pay/") else "json": body}
        response = await client.request(method, path, headers=headers, **sent)
        assert response.status_code < 400 or path == "/api/test-error"
        _conforms(document, response, _described(document, method, path))
    registration.rejected_names["Noa"] = InvalidInput.of("phone", "is wrong")
    for method, path, headers, body in CALLS:
        if body is not None:
            for answer in (
                await client.request(method, path, headers=headers, content=b"{"),
                await client.request(method, path, headers=headers, json={"unknown": 1}),
                await client.request(method, path, headers=headers, content=b"x" * 70_000),
                await client.request(method, path, headers=headers | {"content-type": "text/plain"}, content=b"x"),
                await client.request(method, path, headers=headers, json=body),
            ):
                _conforms(document, answer, _described(document, method, path))


FAILURES: list[tuple[str, ServiceError]] = [
    ("CreatePayment", AlreadyExists("no", reason="PAYMENT_RUNNING", metadata=RUNNING)),
    ("CreatePayment", FailedPrecondition("no", reason="HOLD_EXPIRED")),
    ("CreatePayment", FailedPrecondition("no", reason="FREE_EVENT")),
    ("CreatePayment", FailedPrecondition("no", reason="NOT_A_HOLD")),
    ("CreatePayment", NotFound("no", reason="REGISTRATION_NOT_FOUND")),
    ("CreatePayment", Unavailable("no", reason="YAADPAY_UNAVAILABLE")),
    ("CreatePayment", Aborted("no", reason="IDEMPOTENCY_IN_FLIGHT")),
    ("CreatePayment", InvalidInput("no", reason="IDEMPOTENCY_KEY_REUSED")),
    ("CreatePayment", Busy("no", reason="TOO_MANY_PAYMENTS")),
    ("CreatePayment", DeadlineExceeded("no")),
    ("CreatePayment", InternalError("no")),
    ("GetPayment", NotFound("no", reason="PAYMENT_NOT_FOUND")),
    ("GetPayment", PermissionDenied("no")),
    ("RefundPayment", InvalidInput.of("amount_agorot", "must be at most 5")),
    ("RefundPayment", FailedPrecondition("no", reason="NOT_CAPTURED")),
    ("SettleReturn", FailedPrecondition("no", reason="RETURN_REFUSED")),
    ("SettleReturn", Busy("no", reason="TOO_MANY_RETURNS")),
    ("SettleReturn", Unavailable("no")),
    ("SettleReturn", DeadlineExceeded("no")),
    ("SettleReturn", InternalError("no")),
    ("GetPaymentResult", NotFound("no", reason="PAYMENT_NOT_FOUND")),
    ("GetPaymentResult", Busy("no")),
    ("GetPaymentResult", Unavailable("no")),
    ("GetPaymentResult", DeadlineExceeded("no")),
    ("GetPaymentResult", InternalError("no")),
    ("ExportPayments", InvalidInput.of("day", "must be a day")),
    ("ListEscalations", PermissionDenied("no")),
    ("ResolveEscalation", FailedPrecondition("no", reason="NOT_ESCALATED")),
]


async def test_refusals_of_the_payment_service_are_described(
    client: httpx.AsyncClient, document: dict[str, Any], payment: FakePayment
) -> None:
    """Its refusals, as problems and as pages, are among the described answers of each call that uses it."""
    calls = [call for call in CALLS if "pay" in call[1] or "escalations" in call[1]]
    calls += [
        (method, path, {"accept": "text/html"}, body) for method, path, _, body in calls if path.startswith(RETURN)
    ]
    for name, failure in FAILURES:
        payment.failures = {name: failure}
        refused = 0
        for method, path, headers, body in calls:
            sent = {"data" if path.startswith("/pay/") else "json": body}
            response = await client.request(method, path, headers=headers, **sent)
            _conforms(document, response, _described(document, method, path))
            refused += response.status_code >= 400
        assert refused or failure.reason == "PAYMENT_RUNNING", failure


async def test_the_page_describes_every_call_by_itself(client: httpx.AsyncClient, gateway: RunningGateway) -> None:
    """/docs names every path and shape, loads nothing, and runs nothing."""
    page = (await client.get("/docs")).text.replace("<wbr>", "")
    for method, path, _, _ in CALLS:
        assert method in page
        assert path.startswith(("/api/v1", "/pay")) or path in page
    assert "/payments/{id}/refunds" in page
    assert "/pay/{registration}" in page
    assert "RegistrationCreate" in page
    assert gateway.url not in page
    for loading in ("<script", "<link", "<img", "http://", "https://", "url("):
        assert loading not in page

"""Check that every refusal is a problem that names its cause."""

import httpx
from ticketcap_chassis import errors
from ticketcap_chassis.errors import FieldViolation, ServiceError
from ticketcap_testing.gateway import RunningGateway, running_gateway
from ticketcap_testing.service_fakes import REGISTRATION_ID, FakeRegistration, bearer

EVENT = "/api/v1/schools/herzl/events/football"
REGISTRATIONS = f"{EVENT}/registrations"
CLAIM = {"name": "Noa Levi", "phone": "050-123-4567", "spots": 2}


STATUSES: list[tuple[ServiceError, int, str | None]] = [
    (errors.InvalidInput("no"), 422, None),
    (errors.Unauthenticated("no"), 401, None),
    (errors.PermissionDenied("no"), 403, None),
    (errors.NotFound("no", reason="EVENT_NOT_FOUND"), 404, None),
    (errors.AlreadyExists("no", reason="ALREADY_REGISTERED"), 409, None),
    (errors.FailedPrecondition("no", reason="EVENT_FULL"), 409, None),
    (errors.FailedPrecondition("no", reason="IDEMPOTENCY_KEY_REUSED"), 422, None),
    (errors.InvalidInput("no", reason="IDEMPOTENCY_KEY_REUSED"), 422, None),
    (errors.Aborted("no"), 409, "1"),
    (errors.Busy("no", retry_after=2.2), 429, "3"),
    (errors.DeadlineExceeded("no"), 504, None),
    (errors.Unavailable("no"), 503, "1"),
    (errors.InternalError("no"), 500, None),
]


async def test_every_status_has_its_problem(client: httpx.AsyncClient, registration: FakeRegistration) -> None:
    """The same error gives the same problem, whether it came from a call or from one claim of a batch."""
    headers = {"x-manage-token": "token"}
    for error, status, retry_after in STATUSES:
        registration.failures["GetRegistration"] = error
        registration.rejected_names["Noa Levi"] = error
        for response in (
            await client.get(f"/api/v1/registrations/{REGISTRATION_ID}", headers=headers),
            await client.post(REGISTRATIONS, json=CLAIM),
        ):
            assert response.status_code == status, error
            assert response.headers["content-type"] == "application/problem+json"
            assert response.headers.get("retry-after") == retry_after, error
            problem = response.json()
            assert (problem["type"], problem["status"], problem["detail"]) == ("about:blank", status, "no")
            assert problem["code"] == error.reason
            assert response.headers["traceresponse"].split("-")[1] == problem["trace_id"]


async def test_field_violations_of_the_service_are_named(
    client: httpx.AsyncClient, registration: FakeRegistration
) -> None:
    """BadRequest details become errors."""
    fields = [FieldViolation("spots", "must be at most 10"), FieldViolation("phone", "is not valid")]
    registration.rejected_names["Noa Levi"] = errors.InvalidInput("two fields", fields=fields)
    problem = (await client.post(REGISTRATIONS, json=CLAIM)).json()
    assert problem["errors"] == [
        {"field": "spots", "message": "must be at most 10"},
        {"field": "phone", "message": "is not valid"},
    ]


async def test_an_unreachable_service_is_a_503_without_addresses() -> None:
    """A plain gRPC status is replaced: its text would name addresses."""
    async with running_gateway("127.0.0.1:9", request_seconds=3) as gateway, httpx.AsyncClient() as client:
        for response in (
            await client.get(gateway.url + EVENT),
            await client.post(gateway.url + REGISTRATIONS, json=CLAIM),
        ):
            assert (response.status_code, response.headers["retry-after"]) == (503, "1")
            assert "127.0.0.1" not in response.text
        health = await client.get(gateway.url + "/api/health")
        assert set(health.json()["checks"].values()) == {"unreachable"}


async def test_the_deadline_travels_and_its_end_is_a_504(registration: FakeRegistration) -> None:
    """REQUEST_SECONDS bounds the call to the service; past it the caller gets 504."""
    registration.delay = 5
    async with running_gateway(registration.target, request_seconds=0.3) as gateway, httpx.AsyncClient() as client:
        for response in (
            await client.get(gateway.url + EVENT),
            await client.post(gateway.url + REGISTRATIONS, json=CLAIM),
        ):
            assert (response.status_code, response.json()["code"]) == (504, "DEADLINE_EXCEEDED")
    for method in ("GetEvent", "RegisterBatch"):
        left = registration.remaining[method][0]
        assert left is not None
        assert left <= 0.3


async def test_unknown_paths_and_methods_are_problems(client: httpx.AsyncClient) -> None:
    """404 and 405 are problems like all others; 405 says what is allowed."""
    for path in ("/", "/nothing", f"{EVENT}/", "/api/v1/schools/herzl/events/foot/ball/stream"):
        response = await client.get(path)
        assert (response.status_code, response.json()["code"]) == (404, "UNKNOWN_PATH")
    response = await client.put(EVENT, json={})
    assert (response.status_code, response.headers["allow"]) == (405, "DELETE, GET, HEAD, PATCH")
    assert response.json()["code"] == "METHOD_NOT_ALLOWED"


async def test_names_that_nothing_can_have_are_404(client: httpx.AsyncClient, registration: FakeRegistration) -> None:
    """They are not even asked for."""
    for path in (
        "/api/v1/schools/her%00zl/events",
        "/api/v1/schools/%D7%94%D7%A8%D7%A6%D7%9C/events",
        f"/api/v1/schools/{'a' * 101}/events",
        "/api/v1/schools/herzl/events/a%0Ab",
        "/api/v1/schools/herzl/events/%FF",
        "/api/v1/registrations/not-a-uuid",
    ):
        response = await client.get(path, headers={"x-manage-token": "x"})
        assert response.status_code == 404, path
    assert not registration.requests


async def test_wrong_parameters_are_named(client: httpx.AsyncClient) -> None:
    """A wrong query parameter is a 422 with its name."""
    for query in ("limit=0", "limit=201", "limit=x", "limit=1.0", "limit=1&limit=2", "cursor=%00"):
        response = await client.get(f"/api/v1/schools/herzl/events?{query}")
        assert response.status_code == 422, query
        assert [error["field"] for error in response.json()["errors"]] == [query.split("=", maxsplit=1)[0]]
    response = await client.get(f"{REGISTRATIONS}?status=LOST", headers=bearer("VIEWER"))
    assert [error["field"] for error in response.json()["errors"]] == ["status"]


async def test_a_wrong_idempotency_key_is_named(client: httpx.AsyncClient, registration: FakeRegistration) -> None:
    """Idempotency-Key is 1 to 255 printable ASCII characters, given once."""
    for keys in ([b""], [b"x" * 256], [b"a\tb"], [b"caf\xe9"], [b"one", b"two"]):
        headers = [(b"idempotency-key", key) for key in keys]
        response = await client.post(REGISTRATIONS, json=CLAIM, headers=headers)
        assert response.status_code == 422, keys
        assert response.json()["errors"][0]["field"] == "Idempotency-Key"
    assert not registration.requests


async def test_security_headers_are_on_every_answer(client: httpx.AsyncClient, gateway: RunningGateway) -> None:
    """nosniff everywhere; nothing personal is stored; pages load nothing."""
    assert gateway.url
    for path in ("/livez", "/nothing", EVENT, "/docs"):
        headers = (await client.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert path == "/docs" or headers["cache-control"] == "no-store"
        assert "server" not in headers

"""Check the successful answer of each call over a real socket."""

import httpx
import pytest
from google.protobuf import json_format
from ticketcap.registration.v1 import registration_pb2 as pb
from ticketcap_testing.service_fakes import (
    EVENT_ID,
    MANAGE_TOKEN,
    PAY_TOKEN,
    REGISTRATION_ID,
    FakePayment,
    FakeRegistration,
    a_registration,
    bearer,
    token,
)

EVENT = "/api/v1/schools/herzl/events/football"
CLAIM = {"name": "נועה ג'ונס-לוי", "phone": "050-123-4567", "email": "noa@example.org", "spots": 2}
NEW_EVENT = {
    "slug": "football",
    "title": "כדורגל",
    "starts_at": "2026-12-01T20:00:00+02:00",
    "capacity": 100,
    "waitlist_policy": "STRICT_FIFO",
}


async def test_a_claim_is_answered_with_the_registration(
    client: httpx.AsyncClient, registration: FakeRegistration
) -> None:
    """POST registrations: 201, Location, the contract's fields; what was typed reaches the service as typed."""
    response = await client.post(f"{EVENT}/registrations", json=CLAIM, headers={"idempotency-key": "key 1"})
    assert response.status_code == 201
    assert response.headers["location"] == f"/api/v1/registrations/{REGISTRATION_ID}"
    assert response.headers["cache-control"] == "no-store"
    assert response.json() == {
        "id": REGISTRATION_ID,
        "status": "CONFIRMED",
        "confirmation_code": "K7M3QX",
        "spots": 2,
        "manage_token": MANAGE_TOKEN,
    }
    (batch,) = registration.requests["RegisterBatch"]
    (item,) = batch.items
    assert json_format.MessageToDict(item.request) == {
        **CLAIM,
        "school": "herzl",
        "event": "football",
        "idempotencyKey": "key 1",
    }
    assert 0 < item.timeout_ms <= 10_000


async def test_waitlisted_and_held_claims_say_more(client: httpx.AsyncClient, registration: FakeRegistration) -> None:
    """A waitlisted claim has its position, a held one the end of its hold."""
    registration.claim_status = pb.REGISTRATION_STATUS_WAITLISTED
    waitlisted = (await client.post(f"{EVENT}/registrations", json=CLAIM)).json()
    assert (waitlisted["status"], waitlisted["waitlist_position"]) == ("WAITLISTED", 3)
    assert "hold_expires_at" not in waitlisted
    registration.claim_status = pb.REGISTRATION_STATUS_PENDING_PAYMENT
    held = (await client.post(f"{EVENT}/registrations", json=CLAIM | {"email": None})).json()
    assert held["status"] == "PENDING_PAYMENT"
    assert held["hold_expires_at"].endswith("Z")
    assert held["pay_url"] == f"http://127.0.0.1:8080/pay/{REGISTRATION_ID}?token={PAY_TOKEN}"
    assert "pay_url" not in waitlisted


async def test_a_replayed_claim_says_so(client: httpx.AsyncClient, registration: FakeRegistration) -> None:
    """Idempotent-Replayed tells a repeat; a claim without a key gets one of its own each time."""
    first = await client.post(f"{EVENT}/registrations", json=CLAIM)
    assert "idempotent-replayed" not in first.headers
    registration.replayed = True
    second = await client.post(f"{EVENT}/registrations", json=CLAIM)
    assert (second.status_code, second.headers["idempotent-replayed"]) == (201, "true")
    keys = {batch.items[0].request.idempotency_key for batch in registration.requests["RegisterBatch"]}
    assert len(keys) == 2
    assert all(keys)


async def test_schools_are_opened_by_super_admins(client: httpx.AsyncClient, registration: FakeRegistration) -> None:
    """POST schools takes SUPER_ADMIN and forwards the token."""
    body = {"slug": "herzl", "name": "Herzl"}
    response = await client.post("/api/v1/schools", json=body, headers=bearer("SUPER_ADMIN", None))
    assert (response.status_code, response.json()["slug"]) == (201, "herzl")
    assert registration.metadata["CreateSchool"][0]["authorization"].startswith("Bearer ey")
    refused = await client.post("/api/v1/schools", json=body, headers=bearer("OWNER"))
    assert (refused.status_code, refused.json()["code"]) == (403, "PERMISSION_DENIED")


async def test_events_are_opened_and_shown(client: httpx.AsyncClient, registration: FakeRegistration) -> None:
    """POST events carries what was set and nothing else; GET shows the contract's fields."""
    created = await client.post("/api/v1/schools/herzl/events", json=NEW_EVENT, headers=bearer("ADMIN"))
    assert created.status_code == 201
    assert created.headers["location"] == f"/api/v1/schools/herzl/events/{EVENT_ID}"
    fields = registration.requests["CreateEvent"][0].fields
    assert {field.name for field, _ in fields.ListFields()} == set(NEW_EVENT)
    assert fields.starts_at.ToJsonString() == "2026-12-01T18:00:00Z"
    assert fields.waitlist_policy == pb.WAITLIST_POLICY_STRICT_FIFO
    event = (await client.get(EVENT)).json()
    seats = {"capacity": 100, "confirmed": 60, "held": 3, "waitlisted": 0, "available": 37, "status": "OPEN"}
    assert event.items() >= seats.items()
    assert event["price"] == {"agorot": 5000, "currency": "ILS"}
    assert (event["price_agorot"], event["currency"], event["ends_at"]) == (5000, "ILS", None)
    assert event["title"] == "כדורגל"


async def test_events_are_listed_in_pages(client: httpx.AsyncClient, registration: FakeRegistration) -> None:
    """GET events passes limit and cursor on and gives the next cursor back."""
    page = (await client.get("/api/v1/schools/herzl/events", params={"limit": "2", "cursor": "abc"})).json()
    assert [event["slug"] for event in page["items"]] == ["football", "lecture"]
    assert page["next_cursor"] == "next"
    assert registration.requests["ListEvents"] == [pb.ListEventsRequest(school="herzl", limit=2, cursor="abc")]


async def test_events_are_changed_field_by_field(client: httpx.AsyncClient, registration: FakeRegistration) -> None:
    """PATCH sends the named fields only; 0 and false are values, absence is not."""
    change = {"capacity": 120, "waitlist_enabled": False, "price_agorot": 0, "status": "PAUSED"}
    response = await client.patch(EVENT, json=change, headers=bearer())
    assert response.status_code == 200
    (request,) = registration.requests["UpdateEvent"]
    expected = pb.EventFields(capacity=120, waitlist_enabled=False, price_agorot=0, status=pb.EVENT_STATUS_PAUSED)
    assert request.fields == expected


async def test_events_are_deleted(client: httpx.AsyncClient, registration: FakeRegistration) -> None:
    """DELETE answers 204 with nothing."""
    response = await client.delete(EVENT, headers=bearer())
    assert (response.status_code, response.content) == (204, b"")
    assert len(registration.requests["DeleteEvent"]) == 1


async def test_registrations_are_listed(client: httpx.AsyncClient, registration: FakeRegistration) -> None:
    """GET registrations filters by status; the last page has no next cursor; unset fields are absent."""
    params = {"limit": "200", "status": "CONFIRMED"}
    response = await client.get(f"{EVENT}/registrations", params=params, headers=bearer("VIEWER"))
    page = response.json()
    assert page["next_cursor"] is None
    assert page["items"][0]["phone"] == "+972501234567"
    assert "waitlist_position" not in page["items"][0]
    (request,) = registration.requests["ListRegistrations"]
    assert (request.limit, request.status) == (200, pb.REGISTRATION_STATUS_CONFIRMED)


async def test_a_hold_says_where_it_is_paid(client: httpx.AsyncClient, registration: FakeRegistration) -> None:
    """pay_url is there for the holder and in a VIEWER's list while PENDING_PAYMENT, and gone afterwards."""
    url = f"http://127.0.0.1:8080/pay/{REGISTRATION_ID}?token={PAY_TOKEN}"
    registration.stored = a_registration(status=pb.REGISTRATION_STATUS_PENDING_PAYMENT, pay_token=PAY_TOKEN)
    one, holder = f"/api/v1/registrations/{REGISTRATION_ID}", {"x-manage-token": MANAGE_TOKEN}
    assert (await client.get(one, headers=holder)).json()["pay_url"] == url
    page = (await client.get(f"{EVENT}/registrations", headers=bearer("VIEWER"))).json()
    assert [item["pay_url"] for item in page["items"]] == [url]
    registration.stored = a_registration()
    assert "pay_url" not in (await client.get(one, headers=holder)).json()


@pytest.mark.parametrize(
    ("headers", "manage_token", "forwarded"),
    [
        ({"x-manage-token": MANAGE_TOKEN}, MANAGE_TOKEN, False),
        ({"authorization": f"Bearer {MANAGE_TOKEN}"}, MANAGE_TOKEN, False),
        (bearer("MANAGER"), "", True),
    ],
)
async def test_a_registration_is_opened_by_holder_or_organiser(
    client: httpx.AsyncClient,
    registration: FakeRegistration,
    headers: dict[str, str],
    manage_token: str,
    forwarded: bool,
) -> None:
    """Both headers carry a manage token; a JSON Web Token is known by its shape and forwarded instead."""
    seen = await client.get(f"/api/v1/registrations/{REGISTRATION_ID}", headers=headers)
    assert (seen.status_code, seen.json()["status"]) == (200, "CONFIRMED")
    assert (seen.json()["price_agorot"], seen.json()["currency"]) == (5000, "ILS")
    cancelled = await client.post(
        f"/api/v1/registrations/{REGISTRATION_ID}/cancel", headers=headers, json={"reason": "חולה"}
    )
    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "CANCELLED")
    assert registration.requests["GetRegistration"][0].manage_token == manage_token
    assert registration.requests["CancelRegistration"][0].manage_token == manage_token
    assert registration.requests["CancelRegistration"][0].reason == "חולה"
    assert ("authorization" in registration.metadata["GetRegistration"][0]) is forwarded


async def test_cancelling_takes_no_body(client: httpx.AsyncClient, registration: FakeRegistration) -> None:
    """POST cancel works with an empty body."""
    headers = {"x-manage-token": MANAGE_TOKEN}
    response = await client.post(f"/api/v1/registrations/{REGISTRATION_ID}/cancel", headers=headers)
    assert response.status_code == 200
    assert not registration.requests["CancelRegistration"][0].HasField("reason")


@pytest.mark.parametrize("refund", [None, 0, 2500])
async def test_an_organiser_says_what_goes_back(
    client: httpx.AsyncClient, registration: FakeRegistration, refund: int | None
) -> None:
    """refund_agorot travels as it is, 0 too; absent stays absent, which is everything."""
    url, body = f"/api/v1/registrations/{REGISTRATION_ID}/cancel", {} if refund is None else {"refund_agorot": refund}
    response = await client.post(url, json=body, headers=bearer("MANAGER"))
    assert response.status_code == 200
    asked = registration.requests["CancelRegistration"][0]
    assert (asked.refund_agorot if asked.HasField("refund_agorot") else None) == refund


@pytest.mark.parametrize("refund", [None, -1, 1.5, "100", 10**10, True])
async def test_a_refund_is_whole_agorot(
    client: httpx.AsyncClient, registration: FakeRegistration, refund: object
) -> None:
    """null is refused: a mistake would give back everything."""
    url = f"/api/v1/registrations/{REGISTRATION_ID}/cancel"
    response = await client.post(url, json={"refund_agorot": refund}, headers=bearer("MANAGER"))
    assert (response.status_code, response.json()["errors"][0]["field"]) == (422, "refund_agorot")
    assert not registration.requests


async def test_check_ins_are_made_and_undone(client: httpx.AsyncClient, registration: FakeRegistration) -> None:
    """POST check-ins 201, DELETE 200; MANAGER may, VIEWER may not."""
    body = {"confirmation_code": "K7M3QX"}
    created = await client.post(f"{EVENT}/check-ins", json=body, headers=bearer("MANAGER"))
    assert created.status_code == 201
    assert created.json()["checked_in_at"]
    undone = await client.delete(created.headers["location"], headers=bearer("MANAGER"))
    assert (undone.status_code, "checked_in_at" in undone.json()) == (200, False)
    refused = await client.post(f"{EVENT}/check-ins", json=body, headers=bearer("VIEWER"))
    assert refused.status_code == 403


async def test_stats_are_shown(client: httpx.AsyncClient) -> None:
    """GET stats gives every figure."""
    stats = (await client.get("/api/v1/schools/herzl/stats", headers=bearer("VIEWER"))).json()
    assert (stats["active_events"], stats["capacity_utilization"], stats["waitlisted"]) == (2, 0.63, 0)


async def test_health_follows_the_services(
    client: httpx.AsyncClient, registration: FakeRegistration, payment: FakePayment
) -> None:
    """/api/health is 200 while all serve; /readyz minds registration only, and /livez nothing."""
    health = await client.get("/api/health")
    assert (health.status_code, health.json()["status"]) == (200, "healthy")
    assert health.json()["checks"] == {
        "registration": "ok",
        "database": "ok",
        "seat_announcements": "ok",
        "payment": "ok",
        "payment_database": "ok",
    }
    assert health.json()["version"].startswith("ticketcap@")
    assert (await client.get("/readyz")).json() == {"status": "ready"}
    assert payment.set_health is not None
    for service in ("", "database"):
        await payment.set_health(service, serving=False)
    health = await client.get("/api/health")
    assert (health.status_code, health.json()["status"]) == (503, "unhealthy")
    assert [name for name, found in health.json()["checks"].items() if found == "failing"] == [
        "payment",
        "payment_database",
    ]
    # Free registrations need no payment service.
    assert (await client.get("/readyz")).status_code == 200
    assert registration.set_health is not None
    # Seats are registered while streams are silent: health names the feed, and readiness is unchanged.
    await registration.set_health("seat_announcements", serving=False)
    health = await client.get("/api/health")
    assert (health.status_code, health.json()["checks"]["seat_announcements"]) == (503, "failing")
    assert (await client.get("/readyz")).status_code == 200
    for service in ("", "database"):
        await registration.set_health(service, serving=False)
    health = await client.get("/api/health")
    assert (health.status_code, health.json()["checks"]["database"]) == (503, "failing")
    assert (await client.get("/readyz")).status_code == 503
    assert (await client.get("/livez")).status_code == 200


async def test_the_test_error_is_for_operators(client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
    """It raises for a SUPER_ADMIN: a 500 problem with a trace id, and a log line; others are refused."""
    assert (await client.get("/api/test-error")).status_code == 401
    assert (await client.get("/api/test-error", headers=bearer("OWNER"))).status_code == 403
    raised = await client.get("/api/test-error", headers=bearer("SUPER_ADMIN", None))
    assert (raised.status_code, raised.json()["code"]) == (500, "INTERNAL")
    assert len(raised.json()["trace_id"]) == 32
    assert "RuntimeError" not in raised.text


async def test_tokens_are_verified_and_schools_kept_apart(
    client: httpx.AsyncClient, registration: FakeRegistration
) -> None:
    """No token 401 with WWW-Authenticate; forged or expired 401; another school's 404; nothing reaches the service."""
    path = f"{EVENT}/registrations"
    missing = await client.get(path)
    assert (missing.status_code, missing.headers["www-authenticate"]) == (401, 'Bearer realm="ticketcap"')
    forged = {"authorization": f"Bearer {token(secret='another secret that is long enough')}"}
    assert (await client.get(path, headers=forged)).json()["code"] == "TOKEN_INVALID"
    expired = {"authorization": f"Bearer {token(seconds=-60)}"}
    assert (await client.get(path, headers=expired)).json()["code"] == "TOKEN_EXPIRED"
    foreign = await client.get(path, headers=bearer("OWNER", "balfour"))
    assert (foreign.status_code, foreign.json()["code"]) == (404, "NOT_FOUND")
    assert not registration.requests


async def test_head_is_answered_like_get_without_a_body(client: httpx.AsyncClient) -> None:
    """HEAD works on every GET, the streamed ones included."""
    for path in (EVENT, f"{EVENT}/stream"):
        response = await client.head(path)
        assert (response.status_code, response.content) == (200, b"")

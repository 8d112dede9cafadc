"""Check payments, refunds and escalations as JSON."""

from typing import Any

import httpx
import pytest
from ticketcap.payment.v1 import payment_pb2 as pb
from ticketcap_chassis import errors
from ticketcap_chassis.errors import ServiceError
from ticketcap_testing.gateway import running_gateway
from ticketcap_testing.service_fakes import (
    EVENT_ID,
    MANAGE_TOKEN,
    PAYMENT_ID,
    REDIRECT_URL,
    REFUND_ID,
    REGISTRATION_ID,
    FakePayment,
    FakeRegistration,
    bearer,
    token,
)

PAYMENTS = f"/api/v1/registrations/{REGISTRATION_ID}/payments"
ONE = f"/api/v1/payments/{PAYMENT_ID}"
REFUNDS = f"{ONE}/refunds"
ESCALATIONS = "/api/v1/escalations"
HOLDER = {"x-manage-token": MANAGE_TOKEN}
SUPER_ADMIN = bearer("SUPER_ADMIN", None)


async def test_the_holder_opens_a_payment(client: httpx.AsyncClient, payment: FakePayment) -> None:
    """201 with Location and the page exactly as it came; token, language and key are passed on; a repeat says so."""
    opened = await client.post(PAYMENTS, json={"language": "en"}, headers=HOLDER | {"idempotency-key": "key 1"})
    assert (opened.status_code, opened.headers["location"]) == (201, ONE)
    assert opened.json() == {
        "payment_id": PAYMENT_ID,
        "redirect_url": REDIRECT_URL,
        "amount_agorot": 10_000,
        "currency": "ILS",
    }
    assert "idempotent-replayed" not in opened.headers
    assert payment.requests["CreatePayment"] == [
        pb.CreatePaymentRequest(
            registration_id=REGISTRATION_ID,
            manage_token=MANAGE_TOKEN,
            language=pb.LANGUAGE_ENGLISH,
            idempotency_key="key 1",
        )
    ]
    payment.replayed = True
    repeated = await client.post(PAYMENTS, headers={"authorization": f"Bearer {MANAGE_TOKEN}"})
    assert (repeated.status_code, repeated.headers["idempotent-replayed"]) == (201, "true")
    request = payment.requests["CreatePayment"][1]
    assert (request.language, request.manage_token) == (pb.LANGUAGE_UNSPECIFIED, MANAGE_TOKEN)
    assert request.idempotency_key


async def test_only_the_holder_pays(client: httpx.AsyncClient, payment: FakePayment) -> None:
    """No token 401; an organiser's 403 that says who may; a JWT as manage token too; nothing is asked."""
    nobody = await client.post(PAYMENTS)
    assert (nobody.status_code, nobody.json()["code"]) == (401, "UNAUTHENTICATED")
    for headers in (bearer("OWNER"), {"x-manage-token": bearer("OWNER")["authorization"].removeprefix("Bearer ")}):
        organiser = await client.post(PAYMENTS, headers=headers)
        assert (organiser.status_code, organiser.json()["code"]) == (403, "PERMISSION_DENIED")
        assert "only the holder" in organiser.json()["detail"]
    assert not payment.requests


FORGED = token("OWNER", secret="y" * 40)
EXPIRED = token("OWNER", seconds=-60)


@pytest.mark.parametrize(("bad", "code"), [(FORGED, "TOKEN_INVALID"), (EXPIRED, "TOKEN_EXPIRED")])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", PAYMENTS),
        ("GET", ONE),
        ("POST", REFUNDS),
        ("GET", f"/api/v1/registrations/{REGISTRATION_ID}"),
        ("POST", f"/api/v1/registrations/{REGISTRATION_ID}/cancel"),
        ("GET", ESCALATIONS),
        ("GET", "/api/v1/schools/herzl/stats"),
        ("GET", "/api/v1/schools/herzl/payments.csv"),
    ],
)
async def test_a_bad_token_is_401_wherever_a_token_counts(
    client: httpx.AsyncClient, payment: FakePayment, method: str, path: str, bad: str, code: str
) -> None:
    """Never 403 or 404, which speak of a valid token. No service is called."""
    answer = await client.request(method, path, headers={"authorization": f"Bearer {bad}"})
    assert (answer.status_code, answer.json()["code"]) == (401, code)
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert not payment.requests


async def test_a_bad_token_as_manage_token_opens_no_payment_and_is_401(client: httpx.AsyncClient) -> None:
    """In the header of the manage token too."""
    for bad in (FORGED, EXPIRED):
        assert (await client.post(PAYMENTS, headers={"x-manage-token": bad})).status_code == 401


RUNNING = {"payment_id": PAYMENT_ID, "state": "REDIRECTED", "redirect_url": REDIRECT_URL}
REFUSALS: list[tuple[ServiceError, int, str | None]] = [
    (errors.FailedPrecondition("over; register again", reason="HOLD_EXPIRED"), 410, None),
    (errors.FailedPrecondition("costs nothing", reason="FREE_EVENT"), 409, None),
    (errors.FailedPrecondition("waits", reason="NOT_A_HOLD"), 409, None),
    (errors.NotFound("no registration", reason="REGISTRATION_NOT_FOUND"), 404, None),
    (errors.Unavailable("away", reason="YAADPAY_UNAVAILABLE", retry_after=5.0), 503, "5"),
    (errors.InvalidInput("another body", reason="IDEMPOTENCY_KEY_REUSED"), 422, None),
    (errors.Aborted("in flight", reason="IDEMPOTENCY_IN_FLIGHT"), 409, "1"),
    (errors.Busy("too many", reason="TOO_MANY_PAYMENTS", retry_after=3600.0), 429, "3600"),
    (errors.DeadlineExceeded("late"), 504, None),
]


@pytest.mark.parametrize(("failure", "status", "retry_after"), REFUSALS, ids=lambda value: getattr(value, "reason", ""))
async def test_every_refusal_to_open_has_its_status(
    client: httpx.AsyncClient, payment: FakePayment, failure: ServiceError, status: int, retry_after: str | None
) -> None:
    """The service's words and reason reach the caller, and say when waiting helps."""
    payment.failures["CreatePayment"] = failure
    refused = await client.post(PAYMENTS, headers=HOLDER)
    problem = refused.json()
    assert (refused.status_code, problem["code"], problem["detail"]) == (status, failure.reason, failure.message)
    assert refused.headers.get("retry-after") == retry_after


async def test_a_payment_that_runs_is_named(client: httpx.AsyncClient, payment: FakePayment) -> None:
    """409 with its id, its state and where it can be paid; no other metadata of any error is shown."""
    hidden = {"registration_id": REGISTRATION_ID, "secret": "x"}
    payment.failures["CreatePayment"] = errors.AlreadyExists(
        "runs", reason="PAYMENT_RUNNING", metadata=RUNNING | hidden
    )
    problem = (await client.post(PAYMENTS, headers=HOLDER)).json()
    assert (problem["status"], problem["code"]) == (409, "PAYMENT_RUNNING")
    assert problem.items() >= RUNNING.items()
    assert hidden.keys().isdisjoint(problem)
    paid = {"payment_id": PAYMENT_ID, "state": "CAPTURED"}
    payment.failures["CreatePayment"] = errors.AlreadyExists("paid", reason="PAYMENT_RUNNING", metadata=paid)
    problem = (await client.post(PAYMENTS, headers=HOLDER)).json()
    assert (problem["state"], "redirect_url" in problem) == ("CAPTURED", False)
    payment.failures["CreatePayment"] = errors.FailedPrecondition("no", reason="FREE_EVENT", metadata=RUNNING | hidden)
    assert RUNNING.keys().isdisjoint((await client.post(PAYMENTS, headers=HOLDER)).json())


async def test_wrong_input_never_reaches_the_service(client: httpx.AsyncClient, payment: FakePayment) -> None:
    """Bodies are strict; ids that can't be any are 404."""
    wrong: list[tuple[str, dict[str, str], Any, str]] = [
        (PAYMENTS, HOLDER, {"language": "fr"}, "language"),
        (PAYMENTS, HOLDER, {"language": None}, "language"),
        (PAYMENTS, HOLDER, {"amount_agorot": 1}, "amount_agorot"),
        (REFUNDS, bearer(), {"amount_agorot": 0}, "amount_agorot"),
        (REFUNDS, bearer(), {"amount_agorot": None}, "amount_agorot"),
        (REFUNDS, bearer(), {"amount_agorot": "100"}, "amount_agorot"),
        (REFUNDS, bearer(), {"amount_agorot": 10**12}, "amount_agorot"),
        (f"{ESCALATIONS}/payment/{PAYMENT_ID}/resolve", SUPER_ADMIN, {}, "moved"),
        (f"{ESCALATIONS}/payment/{PAYMENT_ID}/resolve", SUPER_ADMIN, {"moved": "yes"}, "moved"),
        (f"{ESCALATIONS}/payment/{PAYMENT_ID}/resolve", SUPER_ADMIN, {"moved": True, "yaadpay_id": "1a"}, "yaadpay_id"),
        (f"{ESCALATIONS}/payment/{PAYMENT_ID}/resolve", SUPER_ADMIN, {"moved": True, "yaadpay_id": "٣"}, "yaadpay_id"),
        (f"{ESCALATIONS}/payment/{PAYMENT_ID}/resolve", SUPER_ADMIN, {"moved": True, "yaadpay_id": ""}, "yaadpay_id"),
    ]
    for path, headers, body, field in wrong:
        refused = await client.post(path, json=body, headers=headers)
        assert refused.status_code == 422, body
        assert [error["field"] for error in refused.json()["errors"]] == [field], body
    for path, headers in (
        ("/api/v1/registrations/nobody/payments", HOLDER),
        ("/api/v1/payments/nothing/refunds", bearer()),
        (f"{ESCALATIONS}/parent/{PAYMENT_ID}/resolve", SUPER_ADMIN),
        (f"{ESCALATIONS}/refund/nothing/resolve", SUPER_ADMIN),
    ):
        assert (await client.post(path, json={"moved": True}, headers=headers)).status_code == 404
    assert (await client.get("/api/v1/payments/nothing", headers=HOLDER)).status_code == 404
    limit = await client.get(ESCALATIONS, params={"limit": "201"}, headers=SUPER_ADMIN)
    assert (limit.status_code, limit.json()["errors"][0]["field"]) == (422, "limit")
    assert not payment.requests


async def test_a_payment_is_seen_by_holder_and_admins(client: httpx.AsyncClient, payment: FakePayment) -> None:
    """All fields, the unset absent; a manage token or the token of an OWNER or ADMIN is passed on."""
    seen = await client.get(ONE, headers=HOLDER)
    assert seen.status_code == 200
    assert seen.json() == {
        "id": PAYMENT_ID,
        "registration_id": REGISTRATION_ID,
        "event_id": EVENT_ID,
        "school": "herzl",
        "state": "CAPTURED",
        "seat": "CONFIRMED",
        "amount_agorot": 10_000,
        "currency": "ILS",
        "refunded_agorot": 0,
        "refund_pending_agorot": 0,
        "order": "TCABCDEFGH23456789JK",
        "yaadpay_id": "12788261",
        "ccode": 0,
        "created_at": "2026-09-21T14:13:20Z",
        "captured_at": "2026-09-21T14:14:20Z",
        "refunds": [
            {
                "id": REFUND_ID,
                "payment_id": PAYMENT_ID,
                "state": "REQUESTED",
                "reason": "ORGANISER",
                "amount_agorot": 2_500,
                "currency": "ILS",
                "created_at": "2026-09-21T14:15:20Z",
            }
        ],
    }
    assert payment.requests["GetPayment"] == [pb.GetPaymentRequest(id=PAYMENT_ID, manage_token=MANAGE_TOKEN)]
    assert "authorization" not in payment.metadata["GetPayment"][0]
    assert (await client.get(ONE, headers=bearer("ADMIN"))).status_code == 200
    assert payment.metadata["GetPayment"][1]["authorization"].startswith("Bearer ey")
    assert payment.requests["GetPayment"][1].manage_token == ""
    assert (await client.get(ONE, headers=bearer("MANAGER"))).status_code == 403
    assert (await client.get(ONE)).status_code == 401
    payment.failures["GetPayment"] = errors.NotFound("no payment", reason="PAYMENT_NOT_FOUND")
    assert (await client.get(ONE, headers=HOLDER)).json()["code"] == "PAYMENT_NOT_FOUND"


async def test_admins_give_money_back(client: httpx.AsyncClient, payment: FakePayment) -> None:
    """201 with the refund and its payment; an amount or everything; a repeat says so; other roles are refused."""
    part = await client.post(REFUNDS, json={"amount_agorot": 2_500}, headers=bearer() | {"idempotency-key": "k"})
    assert (part.status_code, part.headers["location"]) == (201, ONE)
    assert part.json()["refund"]["amount_agorot"] == 2_500
    assert part.json()["payment"]["refunds"] == [part.json()["refund"]]
    assert payment.requests["RefundPayment"] == [
        pb.RefundPaymentRequest(payment_id=PAYMENT_ID, amount_agorot=2_500, idempotency_key="k")
    ]
    payment.replayed = True
    nothing: list[dict[str, int] | None] = [{}, None]
    for body in nothing:
        everything = await client.post(REFUNDS, json=body, headers=bearer("ADMIN"))
        assert (everything.status_code, everything.headers["idempotent-replayed"]) == (201, "true")
        assert not payment.requests["RefundPayment"][-1].HasField("amount_agorot")
    for headers, status in ((bearer("MANAGER"), 403), (HOLDER, 401), ({}, 401)):
        assert (await client.post(REFUNDS, json={}, headers=headers)).status_code == status
    assert len(payment.requests["RefundPayment"]) == 3


async def test_refunds_that_can_not_be(client: httpx.AsyncClient, payment: FakePayment) -> None:
    """Too much is a 422 that names the field; nothing captured is a 409; another school's payment a 404."""
    too_large = errors.InvalidInput.of("amount_agorot", "must be at most 7500, what is left of the payment")
    too_large.reason = "REFUND_TOO_LARGE"
    payment.failures["RefundPayment"] = too_large
    refused = await client.post(REFUNDS, json={"amount_agorot": 9_000}, headers=bearer())
    assert (refused.status_code, refused.json()["code"]) == (422, "REFUND_TOO_LARGE")
    assert refused.json()["errors"] == [
        {"field": "amount_agorot", "message": "must be at most 7500, what is left of the payment"}
    ]
    payment.failures["RefundPayment"] = errors.FailedPrecondition("is FAILED", reason="NOT_CAPTURED")
    assert (await client.post(REFUNDS, headers=bearer())).status_code == 409
    payment.failures["RefundPayment"] = errors.NotFound("no payment", reason="PAYMENT_NOT_FOUND")
    assert (await client.post(REFUNDS, headers=bearer("OWNER", "balfour"))).status_code == 404


async def test_operators_see_and_settle_what_waits(client: httpx.AsyncClient, payment: FakePayment) -> None:
    """The list shows where to look and leaves out what is not there; a finding is passed on; a seat has no payment."""
    whole = pb.Escalation(
        kind="refund",
        id=REFUND_ID,
        payment_id=PAYMENT_ID,
        school="herzl",
        order="TCABCDEFGH23456789JK",
        yaadpay_id="12788261",
        amount_agorot=2_500,
        currency="ILS",
        why="refund_not_known",
    )
    payment.escalations = [whole, pb.Escalation(kind="seat", id=REGISTRATION_ID, school="herzl", why="unpaid")]
    listed = await client.get(ESCALATIONS, params={"limit": "7"}, headers=SUPER_ADMIN)
    first, second = listed.json()["items"]
    assert (first["order"], first["yaadpay_id"], first["amount_agorot"]) == ("TCABCDEFGH23456789JK", "12788261", 2_500)
    assert set(second) == {"kind", "id", "school", "why", "since"}
    assert payment.requests["ListEscalations"] == [pb.ListEscalationsRequest(limit=7)]
    body: dict[str, Any] = {"moved": False, "again": True}
    settled = await client.post(f"{ESCALATIONS}/refund/{REFUND_ID}/resolve", json=body, headers=SUPER_ADMIN)
    assert (settled.status_code, settled.json()["payment"]["id"]) == (200, PAYMENT_ID)
    body = {"moved": True, "yaadpay_id": "12788261"}
    seat = await client.post(f"{ESCALATIONS}/seat/{REGISTRATION_ID}/resolve", json=body, headers=SUPER_ADMIN)
    assert (seat.status_code, seat.json()) == (200, {})
    assert payment.requests["ResolveEscalation"] == [
        pb.ResolveEscalationRequest(kind="refund", id=REFUND_ID, moved=False, again=True),
        pb.ResolveEscalationRequest(kind="seat", id=REGISTRATION_ID, moved=True, yaadpay_id="12788261"),
    ]
    payment.failures["ResolveEscalation"] = errors.FailedPrecondition("nothing waits", reason="NOT_ESCALATED")
    again = await client.post(f"{ESCALATIONS}/seat/{REGISTRATION_ID}/resolve", json=body, headers=SUPER_ADMIN)
    assert (again.status_code, again.json()["code"]) == (409, "NOT_ESCALATED")
    for method, path in (("GET", ESCALATIONS), ("POST", f"{ESCALATIONS}/refund/{REFUND_ID}/resolve")):
        assert (await client.request(method, path, json=body, headers=bearer("OWNER"))).status_code == 403
        assert (await client.request(method, path, json=body)).status_code == 401


async def test_openings_are_limited_by_address(registration: FakeRegistration, payment: FakePayment) -> None:
    """The API and the page share one limit; a wrong body, a failure, and every other call, does not count."""
    async with (
        running_gateway(registration.target, payment_target=payment.target, registrations_per_hour=2) as gateway,
        httpx.AsyncClient(base_url=gateway.url) as client,
    ):
        assert (await client.post(PAYMENTS, json={"language": "fr"}, headers=HOLDER)).status_code == 422
        payment.failures["CreatePayment"] = errors.Unavailable("away", reason="YAADPAY_UNAVAILABLE")
        assert [(await client.post(PAYMENTS, headers=HOLDER)).status_code for _ in range(3)] == [503] * 3
        payment.failures.clear()
        assert (await client.post(PAYMENTS, headers=HOLDER)).status_code == 201
        form = {"token": "t", "key": "k" * 32, "lang": "he"}
        assert (await client.post(f"/pay/{REGISTRATION_ID}", data=form)).status_code == 303
        limited = await client.post(PAYMENTS, headers=HOLDER)
        assert (limited.status_code, limited.json()["code"]) == (429, "RATE_LIMITED")
        # The same press again is free; another page's press is not.
        assert (await client.post(f"/pay/{REGISTRATION_ID}", data=form)).status_code == 303
        page = await client.post(f"/pay/{REGISTRATION_ID}", data=form | {"key": "l" * 32})
        assert (page.status_code, page.headers["content-type"]) == (429, "text/html; charset=utf-8")
        assert int(page.headers["retry-after"]) > 0
        assert (await client.post(REFUNDS, headers=bearer())).status_code == 201
        cancel = f"/api/v1/registrations/{REGISTRATION_ID}/cancel"
        assert (await client.post(cancel, headers=HOLDER)).status_code == 200


async def test_without_the_payment_service_only_payments_stop(registration: FakeRegistration) -> None:
    """503 with Retry-After and no addresses for what needs it; registering still works, and the gateway is ready."""
    async with running_gateway(registration.target) as gateway, httpx.AsyncClient(base_url=gateway.url) as client:
        for answer in (
            await client.post(PAYMENTS, headers=HOLDER),
            await client.get(ONE, headers=HOLDER),
            await client.get(ESCALATIONS, headers=SUPER_ADMIN),
            await client.get("/api/v1/schools/herzl/payments.csv", headers=bearer()),
        ):
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
            assert "the payment service" in answer.json()["detail"]
            assert "127.0.0.1" not in answer.text
        claim = {"name": "Noa Levi", "phone": "050-123-4567", "spots": 2}
        assert (await client.post("/api/v1/schools/herzl/events/football/registrations", json=claim)).status_code == 201
        assert (await client.get("/readyz")).status_code == 200
        health = await client.get("/api/health")
        assert health.status_code == 503
        assert health.json()["checks"] == {
            "registration": "ok",
            "database": "ok",
            "seat_announcements": "ok",
            "payment": "unreachable",
            "payment_database": "unreachable",
        }


async def test_calls_that_ask_yaadpay_get_more_time(registration: FakeRegistration, payment: FakePayment) -> None:
    """PAYMENT_SECONDS and RETURN_SECONDS travel, beyond REQUEST_SECONDS and the channel's default."""
    async with (
        running_gateway(registration.target, payment_target=payment.target) as gateway,
        httpx.AsyncClient(base_url=gateway.url) as client,
    ):
        await client.post(PAYMENTS, headers=HOLDER)
        await client.post(REFUNDS, headers=bearer())
        await client.get("/api/v1/payments/yaadpay/return?Id=1")
        await client.get(ONE, headers=HOLDER)
    for method, seconds in (("CreatePayment", 25), ("RefundPayment", 25), ("SettleReturn", 15), ("GetPayment", 10)):
        left = payment.remaining[method][0]
        assert left is not None
        assert seconds - 2 < left <= seconds

"""Test the promises to parents and organisers over HTTP."""

import asyncio
import csv
import io
import queue
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from ticketcap_local.traffic import rush

from tests.stack_under_test import EVENTS, Stack, events_of

ROUTE = "POST /api/v1/schools/{school}/events/{event}/registrations"


@contextmanager
def watching(stack: Stack, event: str) -> Iterator["queue.Queue[dict[str, Any]]"]:
    """Watch an event's stream in a thread of its own."""
    seen: queue.Queue[dict[str, Any]] = queue.Queue()
    client = httpx.Client(base_url=stack.url, timeout=30, trust_env=False)

    def watch() -> None:
        try:
            with client.stream("GET", f"{EVENTS}/{event}/stream") as stream:
                for data in events_of(stream):
                    seen.put(data)
        except (httpx.TransportError, RuntimeError):
            return  # the test is over and closed the client

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        seen.get(timeout=10)
        yield seen
    finally:
        client.close()
        thread.join(10)


def test_two_thousand_parents_for_a_hundred_seats(stack: Stack) -> None:
    """Confirm 100, waitlist 1,900 in order, refuse no claim. A cancellation promotes the first of the waitlist."""
    stack.open_event("rush")
    result = asyncio.run(rush(url=stack.url, school="herzl", event="rush", parents=2000, concurrency=256, seconds=60))
    assert result.statuses == Counter(CONFIRMED=100, WAITLISTED=1900), (result.refusals, result.seed)
    assert not result.refusals
    positions = sorted(answer["waitlist_position"] for answer in result.answers if answer["status"] == "WAITLISTED")
    assert positions == list(range(1, 1901))
    seats = stack.event("rush")
    assert (seats["confirmed"], seats["available"], seats["waitlisted"]) == (100, 0, 1900)
    assert len({answer["confirmation_code"] for answer in result.answers}) == 2000

    confirmed = next(answer for answer in result.answers if answer["status"] == "CONFIRMED")
    [first] = [answer for answer in result.answers if answer.get("waitlist_position") == 1]
    with watching(stack, "rush") as seen:
        cancelled = stack.client.post(
            f"/api/v1/registrations/{confirmed['id']}/cancel", headers={"X-Manage-Token": confirmed["manage_token"]}
        )
        assert (cancelled.status_code, cancelled.json()["status"]) == (200, "CANCELLED")
        change = seen.get(timeout=10)
    assert (change["confirmed"], change["waitlisted"], change["promoted"]) == (100, 1899, 1)
    promoted = stack.client.get(
        f"/api/v1/registrations/{first['id']}", headers={"Authorization": f"Bearer {first['manage_token']}"}
    )
    assert promoted.json()["status"] == "CONFIRMED"


def test_one_registration_is_one_trace_from_http_to_sql(stack: Stack) -> None:
    """Every span hangs on the HTTP request's: the RPC, the claim, its decision, its batch, the SQL."""
    stack.open_event("traced")
    answer = stack.register("traced", 1)
    trace_id = answer.headers["traceresponse"].split("-")[1]
    names = ("registration.create", "registration.capacityCheck", "registration.transaction", "seats.write")
    spans = stack.trace(trace_id, ROUTE, *names)
    by_id = {span["span_id"]: span for span in spans}

    def ancestors(name: str) -> list[str]:
        parent = next(span["parent_id"] for span in spans if span["name"] == name)
        found = []
        while span := by_id.get(parent):
            found.append(span["name"])
            parent = span["parent_id"]
        return found

    rpc = "ticketcap.registration.v1.RegistrationService/RegisterBatch"
    assert ancestors("registration.create")[-1] == ROUTE
    assert ancestors("seats.write")[:3] == ["registration.batch", "registration.transaction", "registration.create"]
    assert {span["service"] for span in spans if span["name"] == rpc} == {"gateway", "registration"}
    create = next(span for span in spans if span["name"] == "registration.create")
    assert create["attributes"]["registration.status"] == "CONFIRMED"
    assert create["attributes"]["registration.confirmationCode"] == answer.json()["confirmation_code"]


def test_a_repeat_with_the_same_key_has_one_effect(stack: Stack) -> None:
    """The first answer again, marked; another body is refused with 422."""
    stack.open_event("repeat")
    key = {"Idempotency-Key": "a key"}
    first = stack.register("repeat", 1, headers=key)
    again = stack.register("repeat", 1, headers=key)
    assert again.status_code == first.status_code == 201
    assert again.json() == first.json()
    assert again.headers["idempotent-replayed"] == "true"
    other = stack.register("repeat", 1, spots=2, headers=key)
    assert (other.status_code, other.json()["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert stack.event("repeat")["confirmed"] == 1


BAD_BODIES: list[tuple[dict[str, Any], str]] = [
    ({"spots": 0}, "spots"),
    ({"spots": -1}, "spots"),
    ({"spots": 11}, "spots"),
    ({"spots": "2"}, "spots"),
    ({"spots": 1.5}, "spots"),
    ({"spots": True}, "spots"),
    ({"name": ""}, "name"),
    ({"name": "x"}, "name"),
    ({"name": "x" * 101}, "name"),
    ({"name": "a\x00b"}, "name"),
    ({"name": None}, "name"),
    ({"name": 7}, "name"),
    ({"phone": "050-123"}, "phone"),
    ({"phone": "050-123-4567-89"}, "phone"),
    ({"phone": "oh five oh"}, "phone"),
    ({"phone": None}, "phone"),
    ({"email": "nobody"}, "email"),
    ({"email": "a@"}, "email"),
    ({"colour": "red"}, "colour"),
]


@pytest.mark.parametrize(
    ("fields", "wrong"), BAD_BODIES, ids=[f"{wrong}-{n}" for n, (_, wrong) in enumerate(BAD_BODIES)]
)
def test_a_wrong_field_is_named_and_loses_nothing(stack: Stack, fields: dict[str, Any], wrong: str) -> None:
    """422 with the field's name, and no registration is made."""
    if stack.client.get(f"{EVENTS}/bad-input").status_code == 404:
        stack.open_event("bad-input")
    answer = stack.register("bad-input", 1, **fields)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert [error["field"] for error in answer.json()["errors"]] == [wrong]
    assert stack.event("bad-input")["confirmed"] == 0


@pytest.mark.parametrize(
    ("content", "content_type", "status"),
    [
        (b'{"name": ', "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"[]", "application/json", 422),
        (b"", "application/json", 400),
        (b'{"name":"a","name":"b","phone":"0521234567","spots":1}', "application/json", 400),
        (b"name=x", "application/x-www-form-urlencoded", 415),
        (b"{" + b" " * 100_000 + b"}", "application/json", 413),
        (b"[" * 50_000, "application/json", 400),
    ],
)
def test_a_body_that_is_not_json_is_refused(stack: Stack, content: bytes, content_type: str, status: int) -> None:
    """With a problem of its own, never a 5xx."""
    if stack.client.get(f"{EVENTS}/bad-body").status_code == 404:
        stack.open_event("bad-body")
    answer = stack.client.post(
        f"{EVENTS}/bad-body/registrations", content=content, headers={"Content-Type": content_type}
    )
    assert answer.status_code == status, answer.text
    assert answer.json()["code"]


def test_hebrew_and_apostrophes_come_back_as_they_went(stack: Stack) -> None:
    """In the organiser's list and in the file for Excel."""
    stack.open_event("names")
    stack.register("names", 1, name="ז'אן-ז׳אק ד׳ארק", email="jean@example.org")
    [item] = stack.registrations("names")
    assert item["name"] == "ז'אן-ז׳אק ד׳ארק"
    file = stack.client.get(f"{EVENTS}/names/registrations.csv", headers=stack.token("MANAGER"))
    assert file.content.startswith(b"\xef\xbb\xbf")
    rows = list(csv.reader(io.StringIO(file.content.decode("utf-8-sig"), newline="")))
    assert "ז'אן-ז׳אק ד׳ארק" in rows[1]


def test_what_an_organiser_may_not_do_is_a_conflict_with_words(stack: Stack) -> None:
    """Reject capacity below reserved spots, deletion with registrations, and cancels, phones, slugs twice."""
    stack.open_event("rules", capacity=3)
    registrations = [stack.register("rules", number).json() for number in range(2)]
    owner = stack.token("OWNER")
    answers = [
        stack.client.patch(f"{EVENTS}/rules", json={"capacity": 1}, headers=owner),
        stack.client.delete(f"{EVENTS}/rules", headers=owner),
        stack.register("rules", 1),
        stack.client.post(
            EVENTS,
            json={"slug": "rules", "title": "x", "starts_at": "2030-01-01T10:00:00Z", "capacity": 1},
            headers=owner,
        ),
    ]
    cancel = f"/api/v1/registrations/{registrations[0]['id']}/cancel"
    token = {"X-Manage-Token": registrations[0]["manage_token"]}
    assert stack.client.post(cancel, headers=token, json={"reason": "חולים"}).status_code == 200
    answers.append(stack.client.post(cancel, headers=token))
    codes = [(answer.status_code, answer.json()["code"]) for answer in answers]
    assert codes == [
        (409, "CAPACITY_BELOW_RESERVED"),
        (409, "EVENT_HAS_REGISTRATIONS"),
        (409, "ALREADY_REGISTERED"),
        (409, "SLUG_TAKEN"),
        (409, "ALREADY_CANCELLED"),
    ]


def test_an_event_that_takes_nobody_says_so(stack: Stack) -> None:
    """Closed, paused, started: 409; unknown: 404."""
    stack.open_event("shut")
    owner = stack.token("OWNER")
    for state, code in (
        ({"status": "CLOSED"}, "EVENT_CLOSED"),
        ({"status": "PAUSED"}, "EVENT_PAUSED"),
        ({"status": "OPEN", "starts_at": "2020-01-01T10:00:00Z"}, "EVENT_STARTED"),
    ):
        assert stack.client.patch(f"{EVENTS}/shut", json=state, headers=owner).status_code == 200
        answer = stack.register("shut", 1)
        assert (answer.status_code, answer.json()["code"]) == (409, code)
    assert stack.register("nothing", 1).status_code == 404
    assert stack.client.get("/api/v1/schools/nowhere/events").status_code == 404


def test_a_registration_is_its_holders_and_its_schools(stack: Stack) -> None:
    """A wrong or foreign token finds nothing; a role too low is refused; without any token it is 401."""
    stack.open_event("private")
    stack.open_school("other")
    mine, theirs = (stack.register("private", number).json() for number in (1, 2))
    path = f"/api/v1/registrations/{mine['id']}"
    get = stack.client.get
    assert get(path, headers={"X-Manage-Token": mine["manage_token"]}).status_code == 200
    for wrong in ("wrong", theirs["manage_token"]):
        assert get(path, headers={"X-Manage-Token": wrong}).status_code == 404
    assert get(path, headers=stack.token("OWNER", "other")).status_code == 404
    assert get(path).status_code == 401
    assert stack.client.post(f"{path}/cancel", headers=stack.token("VIEWER")).status_code == 403
    people = f"{EVENTS}/private/registrations"
    assert get(people).status_code == 401
    assert get(people, headers=stack.token("OWNER", "other")).status_code == 404
    assert get(people, headers=stack.token("VIEWER")).status_code == 200
    assert (
        stack.client.patch(f"{EVENTS}/private", json={"capacity": 9}, headers=stack.token("MANAGER")).status_code == 403
    )


def test_check_in_once_and_undo(stack: Stack) -> None:
    """By confirmation code at the door."""
    stack.open_event("door")
    registration = stack.register("door", 1).json()
    manager = stack.token("MANAGER")
    body = {"confirmation_code": registration["confirmation_code"].lower()}
    first = stack.client.post(f"{EVENTS}/door/check-ins", json=body, headers=manager)
    assert first.status_code == 201, first.text
    again = stack.client.post(f"{EVENTS}/door/check-ins", json=body, headers=manager)
    assert (again.status_code, again.json()["code"]) == (409, "ALREADY_CHECKED_IN")
    undone = stack.client.delete(f"{EVENTS}/door/check-ins/{registration['id']}", headers=manager)
    assert undone.status_code in {200, 204}


def test_a_paid_event_holds_the_seat_until_its_time_is_over(stack: Stack) -> None:
    """PENDING_PAYMENT with its end; afterwards the next on the waitlist gets the seat."""
    stack.open_event("paid", capacity=1, price_agorot=5000, hold_seconds=5)
    first, second = stack.register("paid", 1).json(), stack.register("paid", 2).json()
    assert (first["status"], second["status"]) == ("PENDING_PAYMENT", "WAITLISTED")
    assert first["hold_expires_at"]
    token = {"X-Manage-Token": second["manage_token"]}
    for _ in range(100):
        now = stack.client.get(f"/api/v1/registrations/{second['id']}", headers=token).json()
        if now["status"] == "PENDING_PAYMENT":
            return
        threading.Event().wait(0.1)
    pytest.fail("the hold never went to the one who waited")


def test_nobody_is_named_in_logs_and_spans(stack: Stack) -> None:
    """Planted name, phone and e-mail are in no log line and in no span."""
    stack.open_event("secret")
    planted = {"name": "פלונית אלמונית", "phone": "053-7654321", "email": "planted@example.org"}
    answer = stack.client.post(f"{EVENTS}/secret/registrations", json={**planted, "spots": 1})
    assert answer.status_code == 201
    stack.client.post(f"{EVENTS}/secret/registrations", json={**planted, "spots": 1})
    stack.client.post(f"{EVENTS}/secret/registrations", json={**planted, "spots": 0})
    stack.trace(answer.headers["traceresponse"].split("-")[1], "registration.create")
    output = stack.registration.output() + stack.gateway.output()
    output += httpx.get(f"{stack.sink_url}/api/traces", params={"limit": 1000}).text
    secrets = ("פלונית", "7654321", "planted@", answer.json()["manage_token"])
    assert [secret for secret in secrets if secret in output] == []


def test_health_tells_of_every_part(stack: Stack) -> None:
    """200 with the parts that were reached and the release."""
    answer = stack.client.get("/api/health")
    assert answer.status_code == 200
    assert {"status", "timestamp", "version", "checks"} <= answer.json().keys()

"""Test the service over gRPC, with a real database."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import psycopg
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from grpc_health.v1 import health_pb2, health_pb2_grpc
from opentelemetry.sdk.trace import ReadableSpan
from service_under_test import OWNER, SERVICE, SUPER_ADMIN, Replica, after, claim, refusal, replica, token
from ticketcap.registration.v1 import registration_pb2 as pb
from ticketcap_local.postgres import EmbeddedPostgres
from ticketcap_registration.store.migrate import migrate
from ticketcap_testing.stack import free_port

CONFIRMED = pb.REGISTRATION_STATUS_CONFIRMED
WAITLISTED = pb.REGISTRATION_STATUS_WAITLISTED
PENDING = pb.REGISTRATION_STATUS_PENDING_PAYMENT


async def refused(call: Any) -> tuple[grpc.StatusCode, str]:
    """Return the status and the reason that a call is refused with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), refusal(caught.value).reason


async def test_a_rush_confirms_exactly_the_capacity_and_waitlists_the_rest_in_order(service: Replica) -> None:
    """250 callers at once, 100 spots: 100 confirmed, 150 with positions 1 to 150, in the order of the answers' ids."""
    await service.open(capacity=100)
    answers = await asyncio.gather(*(service.register(number) for number in range(250)))
    assert Counter(answer.status for answer in answers) == {CONFIRMED: 100, WAITLISTED: 150}
    waiting = sorted((answer for answer in answers if answer.status == WAITLISTED), key=lambda a: a.waitlist_position)
    assert [answer.waitlist_position for answer in waiting] == list(range(1, 151))
    seats = await service.seats()
    assert (seats.confirmed, seats.available, seats.waitlisted) == (100, 0, 150)
    assert len({answer.confirmation_code for answer in answers}) == 250


async def test_a_batch_answers_each_item_for_itself(service: Replica) -> None:
    """One bad item, one unknown event and one repeat among good ones: only they are refused."""
    await service.open(capacity=2)
    requests = [claim(1), claim(2, phone="12"), claim(3, event="nowhere"), claim(1), claim(4, spots=0), claim(5)]
    batch = pb.RegisterBatchRequest(items=[pb.RegisterBatchRequest.Item(request=request) for request in requests])
    results = (await service.stub.RegisterBatch(batch, metadata=SERVICE)).results
    codes = [result.error.code for result in results]
    assert codes == [0, *(code.value[0] for code in BAD), 0]
    assert [results[index].response.status for index in (0, 5)] == [CONFIRMED, CONFIRMED]


async def test_a_batch_is_taken_from_a_service_only(service: Replica) -> None:
    """A batch is many people's: without a token, or with an organiser's, nothing of it is done."""
    await service.open(capacity=2)
    batch = pb.RegisterBatchRequest(items=[pb.RegisterBatchRequest.Item(request=claim(1))])
    assert (await refused(service.stub.RegisterBatch(batch)))[0] is grpc.StatusCode.UNAUTHENTICATED
    denied = await refused(service.stub.RegisterBatch(batch, metadata=OWNER))
    assert denied[0] is grpc.StatusCode.PERMISSION_DENIED
    assert (await service.seats()).confirmed == 0


BAD = (
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.INVALID_ARGUMENT,
)


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"name": "x"}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "a\x00b"}, "name"),
        ({"name": "ab\x85"}, "name"),
        ({"name": "a\u202eb"}, "name"),
        ({"name": "\u3164\u3164"}, "name"),
        ({"name": "x\u200b\u200b"}, "name"),
        ({"email": "a@b c"}, "email"),
        ({"name": "12 34"}, "name"),
        ({"phone": "050-12345"}, "phone"),
        ({"phone": "050-123-4567-89"}, "phone"),
        ({"phone": "call me maybe"}, "phone"),
        ({"phone": "+1 212 555 0100"}, "phone"),
        ({"email": "nobody"}, "email"),
        ({"spots": 0}, "spots"),
        ({"spots": 11}, "spots"),
    ],
)
async def test_a_wrong_field_is_named(service: Replica, fields: dict[str, Any], wrong: str) -> None:
    """INVALID_ARGUMENT with BadRequest, and nothing is written."""
    await service.open()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.register(1, **fields)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert [field.field for field in refusal(caught.value).fields] == [wrong]
    assert (await service.seats()).confirmed == 0


@pytest.mark.parametrize(
    "starts_at",
    [
        Timestamp(seconds=-62_135_596_800),
        Timestamp(seconds=253_402_300_800),
        Timestamp(seconds=946_684_799),
        Timestamp(seconds=4_133_980_800),
        Timestamp(seconds=2**63 - 1),
        Timestamp(seconds=1_900_000_000, nanos=-1),
    ],
)
async def test_a_time_that_no_event_has_is_a_wrong_field(service: Replica, starts_at: Timestamp) -> None:
    """Day 0001-01-01, the year 10000, what is no time: INVALID_ARGUMENT, for a new event and for a change."""
    await service.open()
    for call in (service.event(slug="other", starts_at=starts_at), service.change(starts_at=starts_at)):
        assert (await refused(call))[0] is grpc.StatusCode.INVALID_ARGUMENT


async def test_what_is_pasted_is_what_was_meant(service: Replica) -> None:
    """Invisible characters, other dashes, spaces and digits change no name, phone, e-mail, code, reason or slug."""
    await service.school()
    event = await service.event(slug="\u200espring\u2013match\ufeff")
    assert event.slug == "spring-match"
    pasted = claim(
        1,
        name="\u2067אורי\u00a0בן\u05beדוד\u2069",
        phone="\u202atel:+972\u201150\u2009\uff11\u0662\u0663-4567\u202c",
        email="Uri\u00ad@example.org\u200b",
    )
    response = await service.stub.Register(pasted)
    stored = await service.get(response)
    assert (stored.name, stored.phone, stored.email) == ("אורי בן-דוד", "+972501234567", "uri@example.org")
    code = f"\u200f{response.confirmation_code[:4]}\u2014{response.confirmation_code[4:]}\u00a0"
    check_in = pb.CheckInRequest(school="herzl", event="spring-match", confirmation_code=code)
    arrived = (await service.stub.CheckIn(check_in, metadata=OWNER)).registration
    assert arrived.id == response.id
    undo = pb.UndoCheckInRequest(school="herzl", event="spring-match", id=response.id)
    await service.stub.UndoCheckIn(undo, metadata=OWNER)
    assert (await service.cancel(response, reason="\u202bחולה\u202c\nמאוד ")).cancel_reason == "חולה\nמאוד"


async def test_every_wrong_field_is_named_at_once(service: Replica) -> None:
    """A person can mend everything in one go."""
    await service.open()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.register(1, name="x", email="y", spots=0)
    assert {field.field for field in refusal(caught.value).fields} == {"name", "email", "spots"}


@pytest.mark.parametrize("phone", ["050 123 4567", "050-123-4567", "(050) 123-4567", "+972501234567"])
async def test_one_phone_in_any_spelling_registers_once(service: Replica, phone: str) -> None:
    """The second live registration of a number is refused, however it is spelled."""
    await service.open()
    await service.register(1, phone="0501234567")
    code, reason = await refused(service.register(2, phone=phone))
    assert (code, reason) == (grpc.StatusCode.ALREADY_EXISTS, "ALREADY_REGISTERED")


async def test_a_repeated_key_gets_the_first_answer_and_another_body_is_refused(service: Replica) -> None:
    """Same id, code, token and position, although the registration has moved on since."""
    await service.open(capacity=1)
    first = await service.register(1)
    waiting = await service.register(2, idempotency_key="k")
    await service.cancel(first)
    again = await service.register(2, idempotency_key="k")
    assert again.replayed
    again.replayed = False
    assert again == waiting
    assert (await service.get(waiting)).status == CONFIRMED
    code, reason = await refused(service.register(2, spots=2, idempotency_key="k"))
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "IDEMPOTENCY_KEY_REUSED")


@pytest.mark.parametrize(
    "changed",
    [{"name": "דנה כהן"}, {"phone": "050-9999999"}, {"email": "a@example.org"}, {"email": None}, {"spots": 2}],
    ids=str,
)
async def test_a_key_alone_reveals_nothing(service: Replica, changed: dict[str, Any]) -> None:
    """A guessed key without the whole body gets no token, code or id; the person itself replays."""
    await service.open()
    body: dict[str, Any] = {
        "name": "דנה  כהן-לוי",
        "phone": "050-1234567",
        "email": "Dana@example.org",
        "idempotency_key": "1",
    }
    first = await service.register(1, **body)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.register(1, **(body | changed))
    assert refusal(caught.value).reason == "IDEMPOTENCY_KEY_REUSED"
    texts = repr(caught.value.trailing_metadata()) + (caught.value.details() or "")
    for secret in (first.manage_token, first.id, first.confirmation_code):
        assert secret not in texts
    spelled = body | {"name": "דנה כהן-לוי ", "phone": "+972501234567", "email": "dana@example.org"}
    again = await service.register(1, **spelled)
    assert (again.replayed, again.manage_token) == (True, first.manage_token)


async def test_simultaneous_repeats_have_one_effect(service: Replica) -> None:
    """Each of 20 equal requests gets the one registration, or an error that says to retry."""
    await service.open()
    results = await asyncio.gather(
        *(service.register(1, idempotency_key="same") for _ in range(20)), return_exceptions=True
    )
    answers = {result.id for result in results if isinstance(result, pb.RegisterResponse)}
    reasons = {refusal(result).reason for result in results if isinstance(result, grpc.aio.AioRpcError)}
    assert len(answers) == 1
    assert reasons <= {"IDEMPOTENCY_IN_FLIGHT"}
    assert (await service.seats()).confirmed == 1


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ({"status": pb.EVENT_STATUS_CLOSED}, "EVENT_CLOSED"),
        ({"status": pb.EVENT_STATUS_PAUSED}, "EVENT_PAUSED"),
        ({"starts_at": after(hours=-1)}, "EVENT_STARTED"),
    ],
)
async def test_an_event_that_takes_nobody_says_why(service: Replica, state: dict[str, Any], reason: str) -> None:
    """Closed, paused, started."""
    await service.open()
    await service.change(**state)
    assert await refused(service.register(1)) == (grpc.StatusCode.FAILED_PRECONDITION, reason)


async def test_unknown_schools_and_events_are_not_found(service: Replica) -> None:
    """Each by its own name."""
    await service.open()
    assert await refused(service.register(1, school="nowhere")) == (grpc.StatusCode.NOT_FOUND, "SCHOOL_NOT_FOUND")
    assert await refused(service.register(1, event="nothing")) == (grpc.StatusCode.NOT_FOUND, "EVENT_NOT_FOUND")


async def test_a_cancel_promotes_and_a_second_one_is_refused(service: Replica) -> None:
    """The oldest who fits is promoted in the same transaction."""
    await service.open(capacity=1)
    first, second, third = [await service.register(number) for number in range(3)]
    cancelled = await service.cancel(first, reason="חולה")
    assert cancelled.status == pb.REGISTRATION_STATUS_CANCELLED
    assert cancelled.cancel_reason == "חולה"
    assert (await service.get(second)).status == CONFIRMED
    assert (await service.get(third)).waitlist_position == 1
    assert await refused(service.cancel(first)) == (grpc.StatusCode.FAILED_PRECONDITION, "ALREADY_CANCELLED")


async def test_a_registration_opens_with_its_token_or_for_its_school_only(service: Replica) -> None:
    """A wrong token, another's token and another school's organiser are all told that there is none."""
    await service.open()
    await service.school("other")
    mine, theirs = await service.register(1), await service.register(2)
    ask = service.stub.GetRegistration
    missing = (grpc.StatusCode.NOT_FOUND, "REGISTRATION_NOT_FOUND")
    for wrong in ("wrong", theirs.manage_token, "x" * 43):
        assert await refused(ask(pb.GetRegistrationRequest(id=mine.id, manage_token=wrong))) == missing
    foreign = token("OWNER", "other")
    assert await refused(ask(pb.GetRegistrationRequest(id=mine.id), metadata=foreign)) == missing
    assert (await refused(ask(pb.GetRegistrationRequest(id=mine.id))))[0] is grpc.StatusCode.UNAUTHENTICATED
    viewer = token("VIEWER", "herzl")
    assert (await ask(pb.GetRegistrationRequest(id=mine.id), metadata=viewer)).registration.name.startswith("אורי")
    cancel = pb.CancelRegistrationRequest(id=mine.id)
    denied = await refused(service.stub.CancelRegistration(cancel, metadata=viewer))
    assert denied[0] is grpc.StatusCode.PERMISSION_DENIED
    await service.stub.CancelRegistration(cancel, metadata=token("MANAGER", "herzl"))


async def test_roles_are_held(service: Replica) -> None:
    """Each management call asks for its role, and another school does not exist."""
    await service.open()
    await service.school("other")
    fields = pb.EventFields(capacity=20)
    change = pb.UpdateEventRequest(school="herzl", event="spring-match", fields=fields)
    manager, foreign = token("MANAGER", "herzl"), token("OWNER", "other")
    assert (await refused(service.stub.UpdateEvent(change, metadata=manager)))[0] is grpc.StatusCode.PERMISSION_DENIED
    assert (await refused(service.stub.UpdateEvent(change, metadata=foreign)))[0] is grpc.StatusCode.NOT_FOUND
    assert (await refused(service.stub.UpdateEvent(change)))[0] is grpc.StatusCode.UNAUTHENTICATED
    school = pb.CreateSchoolRequest(slug="third", name="Third")
    assert (await refused(service.stub.CreateSchool(school, metadata=OWNER)))[0] is grpc.StatusCode.PERMISSION_DENIED
    hold = pb.ConfirmHoldRequest(registration_id="01890000-0000-7000-8000-000000000000")
    assert (await refused(service.stub.ConfirmHold(hold, metadata=OWNER)))[0] is grpc.StatusCode.PERMISSION_DENIED


async def test_schools_and_events_are_made_once_per_key(service: Replica) -> None:
    """A repeat gets the first answer; a taken slug without the key is refused."""
    request = pb.CreateSchoolRequest(slug="herzl", name="Herzl", idempotency_key="k")
    first = await service.stub.CreateSchool(request, metadata=SUPER_ADMIN)
    again = await service.stub.CreateSchool(request, metadata=SUPER_ADMIN)
    assert (again.school, again.replayed) == (first.school, True)
    taken = await refused(service.school())
    assert taken == (grpc.StatusCode.ALREADY_EXISTS, "SLUG_TAKEN")
    fields = pb.EventFields(title="Trip", capacity=5, starts_at=after(days=1))
    make = pb.CreateEventRequest(school="herzl", fields=fields, idempotency_key="e")
    response = await service.stub.CreateEvent(make, metadata=OWNER)
    repeat = await service.stub.CreateEvent(make, metadata=OWNER)
    assert (repeat.event, repeat.replayed) == (response.event, True)
    make.fields.capacity = 6
    assert (await refused(service.stub.CreateEvent(make, metadata=OWNER)))[1] == "IDEMPOTENCY_KEY_REUSED"


async def test_one_key_opens_one_school(service: Replica) -> None:
    """Also when requests arrive together, with another slug, and after the first answer is deleted."""
    request = pb.CreateSchoolRequest(slug="herzl", name="Herzl", idempotency_key="k")
    other = pb.CreateSchoolRequest(slug="rabin", name="Herzl", idempotency_key="k")
    results = await asyncio.gather(*(service.stub.CreateSchool(request, metadata=SUPER_ADMIN) for _ in range(8)))
    assert len({result.school.id for result in results}) == 1
    assert [result.replayed for result in results].count(False) == 1
    assert (await refused(service.stub.CreateSchool(other, metadata=SUPER_ADMIN)))[1] == "IDEMPOTENCY_KEY_REUSED"
    with psycopg.connect(service.database) as owner:
        owner.execute("DELETE FROM idempotency_keys")
    assert (await refused(service.stub.CreateSchool(request, metadata=SUPER_ADMIN)))[1] == "SLUG_TAKEN"
    assert (await refused(service.stub.CreateSchool(other, metadata=SUPER_ADMIN)))[1] == "IDEMPOTENCY_KEY_REUSED"


async def test_a_key_that_the_release_before_answered_has_its_answer(service: Replica) -> None:
    """That release chose a school's id at random; the slug leads to the school and its key."""
    request = pb.CreateSchoolRequest(slug="herzl", name="Herzl", idempotency_key="k")
    first = await service.stub.CreateSchool(request, metadata=SUPER_ADMIN)
    with psycopg.connect(service.database) as owner:
        owner.execute("UPDATE schools SET id = gen_random_uuid()")
        owner.execute("UPDATE idempotency_keys SET school_id = (SELECT id FROM schools)")
    again = await service.stub.CreateSchool(request, metadata=SUPER_ADMIN)
    assert (again.school, again.replayed) == (first.school, True)
    request.name = "Rabin"
    assert (await refused(service.stub.CreateSchool(request, metadata=SUPER_ADMIN)))[1] == "IDEMPOTENCY_KEY_REUSED"


async def test_an_event_changes_within_its_rules(service: Replica) -> None:
    """Capacity not below the reserved spots, a slug not taken twice, times in order, required fields."""
    await service.open(capacity=2)
    await service.event(slug="other-match")
    for number in range(3):
        await service.register(number)
    assert await refused(service.change(capacity=1)) == (grpc.StatusCode.FAILED_PRECONDITION, "CAPACITY_BELOW_RESERVED")
    assert await refused(service.change(slug="other-match")) == (grpc.StatusCode.ALREADY_EXISTS, "SLUG_TAKEN")
    assert (await refused(service.change(ends_at=after(days=1))))[0] is grpc.StatusCode.INVALID_ARGUMENT
    assert (await service.change(capacity=3)).confirmed == 3
    assert (await service.change(slug="renamed", title="שם חדש")).title == "שם חדש"
    assert (await service.seats("renamed")).confirmed == 3
    make = pb.CreateEventRequest(school="herzl", fields=pb.EventFields(description="no title"))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.stub.CreateEvent(make, metadata=OWNER)
    assert {field.field for field in refusal(caught.value).fields} == {"title", "starts_at", "capacity"}


async def test_an_event_is_deleted_only_when_nobody_ever_registered(service: Replica) -> None:
    """A cancelled registration is history too."""
    await service.open()
    await service.event(slug="empty")
    delete = service.stub.DeleteEvent
    await delete(pb.DeleteEventRequest(school="herzl", event="empty"), metadata=OWNER)
    again = await refused(delete(pb.DeleteEventRequest(school="herzl", event="empty"), metadata=OWNER))
    assert again == (grpc.StatusCode.NOT_FOUND, "EVENT_NOT_FOUND")
    await service.cancel(await service.register(1))
    refusal_of_delete = await refused(
        delete(pb.DeleteEventRequest(school="herzl", event="spring-match"), metadata=OWNER)
    )
    assert refusal_of_delete == (grpc.StatusCode.FAILED_PRECONDITION, "EVENT_HAS_REGISTRATIONS")


async def test_pages_hold_everything_once_oldest_first(service: Replica) -> None:
    """Listing and export agree; a foreign cursor is refused."""
    await service.open(capacity=4)
    responses = [await service.register(number) for number in range(7)]
    ids, cursor = [], ""
    while True:
        request = pb.ListRegistrationsRequest(school="herzl", event="spring-match", limit=3, cursor=cursor)
        page = await service.stub.ListRegistrations(request, metadata=OWNER)
        ids += [item.id for item in page.items]
        cursor = page.next_cursor
        if not cursor:
            break
    assert ids == [answer.id for answer in responses]
    export = service.stub.ExportRegistrations(
        pb.ExportRegistrationsRequest(school="herzl", event="spring-match"), metadata=OWNER
    )
    assert [item.id async for part in export for item in part.items] == ids
    waiting = pb.ListRegistrationsRequest(school="herzl", event="spring-match", status=WAITLISTED)
    assert len((await service.stub.ListRegistrations(waiting, metadata=OWNER)).items) == 3
    bad = pb.ListRegistrationsRequest(school="herzl", event="spring-match", cursor="bm90IG91cnM=")
    assert (await refused(service.stub.ListRegistrations(bad, metadata=OWNER)))[0] is grpc.StatusCode.INVALID_ARGUMENT


async def test_lists_and_exports_hold_the_positions_of_the_waitlist(service: Replica) -> None:
    """The position that GetRegistration shows, over page borders; others have none, other events do not count."""
    await service.open(capacity=2)
    await service.event(slug="other", capacity=1)
    for number in range(3):
        await service.register(number, event="other")
    responses = [await service.register(number) for number in range(8)]
    await service.cancel(responses[0])
    await service.cancel(responses[4])
    views = [await service.get(answer) for answer in responses]
    expected = [one.waitlist_position if one.HasField("waitlist_position") else None for one in views]
    assert expected == [None, None, None, 1, None, 2, 3, 4]
    assert [_position(item) for item in await _listed(service, limit=3)] == expected
    assert [_position(item) for item in await _listed(service, status=WAITLISTED, limit=2)] == [1, 2, 3, 4]
    assert {_position(item) for item in await _listed(service, status=CONFIRMED)} == {None}
    request = pb.ExportRegistrationsRequest(school="herzl", event="spring-match")
    export = service.stub.ExportRegistrations(request, metadata=OWNER)
    assert [_position(item) async for part in export for item in part.items] == expected


def _position(registration: pb.Registration) -> int | None:
    return registration.waitlist_position if registration.HasField("waitlist_position") else None


async def _listed(service: Replica, **fields: Any) -> list[pb.Registration]:
    """Return every page of a list."""
    items: list[pb.Registration] = []
    cursor = ""
    while not items or cursor:
        request = pb.ListRegistrationsRequest(school="herzl", event="spring-match", cursor=cursor, **fields)
        page = await service.stub.ListRegistrations(request, metadata=OWNER)
        items += page.items
        cursor = page.next_cursor
    return items


async def test_open_events_are_listed_soonest_first(service: Replica) -> None:
    """Closed ones are not; each page begins where the last one ended."""
    await service.school()
    for day in (3, 1, 2):
        await service.event(slug=f"day-{day}", starts_at=after(days=day))
    await service.event(slug="gone", status=pb.EVENT_STATUS_CLOSED)
    first = await service.stub.ListEvents(pb.ListEventsRequest(school="herzl", limit=2))
    rest = await service.stub.ListEvents(pb.ListEventsRequest(school="herzl", limit=2, cursor=first.next_cursor))
    assert [event.slug for event in (*first.events, *rest.events)] == ["day-1", "day-2", "day-3"]
    assert not rest.next_cursor


async def test_who_is_checked_in_is_checked_in_once_and_can_be_undone(service: Replica) -> None:
    """By the code in any spelling; only confirmed ones; a checked-in one can't be cancelled."""
    await service.open(capacity=1)
    response, waiting = await service.register(1), await service.register(2)
    code = response.confirmation_code
    request = pb.CheckInRequest(
        school="herzl", event="spring-match", confirmation_code=f" {code[:4]}-{code[4:].lower()}"
    )
    manager = token("MANAGER", "herzl")
    arrived = await service.stub.CheckIn(request, metadata=manager)
    assert arrived.registration.HasField("checked_in_at")
    assert (await refused(service.stub.CheckIn(request, metadata=manager)))[1] == "ALREADY_CHECKED_IN"
    assert (await refused(service.cancel(response)))[1] == "ALREADY_CHECKED_IN"
    undo = pb.UndoCheckInRequest(school="herzl", event="spring-match", id=response.id)
    undone = await service.stub.UndoCheckIn(undo, metadata=manager)
    assert not undone.registration.HasField("checked_in_at")
    assert (await refused(service.stub.UndoCheckIn(undo, metadata=manager)))[1] == "NOT_CHECKED_IN"
    request.confirmation_code = waiting.confirmation_code
    assert (await refused(service.stub.CheckIn(request, metadata=manager)))[1] == "NOT_CONFIRMED"
    request.confirmation_code = "ZZZZZZZZ"
    assert (await refused(service.stub.CheckIn(request, metadata=manager)))[0] is grpc.StatusCode.NOT_FOUND


async def test_holds_are_settled_by_the_payment_service(service: Replica) -> None:
    """Extended, confirmed twice, released twice; the freed spot becomes an offer."""
    await service.open(capacity=2, price_agorot=5000, hold_seconds=600)
    first, second, third = [await service.register(number) for number in range(3)]
    assert (first.status, third.status) == (PENDING, WAITLISTED)
    extend = pb.ExtendHoldRequest(registration_id=first.id, seconds=7200)
    extended = await service.stub.ExtendHold(extend, metadata=SERVICE)
    assert extended.registration.hold_expires_at.seconds > first.hold_expires_at.seconds
    for _ in range(2):
        confirm = pb.ConfirmHoldRequest(registration_id=first.id)
        settled = await service.stub.ConfirmHold(confirm, metadata=SERVICE)
        assert settled.registration.status == CONFIRMED
        release = pb.ReleaseHoldRequest(registration_id=second.id, reason="declined")
        await service.stub.ReleaseHold(release, metadata=SERVICE)
    offered = await service.get(third)
    assert offered.status == PENDING
    assert offered.HasField("hold_expires_at")


async def test_an_expired_hold_is_claimed_again_when_its_payment_arrives(service: Replica) -> None:
    """Once its spots are free, and not beside a new registration of the same phone."""
    await service.open(capacity=1, price_agorot=5000, waitlist_enabled=False)
    first = await service.register(1)
    await service.end_hold(first)
    reclaim = pb.ReclaimHoldRequest(registration_id=first.id, seconds=600)
    again = await service.stub.ReclaimHold(reclaim, metadata=SERVICE)
    assert again.registration.status == PENDING
    await service.end_hold(first)
    other = await service.register(1)
    assert (await refused(service.stub.ReclaimHold(reclaim, metadata=SERVICE)))[1] == "ALREADY_REGISTERED"
    await service.end_hold(other)
    await service.register(2)
    assert (await refused(service.stub.ReclaimHold(reclaim, metadata=SERVICE)))[1] == "EVENT_FULL"


async def test_what_is_to_be_paid_is_told_to_the_payment_service(service: Replica) -> None:
    """With the holder's token, which must be the registration's; no other caller may."""
    await service.open(price_agorot=5000)
    response, other = await service.register(1), await service.register(2)
    request = pb.GetHoldRequest(registration_id=response.id, manage_token=response.manage_token)
    hold = await service.stub.GetHold(request, metadata=SERVICE)
    assert (hold.registration.status, hold.event.price_agorot) == (PENDING, 5000)
    request.manage_token = other.manage_token
    assert (await refused(service.stub.GetHold(request, metadata=SERVICE)))[0] is grpc.StatusCode.NOT_FOUND
    assert (await refused(service.stub.GetHold(request, metadata=OWNER)))[0] is grpc.StatusCode.PERMISSION_DENIED


async def test_a_pay_token_pays_and_nothing_else(service: Replica) -> None:
    """It comes with a hold only, is the registration's own, and opens neither a view nor a cancellation."""
    await service.open(price_agorot=5000)
    response, other = await service.register(1), await service.register(2)
    assert (await service.get(response)).pay_token == response.pay_token != response.manage_token
    ask = partial(pb.GetHoldRequest, registration_id=response.id)
    hold = await service.stub.GetHold(ask(pay_token=response.pay_token), metadata=SERVICE)
    assert hold.registration.id == response.id
    for wrong in (
        ask(pay_token=other.pay_token),
        ask(pay_token=response.manage_token),
        ask(manage_token=response.pay_token),
    ):
        assert (await refused(service.stub.GetHold(wrong, metadata=SERVICE)))[0] is grpc.StatusCode.NOT_FOUND
    as_holder = pb.CancelRegistrationRequest(id=response.id, manage_token=response.pay_token)
    assert (await refused(service.stub.CancelRegistration(as_holder)))[0] is grpc.StatusCode.NOT_FOUND
    await service.stub.ConfirmHold(pb.ConfirmHoldRequest(registration_id=response.id), metadata=SERVICE)
    assert not (await service.get(response)).HasField("pay_token")


async def test_a_hold_expires_by_itself_and_its_spot_moves_on(service: Replica) -> None:
    """Without any request: the job uses the lane, by the database's clock."""
    await service.open(capacity=1, price_agorot=5000, hold_seconds=1)
    first, second = await service.register(1), await service.register(2)
    for _ in range(100):
        if (await service.get(first)).status == pb.REGISTRATION_STATUS_EXPIRED:
            break
        await asyncio.sleep(0.1)
    assert (await service.get(first)).status == pb.REGISTRATION_STATUS_EXPIRED
    assert (await service.get(second)).status == PENDING
    confirm = pb.ConfirmHoldRequest(registration_id=first.id)
    assert (await refused(service.stub.ConfirmHold(confirm, metadata=SERVICE)))[1] == "HOLD_EXPIRED"


async def test_the_stats_add_a_school_up(service: Replica) -> None:
    """Registrations by state, spots, utilization."""
    await service.open(capacity=4)
    responses = [await service.register(number, spots=2) for number in range(3)]
    await service.cancel(responses[0])
    stats = await service.stub.GetSchoolStats(pb.GetSchoolStatsRequest(school="herzl"), metadata=OWNER)
    assert (stats.events, stats.active_events, stats.registrations) == (1, 1, 3)
    assert (stats.confirmed, stats.cancelled, stats.confirmed_spots, stats.capacity_spots) == (2, 1, 4, 4)
    assert stats.capacity_utilization == 1.0


async def next_change(stream: Any) -> pb.WatchEventResponse:
    response = await asyncio.wait_for(stream.read(), 5)
    assert isinstance(response, pb.WatchEventResponse)
    return response


@pytest.fixture
async def other(database: str) -> AsyncIterator[Replica]:
    async with replica(database) as running:
        yield running


async def test_a_change_reaches_the_watchers_of_every_replica(service: Replica, other: Replica) -> None:
    """Seats now, then each change, the promotion counted, whichever replica made it."""
    await service.open(capacity=1)
    first = await service.register(1)
    await service.register(2)
    watch = pb.WatchEventRequest(school="herzl", event="spring-match")
    streams = [replica.stub.WatchEvent(watch) for replica in (service, other)]
    assert [(await next_change(stream)).seats.waitlisted for stream in streams] == [1, 1]
    await service.cancel(first)
    for stream in streams:
        change = await next_change(stream)
        assert (change.seats.confirmed, change.seats.waitlisted, change.promoted) == (1, 0, 1)
        stream.cancel()


async def test_a_deleted_event_ends_the_watches_of_every_replica(service: Replica, other: Replica) -> None:
    """Watchers learn of it at once, not at the next call."""
    await service.open()
    await service.event(slug="empty")
    watch = pb.WatchEventRequest(school="herzl", event="empty")
    streams = [replica.stub.WatchEvent(watch) for replica in (service, other)]
    for stream in streams:
        await next_change(stream)
    await service.stub.DeleteEvent(pb.DeleteEventRequest(school="herzl", event="empty"), metadata=OWNER)
    for stream in streams:
        ended = await refused(asyncio.wait_for(stream.read(), 5))
        assert ended == (grpc.StatusCode.NOT_FOUND, "EVENT_NOT_FOUND")


async def test_two_replicas_never_oversell(service: Replica, other: Replica) -> None:
    """The row's lock keeps lanes of different processes apart."""
    await service.open(capacity=50)
    calls = [(service, other)[number % 2].register(number) for number in range(200)]
    answers = await asyncio.gather(*calls)
    assert Counter(answer.status for answer in answers) == {CONFIRMED: 50, WAITLISTED: 150}
    positions = sorted(answer.waitlist_position for answer in answers if answer.status == WAITLISTED)
    assert positions == list(range(1, 151))


async def test_health_and_reflection_answer(service: Replica) -> None:
    """The whole, the service and the database; reflection lists the service."""
    health = health_pb2_grpc.HealthStub(service.channel)
    for name in ("", "ticketcap.registration.v1.RegistrationService", "database", "seat_announcements"):
        answer = await health.Check(  # type: ignore[attr-defined]  # set at run time
            health_pb2.HealthCheckRequest(service=name)
        )
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_health_tells_when_the_database_is_away_and_when_it_is_back(tmp_path: Path) -> None:
    """Calls meanwhile fail with that reason, and work again without a restart."""
    server = EmbeddedPostgres(tmp_path / "data", free_port(), fsync=False)
    server.start()
    try:
        server.create_database("own")
        migrate(server.url("own"))
        async with replica(server.url("own")) as service:
            await service.open()
            server.stop()
            await health_becomes(service, health_pb2.HealthCheckResponse.NOT_SERVING)
            assert (await refused(service.register(1)))[0] is grpc.StatusCode.UNAVAILABLE
            server.start()
            await health_becomes(service, health_pb2.HealthCheckResponse.SERVING)
            assert (await service.register(1)).status == CONFIRMED
    finally:
        server.stop()


async def health_becomes(service: Replica, status: int) -> None:
    stub: Any = health_pb2_grpc.HealthStub(service.channel)
    for _ in range(200):
        if (await stub.Check(health_pb2.HealthCheckRequest(service="database"))).status == status:
            return
        await asyncio.sleep(0.1)
    pytest.fail(f"the database's health never became {status}")


def parent_of(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent else None


async def test_a_claim_is_one_trace_down_to_the_sql(service: Replica) -> None:
    """RPC → registration.create → capacityCheck and transaction → batch (linked) → SQL."""
    await service.open()
    service.telemetry.clear()
    await service.register(1)
    await asyncio.sleep(0)
    spans = {span.name: span for span in service.telemetry.spans}
    rpc = spans["ticketcap.registration.v1.RegistrationService/Register"]
    create, transaction = spans["registration.create"], spans["registration.transaction"]
    check, batch, write = spans["registration.capacityCheck"], spans["registration.batch"], spans["seats.write"]
    assert parent_of(create) == rpc.context.span_id
    assert parent_of(check) == parent_of(transaction) == create.context.span_id
    assert parent_of(batch) == transaction.context.span_id
    assert parent_of(write) == batch.context.span_id
    assert [link.context.span_id for link in transaction.links] == [batch.context.span_id]
    assert [link.context.span_id for link in batch.links] == [transaction.context.span_id]
    assert len({span.context.trace_id for span in spans.values() if span.name in NAMES}) == 1
    assert create.attributes is not None
    assert create.attributes["registration.status"] == "CONFIRMED"
    everything = " ".join(str(span.to_json()) for span in spans.values())
    assert not any(personal in everything for personal in ("501000001", "אורי"))


NAMES = {
    "registration.create",
    "registration.capacityCheck",
    "registration.transaction",
    "registration.batch",
    "seats.lock",
    "seats.write",
}


async def test_a_connection_ends_at_the_age_of_its_setting(database: str) -> None:
    """The next call opens another one; by default a connection lives far longer than this test waits."""
    async with replica(database, connection_age_seconds=1) as service:
        await service.school()
        async with asyncio.timeout(20):
            await service.channel.wait_for_state_change(grpc.ChannelConnectivity.READY)
        await service.event()

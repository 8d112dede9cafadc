"""Write the contracts of successful calls and of refusals by rules."""

import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from tests.stack_under_test import EVENTS, events_of
from tests.test_payments_end_to_end import _inputs
from tests.traces.cases import CASES, Phase, case
from tests.traces.world import NOBODY, PRICE, Answered, World, holder, key, trace_id_of, until

__all__ = ["CASES"]

SHARED = f"{EVENTS}/shared"
REGISTRATIONS = "/api/v1/schools/{school}/events/{event}/registrations"

# Schools and events


@case(
    "createSchool",
    201,
    """
    http POST /api/v1/schools 201
      rpc registration CreateSchool OK
        sql tenant.enter
        sql idempotency.find
        sql tenant.enter
        sql INSERT schools
        sql idempotency.keep
    """,
)
def goes_well(world: World) -> Answered:
    body = {"slug": world.slug(), "name": "x"}
    return Answered(world.post("/api/v1/schools", json=body, headers=world.token("SUPER_ADMIN")))


@case(
    "createSchool",
    409,
    """
    http POST /api/v1/schools 409
      rpc registration CreateSchool ALREADY_EXISTS
        sql tenant.enter
        sql idempotency.find
        sql tenant.enter
        sql INSERT schools ! 23505
        sql tenant.enter
        sql idempotency.find
        sql schools.id
        sql tenant.enter
        sql idempotency.find
    """,
)
def of_one_that_is_there(world: World) -> Answered:
    body = {"slug": "herzl", "name": "x"}
    return Answered(world.post("/api/v1/schools", json=body, headers=world.token("SUPER_ADMIN")))


@case(
    "getSchoolStats",
    200,
    """
    http GET /api/v1/schools/{school}/stats 200 school.slug=herzl
      rpc registration GetSchoolStats OK school.id school.slug=herzl
        ? sql directory.school
        sql tenant.enter
        sql schools.stats
    """,
)
def goes_well_(world: World) -> Answered:
    return Answered(world.get("/api/v1/schools/herzl/stats", headers=world.token("VIEWER")))


@case(
    "listEvents",
    200,
    """
    http GET /api/v1/schools/{school}/events 200 school.slug=herzl
      rpc registration ListEvents OK school.id school.slug=herzl
        ? sql directory.school
        sql tenant.enter
        sql SELECT events
    """,
)
def goes__well(world: World) -> Answered:
    return Answered(world.get(EVENTS))


@case(
    "listEvents",
    404,
    """
    http GET /api/v1/schools/{school}/events 404 school.slug=nowhere
      rpc registration ListEvents NOT_FOUND school.slug=nowhere
        sql directory.school
    """,
)
def of_no_school(world: World) -> Answered:
    return Answered(world.get("/api/v1/schools/nowhere/events"))


@case(
    "createEvent",
    201,
    """
    http POST /api/v1/schools/{school}/events 201 school.slug=herzl
      rpc registration CreateEvent OK school.id school.slug=herzl
        ? sql directory.school
        sql tenant.enter
        sql idempotency.find
        sql tenant.enter
        sql INSERT events
        sql idempotency.keep
    """,
)
def goes_well__(world: World) -> Answered:
    body = {"slug": world.slug(), "title": "x", "starts_at": "2030-01-01T10:00:00Z", "capacity": 1}
    return Answered(world.post(EVENTS, json=body, headers=world.token("ADMIN")))


@case(
    "createEvent",
    409,
    """
    http POST /api/v1/schools/{school}/events 409 school.slug=herzl
      rpc registration CreateEvent ALREADY_EXISTS school.id school.slug=herzl
        ? sql directory.school
        sql tenant.enter
        sql idempotency.find
        sql tenant.enter
        sql INSERT events ! 23505
        sql tenant.enter
        sql idempotency.find
    """,
)
def of_one_that_is_there_(world: World) -> Answered:
    body = {"slug": "shared", "title": "x", "starts_at": "2030-01-01T10:00:00Z", "capacity": 1}
    return Answered(world.post(EVENTS, json=body, headers=world.token("ADMIN")))


@case(
    "getEvent",
    200,
    """
    http GET /api/v1/schools/{school}/events/{event} 200 school.slug=herzl
      rpc registration GetEvent OK school.id school.slug=herzl
        use event
        sql tenant.enter
        sql SELECT events
    """,
)
def goes___well(world: World) -> Answered:
    return Answered(world.get(SHARED))


@case(
    "updateEvent",
    200,
    """
    http PATCH /api/v1/schools/{school}/events/{event} 200 school.slug=herzl
      rpc registration UpdateEvent OK school.id school.slug=herzl
        use event
        span registration.batch event.id school.id school.slug=herzl batch.size=1 batch.wait_ms -> UpdateEvent
          sql seats.lock
          sql seats.write
    """,
)
def goes_well___(world: World) -> Answered:
    event = world.event()
    return Answered(world.request("PATCH", f"{EVENTS}/{event}", json={"title": "y"}, headers=world.token("OWNER")))


@case(
    "updateEvent",
    200,
    """
    http PATCH /api/v1/schools/{school}/events/{event} 200 school.slug=herzl
      rpc registration UpdateEvent OK school.id school.slug=herzl
        use event
        span registration.batch event.id school.id school.slug=herzl batch.size=1 batch.wait_ms -> UpdateEvent
          sql seats.lock
          sql seats.waiting_by_size
          span waitlist.promote event.id registration.spots=1 waitlist.promoted=1
          sql seats.write
    """,
)
def that_makes_room(world: World) -> Answered:
    event = world.event(capacity=1)
    world.registered(event)
    world.registered(event)
    return Answered(world.request("PATCH", f"{EVENTS}/{event}", json={"capacity": 2}, headers=world.token("OWNER")))


@case(
    "updateEvent",
    409,
    """
    http PATCH /api/v1/schools/{school}/events/{event} 409 school.slug=herzl
      rpc registration UpdateEvent FAILED_PRECONDITION school.id school.slug=herzl
        use event
        span registration.batch event.id school.id school.slug=herzl batch.size=1 batch.wait_ms -> UpdateEvent
          sql seats.lock
    """,
)
def to_less_than_is_sold(world: World) -> Answered:
    event = world.event(capacity=2)
    world.registered(event, spots=2)
    return Answered(world.request("PATCH", f"{EVENTS}/{event}", json={"capacity": 1}, headers=world.token("OWNER")))


@case(
    "deleteEvent",
    204,
    """
    http DELETE /api/v1/schools/{school}/events/{event} 204 school.slug=herzl
      rpc registration DeleteEvent OK school.id school.slug=herzl
        use event
        use rows
        sql DELETE events
    """,
)
def goes____well(world: World) -> Answered:
    return Answered(world.request("DELETE", f"{EVENTS}/{world.event()}", headers=world.token("OWNER")))


@case(
    "deleteEvent",
    409,
    """
    http DELETE /api/v1/schools/{school}/events/{event} 409 school.slug=herzl
      rpc registration DeleteEvent FAILED_PRECONDITION school.id school.slug=herzl
        use event
        use rows
    """,
)
def of_one_with_registrations(world: World) -> Answered:
    event = world.event()
    world.registered(event)
    return Answered(world.request("DELETE", f"{EVENTS}/{event}", headers=world.token("OWNER")))


@case("watchEvent", 200, "http GET /api/v1/schools/{school}/events/{event}/stream 200 school.slug=herzl")
def is_told_the_seats(world: World) -> Answered:
    with httpx.stream("GET", f"{world.stack.url}{SHARED}/stream", timeout=30, trust_env=False) as stream:
        next(events_of(stream))
        return Answered(stream)


@case("watchEvent", 404, "http GET /api/v1/schools/{school}/events/{event}/stream 404 school.slug=herzl")
def of_no_event(world: World) -> Answered:
    return Answered(world.get(f"{EVENTS}/nothing/stream"))


@case("watchEvent", 503, "http GET /api/v1/schools/{school}/events/{event}/stream 503 school.slug=herzl")
def beside_too_many(world: World) -> Answered:
    with contextlib.ExitStack() as open_streams:
        read = []
        for _ in range(2):
            url = f"{world.stack.url}{SHARED}/stream"
            stream = open_streams.enter_context(httpx.stream("GET", url, timeout=30, trust_env=False))
            # Dropping the iterator closes the stream.
            read.append(events_of(stream))
            next(read[-1])
        return Answered(world.get(f"{SHARED}/stream"))


# Registrations


CLAIMED = f"""
    http POST {REGISTRATIONS} 201 school.slug=herzl
      use claimed
      span registration.create school.id school.slug=herzl event.id registration.spots=1 registration.status=%s \
registration.confirmationCode=$code
        use event
        span registration.capacityCheck event.capacity event.spotsReserved event.spotsAvailable
        span registration.transaction registration.status=%s -> registration.batch
          use batch of claim
"""


def _claimed(world: World, event: str, **fields: Any) -> Answered:
    body = {"name": "דנה כהן", "phone": "050-1234567", "spots": 1, **fields}
    answer = world.post(f"{EVENTS}/{event}/registrations", json=body)
    return Answered(answer, {"code": answer.json().get("confirmation_code", "")})


@case("createRegistration", 201, CLAIMED % ("CONFIRMED", "CONFIRMED"))
def gets_a_seat(world: World) -> Answered:
    return _claimed(world, world.event())


@case("createRegistration", 201, CLAIMED % ("PENDING_PAYMENT", "PENDING_PAYMENT"))
def gets_a_hold(world: World) -> Answered:
    return _claimed(world, world.event(price_agorot=PRICE))


@case("createRegistration", 201, CLAIMED % ("WAITLISTED", "WAITLISTED"))
def has_to_wait(world: World) -> Answered:
    event = world.event(capacity=1)
    world.registered(event)
    return _claimed(world, event)


@case(
    "createRegistration",
    201,
    (CLAIMED % ("CONFIRMED", "CONFIRMED")).replace("batch of claim", "refused batch of claim"),
)
def is_repeated(world: World) -> Answered:
    event, headers = world.event(), {"Idempotency-Key": key()}
    body = {"name": "דנה כהן", "phone": "050-1234567", "spots": 1}
    world.post(f"{EVENTS}/{event}/registrations", json=body, headers=headers)
    answer = world.post(f"{EVENTS}/{event}/registrations", json=body, headers=headers)
    assert answer.headers["idempotent-replayed"] == "true"
    return Answered(answer, {"code": answer.json()["confirmation_code"]})


REFUSED_CLAIM = f"""
    http POST {REGISTRATIONS} %s school.slug=herzl
      use claimed
      span registration.create school.id school.slug=herzl event.id registration.spots=%s
        use event
        span registration.transaction
          use refused batch of claim
"""


@case("createRegistration", 409, REFUSED_CLAIM % (409, 1))
def of_a_phone_that_is_registered(world: World) -> Answered:
    event = world.event()
    _claimed(world, event)
    return _claimed(world, event)


@case("createRegistration", 409, REFUSED_CLAIM % (409, 1))
def for_a_closed_event(world: World) -> Answered:
    return _claimed(world, world.event(status="CLOSED"))


@case("createRegistration", 422, REFUSED_CLAIM % (422, 2))
def with_a_key_of_another_body(world: World) -> Answered:
    event, headers = world.event(), {"Idempotency-Key": key()}
    body = {"name": "דנה כהן", "phone": "050-1234567", "spots": 1}
    world.post(f"{EVENTS}/{event}/registrations", json=body, headers=headers)
    return Answered(world.post(f"{EVENTS}/{event}/registrations", json={**body, "spots": 2}, headers=headers))


@case(
    "createRegistration",
    422,
    f"""
    http POST {REGISTRATIONS} 422 school.slug=herzl
      use claimed
      span registration.create school.id school.slug=herzl event.id registration.spots=1
        use event
    """,
)
def with_a_phone_that_is_none(world: World) -> Answered:
    return _claimed(world, "shared", phone="000-0000000")


@case(
    "createRegistration",
    404,
    f"""
    http POST {REGISTRATIONS} 404 school.slug=herzl
      use claimed
      span registration.create school.slug=herzl registration.spots=1
        use event
    """,
)
def for_no_event(world: World) -> Answered:
    return _claimed(world, "nothing")


@case("createRegistration", 429, f"http POST {REGISTRATIONS} 429 school.slug=herzl")
def too_often_from_one_address(world: World) -> Answered:
    event, headers = world.event(), {"X-Forwarded-For": "10.9.9.1"}
    for number in range(4):
        body = {"name": "דנה כהן", "phone": f"050-123456{number}", "spots": 1}
        answer = world.post(f"{EVENTS}/{event}/registrations", json=body, headers=headers)
    return Answered(answer)


@case(
    "listRegistrations",
    200,
    f"""
    http GET {REGISTRATIONS} 200 school.slug=herzl
      rpc registration ListRegistrations OK school.id school.slug=herzl
        use event
        use rows
    """,
)
def goes_well____(world: World) -> Answered:
    return Answered(world.get(f"{SHARED}/registrations", headers=world.token("VIEWER")))


@case(
    "exportRegistrations",
    200,
    f"""
    http GET {REGISTRATIONS}.csv 200 school.slug=herzl
      rpc registration ExportRegistrations OK school.id school.slug=herzl
        use event
        use rows
        use rows
    """,
)
def goes_well_____(world: World) -> Answered:
    event = world.event()
    world.registered(event)
    return Answered(world.get(f"{EVENTS}/{event}/registrations.csv", headers=world.token("VIEWER")))


@case(
    "getRegistration",
    200,
    """
    http GET /api/v1/registrations/{id} 200
      rpc registration GetRegistration OK school.id school.slug=herzl
        ? sql directory.school
        ? sql directory.tagged
        sql tenant.enter
        sql directory.registration
        use rows
    """,
)
def by_its_holder(world: World) -> Answered:
    registration = world.registered("shared")
    return Answered(world.get(f"/api/v1/registrations/{registration['id']}", headers=holder(registration)))


@case(
    "getRegistration",
    404,
    """
    http GET /api/v1/registrations/{id} 404
      rpc registration GetRegistration NOT_FOUND
    """,
)
def with_the_wrong_token(world: World) -> Answered:
    return Answered(world.get(f"/api/v1/registrations/{NOBODY}", headers={"X-Manage-Token": "x" * 43}))


@case(
    "getRegistration",
    404,
    """
    http GET /api/v1/registrations/{id} 404
      rpc registration GetRegistration NOT_FOUND
        sql directory.school
    """,
)
def by_another_schools_organiser(world: World) -> Answered:
    registration = world.registered("shared")
    return Answered(world.get(f"/api/v1/registrations/{registration['id']}", headers=world.token("VIEWER", "bialik")))


@case(
    "cancelRegistration",
    200,
    """
    http POST /api/v1/registrations/{id}/cancel 200
      rpc registration CancelRegistration OK school.id school.slug=herzl
        ? sql directory.school
        ? sql directory.tagged
        sql tenant.enter
        sql directory.registration
        span registration.cancel event.id school.id school.slug=herzl
          span registration.batch event.id school.id school.slug=herzl batch.size=1 batch.wait_ms -> registration.cancel
            sql seats.lock
            sql seats.waiting_by_size
            span waitlist.promote event.id registration.spots=1 waitlist.promoted=1
            sql seats.write
        use rows
    """,
)
def makes_room_for_who_waits(world: World) -> Answered:
    event = world.event(capacity=1)
    registration = world.registered(event)
    world.registered(event)
    return Answered(world.post(f"/api/v1/registrations/{registration['id']}/cancel", headers=holder(registration)))


@case(
    "cancelRegistration",
    409,
    """
    http POST /api/v1/registrations/{id}/cancel 409
      rpc registration CancelRegistration FAILED_PRECONDITION school.id school.slug=herzl
        ? sql directory.school
        ? sql directory.tagged
        sql tenant.enter
        sql directory.registration
        span registration.cancel event.id school.id school.slug=herzl
          span registration.batch event.id school.id school.slug=herzl batch.size=1 batch.wait_ms -> registration.cancel
            sql seats.lock
    """,
)
def of_what_is_cancelled(world: World) -> Answered:
    registration = world.registered("shared")
    url = f"/api/v1/registrations/{registration['id']}/cancel"
    world.post(url, headers=holder(registration))
    return Answered(world.post(url, headers=world.token("MANAGER")))


@case(
    "cancelRegistration",
    403,
    """
    http POST /api/v1/registrations/{id}/cancel 403
      rpc registration CancelRegistration PERMISSION_DENIED school.id school.slug=herzl
        ? sql directory.school
        ? sql directory.tagged
        sql tenant.enter
        sql directory.registration
    """,
)
def who_chooses_ones_own_refund(world: World) -> Answered:
    registration = world.registered("shared")
    url = f"/api/v1/registrations/{registration['id']}/cancel"
    return Answered(world.post(url, json={"refund_agorot": 1}, headers=holder(registration)))


@case(
    "cancelRegistration",
    422,
    """
    http POST /api/v1/registrations/{id}/cancel 422
      rpc registration CancelRegistration INVALID_ARGUMENT school.id school.slug=herzl
        ? sql directory.school
        ? sql directory.tagged
        sql tenant.enter
        sql directory.registration
        span registration.cancel event.id school.id school.slug=herzl
          span registration.batch event.id school.id school.slug=herzl batch.size=1 batch.wait_ms -> registration.cancel
            sql seats.lock
    """,
)
def gives_back_more_than_it_cost(world: World) -> Answered:
    registration = world.registered("shared")
    url = f"/api/v1/registrations/{registration['id']}/cancel"
    return Answered(world.post(url, json={"refund_agorot": 1}, headers=world.token("MANAGER")))


@case(
    "cancelRegistration",
    404,
    """
    http POST /api/v1/registrations/{id}/cancel 404
      rpc registration CancelRegistration NOT_FOUND
    """,
)
def with_the_wrong_token_(world: World) -> Answered:
    return Answered(world.post(f"/api/v1/registrations/{NOBODY}/cancel", headers={"X-Manage-Token": "x" * 43}))


@case("cancelRegistration", 429, "http POST /api/v1/registrations/{id}/cancel 429")
def too_often_from_one_address_(world: World) -> Answered:
    headers = {"X-Manage-Token": "x" * 43, "X-Forwarded-For": "10.9.9.2"}
    for _ in range(4):
        answer = world.post(f"/api/v1/registrations/{NOBODY}/cancel", headers=headers)
    return Answered(answer)


# Check-in

CHECK_INS = "/api/v1/schools/{school}/events/{event}/check-ins"


@case(
    "checkIn",
    201,
    f"""
    http POST {CHECK_INS} 201 school.slug=herzl
      rpc registration CheckIn OK school.id school.slug=herzl
        use event
        use rows
        sql UPDATE registrations
    """,
)
def arrives(world: World) -> Answered:
    code = {"confirmation_code": world.registered("shared")["confirmation_code"]}
    return Answered(world.post(f"{SHARED}/check-ins", json=code, headers=world.token("MANAGER")))


@case(
    "checkIn",
    409,
    f"""
    http POST {CHECK_INS} 409 school.slug=herzl
      rpc registration CheckIn FAILED_PRECONDITION school.id school.slug=herzl
        use event
        use rows
    """,
)
def arrives_twice(world: World) -> Answered:
    code = {"confirmation_code": world.registered("shared")["confirmation_code"]}
    world.post(f"{SHARED}/check-ins", json=code, headers=world.token("MANAGER"))
    return Answered(world.post(f"{SHARED}/check-ins", json=code, headers=world.token("MANAGER")))


@case(
    "undoCheckIn",
    200,
    f"""
    http DELETE {CHECK_INS}/{{id}} 200 school.slug=herzl
      rpc registration UndoCheckIn OK school.id school.slug=herzl
        use event
        use rows
        sql UPDATE registrations
    """,
)
def is_taken_back(world: World) -> Answered:
    registration = world.registered("shared")
    code = {"confirmation_code": registration["confirmation_code"]}
    world.post(f"{SHARED}/check-ins", json=code, headers=world.token("MANAGER"))
    return Answered(world.request("DELETE", f"{SHARED}/check-ins/{registration['id']}", headers=world.token("MANAGER")))


@case(
    "undoCheckIn",
    409,
    f"""
    http DELETE {CHECK_INS}/{{id}} 409 school.slug=herzl
      rpc registration UndoCheckIn FAILED_PRECONDITION school.id school.slug=herzl
        use event
        use rows
    """,
)
def of_who_has_not_arrived(world: World) -> Answered:
    registration = world.registered("shared")
    return Answered(world.request("DELETE", f"{SHARED}/check-ins/{registration['id']}", headers=world.token("MANAGER")))


# Payments

PAYMENTS = "/api/v1/registrations/{id}/payments"


OPENED = """
    http POST %s %s
      rpc payment CreatePayment OK
        use hold
        span payment.create school.id school.slug=herzl payment.id=$payment \
payment.amount_agorot=4990 payment.state=REDIRECTED
          ? sql schools.store
          use row of payment
          sql INSERT payments
          yaadpay SIGN 200
          sql tenant.enter
          sql UPDATE payments
"""


@case("createPayment", 201, OPENED % (PAYMENTS, 201))
def is_opened(world: World) -> Answered:
    answer = world.opened(world.hold())
    return Answered(answer, {"payment": answer.json()["payment_id"]})


@case(
    "createPayment",
    409,
    f"""
    http POST {PAYMENTS} 409
      rpc payment CreatePayment ALREADY_EXISTS
        use hold
        span payment.create school.id school.slug=herzl
          ? sql schools.store
          use row of payment
    """,
)
def while_another_runs(world: World) -> Answered:
    hold = world.hold()
    world.opened(hold)
    return Answered(world.post(f"/api/v1/registrations/{hold['id']}/payments", headers=holder(hold)))


@case(
    "createPayment",
    410,
    f"""
    http POST {PAYMENTS} 410
      rpc payment CreatePayment FAILED_PRECONDITION
        use hold
        span payment.create school.id school.slug=herzl
          ? sql schools.store
          use row of payment
    """,
)
def of_a_hold_that_is_over(world: World) -> Answered:
    hold = world.expired_hold()
    return Answered(world.post(f"/api/v1/registrations/{hold['id']}/payments", headers=holder(hold)))


@case(
    "createPayment",
    404,
    f"""
    http POST {PAYMENTS} 404
      rpc payment CreatePayment NOT_FOUND
        rpc registration GetHold NOT_FOUND
    """,
)
def with_the_wrong_token__(world: World) -> Answered:
    return Answered(world.post(f"/api/v1/registrations/{NOBODY}/payments", headers={"X-Manage-Token": "x" * 43}))


@case(
    "createPayment",
    201,
    f"""
    http POST {PAYMENTS} 201
      call payment CreatePayment OK
        serve payment CreatePayment UNAVAILABLE
          use hold
          span payment.create school.id school.slug=herzl payment.id=$payment payment.amount_agorot=4990
            ? sql schools.store
            use row of payment
            sql INSERT payments
            yaadpay SIGN 500
            yaadpay SIGN 500
            use row of payment
            sql UPDATE payments
        serve payment CreatePayment OK
          use hold
          span payment.create school.id school.slug=herzl payment.id=$payment \
payment.amount_agorot=4990 payment.state=REDIRECTED
            ? sql schools.store
            use row of payment
            yaadpay SIGN 200
            sql tenant.enter
            sql UPDATE payments
    """,
)
def is_tried_again_when_yaadpay_was_broken(world: World) -> Answered:
    hold = world.hold()
    world.fault("SIGN", "http_500", times=2)
    answer = world.opened(hold)
    return Answered(answer, {"payment": answer.json()["payment_id"]})


@case(
    "createPayment",
    503,
    f"""
    http POST {PAYMENTS} 503
      call payment CreatePayment UNAVAILABLE
        serve payment CreatePayment UNAVAILABLE
          use hold
          span payment.create school.id school.slug=herzl payment.id payment.amount_agorot=4990
            ? sql schools.store
            use row of payment
            sql INSERT payments
            yaadpay SIGN - ! ReadError
            yaadpay SIGN - ! ReadError
            use row of payment
            sql UPDATE payments
        * serve payment CreatePayment UNAVAILABLE
          use hold
          span payment.create school.id school.slug=herzl payment.id payment.amount_agorot=4990
            ? sql schools.store
            use row of payment
            yaadpay SIGN - ! ReadError
            yaadpay SIGN - ! ReadError
            use row of payment
            sql UPDATE payments
    """,
)
def while_yaadpay_hangs_up(world: World) -> Answered:
    hold = world.hold()
    world.fault("SIGN", "reset_before", times=20)
    answer = world.post(f"/api/v1/registrations/{hold['id']}/payments", headers=holder(hold))
    world.no_faults()
    return Answered(answer)


@case("createPayment", 429, f"http POST {PAYMENTS} 429")
def too_often_from_one_address__(world: World) -> Answered:
    headers = {"X-Manage-Token": "x" * 43, "X-Forwarded-For": "10.9.9.3"}
    for _ in range(4):
        answer = world.post(f"/api/v1/registrations/{NOBODY}/payments", headers=headers)
    return Answered(answer)


@case(
    "createPayment",
    503,
    f"""
    http POST {PAYMENTS} 503
      rpc payment CreatePayment UNAVAILABLE
        call registration GetHold UNAVAILABLE
    """,
    Phase.WITHOUT_REGISTRATION,
)
def while_registration_is_down(world: World) -> Answered:
    return Answered(world.post(f"/api/v1/registrations/{NOBODY}/payments", headers={"X-Manage-Token": "x" * 43}))


@case(
    "getPayment",
    200,
    """
    http GET /api/v1/payments/{id} 200
      rpc payment GetPayment OK school.id school.slug=herzl
        ? sql directory.tagged
        sql tenant.enter
        sql directory.payment
        use hold
        use money
    """,
)
def by_its_holder_(world: World) -> Answered:
    hold = world.hold()
    payment = world.opened(hold).json()["payment_id"]
    return Answered(world.get(f"/api/v1/payments/{payment}", headers=holder(hold)))


@case(
    "getPayment",
    200,
    """
    http GET /api/v1/payments/{id} 200
      rpc payment GetPayment OK school.id school.slug=herzl
        sql schools.by_slug
        sql tenant.enter
        sql directory.payment
        use money
    """,
)
def by_an_organiser(world: World) -> Answered:
    payment = world.opened(world.hold()).json()["payment_id"]
    return Answered(world.get(f"/api/v1/payments/{payment}", headers=world.token("OWNER")))


@case(
    "getPayment",
    404,
    """
    http GET /api/v1/payments/{id} 404
      rpc payment GetPayment NOT_FOUND
        sql schools.by_slug
        ? sql tenant.enter
        ? sql directory.payment
    """,
)
def of_none(world: World) -> Answered:
    return Answered(world.get(f"/api/v1/payments/{NOBODY}", headers=world.token("OWNER")))


SETTLED = """
    http GET /api/v1/payments/yaadpay/return {status}
      rpc payment SettleReturn OK
        span payment.return school.id school.slug=herzl payment.id=$payment payment.state=CAPTURED -> $opened
          sql directory.tagged
          sql tenant.enter
          sql directory.order
          sql tenant.enter
          sql SELECT payments
          use row of payment
          sql SELECT returns
          sql SELECT returns
          sql INSERT returns
          sql SELECT returns
          sql outbox.put
          use under way
          span outbox.deliver outbox.topic=return.verify payment.id=$payment school.id \
school.slug=herzl payment.ccode=800 \
payment.state=AUTHORISED -> payment.return
            sql tenant.enter
            sql SELECT returns
            yaadpay VERIFY 200
            use row of payment
            sql UPDATE returns
            sql escalations.resolve
            sql INSERT transactions
            sql UPDATE payments
            sql outbox.put
            use done
          span outbox.deliver outbox.topic=payment.capture payment.id=$payment school.id \
school.slug=herzl -> outbox.deliver
            span payment.capture payment.id=$payment school.id school.slug=herzl \
payment.amount_agorot=4990 payment.ccode=0 \
payment.state=CAPTURED
              sql tenant.enter
              sql SELECT payments
              use seat secured
              use row of payment
              sql UPDATE payments
              yaadpay commitTrans 200
              use row of payment
              sql UPDATE payments
              sql INSERT transactions
              sql escalations.resolve
              sql outbox.put
              sql tenant.enter
              sql SELECT payments
            use done
          span outbox.deliver outbox.topic=seat.confirm payment.id=$payment school.id \
school.slug=herzl -> payment.capture
            sql tenant.enter
            sql SELECT payments
            use seat confirmed
            use row of payment
            sql UPDATE payments
            sql escalations.resolve
            use done
          sql tenant.enter
          sql SELECT returns
          sql tenant.enter
          sql SELECT payments
"""


@case("settleReturn", 303, SETTLED.format(status=303))
def the_money_has_come(world: World) -> Answered:
    opened = world.opened(world.hold())
    values = {"payment": opened.json()["payment_id"], "opened": trace_id_of(opened)}
    return Answered(world.get(world.way_back(opened)), values)


@case("settleReturn", 200, SETTLED.format(status=200))
def a_program_is_told(world: World) -> Answered:
    opened = world.opened(world.hold())
    values = {"payment": opened.json()["payment_id"], "opened": trace_id_of(opened)}
    return Answered(world.get(world.way_back(opened), headers={"Accept": "application/json"}), values)


@case(
    "settleReturn",
    303,
    """
    http GET /api/v1/payments/yaadpay/return 303
      rpc payment SettleReturn OK
        span payment.return school.id school.slug=herzl payment.id=$payment payment.state=CAPTURED -> $opened
          sql directory.tagged
          sql tenant.enter
          sql directory.order
          sql tenant.enter
          sql SELECT payments
          use row of payment
          sql SELECT returns
          use under way
          sql tenant.enter
          sql SELECT returns
          sql tenant.enter
          sql SELECT payments
    """,
)
def the_same_comes_again(world: World) -> Answered:
    opened = world.opened(world.hold())
    back = world.way_back(opened)
    world.get(back)
    values = {"payment": opened.json()["payment_id"], "opened": trace_id_of(opened)}
    return Answered(world.get(back), values)


@case(
    "settleReturn",
    400,
    """
    http GET /api/v1/payments/yaadpay/return 400
      rpc payment SettleReturn FAILED_PRECONDITION
        span payment.return school.id school.slug=herzl
          sql directory.tagged
          sql tenant.enter
          sql directory.order
          sql tenant.enter
          sql SELECT payments
    """,
)
def that_is_forged(world: World) -> Answered:
    back = world.way_back(world.opened(world.hold()))
    return Answered(world.get(back.replace("Amount=49.9", "Amount=1.9")))


@case(
    "settleReturn",
    400,
    """
    http GET /api/v1/payments/yaadpay/return 400
      rpc payment SettleReturn FAILED_PRECONDITION
        span payment.return
    """,
)
def that_is_none(world: World) -> Answered:
    return Answered(world.get("/api/v1/payments/yaadpay/return?Id=1"))


@case("settleReturn", 414, "http GET /api/v1/payments/yaadpay/return 414")
def that_is_too_long(world: World) -> Answered:
    return Answered(world.get("/api/v1/payments/yaadpay/return?Id=" + "1" * 9000))


@case(
    "settleReturn",
    429,
    """
    http GET /api/v1/payments/yaadpay/return 429
      rpc payment SettleReturn FAILED_PRECONDITION
        span payment.return
    """,
)
def too_many_that_are_none(world: World) -> Answered:
    for _ in range(4):
        answer = world.get("/api/v1/payments/yaadpay/return?Id=1", headers={"X-Forwarded-For": "10.9.9.4"})
    return Answered(answer)


@case(
    "createRefund",
    201,
    """
    http POST /api/v1/payments/{id}/refunds 201
      rpc payment RefundPayment OK school.id school.slug=herzl
        sql schools.by_slug
        sql tenant.enter
        sql directory.payment
        use row of payment
        sql SELECT refunds
        sql UPDATE payments
        sql INSERT refunds
        sql outbox.put
        use under way
        span outbox.deliver outbox.topic=refund.send payment.id=$payment school.id school.slug=herzl -> RefundPayment
          span payment.refund payment.id=$payment school.id school.slug=herzl payment.amount_agorot=100
            use money
            use row of payment
            sql SELECT refunds
            sql UPDATE refunds
            yaadpay zikoyAPI 200
            use row of payment
            sql SELECT refunds
            sql UPDATE refunds
            sql UPDATE payments
            sql INSERT transactions
            sql escalations.resolve
          use done
        use money
    """,
)
def of_a_part(world: World) -> Answered:
    _, payment = world.paid()
    url = f"/api/v1/payments/{payment}/refunds"
    answer = world.post(url, json={"amount_agorot": 100}, headers=world.token("OWNER"))
    return Answered(answer, {"payment": payment})


REFUSED_REFUND = """
    http POST /api/v1/payments/{id}/refunds %s
      rpc payment RefundPayment %s school.id school.slug=herzl
        sql schools.by_slug
        sql tenant.enter
        sql directory.payment
        use row of payment
        sql SELECT refunds
"""


@case("createRefund", 422, REFUSED_REFUND % (422, "INVALID_ARGUMENT"))
def of_more_than_was_paid(world: World) -> Answered:
    _, payment = world.paid()
    url = f"/api/v1/payments/{payment}/refunds"
    return Answered(world.post(url, json={"amount_agorot": PRICE + 1}, headers=world.token("OWNER")))


@case("createRefund", 409, REFUSED_REFUND % (409, "FAILED_PRECONDITION"))
def of_what_was_not_paid(world: World) -> Answered:
    payment = world.opened(world.hold()).json()["payment_id"]
    return Answered(world.post(f"/api/v1/payments/{payment}/refunds", headers=world.token("OWNER")))


@case(
    "createRefund",
    404,
    """
    http POST /api/v1/payments/{id}/refunds 404
      rpc payment RefundPayment NOT_FOUND
        sql schools.by_slug
        ? sql tenant.enter
        ? sql directory.payment
    """,
)
def by_another_schools_owner(world: World) -> Answered:
    payment = world.opened(world.hold()).json()["payment_id"]
    return Answered(world.post(f"/api/v1/payments/{payment}/refunds", headers=world.token("OWNER", "bialik")))


@case(
    "exportPayments",
    200,
    """
    http GET /api/v1/schools/{school}/payments.csv 200 school.slug=herzl
      rpc payment ExportPayments OK school.id school.slug=herzl
        sql schools.by_slug
        ? sql tenant.enter
        * sql export.entries
    """,
)
def of_today(world: World) -> Answered:
    return Answered(world.get("/api/v1/schools/herzl/payments.csv", headers=world.token("OWNER")))


@case("exportPayments", 422, "http GET /api/v1/schools/{school}/payments.csv 422 school.slug=herzl")
def of_no_day(world: World) -> Answered:
    return Answered(world.get("/api/v1/schools/herzl/payments.csv?day=today", headers=world.token("OWNER")))


# Escalations


@case(
    "listEscalations",
    200,
    """
    http GET /api/v1/escalations 200
      rpc payment ListEscalations OK
        sql escalations.open
    """,
)
def goes_well______(world: World) -> Answered:
    return Answered(world.get("/api/v1/escalations", headers=world.token("SUPER_ADMIN")))


@case(
    "resolveEscalation",
    200,
    """
    http POST /api/v1/escalations/{kind}/{id}/resolve 200
      rpc payment ResolveEscalation OK
        sql escalations.find
        sql tenant.enter
        sql escalations.resolve
    """,
)
def of_a_seat(world: World) -> Answered:
    url = f"/api/v1/escalations/seat/{world.escalated()}/resolve"
    return Answered(world.post(url, json={"moved": False}, headers=world.token("SUPER_ADMIN")))


@case(
    "resolveEscalation",
    409,
    """
    http POST /api/v1/escalations/{kind}/{id}/resolve 409
      rpc payment ResolveEscalation FAILED_PRECONDITION
        sql escalations.find
    """,
)
def of_what_does_not_wait(world: World) -> Answered:
    url = f"/api/v1/escalations/seat/{NOBODY}/resolve"
    return Answered(world.post(url, json={"moved": False}, headers=world.token("SUPER_ADMIN")))


@case("resolveEscalation", 404, "http POST /api/v1/escalations/{kind}/{id}/resolve 404")
def of_a_kind_that_is_none(world: World) -> Answered:
    url = f"/api/v1/escalations/thing/{NOBODY}/resolve"
    return Answered(world.post(url, json={"moved": False}, headers=world.token("SUPER_ADMIN")))


# Pages


def _pay_link(hold: dict[str, Any]) -> str:
    link: str = hold["pay_url"]
    return "/pay/" + link.partition("/pay/")[2]


def _pressed(world: World, hold: dict[str, Any], headers: dict[str, str] | None = None) -> httpx.Response:
    link = _pay_link(hold)
    fields = _inputs(world.get(link).text)
    return world.post(link.partition("?")[0], data=fields, headers=headers)


@case("getPayPage", 200, "http GET /pay/{registration} 200")
def shows_a_button(world: World) -> Answered:
    return Answered(world.get(_pay_link(world.hold())))


@case("getPayPage", 404, "http GET /pay/{registration} 404")
def without_a_token(world: World) -> Answered:
    return Answered(world.get(f"/pay/{NOBODY}"))


@case("getPayPage", 422, "http GET /pay/{registration} 422")
def in_no_language(world: World) -> Answered:
    return Answered(world.get(f"/pay/{NOBODY}?token=x&lang=xx"))


@case("payFromPage", 303, OPENED % ("/pay/{registration}", 303))
def leads_to_yaadpay(world: World) -> Answered:
    hold = world.hold()
    answer = _pressed(world, hold)
    again = world.post(f"/api/v1/registrations/{hold['id']}/payments", headers=holder(hold))
    return Answered(answer, {"payment": again.json()["payment_id"]})


@case(
    "payFromPage",
    409,
    """
    http POST /pay/{registration} 409
      rpc payment CreatePayment ABORTED
        use hold
        span payment.create school.id school.slug=herzl
          ? sql schools.store
          use row of payment
    """,
)
def while_the_first_press_is_under_way(world: World) -> Answered:
    hold = world.hold()
    fields = {"token": _pay_link(hold).partition("token=")[2], "key": key() + key(), "lang": "he"}
    before = world.struck()
    world.fault("SIGN", "slow", seconds=0.5)
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(world.post, f"/pay/{hold['id']}", data=fields)
        until(lambda: world.struck() > before)
        second = world.post(f"/pay/{hold['id']}", data=fields)
        assert first.result().status_code == 303
    return Answered(second)


@case(
    "payFromPage",
    410,
    """
    http POST /pay/{registration} 410
      rpc payment CreatePayment FAILED_PRECONDITION
        use hold
        span payment.create school.id school.slug=herzl
          ? sql schools.store
          use row of payment
    """,
)
def of_a_hold_that_is_over_(world: World) -> Answered:
    hold = world.expired_hold()
    fields = {"token": _pay_link(hold).partition("token=")[2], "key": key() + key(), "lang": "he"}
    return Answered(world.post(f"/pay/{hold['id']}", data=fields))


@case(
    "payFromPage",
    404,
    """
    http POST /pay/{registration} 404
      rpc payment CreatePayment NOT_FOUND
        rpc registration GetHold NOT_FOUND
    """,
)
def with_the_wrong_token___(world: World) -> Answered:
    return Answered(world.post(f"/pay/{NOBODY}", data={"token": "x" * 43, "key": "y" * 32, "lang": "he"}))


@case("payFromPage", 429, "http POST /pay/{registration} 429")
def too_often_from_one_address___(world: World) -> Answered:
    for _ in range(4):
        # A new key each time: a repeat is free.
        fields = {"token": "x" * 43, "key": key() + key(), "lang": "he"}
        answer = world.post(f"/pay/{NOBODY}", data=fields, headers={"X-Forwarded-For": "10.9.9.5"})
    return Answered(answer)


@case(
    "getResultPage",
    200,
    """
    http GET /payments/{id} 200
      rpc payment GetPaymentResult OK school.id school.slug=herzl
        ? sql directory.tagged
        sql tenant.enter
        sql directory.payment
        sql tenant.enter
        sql SELECT payments
    """,
)
def says_how_it_stands(world: World) -> Answered:
    return Answered(world.get(f"/payments/{world.opened(world.hold()).json()['payment_id']}"))


@case(
    "getResultPage",
    404,
    """
    http GET /payments/{id} 404
      rpc payment GetPaymentResult NOT_FOUND
        sql directory.tagged
        sql directory.untagged_until
    """,
)
def of_none_(world: World) -> Answered:
    return Answered(world.get(f"/payments/{NOBODY}"))


@case("getResultPage", 422, "http GET /payments/{id} 422")
def in_no_language_(world: World) -> Answered:
    return Answered(world.get(f"/payments/{NOBODY}?lang=xx"))


# Health


@case("getHealth", 200, "http GET /api/health 200")
def all_is_well(world: World) -> Answered:
    return Answered(world.get("/api/health"))


@case("getHealth", 503, "http GET /api/health 503", Phase.DOWN)
def nothing_answers(world: World) -> Answered:
    return Answered(world.get("/api/health"))


@case("isReady", 200, "http GET /readyz 200")
def it_is(world: World) -> Answered:
    return Answered(world.get("/readyz"))


@case("isReady", 503, "http GET /readyz 503", Phase.DOWN)
def it_is_not(world: World) -> Answered:
    return Answered(world.get("/readyz"))


@case("isLive", 200, "http GET /livez 200")
def it_is_(world: World) -> Answered:
    return Answered(world.get("/livez"))


@case("isLive", 405, "http PUT /livez 405")
def by_a_method_that_it_does_not_take(world: World) -> Answered:
    return Answered(world.request("PUT", "/livez"))


@case("testError", 500, "http GET /api/test-error 500 ! RuntimeError")
def is_raised(world: World) -> Answered:
    return Answered(world.get("/api/test-error", headers=world.token("SUPER_ADMIN")))


@case("getOpenApi", 200, "http GET /openapi.json 200")
def is_shown(world: World) -> Answered:
    return Answered(world.get("/openapi.json"))


@case("getDocs", 200, "http GET /docs 200")
def are_shown(world: World) -> Answered:
    return Answered(world.get("/docs"))


@case("nothing", 404, "http GET - 404")
def is_served_there(world: World) -> Answered:
    return Answered(world.get("/nothing/here"))

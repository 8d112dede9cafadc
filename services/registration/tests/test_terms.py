"""Test the terms of registrations in the database and the change feed."""

import grpc
import psycopg
import pytest
from service_under_test import OWNER, SERVICE, Replica, after, refusal
from stepwise_migration import migrate_to, plain_login
from ticketcap.registration.v1 import registration_pb2 as pb
from ticketcap_local.postgres import EmbeddedPostgres
from ticketcap_registration.domain.states import RegistrationStatus
from ticketcap_registration.store.migrate import migrate
from ticketcap_testing.stack import fresh_database

HOLDS = 600
"""More than one transaction expires."""


@pytest.fixture(autouse=True)
def every_status(monkeypatch: pytest.MonkeyPatch) -> None:
    """The feed brings changes into every status, also those that payment leaves out."""
    monkeypatch.setattr("ticketcap_registration.store.seats.CONSUMERS", {"payment": frozenset(RegistrationStatus)})


async def hold_of(service: Replica, response: pb.RegisterResponse) -> pb.GetHoldResponse:
    request = pb.GetHoldRequest(registration_id=response.id, manage_token=response.manage_token)
    return await service.stub.GetHold(request, metadata=SERVICE)


async def changes_of(service: Replica, registration: str) -> list[pb.RegistrationChange]:
    """Return the changes of a registration, oldest first."""
    answer = await service.stub.ListChanges(pb.ListChangesRequest(consumer="payment", limit=1000), metadata=SERVICE)
    return [change for change in answer.changes if change.registration_id == registration]


async def test_payment_is_told_the_terms_of_the_registration(service: Replica) -> None:
    """Not the event's; who waits has none yet."""
    await service.open(capacity=1, price_agorot=4990)
    hold, waiting = await service.register(1), await service.register(2)
    await service.change(price_agorot=9990, currency="EUR")
    terms = (await hold_of(service, hold)).registration
    assert (terms.price_agorot, terms.currency) == (4990, "ILS")
    assert not (await hold_of(service, waiting)).registration.HasField("price_agorot")
    assert [change.price_agorot for change in await changes_of(service, hold.id)] == [4990]
    await service.cancel(hold)
    offer = (await hold_of(service, waiting)).registration
    assert (offer.price_agorot, offer.currency) == (9990, "EUR")


async def test_price_0_confirms_every_hold_in_the_same_transaction(service: Replica) -> None:
    """Hundreds of them, each told of once; watchers never see a free event with holds."""
    await service.open(capacity=HOLDS, price_agorot=4990)
    with psycopg.connect(service.database) as owner:
        response = await service.register(1)
        owner.execute(COPIES, {"copies": HOLDS - 1})
        owner.execute("UPDATE events SET held = %s", (HOLDS,))
    after_it = await service.change(price_agorot=0)
    assert (after_it.held, after_it.confirmed) == (0, HOLDS)
    with psycopg.connect(service.database) as owner:
        rows = owner.execute("SELECT status, price_agorot, count(*) FROM registrations GROUP BY 1, 2").fetchall()
        count = owner.execute(
            "SELECT count(*) FROM registration_changes WHERE topic = 'registration.confirmed'"
        ).fetchone()
    assert rows == [("CONFIRMED", 0, HOLDS)]
    assert count == (HOLDS,)
    assert [change.price_agorot for change in await changes_of(service, response.id)] == [0, 0]


COPIES = """
INSERT INTO registrations (id, event_id, school_id, status, name, phone, spots, confirmation_code, created_at,
                           hold_expires_at, price_agorot, currency, cancellation_deadline_hours)
SELECT gen_random_uuid(), event_id, school_id, status, name, phone || number, spots, confirmation_code || number,
       created_at, hold_expires_at, price_agorot, currency, cancellation_deadline_hours
FROM registrations, generate_series(1, %(copies)s) AS number"""


async def test_the_database_holds_no_free_hold(service: Replica) -> None:
    """The last guard: what costs nothing is confirmed, never held."""
    await service.open(price_agorot=4990)
    await service.register(1)
    with psycopg.connect(service.database) as owner, pytest.raises(psycopg.errors.CheckViolation):
        owner.execute("UPDATE registrations SET price_agorot = 0")


async def test_what_goes_back_is_told_as_it_was_decided(service: Replica) -> None:
    """Absent for everything; an organiser's amount otherwise; no change of the event touches it."""
    await service.open(price_agorot=4990, cancellation_deadline_hours=24)
    responses = [await service.register(number) for number in range(3)]
    await service.cancel(responses[0])
    for one, refund in ((responses[1], 0), (responses[2], 990)):
        cancel = pb.CancelRegistrationRequest(id=one.id, refund_agorot=refund)
        await service.stub.CancelRegistration(cancel, metadata=OWNER)
    await service.change(starts_at=after(hours=1), price_agorot=0)
    changes = [(await changes_of(service, one.id))[-1] for one in responses]
    assert [change.refund_agorot if change.HasField("refund_agorot") else None for change in changes] == [None, 0, 990]


async def test_a_holder_is_refused_a_refund_of_its_own(service: Replica) -> None:
    """403 with its own reason; nothing is cancelled."""
    await service.open(price_agorot=4990)
    response = await service.register(1)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.cancel(response, refund_agorot=1)
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert refusal(caught.value).reason == "REFUND_BY_HOLDER"
    assert (await service.get(response)).status == pb.REGISTRATION_STATUS_PENDING_PAYMENT


async def test_a_deadline_that_was_raised_does_not_bind_who_is_in(service: Replica) -> None:
    """Agreed with two hours; the school makes it two months afterwards."""
    await service.open(price_agorot=0, cancellation_deadline_hours=2)
    first = await service.register(1)
    await service.change(cancellation_deadline_hours=24 * 60)
    second = await service.register(2)
    await service.cancel(first)
    with pytest.raises(grpc.aio.AioRpcError, match="could be cancelled until"):
        await service.cancel(second)


BEFORE = """
INSERT INTO schools VALUES (gen_random_uuid(), 'herzl', 'Herzl', now());
INSERT INTO events (id, school_id, slug, title, description, location, starts_at, status, capacity, price_agorot,
  max_spots_per_registration, currency, waitlist_enabled, waitlist_policy, hold_seconds, cancellation_deadline_hours,
  confirmed, held, waitlisted, waitlist_length, waitlist_sequence, version, created_at, updated_at)
SELECT gen_random_uuid(), id, new.slug, new.slug, '', '', now() + interval '2 days', 'OPEN', 10, price, 10, 'ILS',
  true, 'FIRST_FIT', 900, 24, 1, 2, 2, 1, 1, 7, now(), now()
FROM schools, (VALUES ('paid', 4990), ('freed', 0)) AS new (slug, price);
INSERT INTO registrations (id, event_id, school_id, status, name, phone, spots, confirmation_code, created_at,
                           waitlist_seq, hold_expires_at)
SELECT gen_random_uuid(), events.id, school_id, wanted, 'x', wanted, spots, events.slug || wanted, now(), 1, now()
FROM events,
     (VALUES ('CONFIRMED', 1), ('PENDING_PAYMENT', 2), ('WAITLISTED', 2), ('CANCELLED', 1)) AS w (wanted, spots);
INSERT INTO outbox (school_id, event_id, registration_id, topic, created_at)
SELECT registrations.school_id, event_id, registrations.id, 'registration.cancelled', starts_at - hours
FROM registrations JOIN events ON events.id = event_id,
     (VALUES (interval '25 hours'), (interval '23 hours')) AS cancelled (hours)
WHERE registrations.status = 'CANCELLED' AND events.slug = 'paid';
"""


def test_rows_of_before_get_terms(postgres: EmbeddedPostgres) -> None:
    """Today's price; holds of an event that was made free are confirmed; late cancellations stay unrefunded.

    As an owner that forced row-level security binds.
    """
    with fresh_database(postgres) as url:
        login = plain_login(url)
        migrate_to(login, "0002")
        with psycopg.connect(url) as owner:
            owner.execute(BEFORE.encode())
        migrate(login)
        with psycopg.connect(url) as owner:
            rows = owner.execute(ROWS).fetchall()
            seats = owner.execute("SELECT slug, confirmed, held, version FROM events ORDER BY slug").fetchall()
            count = owner.execute("SELECT topic, refund_agorot FROM registration_changes ORDER BY id").fetchall()
    assert rows == [
        *(("freed", status, price) for status, price in FREED),
        *(("paid", status, price) for status, price in PAID),
    ]
    assert seats == [("freed", 3, 0, 8), ("paid", 1, 2, 7)]
    assert count == [("registration.cancelled", None), ("registration.cancelled", 0), ("registration.confirmed", None)]


ROWS = """
SELECT events.slug, registrations.status, registrations.price_agorot
FROM registrations JOIN events ON events.id = event_id ORDER BY slug, phone"""
FREED = [("CANCELLED", 0), ("CONFIRMED", 0), ("CONFIRMED", 0), ("WAITLISTED", None)]
PAID = [("CANCELLED", 4990), ("CONFIRMED", 4990), ("PENDING_PAYMENT", 4990), ("WAITLISTED", None)]

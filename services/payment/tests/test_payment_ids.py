"""Check that a payment is found by its tag in one school."""

import asyncio
from pathlib import Path
from typing import Any

import grpc.aio
import psycopg
import pytest
import ticketcap_payment.store
from alembic import command
from payment_under_test import Ground, World
from service_under_test import OWNER, SUPER_ADMIN, Metadata, refusal, token
from sqlalchemy import create_engine
from ticketcap.payment.v1 import payment_pb2 as pb
from ticketcap_chassis.database.engine import driver_url
from ticketcap_chassis.database.upgrade import configuration
from ticketcap_payment.store import directory as directory_module
from ticketcap_payment.store.migrate import migrate
from ticketcap_testing.stack import fresh_database

OLD_ORDER = "TCABCDEFGHJKLMNPQRST"
LOOKUPS = {"directory.payment", "directory.order", "directory.untagged_payment", "directory.untagged_order"}
FOREIGN = token("OWNER", "other")
OLD = "01890000-0000-7000-8000-{:012x}"
"""An id of the year 2023, which no payment has."""
A_PAYMENT = """
INSERT INTO payments (id, school, school_id, registration_id, event_id, "order", masof, amount_agorot, currency,
                      language, idempotency_key, fingerprint, created_at, traceparent, state, seat, redirect_url,
                      yaadpay_id, failure, capture_tries, refunded_agorot, refund_pending_agorot)
SELECT gen_random_uuid(), 'herzl', gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'TCABC', '1', 1, 'ILS',
       'HEB', 'k', 'f', now(), '', 'CREATED', 'HELD', '', '', '', 0, 0, 0"""


def lookups(here: World) -> list[str]:
    """Return the statements that searched a payment's school since the last call, in order."""
    names = [span.name for span in here.telemetry.spans]
    here.telemetry.clear()
    return [name for name in names if name in LOOKUPS]


async def opened(here: World, number: int = 1) -> tuple[Any, pb.CreatePaymentResponse]:
    hold = await here.hold(number)
    return hold, await here.create(hold)


async def get(here: World, payment: str, metadata: Metadata = (), **fields: Any) -> pb.Payment:
    return (await here.stub.GetPayment(pb.GetPaymentRequest(id=payment, **fields), metadata=metadata)).payment


async def result(here: World, payment: str) -> Any:
    return await here.stub.GetPaymentResult(pb.GetPaymentResultRequest(id=payment))


async def refused(call: Any) -> tuple[str, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    error = refusal(caught.value)
    return error.reason, error.message


def make_old(here: World, payment: str) -> str:
    """Give a payment an id and an Order as an earlier release would; this database is an upgraded one."""
    old = f"{payment[:-4]}{int(payment[-4:], 16) ^ 1:04x}"
    here.change(f"UPDATE payments SET id = '{old}' WHERE id = '{payment}'")
    here.change("INSERT INTO untagged_ids VALUES (now() + interval '30 days')")
    return old


async def test_every_id_and_order_of_a_payment_carries_its_schools_tag(here: World) -> None:
    """Payment, return, refund, Order; the table of schools has the school."""
    paid = await here.paid(await here.hold())
    await here.refund(paid.result.id)
    (school,) = here.rows("SELECT id, slug FROM schools")
    tag = str(school["id"])[-4:]
    assert school["slug"] == "herzl"
    for table in ("payments", "returns", "refunds"):
        assert [str(row["id"])[-4:] for row in here.rows(f"SELECT id FROM {table}")] == [tag], table
    assert [row["order"][:7] for row in here.rows('SELECT "order" FROM payments')] == [f"TC0{tag.upper()}"]


async def test_a_tagged_reference_asks_one_school(here: World) -> None:
    """By the holder, the public, an organiser, a SUPER_ADMIN and a return: one statement in one school each."""
    here.change("INSERT INTO schools VALUES ('01890000-0000-7000-8000-000000000001', 'other', false)")
    hold, payment = await opened(here)
    came = await here.simulator.customer(payment.redirect_url)
    lookups(here)
    await get(here, payment.payment_id, manage_token=hold.manage_token)
    await get(here, payment.payment_id, OWNER)
    await get(here, payment.payment_id, SUPER_ADMIN)
    await result(here, payment.payment_id)
    assert lookups(here) == ["directory.payment"] * 4
    await here.settle(came["redirects"][0])
    assert lookups(here) == ["directory.order"]


async def test_schools_with_one_tag_are_asked_in_turn(here: World) -> None:
    """The payment is found whichever school comes first."""
    hold, payment = await opened(here)
    tag = payment.payment_id[-4:]
    for number in range(3):
        here.change(f"INSERT INTO schools VALUES ('0189000{number}-0000-7000-8000-00000000{tag}', 's{number}', false)")
    came = await here.simulator.customer(payment.redirect_url)
    assert (await get(here, payment.payment_id, manage_token=hold.manage_token)).school == "herzl"
    await here.settle(came["redirects"][0])


async def test_an_id_and_an_order_of_before_tags_still_work(here: World) -> None:
    """For the holder, the public, an organiser and a SUPER_ADMIN."""
    hold, payment = await opened(here)
    old = make_old(here, payment.payment_id)
    lookups(here)
    await get(here, old, OWNER)
    assert lookups(here) == ["directory.payment"]
    await get(here, old, manage_token=hold.manage_token)
    await get(here, old, SUPER_ADMIN)
    await result(here, old)
    assert lookups(here) == ["directory.untagged_payment"] * 3


async def test_an_order_of_before_tags_is_found_in_any_school(here: World) -> None:
    """Its return is refused for its Sign, not for its Order."""
    _, payment = await opened(here)
    came = await here.simulator.customer(payment.redirect_url)
    # The rule that an Order never changes is a trigger's.
    here.change("ALTER TABLE payments DISABLE TRIGGER ALL")
    (order,) = here.rows('SELECT "order" FROM payments')
    here.change(f"UPDATE payments SET \"order\" = '{OLD_ORDER}'")
    query = came["redirects"][0].replace(order["order"], OLD_ORDER)
    assert "order" in (await refused(here.settle(query)))[1]
    assert lookups(here)[-1:] == []
    here.change("INSERT INTO untagged_ids VALUES (now())")
    with pytest.raises(grpc.aio.AioRpcError):
        await here.settle(query)
    assert lookups(here)[:1] == ["directory.untagged_order"]


async def test_guesses_end_at_the_tag(here: World) -> None:
    """No fan-out for an id made after the last one without a tag, for another version, and a year later for none."""
    _, payment = await opened(here)
    tag = payment.payment_id[-4:]
    new, random = f"{payment.payment_id[:-4]}{int(tag, 16) ^ 1:04x}", "3f333df6-90a4-4fda-8dd3-9485d27cee36"
    lookups(here)
    here.change("INSERT INTO untagged_ids VALUES (now() - interval '1 hour')")
    for guess in (new, random):
        assert (await refused(result(here, guess)))[0] == "PAYMENT_NOT_FOUND"
    assert lookups(here) == []
    await refused(result(here, OLD.format(1)))
    assert lookups(here) == ["directory.untagged_payment"]
    here.change("UPDATE untagged_ids SET made_until = now() - interval '366 days'")
    await refused(result(here, OLD.format(1)))
    assert lookups(here) == []
    here.change("DELETE FROM untagged_ids")
    await refused(result(here, OLD.format(1)))
    assert lookups(here) == []


async def test_an_organiser_asks_the_own_school_only(here: World) -> None:
    """Another school's payment, old or new, and an unknown one answer alike."""
    _, payment = await opened(here)
    _, second = await opened(here, 2)
    old = make_old(here, second.payment_id)
    here.change("INSERT INTO schools VALUES ('01890000-0000-7000-8000-000000000001', 'other', false)")
    lookups(here)
    answers = []
    for guess in (payment.payment_id, old, OLD.format(1)):
        reason, message = await refused(get(here, guess, FOREIGN))
        answers.append((reason, message.replace(guess, "…")))
    assert answers == [("PAYMENT_NOT_FOUND", answers[0][1])] * 3
    assert lookups(here) == ["directory.payment"] * 3


async def test_few_look_ups_in_all_schools_run_at_once(here: World) -> None:
    """Twenty guesses wait for a locked table: two of them in the database."""
    here.change("INSERT INTO untagged_ids VALUES (now())")
    waiting = """SELECT count(*) AS n FROM pg_stat_activity
                 WHERE wait_event_type = 'Lock' AND query LIKE '%directory.untagged_payment%'"""
    with psycopg.connect(here.database) as owner:
        owner.execute("LOCK TABLE payments IN ACCESS EXCLUSIVE MODE")
        guesses = [asyncio.ensure_future(refused(result(here, OLD.format(number)))) for number in range(20)]

        async def some_wait() -> bool:
            return bool(here.rows(waiting)[0]["n"] >= 2)

        await here.until(some_wait, what="look-ups wait for the lock")
        await asyncio.sleep(0.3)
        assert here.rows(waiting)[0]["n"] == directory_module._FAN_OUTS == 2
        owner.rollback()
    assert {reason for reason, _ in await asyncio.gather(*guesses)} == {"PAYMENT_NOT_FOUND"}


@pytest.mark.parametrize("payments", [0, 1])
def test_only_a_database_with_payments_counts_on_old_ids(ground: Ground, payments: int) -> None:
    """The migration gives a filled database 30 days of ids without a tag, and an empty one none."""
    folder: Any = Path(ticketcap_payment.store.__path__[0]) / "migrations"
    with fresh_database(ground.postgres) as url:
        engine = create_engine(driver_url(url))
        with engine.connect() as connection:
            command.upgrade(configuration(connection, folder), "0004")
            connection.commit()
        engine.dispose()
        with psycopg.connect(url, autocommit=True) as owner:
            for _ in range(payments):
                owner.execute(A_PAYMENT.encode())
            migrate(url)
            counts = "SELECT made_until > now() + interval '29 days' FROM untagged_ids"
            assert owner.execute(counts).fetchall() == [(True,)] * payments

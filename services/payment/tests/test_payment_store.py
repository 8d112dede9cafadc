"""Check that the database holds the rules of money and tenants."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from itertools import product
from typing import Any
from uuid import uuid4

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from payment_under_test import Ground
from sqlalchemy import Connection, create_engine, insert, text, update
from sqlalchemy.ext.asyncio import AsyncEngine
from ticketcap_chassis.database.engine import create_engine as engine_of_role
from ticketcap_chassis.database.engine import driver_url
from ticketcap_chassis.database.errors import ConstraintViolated
from ticketcap_chassis.database.limits import PoolLimits
from ticketcap_observability import Telemetry
from ticketcap_payment.domain.order import new_order
from ticketcap_payment.domain.payment import Payment
from ticketcap_payment.domain.states import TRANSITIONS, PaymentState
from ticketcap_payment.store import outbox, payments, roles
from ticketcap_payment.store.models import Base, PaymentRow
from ticketcap_payment.store.outbox import DueWork, Outbox, Topic
from ticketcap_payment.store.payments import Role
from ticketcap_payment.store.schools import Schools
from ticketcap_payment.store.transactions import school_transaction
from ticketcap_testing.stack import fresh_database
from uuid_utils.compat import uuid7

NOW = datetime(2026, 6, 1, tzinfo=UTC)
HERZL, BIALIK = uuid7(), uuid7()
LIMITS = PoolLimits(size=8, checkout_timeout=31, connect_timeout=30, answer_timeout=30)


@pytest.fixture
def database(ground: Ground) -> Iterator[str]:
    with fresh_database(ground.postgres, template=ground.money_template) as url:
        yield url


def engine(database: str, role: str) -> AsyncEngine:
    return engine_of_role(database, role=role, pool_name=role, limits=LIMITS, telemetry=Telemetry.in_memory())


@pytest.fixture
async def app(database: str) -> AsyncIterator[AsyncEngine]:
    app_engine = engine(database, roles.APP)
    yield app_engine
    await app_engine.dispose()


@pytest.fixture
async def jobs(database: str) -> AsyncIterator[AsyncEngine]:
    jobs_engine = engine(database, roles.JOBS)
    yield jobs_engine
    await jobs_engine.dispose()


@contextmanager
def owner(database: str) -> Iterator[Connection]:
    owner_engine = create_engine(driver_url(database))
    with owner_engine.connect() as connection:
        yield connection
    owner_engine.dispose()


def a_payment(**changes: Any) -> Payment:
    payment = Payment(
        id=uuid7(),
        school_slug="herzl",
        school_id=HERZL,
        registration_id=uuid7(),
        event_id=uuid7(),
        order=new_order(uuid4()),
        masof="0010131918",
        amount_agorot=4990,
        currency="ILS",
        language="HEB",
        idempotency_key="k",
        fingerprint="f",
        created_at=NOW,
        redirect_url="https://pay.example/p/?ClientName=Dana",
    )
    return replace(payment, **changes)


def in_state(state: PaymentState) -> Payment:
    """A payment that stands there, with all that this takes."""
    captured = state in {PaymentState.CAPTURED, PaymentState.REFUND_PENDING, PaymentState.REFUNDED}
    return a_payment(
        state=state,
        captured_at=NOW if captured else None,
        refunded_agorot=4990 if state is PaymentState.REFUNDED else 0,
        refund_pending_agorot=4990 if state is PaymentState.REFUND_PENDING else 0,
    )


def test_the_migrations_make_the_models(database: str) -> None:
    """Nothing in one that is not in the other."""
    with owner(database) as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


@pytest.mark.parametrize(("before", "after"), list(product(PaymentState, repeat=2)))
def test_the_database_lets_a_state_move_only_as_the_rules_say(
    shared: Connection, before: PaymentState, after: PaymentState
) -> None:
    """Every pair of states, tried past all of our code, as the owner of the table."""
    was, to = in_state(before), in_state(after)
    values = {name: getattr(to, name) for name in ("state", "captured_at", "refunded_agorot", "refund_pending_agorot")}
    with shared.begin_nested() as tried:
        shared.execute(insert(PaymentRow).values(asdict(was)))
        statement = update(PaymentRow).where(PaymentRow.id == was.id).values(values)
        allowed = (after is before or after in TRANSITIONS[before]) and to.refunded_agorot >= was.refunded_agorot
        if allowed:
            shared.execute(statement)
        else:
            with pytest.raises(Exception, match=r"can not go|does not change"):
                shared.execute(statement)
        tried.rollback()


@pytest.fixture(scope="module")
def shared(postgres: Any, money_template: str) -> Iterator[Connection]:
    """One connection for the many pairs; nothing is committed. The owner, past row-level security."""
    with fresh_database(postgres, template=money_template) as url, owner(url) as connection:
        connection.execute(text("SET row_security = off"))
        yield connection


async def test_one_running_payment_per_registration(app: AsyncEngine) -> None:
    """Two first payments at once: one is stored, the database refuses the other."""
    one = a_payment()
    other = replace(one, id=uuid7(), order=new_order(uuid4()), idempotency_key="other")

    async def store(payment: Payment) -> str:
        try:
            async with school_transaction(app, HERZL) as connection:
                await payments.add(connection, payment)
                await asyncio.sleep(0.05)
        except ConstraintViolated as error:
            return error.constraint
        return "stored"

    assert sorted(await asyncio.gather(store(one), store(other))) == [
        "payments_one_running_per_registration",
        "stored",
    ]


async def test_without_the_index_two_would_run(app: AsyncEngine, database: str) -> None:
    """The negative control: the protection taken away, the same race stores both."""
    with owner(database) as connection:
        connection.execute(text("DROP INDEX payments_one_running_per_registration"))
        connection.commit()
    one = a_payment()

    async def store(payment: Payment) -> None:
        async with school_transaction(app, HERZL) as connection:
            await payments.add(connection, payment)
            await asyncio.sleep(0.05)

    await asyncio.gather(store(one), store(replace(one, id=uuid7(), order=new_order(uuid4()), idempotency_key="other")))
    with owner(database) as connection:
        connection.execute(text("SELECT set_config('ticketcap.school_id', :id, false)"), {"id": str(HERZL)})
        assert connection.execute(text("SELECT count(*) FROM payments")).scalar() == 2


async def test_a_number_of_yaadpay_counts_once(app: AsyncEngine) -> None:
    """A number that comes twice, or for another payment, is recorded once."""
    async with school_transaction(app, HERZL) as connection:
        one, other = a_payment(), a_payment()
        for payment in (one, other):
            await payments.add(connection, payment)
        number = partial(payments.record_transaction, ccode=800, amount_agorot=4990, now=NOW)
        assert await number(connection, one, "70000001", Role.AUTHORISATION)
        assert not await number(connection, one, "70000001", Role.AUTHORISATION)
        assert not await number(connection, other, "70000001", Role.SURPLUS)


async def test_a_school_sees_only_its_own(app: AsyncEngine) -> None:
    """Row-level security, forced: read, changed or added for another school, there is nothing."""
    payment = a_payment()
    async with school_transaction(app, HERZL) as connection:
        await payments.add(connection, payment)
    async with school_transaction(app, BIALIK) as connection:
        assert (await connection.execute(text("SELECT count(*) FROM payments"))).scalar() == 0
        assert (await connection.execute(text("UPDATE payments SET failure = 'x'"))).rowcount == 0
    with pytest.raises(Exception, match="row-level security"):
        async with school_transaction(app, BIALIK) as connection:
            await payments.add(connection, a_payment())
    async with app.connect() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM payments"))).scalar() == 0


@pytest.mark.parametrize("column", ["payments.redirect_url", "returns.message"])
async def test_the_jobs_see_nothing_that_a_customer_typed(jobs: AsyncEngine, column: str) -> None:
    """A page's address and a return hold a name and an e-mail address."""
    table, name = column.split(".")
    async with jobs.connect() as connection:
        with pytest.raises(Exception, match="permission denied"):
            await connection.execute(text(f"SELECT {name} FROM {table}"))


async def test_deliveries_come_in_order_and_to_one_at_a_time(app: AsyncEngine, jobs: AsyncEngine) -> None:
    """Of many concurrent workers one leases the oldest row; later rows wait; an ended lease is given to another one."""
    box = Outbox(app, jobs, lease_seconds=0.3)
    payment = a_payment()
    async with school_transaction(app, HERZL) as connection:
        await payments.add(connection, payment)
        for topic in (Topic.CAPTURE, Topic.CAPTURE, Topic.CONFIRM_SEAT):
            await outbox.put(connection, payment, topic, payment.id)
    asked = await asyncio.gather(*(box.lease(HERZL, payment.registration_id) for _ in range(6)))
    (first,) = [delivery for delivery in asked if delivery]
    assert (first.topic, first.tries) == (Topic.CAPTURE, 1)
    assert await box.lease(HERZL, payment.registration_id) is None
    await asyncio.sleep(0.4)
    again = await box.lease(HERZL, payment.registration_id)
    assert again is not None
    assert (again.id, again.tries) == (first.id, 2)
    await box.done(again)
    second = await box.lease(HERZL, payment.registration_id)
    assert second is not None
    assert second.topic is Topic.CONFIRM_SEAT, "the second row of the same subject was never made"
    await box.postpone(second, 30)
    assert await box.due(10, of_event=10) == []
    assert await box.lag_seconds() >= 0.4


async def test_an_event_with_many_due_deliveries_fills_no_page(app: AsyncEngine, jobs: AsyncEngine) -> None:
    """Its oldest few are due, and every other event's too, however much longer its own wait."""
    box = Outbox(app, jobs, lease_seconds=30)
    stuck = uuid7()
    all_payments = [*(a_payment(event_id=stuck) for _ in range(8)), a_payment(), a_payment()]
    for payment in all_payments:
        async with school_transaction(app, HERZL) as connection:
            await payments.add(connection, payment)
            await outbox.put(connection, payment, Topic.CONFIRM_SEAT, payment.id)
    due = await box.due(5, of_event=3)
    expected = [all_payments[number] for number in (0, 1, 2, 8, 9)]
    assert due == [DueWork(HERZL, payment.registration_id, payment.event_id) for payment in expected]


async def test_who_has_lost_a_lease_changes_nothing_of_the_next_ones(app: AsyncEngine, jobs: AsyncEngine) -> None:
    """A deliverer that slept past its lease neither gives the row back nor closes it under the one that has it now."""
    box = Outbox(app, jobs, lease_seconds=0.3)
    payment = a_payment()
    async with school_transaction(app, HERZL) as connection:
        await payments.add(connection, payment)
        await outbox.put(connection, payment, Topic.CAPTURE, payment.id)
    slept = await box.lease(HERZL, payment.registration_id)
    await asyncio.sleep(0.4)
    awake = await Outbox(app, jobs, lease_seconds=30).lease(HERZL, payment.registration_id)
    assert slept is not None
    assert awake is not None
    await box.postpone(slept, 0)
    assert await box.lease(HERZL, payment.registration_id) is None, "it is leased to the one that is awake"
    await box.done(slept)
    await box.postpone(awake, 0)
    assert await box.lease(HERZL, payment.registration_id) is not None, "it is still to be done"


async def test_what_is_committed_is_delivered_and_what_is_not_is_not(app: AsyncEngine, jobs: AsyncEngine) -> None:
    """The row lives and dies with its transaction."""
    box = Outbox(app, jobs, lease_seconds=1)
    payment = a_payment()

    async def change_ones_mind() -> None:
        async with school_transaction(app, HERZL) as connection:
            await payments.add(connection, payment)
            await outbox.put(connection, payment, Topic.CAPTURE, payment.id)
            raise RuntimeError("changed my mind")

    with pytest.raises(RuntimeError, match="changed my mind"):
        await change_ones_mind()
    assert await box.due(10, of_event=10) == []


def test_the_owner_is_bound_as_well(database: str) -> None:
    """Forced row-level security: a login that owns the tables and is no superuser sees nothing without a school."""
    with owner(database) as connection:
        rows = connection.execute(
            text("SELECT relname FROM pg_class WHERE relname = ANY(:names) AND relrowsecurity AND relforcerowsecurity"),
            {"names": list(roles.TABLES)},
        )
        assert {row[0] for row in rows} == set(roles.TABLES)


async def test_a_cancelled_caller_takes_no_other_along(app: AsyncEngine, database: str) -> None:
    """Callers of one school share a statement; the others get its end, and a later one may begin it again."""
    schools = Schools(app)
    with owner(database) as blocker:
        blocker.execute(text("LOCK TABLE schools IN ACCESS EXCLUSIVE MODE"))
        store = partial(schools.store, HERZL, "herzl", synthetic=False)
        first, second = (asyncio.create_task(store()) for _ in range(2))
        await asyncio.sleep(0.1)
        first.cancel()
        await asyncio.wait([first])
        alone = asyncio.create_task(schools.store(BIALIK, "bialik", synthetic=False))
        await asyncio.sleep(0.1)
        alone.cancel()
        await asyncio.wait([alone])
        blocker.rollback()
        await second
    await schools.store(BIALIK, "bialik", synthetic=False)
    assert [await schools.find(slug) for slug in ("herzl", "bialik", "other")] == [HERZL, BIALIK, None]
    await schools.close()

"""Test the move to keys that begin with the school."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from payment_under_test import Ground
from psycopg.errors import ForeignKeyViolation, InsufficientPrivilege, UniqueViolation
from sqlalchemy.ext.asyncio import AsyncEngine
from stepwise_money import migrate_money_to, plain_owner
from ticketcap_chassis.database.engine import create_engine
from ticketcap_chassis.database.limits import PoolLimits
from ticketcap_observability import Telemetry
from ticketcap_payment.domain.payment import PaymentKey
from ticketcap_payment.store import escalations, outbox, payments, roles
from ticketcap_payment.store.escalations import Escalations, Kind
from ticketcap_payment.store.migrate import migrate
from ticketcap_payment.store.outbox import Outbox, Topic
from ticketcap_payment.store.transactions import school_transaction
from ticketcap_testing.stack import fresh_database

HERZL, BIALIK = (UUID(f"01890000-0000-7000-8000-00000000000{digit}") for digit in "ab")
IDS = {"herzl": HERZL, "bialik": BIALIK}
LIMITS = PoolLimits(size=2, checkout_timeout=31, connect_timeout=30, answer_timeout=30)
BEFORE, NOW = "0006", "0007"
PARTS = ("transactions", "returns", "refunds", "outbox", "escalations")

# The statements of the release before 0007.
PAYMENT = """
INSERT INTO payments (id, school, school_id, school_synthetic, registration_id, event_id, "order", masof,
                      amount_agorot, currency, language, idempotency_key, fingerprint, created_at, traceparent, state,
                      seat, redirect_url, yaadpay_id, failure, capture_tries, refunded_agorot, refund_pending_agorot)
VALUES (%(id)s, %(school)s, %(school_id)s, false, %(registration)s, gen_random_uuid(), %(id)s::text, '1',
        4990, 'ILS', 'HEB', 'k', 'f', now(), '', 'CREATED', 'HELD', '', '', '', 0, 0, 0)"""
TRANSACTION = """
INSERT INTO transactions (masof, yaadpay_id, school, payment_id, role, ccode, amount_agorot, recorded_at)
VALUES ('1', %(id)s::text, %(school)s, %(id)s, 'CHARGE', 0, 4990, now()) ON CONFLICT DO NOTHING"""
RETURN = """
INSERT INTO returns (id, school, payment_id, digest, message, verdict, received_at)
VALUES (gen_random_uuid(), %(school)s, %(id)s, 'd', 'm', 'PENDING', now()) ON CONFLICT DO NOTHING"""
REFUND = """
INSERT INTO refunds (id, school, payment_id, registration_id, charge_id, amount_agorot, currency, reason,
                     idempotency_key, fingerprint, created_at, state, tries, yaadpay_id)
VALUES (gen_random_uuid(), %(school)s, %(id)s, %(registration)s, '1', 1, 'ILS', 'ORGANISER', 'k', 'f', now(),
        'REQUESTED', 0, '')"""
OUTBOX = """
INSERT INTO outbox (school, registration_id, payment_id, topic, subject_id, created_at, due_at, tries)
VALUES (%(school)s, %(registration)s, %(id)s, 'payment.capture', %(id)s, statement_timestamp(),
        statement_timestamp(), 0)
ON CONFLICT (topic, subject_id) WHERE done_at IS NULL DO NOTHING"""
ESCALATION = """
INSERT INTO escalations (id, school, kind, subject_id, payment_id, registration_id, why, since)
VALUES (gen_random_uuid(), %(school)s, 'payment', %(id)s, %(id)s, %(registration)s, 'why', statement_timestamp())
ON CONFLICT (kind, subject_id) WHERE resolved_at IS NULL DO NOTHING"""
SEAT = """
INSERT INTO escalations (id, school, kind, subject_id, registration_id, why, since)
VALUES (gen_random_uuid(), %(school)s, 'seat', %(registration)s, %(registration)s, 'why', statement_timestamp())
ON CONFLICT (kind, subject_id) WHERE resolved_at IS NULL DO NOTHING"""
STATEMENTS = (PAYMENT, TRANSACTION, RETURN, REFUND, OUTBOX, ESCALATION)
LEASE = """
UPDATE outbox SET leased_until = statement_timestamp() + make_interval(secs => 60), tries = tries + 1
WHERE id = (SELECT id FROM outbox WHERE registration_id = %(registration)s AND done_at IS NULL ORDER BY id LIMIT 1)
  AND due_at <= statement_timestamp() AND done_at IS NULL
  AND (leased_until IS NULL OR leased_until <= statement_timestamp())
RETURNING school, (SELECT school_id FROM payments WHERE payments.id = payment_id) AS school_id"""


def write(url: str, school: str, *, school_id: UUID | None) -> dict[str, Any]:
    """Write a payment with all its parts as the release before would, in one of its transactions."""
    values = {"id": uuid4(), "school": school, "school_id": school_id, "registration": uuid4()}
    with psycopg.connect(url) as app:
        app.execute("SET ROLE payment_app")
        app.execute("SELECT set_config('ticketcap.school', %s, true)", (school,))
        for statement in STATEMENTS:
            app.execute(statement.encode(), values)
    return values


@contextmanager
def filled(ground: Ground) -> Iterator[tuple[str, str]]:
    """Yield a database of before, with an old and a new payment of each school: its owner's address and its own."""
    with fresh_database(ground.postgres) as url:
        login = plain_owner(url)
        migrate_money_to(login, BEFORE)
        for school, school_id in IDS.items():
            write(url, school, school_id=None)
            write(url, school, school_id=school_id)
        yield login, url


@asynccontextmanager
async def engines(url: str) -> AsyncIterator[tuple[AsyncEngine, AsyncEngine]]:
    """Yield engines of the two roles."""
    app, jobs = (
        create_engine(url, role=role, pool_name=role, limits=LIMITS, telemetry=Telemetry.in_memory())
        for role in (roles.APP, roles.JOBS)
    )
    yield app, jobs
    await app.dispose()
    await jobs.dispose()


def all_rows(url: str, statement: str) -> list[Any]:
    with psycopg.connect(url) as superuser:
        return superuser.execute(statement.encode()).fetchall()


def test_every_row_gets_its_schools_id(ground: Ground) -> None:
    """Rows with the slug alone too; the school is known by the payments that have its id."""
    with filled(ground) as (login, url):
        migrate(login)
        for table in ("payments", *PARTS):
            rows = all_rows(url, f"SELECT school, school_id, count(*) FROM {table} GROUP BY 1, 2 ORDER BY 1")
            assert rows == [("bialik", BIALIK, 2), ("herzl", HERZL, 2)], table
        assert all_rows(url, "SELECT slug, id FROM schools ORDER BY 1") == [("bialik", BIALIK), ("herzl", HERZL)]


def test_every_key_and_index_begins_with_the_school(ground: Ground) -> None:
    """All but the two rules that the release before names; each index is valid, and nothing of the move is left."""
    with filled(ground) as (login, url):
        migrate(login)
        others = all_rows(
            url,
            """
            SELECT indexrelid::regclass::text FROM pg_index
            JOIN pg_attribute ON attrelid = indrelid AND attname = 'school_id'
            JOIN pg_class ON pg_class.oid = indrelid AND relnamespace = 'public'::regnamespace
            WHERE relname <> 'schools' AND (indkey[0] <> attnum OR NOT indisvalid) ORDER BY 1""",
        )
        assert others == [("escalations_one_open_per_subject",), ("outbox_one_open_per_subject",)]
        left = "SELECT relname FROM pg_class WHERE relname LIKE 'new_%' UNION ALL SELECT polname FROM pg_policy"
        assert {name for (name,) in all_rows(url, left)} == {"one_school", "all_schools", "own_school"}
        keys = "SELECT conrelid::regclass::text, convalidated FROM pg_constraint WHERE contype = 'f' ORDER BY 1"
        assert all_rows(url, keys) == [(table, True) for table in ("escalations", "refunds", "returns", "transactions")]


def test_a_payment_of_an_unknown_school_stops_the_migration(ground: Ground) -> None:
    """Until its id is copied; the release before works on meanwhile."""
    with filled(ground) as (login, url):
        write(url, "ghost", school_id=None)
        with pytest.raises(RuntimeError, match="schools ghost have no school id"):
            migrate(login)
        write(url, "herzl", school_id=HERZL)
        ghost = uuid4()
        with psycopg.connect(url) as superuser:
            superuser.execute("INSERT INTO schools VALUES (%s, 'ghost', false)", (ghost,))
        migrate(login)
        assert all_rows(url, "SELECT DISTINCT school_id FROM refunds WHERE school = 'ghost'") == [(ghost,)]


def test_an_interrupted_migration_is_repeated(ground: Ground) -> None:
    """Two payments of one registration in progress stop it at the last unique index; the rows are then corrected."""
    with filled(ground) as (login, url):
        with psycopg.connect(url) as superuser:
            superuser.execute("DROP INDEX payments_one_running_per_registration")
        twin = write(url, "herzl", school_id=HERZL)
        with psycopg.connect(url) as superuser:
            superuser.execute(
                PAYMENT.encode().replace(b"'k', 'f'", b"'k2', 'f'"), {**twin, "id": uuid4(), "school_id": HERZL}
            )
        with pytest.raises(Exception, match="could not create unique index"):
            migrate(login)
        with psycopg.connect(url) as superuser:
            superuser.execute("UPDATE payments SET state = 'EXPIRED' WHERE idempotency_key = 'k2'")
            superuser.execute("CREATE INDEX payments_one_running_per_registration ON payments (registration_id)")
        migrate(login)
        assert all_rows(url, "SELECT version_num FROM alembic_version") == [(NOW,)]


def test_the_release_before_works_on_the_new_schema(ground: Ground) -> None:
    """It writes, repeats, leases and reads, sees its own school only, and its rows have the school's id."""
    with filled(ground) as (login, url):
        migrate(login)
        written = write(url, "herzl", school_id=HERZL)
        for table in PARTS:
            rows = all_rows(url, f"SELECT school_id FROM {table} WHERE school = 'herzl'")
            assert rows == [(HERZL,)] * 3, table
        with psycopg.connect(url) as app:
            app.execute("SET ROLE payment_app")
            app.execute("SELECT set_config('ticketcap.school', 'herzl', true)")
            for statement in (TRANSACTION, RETURN, OUTBOX, ESCALATION):
                assert app.execute(statement.encode(), written).rowcount == 0
            assert app.execute("SELECT DISTINCT school FROM payments").fetchall() == [("herzl",)]
        with psycopg.connect(url) as app:
            app.execute("SET ROLE payment_app")
            app.execute("SELECT set_config('ticketcap.school', 'bialik', true)")
            with pytest.raises(InsufficientPrivilege):
                app.execute(REFUND.encode(), written)
        with psycopg.connect(url) as jobs:
            jobs.execute("SET ROLE payment_jobs")
            assert jobs.execute(LEASE.encode(), written).fetchall() == [("herzl", HERZL)]


async def test_a_seat_of_an_unknown_school_can_be_escalated_and_resolved(ground: Ground) -> None:
    """The release before knows no id for it; this release resolves it like any other."""
    with filled(ground) as (login, url):
        migrate(login)
        registration = uuid4()
        seat = {"school": "ghost", "registration": registration}
        with psycopg.connect(url) as app:
            app.execute("SET ROLE payment_app")
            app.execute("SELECT set_config('ticketcap.school', 'ghost', true)")
            app.execute(SEAT.encode(), seat)
        async with engines(url) as (app_engine, jobs_engine):
            found = await Escalations(jobs_engine).find(Kind.SEAT, registration)
            assert found == (UUID(int=0), None)
            async with school_transaction(app_engine, found[0]) as connection:
                assert await escalations.resolve(
                    connection, found[0], Kind.SEAT, registration, by="me", resolution="none"
                )


async def test_this_release_continues_the_work_of_the_one_before(ground: Ground) -> None:
    """It leases and closes that release's row, and does not repeat the work that it has opened."""
    with filled(ground) as (login, url):
        migrate(login)
        written = write(url, "herzl", school_id=HERZL)
        key = PaymentKey(written["id"], written["registration"], "herzl", HERZL)
        async with engines(url) as (app_engine, jobs_engine):
            async with school_transaction(app_engine, HERZL) as connection:
                payment = await payments.lock(connection, key)
                await outbox.put(connection, payment, Topic.CAPTURE, payment.id)
                assert not await escalations.escalate_payment(connection, key, "again")
            box = Outbox(app_engine, jobs_engine, lease_seconds=30)
            lease = await box.lease(HERZL, key.registration_id)
            assert lease is not None
            assert lease.key == key
            assert 0 <= lease.waiting_seconds < 20
            await box.done(lease)
            assert await box.lease(HERZL, key.registration_id) is None


def test_a_part_belongs_to_its_payments_school(ground: Ground) -> None:
    """The foreign key names both, and a number of YaadPay's counts once in each school."""
    with filled(ground) as (login, url):
        migrate(login)
        (payment,) = all_rows(url, "SELECT id FROM payments WHERE school = 'herzl' ORDER BY id LIMIT 1")[0]
        insert = """INSERT INTO transactions (school_id, masof, yaadpay_id, school, payment_id, role, ccode,
                                              amount_agorot, recorded_at)
                    VALUES (%s, '1', '7', '', %s, 'CHARGE', 0, 1, now())"""
        with psycopg.connect(url) as superuser:
            superuser.execute(insert.encode(), (HERZL, payment))
            with pytest.raises(UniqueViolation), superuser.transaction():
                superuser.execute(insert.encode(), (HERZL, payment))
            with pytest.raises(ForeignKeyViolation):
                superuser.execute(insert.encode(), (BIALIK, payment))

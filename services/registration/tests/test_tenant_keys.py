"""Test that keys begin with the school, also for the release before."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import UniqueConstraint
from stepwise_migration import migrate_to, plain_login
from ticketcap_local.postgres import EmbeddedPostgres
from ticketcap_registration.store.migrate import migrate
from ticketcap_registration.store.models import Base
from ticketcap_testing.stack import fresh_database

HERZL = UUID("01890000-0000-7000-8000-00000000000a")
RABIN = UUID("01890000-0000-7000-8000-00000000000b")
WITHOUT_SCHOOL = {"schools", "job_leases", "alembic_version"}
LONGEST_NAME = 56
"""A shard's number is added to a constraint's name, and PostgreSQL cuts names at 63."""

# One event of each school, 50 registrations of each event with a change and an answer, and an audit.
FILL = """
INSERT INTO schools (id, slug, name, created_at)
VALUES ('01890000-0000-7000-8000-00000000000a', 'herzl', 'Herzl', now()),
       ('01890000-0000-7000-8000-00000000000b', 'rabin', 'Rabin', now());
INSERT INTO events (id, school_id, slug, title, description, location, starts_at, status, capacity,
  max_spots_per_registration, price_agorot, currency, waitlist_enabled, waitlist_policy, hold_seconds,
  cancellation_deadline_hours, confirmed, held, waitlisted, waitlist_length, waitlist_sequence, version, created_at,
  updated_at)
SELECT gen_random_uuid(), id, 'trip', 'Trip', '', '', now() + interval '9 days', 'OPEN', 100, 1, 0, 'ILS', true,
  'FIRST_FIT', 900, 0, 50, 0, 0, 0, 0, 51, now(), now() FROM schools;
INSERT INTO registrations (id, event_id, school_id, status, name, phone, spots, confirmation_code, created_at)
SELECT gen_random_uuid(), id, school_id, 'CONFIRMED', 'x', number::text, 1, slug || school_id || number, now()
FROM events, generate_series(1, 50) AS number;
INSERT INTO idempotency_keys (scope, key, school_id, fingerprint, answer, created_at)
SELECT 'registrations:' || event_id, id, school_id, 'f', '{}', now() FROM registrations;
INSERT INTO registration_changes (school_id, event_id, registration_id, topic, created_at)
SELECT school_id, event_id, id, 'registration.confirmed', now() FROM registrations;
INSERT INTO event_audits
SELECT school_id, id, version, capacity, confirmed, held, waitlisted, waitlist_length, now() FROM events;
"""
TABLES = ("schools", "events", "registrations", "idempotency_keys", "registration_changes", "event_audits")

# As the release before 0009 spells them. The role sees one school.
BEFORE_LOCK = "SELECT id, version FROM events WHERE id = %s FOR NO KEY UPDATE"
BEFORE_ANSWER = "SELECT fingerprint FROM idempotency_keys WHERE scope = %s AND key = %s"
BEFORE_PHONE = """SELECT 1 FROM registrations WHERE event_id = %s AND phone = %s
  AND status IN ('CONFIRMED', 'PENDING_PAYMENT', 'WAITLISTED') LIMIT 1"""
BEFORE_PAGE = """SELECT registrations.id, events.slug FROM registrations JOIN events ON events.id = event_id
  WHERE event_id = %s ORDER BY registrations.created_at, registrations.id LIMIT 50"""
BEFORE_WRITE = """
WITH new_registrations AS (
  INSERT INTO registrations (id, event_id, school_id, status, name, phone, spots, confirmation_code, created_at)
  VALUES (gen_random_uuid(), %(event)s, %(school)s, 'CONFIRMED', 'x', %(phone)s, 1, %(phone)s, now())
), new_answers AS (
  INSERT INTO idempotency_keys (scope, key, school_id, fingerprint, answer, created_at)
  VALUES ('registrations:' || %(event)s, %(phone)s, %(school)s, 'f', '{}', now())
), new_changes AS (
  INSERT INTO registration_changes (school_id, event_id, registration_id, topic, traceparent, created_at, refund_agorot)
  SELECT %(school)s, %(event)s, gen_random_uuid(), 'registration.confirmed', NULL, now(), NULL
  FROM generate_series(1, 2)
)
UPDATE events SET confirmed = confirmed + 1, version = version + 1 WHERE id = %(event)s"""
BEFORE_FEED = """SELECT changes.id FROM registration_changes AS changes
  JOIN events ON events.id = changes.event_id LEFT JOIN registrations ON registrations.id = changes.registration_id
  WHERE (changes.transaction, changes.id) > (0, 0)
    AND changes.transaction < (pg_snapshot_xmin(pg_current_snapshot())::text)::bigint
  ORDER BY changes.transaction, changes.id"""
BEFORE_AGED = """DELETE FROM idempotency_keys WHERE ctid = ANY(ARRAY(
  SELECT ctid FROM idempotency_keys WHERE created_at < now() LIMIT 5000))"""


@pytest.fixture
def filled(postgres: EmbeddedPostgres) -> Iterator[tuple[str, psycopg.Connection[Any]]]:
    """The owner's address of a filled database of the release before, and a connection to it."""
    with fresh_database(postgres) as url:
        login = plain_login(url)
        migrate_to(login, "0008")
        with psycopg.connect(url, autocommit=True) as owner:
            owner.execute(FILL.encode())
            yield login, owner


def counts(owner: psycopg.Connection[Any]) -> list[Any]:
    return [owner.execute(f"SELECT count(*) FROM {table}".encode()).fetchone() for table in TABLES]


def enter(connection: psycopg.Connection[Any], role: str, school: UUID | str = "") -> None:
    connection.execute(f"SET ROLE {role}".encode())
    connection.execute("SELECT set_config('ticketcap.school_id', %s, false)", (str(school),))
    connection.execute("SET enable_seqscan = off")


def test_every_key_rule_and_index_begins_with_the_school(database: str) -> None:
    """In the database, and the same primary keys and unique rules in the models."""
    with psycopg.connect(database) as owner:
        indexes = owner.execute("""
            SELECT indrelid::regclass::text, indexrelid::regclass::text, indisprimary, indisunique,
                   ARRAY(SELECT attname::text FROM unnest(indkey) WITH ORDINALITY AS key (number, place)
                         JOIN pg_attribute ON attrelid = indrelid AND attnum = number ORDER BY place)
            FROM pg_index JOIN pg_class ON pg_class.oid = indrelid
            WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'""").fetchall()
        names = owner.execute(
            "SELECT conname FROM pg_constraint WHERE connamespace = 'public'::regnamespace"
        ).fetchall()
        foreign = owner.execute("""
            SELECT conrelid::regclass::text, conname, convalidated,
                   ARRAY(SELECT attname::text FROM unnest(conkey) WITH ORDINALITY AS key (number, place)
                         JOIN pg_attribute ON attrelid = conrelid AND attnum = number ORDER BY place)
            FROM pg_constraint WHERE contype = 'f'""").fetchall()
    first = {name: columns[0] for table, name, *_, columns in indexes if table not in WITHOUT_SCHOOL}
    assert {name for name, column in first.items() if column != "school_id"} == set()
    assert all(valid and columns[0] == "school_id" for _, _, valid, columns in foreign)
    assert names
    assert all(len(name) < LONGEST_NAME for (name,) in names)
    rules_of_database = {
        (table, name): columns for table, name, primary, unique, columns in indexes if primary or unique
    }
    for table in Base.metadata.tables.values():
        rules = [table.primary_key, *(rule for rule in table.constraints if isinstance(rule, UniqueConstraint))]
        for rule in rules:
            assert rules_of_database[table.name, str(rule.name)] == [column.name for column in rule.columns]


def test_rows_of_before_keep_their_values_and_rules(filled: tuple[str, psycopg.Connection[Any]]) -> None:
    """No row is lost; the rules hold among old and new rows."""
    login, owner = filled
    before = counts(owner)
    # An attempt that was interrupted in the build of an index left it invalid.
    with pytest.raises(psycopg.errors.UniqueViolation):
        owner.execute("CREATE UNIQUE INDEX CONCURRENTLY registrations_pages_new ON registrations (spots)")
    migrate(login)
    assert counts(owner) == before
    for statement, constraint in (
        ("INSERT INTO registrations SELECT * FROM registrations LIMIT 1", "registrations_pkey"),
        ("UPDATE registrations SET phone = '1' WHERE phone = '2'", "registrations_one_live_per_phone"),
        (
            "UPDATE registrations SET confirmation_code = 'same'",
            "registrations_school_id_confirmation_code_key",
        ),
        ("DELETE FROM events", "registrations_school_id_event_id_fkey"),
        ("INSERT INTO idempotency_keys SELECT * FROM idempotency_keys LIMIT 1", "idempotency_keys_pkey"),
    ):
        with pytest.raises(psycopg.errors.IntegrityError) as refused:
            owner.execute(statement.encode())
        assert refused.value.diag.constraint_name == constraint
    owner.execute("DELETE FROM registrations")
    owner.execute("DELETE FROM events")
    assert owner.execute("SELECT count(*) FROM event_audits").fetchone() == (0,)


def test_the_release_before_works_on_the_new_keys(filled: tuple[str, psycopg.Connection[Any]]) -> None:
    """It writes, reads and deletes; its app's look-ups use an index by the school, which row-level security adds."""
    login, owner = filled
    migrate_to(login, "0010")
    [event] = owner.execute("SELECT id FROM events WHERE school_id = %s", (HERZL,)).fetchall()[0]
    enter(owner, "registration_app", HERZL)
    assert owner.execute(BEFORE_LOCK, (event,)).fetchone() == (event, 51)
    for number in range(2):
        values = {"event": event, "school": HERZL, "phone": f"new {number}"}
        assert owner.execute(BEFORE_WRITE, values).rowcount == 1
    for look_up, arguments in (
        (BEFORE_LOCK, (event,)),
        (BEFORE_ANSWER, (f"registrations:{event}", "new 0")),
        (BEFORE_PHONE, (event, "new 1")),
        (BEFORE_PAGE, (event,)),
    ):
        assert owner.execute(look_up.encode(), arguments).fetchone() is not None
        plan = [row[0] for row in owner.execute(b"EXPLAIN " + look_up.encode(), arguments)]
        conditions = [line for line in plan if "Index Cond" in line]
        assert conditions
        assert all("school_id = " in line for line in conditions), plan
    enter(owner, "registration_jobs")
    assert len(owner.execute(BEFORE_FEED).fetchall()) == 104
    assert owner.execute(BEFORE_AGED).rowcount == 102


def test_a_migration_that_waits_for_a_table_holds_no_other(filled: tuple[str, psycopg.Connection[Any]]) -> None:
    """A transaction that has one table, and asks for another one meanwhile, is neither stopped nor ended."""
    login, owner = filled
    waits = "SELECT count(*) > 0 FROM pg_stat_activity WHERE query LIKE 'LOCK TABLE events%' AND state <> 'idle'"
    with ThreadPoolExecutor() as pool, psycopg.connect(owner.info.dsn, password=owner.info.password) as busy:
        # It would end before the migration, if the two waited for each other for longer than that.
        busy.execute("SET deadlock_timeout = '800ms'")
        busy.execute("UPDATE event_audits SET audited_at = now()")
        migration = pool.submit(migrate, login)
        while not migration.done() and owner.execute(waits.encode()).fetchone() != (True,):
            time.sleep(0.01)
        assert not migration.done()
        for _ in range(10):
            busy.execute("UPDATE events SET updated_at = now()")
        assert not migration.done()
        busy.commit()
        migration.result()
    [version] = owner.execute("SELECT version_num FROM alembic_version").fetchall()
    assert version > ("0009",)

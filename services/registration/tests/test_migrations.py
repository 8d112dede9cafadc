"""Test migrations on filled databases, and beside the release before them."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from stepwise_migration import migrate_to, plain_login
from ticketcap_local.postgres import EmbeddedPostgres
from ticketcap_registration.store.migrate import migrate
from ticketcap_testing.stack import fresh_database

SCHOOL = "01890000-0000-7000-8000-00000000000a"
OTHER = "01890000-0000-7000-8000-00000000000b"
INSERT = f"""
INSERT INTO outbox (school_id, event_id, registration_id, topic, traceparent, created_at, refund_agorot)
SELECT '{SCHOOL}', gen_random_uuid(), gen_random_uuid(), 'registration.cancelled', '00-1', now() - interval '9 days', 7
"""


@pytest.fixture
def renamed(postgres: EmbeddedPostgres) -> Iterator[psycopg.Connection[Any]]:
    """A database with one row of the outbox, migrated to the change log."""
    with fresh_database(postgres) as url:
        login = plain_login(url)
        migrate_to(login, "0003")
        with psycopg.connect(url, autocommit=True) as owner:
            owner.execute(INSERT.encode())
            migrate(login)
            yield owner


def test_replicas_that_migrate_at_once_wait_for_each_other(postgres: EmbeddedPostgres) -> None:
    """CREATE INDEX CONCURRENTLY waits for older snapshots: those that wait for its migration hold none."""
    with fresh_database(postgres) as url:
        login = plain_login(url)
        migrate_to(login, "0005")
        with ThreadPoolExecutor() as pool:
            for migration in [pool.submit(migrate, login) for _ in range(4)]:
                migration.result()


def test_schools_of_before_are_ordinary(postgres: EmbeddedPostgres) -> None:
    """A school of the release before 0005, and one that it inserts beside this one."""
    with fresh_database(postgres) as url:
        login = plain_login(url)
        migrate_to(login, "0004")
        with psycopg.connect(url, autocommit=True) as owner:
            insert = "INSERT INTO schools (id, slug, name, created_at) VALUES (%s, %s, 'Herzl', now())"
            owner.execute(insert, (SCHOOL, "before"))
            migrate(login)
            owner.execute(insert, (OTHER, "beside"))
            rows = owner.execute("SELECT slug, synthetic FROM schools ORDER BY slug").fetchall()
            assert rows == [("before", False), ("beside", False)]


def test_rows_of_the_outbox_are_in_the_change_log(renamed: psycopg.Connection[Any]) -> None:
    """Each with its values; the identity continues."""
    migrated = "SELECT id, topic, traceparent, refund_agorot FROM registration_changes ORDER BY id"
    assert renamed.execute(migrated).fetchall() == [(1, "registration.cancelled", "00-1", 7)]
    names = """SELECT indexrelid::regclass::text FROM pg_index
               WHERE indrelid = 'registration_changes'::regclass ORDER BY 1"""
    assert [name for (name,) in renamed.execute(names)] == [
        "registration_changes_age",
        "registration_changes_pkey",
    ]

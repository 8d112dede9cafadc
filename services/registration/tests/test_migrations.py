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
# As the release before 0004 spells it.
DELETE_AGED = """
DELETE FROM outbox WHERE ctid = ANY(ARRAY(
  SELECT ctid FROM outbox WHERE created_at < now() - make_interval(secs => 604800) LIMIT 5000))"""


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


def _as(connection: psycopg.Connection[Any], role: str, school: str = "") -> None:
    connection.execute(f"SET ROLE {role}".encode())
    connection.execute("SELECT set_config('ticketcap.school_id', %s, false)", (school,))


def test_rows_of_the_outbox_are_in_the_change_log(renamed: psycopg.Connection[Any]) -> None:
    """Each with its values; the identity continues."""
    migrated = "SELECT id, topic, traceparent, refund_agorot FROM registration_changes ORDER BY id"
    assert renamed.execute(migrated).fetchall() == [(1, "registration.cancelled", "00-1", 7)]
    names = """SELECT indexrelid::regclass::text FROM pg_index
               WHERE indrelid = 'registration_changes'::regclass ORDER BY 1"""
    assert [name for (name,) in renamed.execute(names)] == [
        "registration_changes_age",
        "registration_changes_order",
        "registration_changes_pkey",
    ]


def test_the_release_before_works_on_the_change_log(renamed: psycopg.Connection[Any]) -> None:
    """It inserts, reads and deletes by the former name, under the roles that it takes."""
    _as(renamed, "registration_app", SCHOOL)
    renamed.execute(INSERT.encode())
    _as(renamed, "registration_jobs")
    rows = "SELECT outbox.transaction > 0, outbox.id, topic FROM outbox ORDER BY outbox.id"
    assert renamed.execute(rows.encode()).fetchall() == [(True, number, "registration.cancelled") for number in (1, 2)]
    assert renamed.execute(DELETE_AGED.encode()).rowcount == 2


def test_the_former_name_is_bound_by_row_level_security(renamed: psycopg.Connection[Any]) -> None:
    """The view shows and takes rows of one school only, and gives no privilege that the table does not."""
    _as(renamed, "registration_app", OTHER)
    assert renamed.execute("SELECT count(*) FROM outbox").fetchone() == (0,)
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
        renamed.execute(INSERT.encode())
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="permission denied"):
        renamed.execute("DELETE FROM outbox")
    _as(renamed, "registration_jobs")
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="permission denied"):
        renamed.execute(INSERT.encode())

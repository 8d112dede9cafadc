"""Correct data that a runbook names, each correction with a dry run.

A dry run executes the same transaction and rolls it back, so it also finds locks and constraints in the way.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final
from uuid import UUID

import psycopg
from psycopg.rows import dict_row
from ticketcap_chassis.database.set_local import set_local

from ticketcap_local.errors import CommandError

_OPTIONS: Final = "-c lock_timeout=5000 -c statement_timeout=60000 -c application_name=ticketcap-correct"
_CONNECT_SECONDS: Final = 5

_COUNTERS: Final = "confirmed, held, waitlisted, waitlist_length"
_SCHOOL: Final = b"""-- corrections.school: Find the school of an event.
SELECT school_id, schools.slug FROM events JOIN schools ON schools.id = school_id WHERE events.id = %s"""
_LOCK: Final = f"""-- corrections.lock: Lock the event's row until the transaction ends.
SELECT {_COUNTERS} FROM events WHERE school_id = %s AND id = %s FOR UPDATE""".encode()  # noqa: S608 - a constant
_RECOUNT: Final = f"""-- corrections.recount: Set an event's counters to what its registrations add up to.
UPDATE events SET ({_COUNTERS}) = (
  SELECT coalesce(sum(spots) FILTER (WHERE status = 'CONFIRMED'), 0),
         coalesce(sum(spots) FILTER (WHERE status = 'PENDING_PAYMENT'), 0),
         coalesce(sum(spots) FILTER (WHERE status = 'WAITLISTED'), 0),
         count(*) FILTER (WHERE status = 'WAITLISTED')
  FROM registrations WHERE registrations.school_id = events.school_id AND event_id = events.id)
WHERE school_id = %s AND id = %s RETURNING {_COUNTERS}""".encode()  # noqa: S608 - a constant

_SESSION: Final = b"""-- corrections.session: Describe a session of this database.
SELECT usename, application_name, state, wait_event_type, now() - xact_start AS transaction, left(query, 80) AS query
FROM pg_stat_activity WHERE pid = %s AND datname = current_database() AND pid <> pg_backend_pid()"""

_UNPROTECTED: Final = b"""-- corrections.unprotected: List tables with policies whose row-level security is not forced.
SELECT relname FROM pg_class
WHERE oid IN (SELECT polrelid FROM pg_policy) AND NOT (relrowsecurity AND relforcerowsecurity) ORDER BY relname"""

Say = Callable[[str], None]


class CorrectionFailed(CommandError):
    """Nothing was changed; the message says why."""


def recount(url: str, event_id: UUID, *, apply: bool, say: Say) -> None:
    """Set an event's counters to its registrations, under the row's lock; raise CorrectionFailed.

    The update runs as the service's own role, which sees the rows of this school only.
    """
    with _transaction(url, say, apply=apply) as connection:
        connection.execute("SET LOCAL ROLE registration_jobs")
        school = connection.execute(_SCHOOL, (event_id,)).fetchone()
        if school is None:
            raise CorrectionFailed(f"event {event_id} not found")
        connection.execute("SET LOCAL ROLE registration_app")
        connection.execute(set_local("ticketcap.school_id", str(school["school_id"])))
        event = (school["school_id"], event_id)
        stored = connection.execute(_LOCK, event).fetchone()
        counted = connection.execute(_RECOUNT, event).fetchone()
        if stored is None or counted is None:
            raise CorrectionFailed(f"event {event_id} was deleted meanwhile")
        say(f"event {event_id} of school {school['slug']}")
        say(f"  {'counter':<16}{'stored':>8}{'counted':>9}")
        for name in stored:
            say(f"  {name:<16}{stored[name]:>8}{counted[name]:>9}")


def protect_tables(url: str, *, apply: bool, say: Say) -> None:
    """Enable and force row-level security on every table with policies; raise CorrectionFailed."""
    with _transaction(url, say, apply=apply) as connection:
        tables = [row["relname"] for row in connection.execute(_UNPROTECTED)]
        for table in tables:
            for verb in ("ENABLE", "FORCE"):
                connection.execute(f'ALTER TABLE "{table}" {verb} ROW LEVEL SECURITY'.encode())
        say(f"tables without forced row-level security: {', '.join(tables) or 'none'}")


def end_session(url: str, pid: int, *, apply: bool, say: Say) -> None:
    """End one session of the database; its transaction rolls back. Raises CorrectionFailed."""
    with _transaction(url, say, apply=apply) as connection:
        session = connection.execute(_SESSION, (pid,)).fetchone()
        if session is None:
            raise CorrectionFailed(f"no session with pid {pid} in this database")
        for name, value in session.items():
            say(f"  {name:<18}{value}")
        if apply:
            connection.execute("SELECT pg_terminate_backend(%s)", (pid,))


@contextmanager
def _transaction(url: str, say: Say, *, apply: bool) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    """Open a transaction that commits only with ``apply``, and say so; raise CorrectionFailed."""
    try:
        with (
            psycopg.connect(
                url, row_factory=dict_row, connect_timeout=_CONNECT_SECONDS, options=_OPTIONS
            ) as connection,
            connection.transaction(force_rollback=not apply),
        ):
            yield connection
    except psycopg.Error as error:
        raise CorrectionFailed(str(error).strip()) from error
    say("corrected" if apply else "dry run: nothing changed; --apply commits")

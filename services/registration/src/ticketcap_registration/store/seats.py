"""What a lane's transaction runs: lock the event, load what its commands need, write what they decided.

Rows travel as JSON, one statement for all of a batch, and lookups are made row
by row through an index (LATERAL … LIMIT 1): a plan that was made while a table
was empty stays right when it has grown.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import text
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from ticketcap_registration.domain.commands import ChangeEvent, Claim, Command, ExpireHolds
from ticketcap_registration.domain.event import Event
from ticketcap_registration.domain.ledger import SeatLedger, StoredAnswer
from ticketcap_registration.domain.registration import Registration
from ticketcap_registration.domain.states import WaitlistPolicy
from ticketcap_registration.domain.waitlist import Candidates
from ticketcap_registration.store.models import LIVE_STATUSES, EventRow, RegistrationRow
from ticketcap_registration.store.rows import event_of

CHANNEL: Final = "ticketcap_seats"
"""Where every committed change of an event's seats is announced (NOTIFY)."""

DUE_HOLDS_AT_ONCE: Final = 500
"""Holds that one transaction expires at most; the next one takes the rest."""

_POSTGRESQL: Final = postgresql.dialect()  # type: ignore[no-untyped-call]  # untyped upstream
_EVENT: Final = ", ".join(column.name for column in EventRow.__table__.columns)
_EVENT_CHANGING: Final = [
    column.name for column in EventRow.__table__.columns if column.name not in {"id", "school_id", "created_at"}
]
_REGISTRATION: Final = ", ".join(column.name for column in RegistrationRow.__table__.columns)
_RECORD: Final = ", ".join(
    f"{column.name} {column.type.compile(_POSTGRESQL)}" for column in RegistrationRow.__table__.columns
)
_CHANGING: Final = ("status", "hold_expires_at", "cancelled_at", "cancel_reason")

LOCK: Final = text(f"""-- seats.lock
SELECT {_EVENT} FROM events WHERE id = :event_id FOR NO KEY UPDATE""")

LOAD: Final = text(f"""-- seats.load
WITH named AS (
  SELECT {_REGISTRATION} FROM registrations
  WHERE id = ANY(CAST(:registration_ids AS uuid[])) AND event_id = :event_id FOR NO KEY UPDATE
), due AS (
  SELECT {_REGISTRATION} FROM registrations
  WHERE :holds AND event_id = :event_id AND status = 'PENDING_PAYMENT' AND hold_expires_at <= statement_timestamp()
  ORDER BY hold_expires_at LIMIT {DUE_HOLDS_AT_ONCE}
)
SELECT json_build_object(
  'now', statement_timestamp(),
  'answers', (SELECT json_object_agg(wanted.key, found.kept)
    FROM unnest(CAST(:keys AS text[])) AS wanted (key), LATERAL (
      SELECT json_build_object('fingerprint', fingerprint, 'answer', answer) AS kept
      FROM idempotency_keys WHERE scope = :scope AND key = wanted.key LIMIT 1) AS found),
  'live_phones', (SELECT json_agg(wanted.phone)
    FROM unnest(CAST(:phones AS text[])) AS wanted (phone), LATERAL (
      SELECT 1 FROM registrations
      WHERE event_id = :event_id AND phone = wanted.phone AND status IN ({LIVE_STATUSES}) LIMIT 1) AS found),
  'registrations', (SELECT json_agg(known) FROM (SELECT * FROM named UNION ALL SELECT * FROM due) AS known)
)::text""")

WAITING_BY_SIZE: Final = text(f"""-- seats.waiting_by_size
SELECT json_agg(waiting ORDER BY waiting.waitlist_seq)::text
FROM generate_series(1, least(:spots, 100)) AS size, LATERAL (
  SELECT {_REGISTRATION} FROM registrations
  WHERE event_id = :event_id AND status = 'WAITLISTED' AND spots = size
  ORDER BY waitlist_seq LIMIT :spots / size + :leaving) AS waiting""")

WAITING: Final = text(f"""-- seats.waiting
SELECT json_agg(waiting ORDER BY waiting.waitlist_seq)::text
FROM (
  SELECT {_REGISTRATION} FROM registrations
  WHERE event_id = :event_id AND status = 'WAITLISTED'
  ORDER BY waitlist_seq LIMIT :spots + :leaving + 1) AS waiting""")

_WAITING: Final = {WaitlistPolicy.FIRST_FIT: WAITING_BY_SIZE, WaitlistPolicy.STRICT_FIFO: WAITING}

CHANGE: Final = text(f"""-- seats.change
UPDATE registrations AS mine SET {", ".join(f"{name} = theirs.{name}" for name in (*_CHANGING, "waitlist_seq"))}
FROM jsonb_to_recordset(CAST(:changed AS jsonb)) AS theirs ({_RECORD})
WHERE mine.id = theirs.id""")

WRITE: Final = text(f"""-- seats.write
WITH added AS (
  INSERT INTO registrations ({_REGISTRATION})
  SELECT {_REGISTRATION} FROM jsonb_to_recordset(CAST(:added AS jsonb)) AS r ({_RECORD})
), answered AS (
  INSERT INTO idempotency_keys (scope, key, school_id, fingerprint, answer, created_at)
  SELECT :scope, key, :school_id, fingerprint, answer, :now
  FROM jsonb_to_recordset(CAST(:answers AS jsonb)) AS a (key text, fingerprint text, answer jsonb)
), told AS (
  INSERT INTO outbox (school_id, event_id, registration_id, topic, traceparent, created_at)
  SELECT :school_id, :event_id, registration_id, topic, nullif(traceparent, ''), :now
  FROM jsonb_to_recordset(CAST(:news AS jsonb)) AS n (registration_id uuid, topic text, traceparent text)
)
UPDATE events SET {", ".join(f"{name} = :{name}" for name in _EVENT_CHANGING)}
WHERE id = :event_id
RETURNING pg_notify('{CHANNEL}', :seats)""")


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the store knows of the things that a batch's commands name."""

    now: datetime
    answers: dict[str, StoredAnswer] | None = None
    live_phones: frozenset[str] | None = None
    registrations: list[Registration] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeatNews:
    """The seats of an event after a commit, as every replica hears of them. All counts but ``promoted`` in spots."""

    event_id: UUID
    version: int
    status: str
    capacity: int
    confirmed: int
    held: int
    waitlisted: int
    promoted: int


_loaded: Final = TypeAdapter(Loaded)
_registrations: Final = TypeAdapter(list[Registration])
_list: Final = TypeAdapter(list[dict[str, Any]])
news: Final = TypeAdapter(SeatNews)


def claims_scope(event_id: UUID) -> str:
    """Return the scope of the idempotency keys of an event's claims."""
    return f"registrations:{event_id}"


async def lock(connection: AsyncConnection, event_id: UUID) -> Event | None:
    """Lock the event's row until the transaction ends and return it, or None when there is none."""
    row = (await connection.execute(LOCK, {"event_id": event_id})).mappings().one_or_none()
    return None if row is None else event_of(row)


async def load(connection: AsyncConnection, event: Event, commands: Sequence[Command]) -> Loaded:
    """Return what ``commands`` name, the holds that are due, and the database's time."""
    claims = [command for command in commands if isinstance(command, Claim)]
    others = [command for command in commands if not isinstance(command, Claim | ExpireHolds | ChangeEvent)]
    answer = await connection.scalar(
        LOAD,
        {
            "event_id": event.id,
            "scope": claims_scope(event.id),
            "registration_ids": [command.registration_id for command in others],
            "holds": event.held > 0,
            "keys": [claim.idempotency_key for claim in claims],
            "phones": [claim.person.phone for claim in claims],
        },
    )
    return _loaded.validate_json(answer)


async def waiting(connection: AsyncConnection, event: Event, wanted: Candidates) -> list[Registration]:
    """Return the part of the waitlist that a decision can need, oldest first."""
    bounds = {
        "event_id": event.id,
        "spots": min(wanted.spots, event.waitlisted),
        "leaving": wanted.leaving,
    }
    found: dict[UUID, Registration] = {}
    for policy in wanted.policies:
        answer = await connection.scalar(_WAITING[policy], bounds)
        found |= {registration.id: registration for registration in _registrations.validate_json(answer or "[]")}
    return sorted(found.values(), key=lambda registration: registration.waitlist_seq or 0)


async def write(connection: AsyncConnection, ledger: SeatLedger) -> None:
    """Write everything that a ledger changed, and announce the event's seats at its commit."""
    event = ledger.event
    if ledger.changed:
        # First: a phone that is freed here may register again in the statement below.
        await connection.execute(CHANGE, {"changed": _json(list(ledger.changed.values()))})
    seats = SeatNews(
        event_id=event.id,
        version=event.version,
        status=event.status,
        capacity=event.capacity,
        confirmed=event.confirmed,
        held=event.held,
        waitlisted=event.waitlisted,
        promoted=len(ledger.promoted),
    )
    await connection.execute(
        WRITE,
        {
            **_event_values(event),
            "event_id": event.id,
            "school_id": event.school_id,
            "scope": claims_scope(event.id),
            "now": ledger.now,
            "added": _json(list(ledger.added.values())),
            "answers": _list.dump_json(_answers(ledger)).decode(),
            "news": _list.dump_json(_news(ledger)).decode(),
            "seats": news.dump_json(seats).decode(),
        },
    )


def _json(rows: list[Registration]) -> str:
    return _registrations.dump_json(rows).decode()


def _event_values(event: Event) -> dict[str, Any]:
    return {name: getattr(event, name) for name in _EVENT_CHANGING}


def _answers(ledger: SeatLedger) -> list[dict[str, Any]]:
    return [
        {"key": claim.idempotency_key, "fingerprint": claim.fingerprint, "answer": asdict(answer)}
        for claim, answer in ledger.answers.values()
    ]


def _news(ledger: SeatLedger) -> list[dict[str, Any]]:
    return [
        {
            "registration_id": transition.registration.id,
            "topic": f"registration.{transition.registration.status.lower()}",
            "traceparent": transition.traceparent,
        }
        for transition in ledger.transitions.values()
    ]

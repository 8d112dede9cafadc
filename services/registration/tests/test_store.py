"""Test the database's own rules: tenancy, the schema's history, seats under races."""

import asyncio
import random
import re
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from service_under_test import OWNER, SERVICE, Replica, claim, replica, settings, token
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine
from ticketcap.registration.v1 import registration_pb2 as pb
from ticketcap_chassis.database.engine import create_engine as create_async_engine
from ticketcap_chassis.database.engine import driver_url
from ticketcap_chassis.database.limits import PoolLimits
from ticketcap_observability import Telemetry
from ticketcap_registration.jobs import housekeeping
from ticketcap_registration.jobs.audit import find_drift
from ticketcap_registration.main import running
from ticketcap_registration.store import roles, seats
from ticketcap_registration.store import watchkeeping as watchkeeping_module
from ticketcap_registration.store.migrate import migrate
from ticketcap_registration.store.models import Base
from ticketcap_registration.store.transactions import school_transaction
from ticketcap_registration.store.watchkeeping import BEFORE_ALL, Watchkeeping


@pytest.fixture
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    app_engine = async_engine(database, roles.APP)
    yield app_engine
    await app_engine.dispose()


def async_engine(database: str, role: str) -> AsyncEngine:
    limits = PoolLimits(size=2)
    return create_async_engine(database, role=role, pool_name=role, limits=limits, telemetry=Telemetry.in_memory())


@pytest.fixture
async def watchkeeping(database: str) -> AsyncIterator[Watchkeeping]:
    app_engine = async_engine(database, roles.JOBS)
    yield Watchkeeping(app_engine)
    await app_engine.dispose()


def test_the_migrations_make_the_models(database: str) -> None:
    """Nothing is left to generate, and migrating twice is nothing."""
    migrate(database)
    engine = create_engine(driver_url(database))
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    engine.dispose()


@pytest.mark.parametrize(
    "table", ["schools", "events", "registrations", "idempotency_keys", "registration_changes", "unread_changes"]
)
async def test_a_transaction_for_one_school_sees_nothing_of_another(
    service: Replica, engine: AsyncEngine, table: str
) -> None:
    """Each table, with no WHERE at all; and without a school nothing is seen."""
    await service.open()
    await service.register(1)
    await service.school("other")
    await service.event("other", slug="theirs")
    await service.stub.Register(claim(2, school="other", event="theirs"))
    async with engine.connect() as connection:
        assert await connection.scalar(text(f"SELECT count(*) FROM {table}")) == 0
    with psycopg.connect(service.database) as owner:
        school = owner.execute("SELECT id FROM schools WHERE slug = 'herzl'").fetchone()
        assert school is not None
    column = "id" if table == "schools" else "school_id"
    async with school_transaction(engine, school[0]) as connection:
        seen = (await connection.execute(text(f"SELECT DISTINCT {column} FROM {table}"))).scalars().all()
    assert seen == [school[0]]


async def test_a_row_can_not_be_written_into_another_school(service: Replica, engine: AsyncEngine) -> None:
    """The policy refuses the insert, with any statement."""
    await service.open()
    await service.school("other")
    with psycopg.connect(service.database) as owner:
        ids: dict[str, Any] = dict(owner.execute("SELECT slug, id FROM schools").fetchall())
    news = text(
        "INSERT INTO registration_changes (school_id, event_id, registration_id, topic, created_at)"
        " VALUES (:school, :school, :school, 'x', now())"
    )
    with pytest.raises(DBAPIError, match="row-level security"):
        async with school_transaction(engine, ids["herzl"]) as connection:
            await connection.execute(news, {"school": ids["other"]})


async def test_the_jobs_role_sees_no_person(service: Replica, database: str) -> None:
    """It reads ids and counts of all schools; names, phones and e-mails are not granted."""
    await service.open()
    await service.register(1)
    jobs = async_engine(database, roles.JOBS)
    async with jobs.connect() as connection:
        assert await connection.scalar(text("SELECT count(id) FROM registrations")) == 1
        for column in ("name", "phone", "email", "cancel_reason", "confirmation_code"):
            with pytest.raises(DBAPIError, match="permission denied"):
                await connection.execute(text(f"SELECT {column} FROM registrations"))
            await connection.rollback()
    await jobs.dispose()


async def test_the_service_refuses_to_start_without_protection(database: str) -> None:
    """A table whose security is not forced is named."""
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute("ALTER TABLE events NO FORCE ROW LEVEL SECURITY")
    with pytest.raises(SystemExit, match="events"):
        async with running(settings(database), Telemetry.in_memory()):
            pass


async def test_the_database_itself_never_oversells(service: Replica) -> None:
    """The last guard: a CHECK refuses counters above the capacity."""
    await service.open(capacity=3)
    with psycopg.connect(service.database) as owner, pytest.raises(psycopg.errors.CheckViolation):
        owner.execute("UPDATE events SET confirmed = 2, held = 2")


async def race(database: str, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """Let two replicas sell one event to 120 callers at once; return spots in rows and capacity.

    Small batches whose look-up takes its time: the transactions of the two certainly overlap.
    """
    slow = "'now', (SELECT statement_timestamp() FROM pg_sleep(0.02))"
    monkeypatch.setattr(seats, "LOAD", seats.LOAD.replace("'now', statement_timestamp()", slow))
    async with replica(database, lane_batch=10) as first, replica(database, lane_batch=10) as second:
        await first.open(capacity=20)
        calls = [(first, second)[number % 2].register(number) for number in range(120)]
        await asyncio.gather(*calls, return_exceptions=True)
    with psycopg.connect(database) as owner:
        sold = owner.execute("SELECT count(*) FROM registrations WHERE status = 'CONFIRMED'").fetchone()
    assert sold is not None
    return int(sold[0]), 20


async def test_without_the_lock_two_replicas_oversell(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control: without the lock, the CHECK and the change log's key the race is real."""
    monkeypatch.setattr(seats, "LOCK", seats.LOCK.replace("FOR NO KEY UPDATE", ""))
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute("ALTER TABLE events DROP CONSTRAINT events_never_oversold")
        # Two transactions with the same version of an event meet in this key.
        owner.execute("ALTER TABLE registration_changes DROP CONSTRAINT registration_changes_pkey")
        owner.execute("ALTER TABLE unread_changes DROP CONSTRAINT unread_changes_pkey")
    sold, capacity = await race(database, monkeypatch)
    assert sold > capacity


async def test_with_the_lock_they_do_not(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same race, guarded."""
    assert await race(database, monkeypatch) == (20, 20)


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_storm_over_two_replicas_leaves_counters_and_rows_equal(
    service: Replica, database: str, watchkeeping: Watchkeeping, seed: int
) -> None:
    """Claims, cancels, holds, changes of capacity and price at once; the audit finds nothing, no spot is idle."""
    dice = random.Random(seed)
    async with replica(database) as other:
        replicas = (service, other)
        await service.open(capacity=15, price_agorot=dice.choice([0, 5000]), hold_seconds=1)
        responses: list[pb.RegisterResponse] = []

        async def act(number: int) -> None:
            at = dice.choice(replicas)
            match dice.choice(["claim", "claim", "claim", "cancel", "confirm", "capacity", "price"]):
                case "claim":
                    responses.append(await at.register(number, dice.randint(1, 4)))
                case "cancel" if responses:
                    await at.cancel(dice.choice(responses))
                case "confirm" if responses:
                    hold = pb.ConfirmHoldRequest(registration_id=dice.choice(responses).id)
                    await at.stub.ConfirmHold(hold, metadata=SERVICE)
                case "capacity":
                    await at.change(capacity=dice.randint(10, 30))
                case "price":
                    await at.change(price_agorot=dice.choice([0, 4000, 5000]))

        for start in range(0, 200, 40):
            await asyncio.gather(*(act(number) for number in range(start, start + 40)), return_exceptions=True)
            assert await find_drift(watchkeeping) == []
        assert len(responses) > 40, f"seed {seed}: the storm did nothing"
        final = await service.seats()
        request = pb.ListRegistrationsRequest(
            school="herzl", event="spring-match", status=pb.REGISTRATION_STATUS_WAITLISTED, limit=200
        )
        waiting = (await service.stub.ListRegistrations(request, metadata=OWNER)).items
        assert all(item.spots > final.available for item in waiting), f"seed {seed}: a spot is idle"


async def test_the_audit_finds_drift(service: Replica, watchkeeping: Watchkeeping) -> None:
    """Counters that were tampered with are found, with both sides of the difference."""
    await service.open()
    await service.register(1, spots=2)
    assert await find_drift(watchkeeping) == []
    with psycopg.connect(service.database) as owner:
        owner.execute("UPDATE events SET confirmed = 5")
    [drift] = await find_drift(watchkeeping)
    assert (drift.confirmed, drift.rows_confirmed) == (5, 2)


async def test_the_audit_looks_at_every_event(
    service: Replica, watchkeeping: Watchkeeping, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Portion by portion, to the last one."""
    small = text(watchkeeping_module._CHANGED.text.replace("LIMIT 500", "LIMIT 2"))
    monkeypatch.setattr(watchkeeping_module, "_CHANGED", small)
    await service.school()
    for number in range(5):
        await service.event(slug=f"event-{number}")
    with psycopg.connect(service.database) as owner:
        owner.execute("UPDATE events SET confirmed = 1")
    assert len(await find_drift(watchkeeping)) == 5


async def test_an_event_is_audited_when_it_changes_and_once_a_day(service: Replica, watchkeeping: Watchkeeping) -> None:
    """Not in each round; an event that drifts is, until it is corrected."""
    event = await service.open()
    place = (UUID(event.school_id), UUID(event.id))

    async def changed() -> bool:
        return await watchkeeping.changed_events(BEFORE_ALL) == [place]

    def run(statement: str) -> None:
        with psycopg.connect(service.database) as owner:
            owner.execute(statement.encode())

    assert await changed()
    assert await find_drift(watchkeeping) == []
    assert not await changed()
    await service.register(1)
    assert await changed(), "a registration changes its event"
    assert await find_drift(watchkeeping) == []
    run("UPDATE events SET confirmed = 4")
    assert await changed(), "so does a hand that leaves the version as it is"
    for _ in range(2):
        assert [counts.confirmed for counts in await find_drift(watchkeeping)] == [4]
    run("UPDATE events SET confirmed = 1")
    assert await find_drift(watchkeeping) == []
    assert not await changed()
    run("UPDATE event_audits SET audited_at = now() - interval '25 hours'")
    assert await changed()


async def test_the_audit_of_a_deleted_event_goes_with_it(service: Replica, watchkeeping: Watchkeeping) -> None:
    """Its rows are deleted under the role of the app, which has no privilege on audits."""
    event = await service.open()
    assert await find_drift(watchkeeping) == []
    request = pb.DeleteEventRequest(school="herzl", event=event.slug)
    await service.stub.DeleteEvent(request, metadata=OWNER)
    with psycopg.connect(service.database) as owner:
        assert owner.execute("SELECT count(*) FROM event_audits").fetchone() == (0,)


async def test_housekeeping_goes_on_while_portions_are_full(
    service: Replica, watchkeeping: Watchkeeping, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backlog goes in one round."""
    aged = watchkeeping_module._AGED["registration_changes"].text.replace("LIMIT 5000", "LIMIT 2")
    monkeypatch.setitem(watchkeeping_module._AGED, "registration_changes", text(aged))
    monkeypatch.setattr(housekeeping, "DELETED_AT_ONCE", 2)
    await service.open()
    for number in range(5):
        await service.register(number)
    with psycopg.connect(service.database, autocommit=True) as owner:
        count = "SELECT count(*) FROM registration_changes"
        # Unread ones stay, however old they are.
        await housekeeping.delete_aged(watchkeeping, idempotency_seconds=3600, change_log_seconds=0)
        assert owner.execute(count).fetchone() == (5,)
        owner.execute("DELETE FROM unread_changes")
        await housekeeping.delete_aged(watchkeeping, idempotency_seconds=3600, change_log_seconds=0)
        assert owner.execute(count).fetchone() == (0,)


async def test_what_has_aged_is_deleted(service: Replica, watchkeeping: Watchkeeping) -> None:
    """Idempotency keys and registration changes go after their time, younger ones and other schools' stay."""
    await service.open()
    await service.register(1)
    await service.school("other")
    await service.event("other", slug="theirs")
    await service.stub.Register(claim(2, school="other", event="theirs"))
    with psycopg.connect(service.database) as owner:
        [(herzl,), (other,)] = owner.execute("SELECT id FROM schools ORDER BY slug").fetchall()
        owner.execute("DELETE FROM unread_changes")
    for table in ("idempotency_keys", "registration_changes"):
        assert await watchkeeping.schools_with_aged(table, 3600) == []
        assert await watchkeeping.delete_aged(table, 3600, herzl) == 0
        assert sorted(await watchkeeping.schools_with_aged(table, 0)) == sorted([herzl, other])
        assert await watchkeeping.delete_aged(table, 0, herzl) >= 1
        assert await watchkeeping.schools_with_aged(table, 0) == [other]


async def test_the_change_log_has_every_transition_with_its_trace(service: Replica) -> None:
    """In order, and with the trace of the request that caused it."""
    await service.open(capacity=1)
    first = await service.register(1)
    await service.register(2)
    await service.cancel(first)
    with psycopg.connect(service.database) as owner:
        changes = owner.execute("SELECT topic, traceparent FROM registration_changes ORDER BY version, id").fetchall()
    assert [topic for topic, _ in changes[:2]] == ["registration.confirmed", "registration.waitlisted"]
    assert {topic for topic, _ in changes[2:]} == {"registration.cancelled", "registration.confirmed"}
    assert all(traceparent.startswith("00-") for _, traceparent in changes)


async def test_no_personal_data_beside_the_registration(service: Replica) -> None:
    """Keys, answers and the change log hold neither name, phone nor e-mail."""
    await service.open()
    await service.register(1, email="parent@example.org")
    with psycopg.connect(service.database) as owner:
        rows: list[Any] = owner.execute("SELECT * FROM idempotency_keys").fetchall()
        rows += owner.execute("SELECT * FROM registration_changes").fetchall()
    assert not any(personal in str(rows) for personal in ("01000001", "אורי", "parent@"))


async def test_lookups_use_their_index_however_large_the_table(service: Replica) -> None:
    """The plans of a lane's statements scan no table."""
    await service.open()
    await service.register(1)
    with psycopg.connect(service.database, autocommit=True) as owner:
        owner.execute("VACUUM ANALYZE")
        owner.execute("SET enable_seqscan = off")
        for statement in (seats.LOCK, seats.LOAD, seats.WAITING, seats.WAITING_BY_SIZE):
            query = _literal(statement)
            plan = "\n".join(row[0] for row in owner.execute(f"EXPLAIN {query}".encode()).fetchall())
            assert "Seq Scan" not in plan, plan


@pytest.mark.parametrize("prepare", ["SELECT", "VACUUM ANALYZE idempotency_keys"])
def test_a_plan_that_an_empty_table_got_reads_rows_by_their_whole_key(database: str, prepare: str) -> None:
    """A plan that stops at the school would read all of its rows for each look-up. Housekeeping empties the keys."""
    last = {"LOCK": "id", "LOAD": "key", "WAITING": "event_id", "WAITING_BY_SIZE": "spots", "CHANGE": "id"}
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute(prepare.encode())
        for setting, value in {**roles.SESSION, "role": roles.APP, "ticketcap.school_id": str(UUID(int=0))}.items():
            owner.execute("SELECT set_config(%s, %s, false)", (setting, value))
        for statement, column in last.items():
            generic = b"EXPLAIN (GENERIC_PLAN) " + _numbered(getattr(seats, statement)).encode()
            conditions = [row[0] for row in owner.execute(generic) if "Index Cond" in row[0]]
            columns = [re.findall(r"\((\w+) (?:=|<=)", condition) for condition in conditions]
            assert column in {key[-1] for key in columns}, (statement, conditions)
            assert ["school_id"] not in columns, (statement, conditions)


def _numbered(query: str) -> str:
    """Return a statement with numbered parameters, each of its type."""
    types = {
        "school_id": "uuid",
        "event_id": "uuid",
        "frees": "bool",
        "scope": "text",
        "spots": "int",
        "leaving": "int",
    }
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", query)))

    def parameter(found: re.Match[str]) -> str:
        number = f"${names.index(found[1]) + 1}"
        return f"CAST({number} AS {types[found[1]]})" if found[1] in types else number

    return re.sub(r"%\((\w+)\)s", parameter, query)


def _literal(query: str) -> str:
    values = {
        "school_id": "'01890000-0000-7000-8000-000000000001'",
        "event_id": "'01890000-0000-7000-8000-000000000000'",
        "registration_ids": "'{}'",
        "keys": "'{a}'",
        "phones": "'{b}'",
        "scope": "'s'",
        "spots": "5",
        "leaving": "1",
        "frees": "true",
    }
    for name, value in values.items():
        query = query.replace(f"%({name})s", value)
    return query


async def test_another_schools_organiser_sees_nothing_over_the_wire(service: Replica) -> None:
    """Every organiser's call of the service, made by a stranger, answers NOT_FOUND."""
    await service.open()
    await service.school("other")
    response = await service.register(1)
    stranger = token("OWNER", "other")
    event: dict[str, Any] = {"school": "herzl", "event": "spring-match"}
    calls: list[Any] = [
        service.stub.UpdateEvent(pb.UpdateEventRequest(**event, fields=pb.EventFields(capacity=9)), metadata=stranger),
        service.stub.DeleteEvent(pb.DeleteEventRequest(**event), metadata=stranger),
        service.stub.ListRegistrations(pb.ListRegistrationsRequest(**event), metadata=stranger),
        service.stub.CheckIn(pb.CheckInRequest(**event, confirmation_code="ABCDEFGH"), metadata=stranger),
        service.stub.UndoCheckIn(pb.UndoCheckInRequest(**event, id=response.id), metadata=stranger),
        service.stub.GetSchoolStats(pb.GetSchoolStatsRequest(school="herzl"), metadata=stranger),
        service.stub.CancelRegistration(pb.CancelRegistrationRequest(id=response.id), metadata=stranger),
    ]
    results = await asyncio.gather(*calls, return_exceptions=True)
    codes = [result.code().name if hasattr(result, "code") else result for result in results]
    assert codes == ["NOT_FOUND"] * len(calls)

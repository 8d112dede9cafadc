"""Check SQL telemetry: statements, transactions, the pool."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode
from sqlalchemy import NullPool, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as SqlTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from ticketcap_observability import InMemoryTelemetry, SqlTelemetry, Telemetry, instrument_engine, schema
from ticketcap_testing.stack import postgres_server

NAMED = text("-- things.find: Find things, from whom they are.\nSELECT CAST(:value AS text)")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with postgres_server() as server:
        yield server.url().replace("postgresql://", "postgresql+psycopg://")


@pytest.fixture
def telemetry() -> InMemoryTelemetry:
    return Telemetry.in_memory()


@pytest.fixture
async def engine(url: str, telemetry: InMemoryTelemetry) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(url, pool_size=3)
    instrument_engine(engine, telemetry, pool_name="test")
    yield engine
    await engine.dispose()


def sql(telemetry: InMemoryTelemetry) -> list[ReadableSpan]:
    return [span for span in telemetry.spans if span.attributes and "db.system.name" in span.attributes]


async def test_a_statement_is_known_by_its_name(engine: AsyncEngine, telemetry: InMemoryTelemetry) -> None:
    """The span shows the statement without its values."""
    with telemetry.tracer.start_as_current_span("request") as request:
        async with engine.connect() as connection:
            await connection.execute(NAMED, {"value": "050-1234567"})
    [span] = sql(telemetry)
    assert span.name == "things.find"
    assert span.parent is not None
    assert span.parent.span_id == request.get_span_context().span_id
    assert "050-1234567" not in span.to_json()
    [point] = telemetry.points("db.client.operation.duration")
    assert point.attributes["db.operation.name"] == "SELECT"


async def test_statements_stay_in_their_own_trace_when_they_run_at_once(
    engine: AsyncEngine, telemetry: InMemoryTelemetry
) -> None:
    """Each hangs on the span of its own task."""

    async def work() -> tuple[int, int]:
        with telemetry.tracer.start_as_current_span("request") as request:
            async with engine.connect() as connection:
                await connection.execute(text("SELECT pg_sleep(0.02)"))
            return request.get_span_context().trace_id, request.get_span_context().span_id

    expected = sorted(await asyncio.gather(*(work() for _ in range(6))))
    assert sorted((s.context.trace_id, s.parent.span_id) for s in sql(telemetry) if s.parent) == expected


async def test_a_failure_tells_its_sqlstate_and_no_row(engine: AsyncEngine, telemetry: InMemoryTelemetry) -> None:
    """The database's message may quote one."""
    with telemetry.tracer.start_as_current_span("request"):
        async with engine.connect() as connection:
            with pytest.raises(DBAPIError):
                await connection.execute(text("SELECT CAST(:value AS integer)"), {"value": "050-1234567"})
    [span] = sql(telemetry)
    assert span.attributes is not None
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"] == "22P02"
    assert "050-1234567" not in span.to_json()


async def test_what_runs_by_itself_is_measured_without_a_trace(
    engine: AsyncEngine, telemetry: InMemoryTelemetry
) -> None:
    """A point and no span."""
    async with engine.connect() as connection:
        await connection.execute(NAMED, {"value": "x"})
    assert sql(telemetry) == []
    assert telemetry.points("db.client.operation.duration")[0].count == 1


async def test_a_statement_of_the_driver_is_measured_too(telemetry: InMemoryTelemetry) -> None:
    """For those that go past the engine."""
    statements = SqlTelemetry(telemetry)
    with telemetry.tracer.start_as_current_span("request"), statements.measured(NAMED.text):
        pass
    assert [span.name for span in sql(telemetry)] == ["things.find"]


async def test_a_statement_that_is_given_up_is_ended(engine: AsyncEngine, telemetry: InMemoryTelemetry) -> None:
    """Its caller was cancelled."""

    async def work() -> None:
        with telemetry.tracer.start_as_current_span("request"):
            async with engine.connect() as connection:
                await connection.execute(text("SELECT pg_sleep(30)"))

    task = asyncio.create_task(work())
    async with engine.connect() as other:
        query = text(
            "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT pg_sleep(30)%'"
        )
        while (await other.execute(query)).scalar_one() == 0:
            await other.rollback()  # within a transaction PostgreSQL shows one picture of its activity
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    [span] = sql(telemetry)
    assert span.attributes is not None
    assert span.attributes["error.type"] == "CancelledError"


async def test_a_statement_without_a_name_is_known_by_verb_and_table(
    engine: AsyncEngine, telemetry: InMemoryTelemetry
) -> None:
    """Or by its verb alone."""
    with telemetry.tracer.start_as_current_span("request"):
        async with engine.connect() as connection:
            await connection.execute(text("SELECT oid FROM pg_class LIMIT 1"))
            await connection.execute(text("SELECT 1"))
    assert [span.name for span in sql(telemetry)] == ["SELECT pg_class", "SELECT"]
    assert [(span.attributes or {}).get("db.collection.name") for span in sql(telemetry)] == ["pg_class", None]


async def test_the_pool_tells_who_is_busy(engine: AsyncEngine, telemetry: InMemoryTelemetry) -> None:
    """Idle and used connections; also of the pool that follows when the engine was disposed of."""
    for _ in range(2):
        async with engine.connect(), engine.connect():
            assert connections(telemetry) == {"idle": 0, "used": 2}
        assert connections(telemetry) == {"idle": 2, "used": 0}
        await engine.dispose()


def connections(telemetry: InMemoryTelemetry) -> dict[str, int]:
    points = telemetry.points("db.client.connection.count")
    return {point.attributes["db.client.connection.state"]: point.value for point in points}


async def test_waits_for_the_pool_are_measured(url: str, telemetry: InMemoryTelemetry) -> None:
    """Those that end with a connection, those that do not, and those of the next pool."""
    engine = create_async_engine(url, pool_size=1, max_overflow=0, pool_timeout=0.2)
    instrument_engine(engine, telemetry, pool_name="test")
    async with engine.connect():
        with pytest.raises(SqlTimeoutError):
            await engine.connect()
    await engine.dispose()
    async with engine.connect():
        pass
    await engine.dispose()
    points = telemetry.points("db.client.connection.wait_time")
    waits = {point.attributes.get("error.type", "ok"): point for point in points}
    assert {end: point.count for end, point in waits.items()} == {"ok": 2, "TimeoutError": 1}
    assert waits["TimeoutError"].sum >= 0.2
    assert waits["ok"].attributes["db.client.connection.pool.name"] == "test"
    assert waits["ok"].explicit_bounds == schema.QUERY_BUCKETS


async def test_an_engine_without_a_pool_has_no_counts(
    url: str, telemetry: InMemoryTelemetry, caplog: pytest.LogCaptureFixture
) -> None:
    """And makes no noise about it."""
    engine = create_async_engine(url, poolclass=NullPool)
    instrument_engine(engine, telemetry, pool_name="test")
    async with engine.connect():
        assert connections(telemetry) == {}
    await engine.dispose()
    assert caplog.text == ""

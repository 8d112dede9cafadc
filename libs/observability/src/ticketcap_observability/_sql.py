"""Trace and measure SQL statements, transactions and the pool.

A parameter's value never leaves: spans hold a statement's text with its placeholders.
"""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from opentelemetry import trace
from opentelemetry.metrics import Histogram
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from ticketcap_observability import schema
from ticketcap_observability.telemetry import Telemetry

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.ext.asyncio import AsyncEngine

# "-- name" or "-- name: description" on the first line.
_NAMED: Final = re.compile(r"\s*--\s*([\w.]+)(?::[^\n]*)?\s*\n")
_VERB: Final = re.compile(r"\s*([A-Za-z]+)")
_TABLE: Final = re.compile(r"\b(?:FROM|INTO|UPDATE)\s+([a-z_][a-z0-9_.]*)", re.IGNORECASE)
_STATE: Final = "ticketcap_statement"
_SYSTEM: Final = {"db.system.name": "postgresql"}
_MOST_NAMES: Final = 1000


def instrument_engine(engine: "AsyncEngine", telemetry: Telemetry, *, pool_name: str) -> None:
    """Measure every statement of ``engine``. A first line ``-- name: description`` names the statement's span."""
    from sqlalchemy import event

    statements = SqlTelemetry(telemetry)
    event.listen(engine.sync_engine, "before_cursor_execute", statements.on_begin)
    event.listen(engine.sync_engine, "after_cursor_execute", statements.on_end)
    event.listen(engine.sync_engine, "handle_error", statements.on_error)
    _time_transactions(engine, telemetry)
    _observe_pool(engine, telemetry, pool_name)


@dataclass(frozen=True, slots=True)
class _Statement:
    """A statement under way."""

    span: Span
    began: float
    attributes: dict[str, str]

    @property
    def operation(self) -> str:
        """The statement's name, or its verb when it has none."""
        return self.attributes.get("db.query.summary") or self.attributes["db.operation.name"]


class SqlTelemetry:
    """Spans and durations of statements. ``measured`` is for statements that bypass the engine's execution."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._tracer = telemetry.tracer
        self._duration = telemetry.duration(schema.DB_CLIENT_DURATION)
        self._queries = telemetry.histogram(schema.DB_QUERY_DURATION)
        self._lost = telemetry.counter(schema.DB_CONNECTION_ERRORS)
        self._names: dict[str, tuple[str, dict[str, str]]] = {}

    @contextmanager
    def measured(self, statement: str) -> Iterator[None]:
        """Measure the code inside as one execution of ``statement``."""
        state = self._begin(statement)
        try:
            yield
        except BaseException as error:
            self._end(state, error)
            raise
        self._end(state, None)

    def on_begin(self, _connection: Any, _cursor: Any, statement: str, _values: Any, context: Any, _many: bool) -> None:
        """Listen to ``before_cursor_execute``."""
        setattr(context, _STATE, self._begin(statement))

    def on_end(self, _connection: Any, _cursor: Any, _statement: str, _values: Any, context: Any, _many: bool) -> None:
        """Listen to ``after_cursor_execute``."""
        self._end(context.__dict__.pop(_STATE, None), None)

    def on_error(self, exception_context: Any) -> None:
        """Listen to ``handle_error``."""
        if exception_context.execution_context is not None:
            state = exception_context.execution_context.__dict__.pop(_STATE, None)
            self._end(state, exception_context.original_exception)
        elif _is_lost(exception_context.original_exception):
            self._lost.add(1)

    def _begin(self, statement: str) -> _Statement:
        name, attributes = self._description(statement)
        span: Span = trace.INVALID_SPAN
        # A job's statement is measured but starts no trace: a trace starts with a request.
        if trace.get_current_span().get_span_context().is_valid:
            span = self._tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes)
        if span.is_recording():
            span.set_attribute("db.query.text", statement)
        return _Statement(span, time.perf_counter(), attributes)

    def _end(self, state: _Statement | None, error: BaseException | None) -> None:
        if state is None:
            return
        attributes = state.attributes
        if error is not None:
            # The message may quote a row: the SQLSTATE alone goes out.
            error_type = getattr(error, "sqlstate", None) or type(error).__name__
            attributes = {**attributes, "error.type": error_type}
            state.span.set_attribute("error.type", error_type)
            state.span.set_status(Status(StatusCode.ERROR))
            if _is_lost(error):
                self._lost.add(1)
        seconds = time.perf_counter() - state.began
        context = trace.set_span_in_context(state.span)
        self._duration.record(seconds, attributes, context=context)
        self._queries.record(seconds, context, operation=state.operation)
        state.span.end()

    def _description(self, statement: str) -> tuple[str, dict[str, str]]:
        description = self._names.get(statement)
        if description is None:
            description = _describe(statement)
            if len(self._names) < _MOST_NAMES:
                self._names[statement] = description
        return description


def _is_lost(error: BaseException) -> bool:
    """Return whether the connection is lost or refused: no SQLSTATE at all, 08, 57P, or too many connections."""
    if not any(kind.__name__ == "OperationalError" for kind in type(error).__mro__):
        return False
    state = getattr(error, "sqlstate", None)
    return state is None or state.startswith(("08", "57P", "53300"))


def _time_transactions(engine: "AsyncEngine", telemetry: Telemetry) -> None:
    from sqlalchemy import Connection, event

    duration = telemetry.histogram(schema.DB_TRANSACTION_DURATION)
    # Beside the connections, not in their info: a lost connection raises when its info is read.
    begun: WeakKeyDictionary[Connection, float] = WeakKeyDictionary()

    def begin(connection: Connection) -> None:
        begun[connection] = time.perf_counter()

    def end(connection: Connection, operation: str) -> None:
        began = begun.pop(connection, None)
        if began is not None:
            duration.record(time.perf_counter() - began, operation=operation)

    event.listen(engine.sync_engine, "begin", begin)
    event.listen(engine.sync_engine, "commit", lambda connection: end(connection, "commit"))
    event.listen(engine.sync_engine, "rollback", lambda connection: end(connection, "rollback"))


def _describe(statement: str) -> tuple[str, dict[str, str]]:
    """Return a statement's span name and attributes."""
    attributes = dict(_SYSTEM)
    named = _NAMED.match(statement)
    verb = _VERB.match(statement, named.end() if named else 0)
    table = _TABLE.search(statement)
    operation = verb[1].upper() if verb else "QUERY"
    attributes["db.operation.name"] = operation
    if table and not named:
        attributes["db.collection.name"] = table[1]
    if named:
        attributes["db.query.summary"] = named[1]
    return (named[1] if named else f"{operation} {table[1]}" if table else operation), attributes


def _observe_pool(engine: "AsyncEngine", telemetry: Telemetry, pool_name: str) -> None:
    from sqlalchemy import QueuePool, event

    name = {"db.client.connection.pool.name": pool_name}
    waits = telemetry.duration(schema.DB_CLIENT_WAIT)

    def connections() -> Iterator[tuple[int, str]]:
        pool = engine.sync_engine.pool
        if isinstance(pool, QueuePool):
            yield pool.checkedin(), "idle"
            yield pool.checkedout(), "used"

    telemetry.gauge(schema.DB_CONNECTION_COUNT, lambda: [(n, {"state": state}) for n, state in connections()])
    telemetry.gauge(
        schema.DB_CLIENT_CONNECTIONS,
        lambda: [(n, {**name, "db.client.connection.state": state}) for n, state in connections()],
    )

    def most() -> list[tuple[int, dict[str, str]]]:
        # max_overflow is 0: the pool's size is its limit.
        pool = engine.sync_engine.pool
        return [(pool.size(), name)] if isinstance(pool, QueuePool) else []

    telemetry.gauge(schema.DB_CLIENT_MOST_CONNECTIONS, most)

    def time_waits(sync_engine: "Engine") -> None:
        _time_waits(sync_engine.pool, waits, name)

    time_waits(engine.sync_engine)
    # A disposed engine makes a new pool.
    event.listen(engine.sync_engine, "engine_disposed", time_waits)


def _time_waits(pool: Any, waits: Histogram, name: dict[str, str]) -> None:
    """Measure how long each caller waits for a connection. The pool has no event for the start of a wait."""
    connect = pool.connect

    def timed() -> Any:
        began = time.perf_counter()
        try:
            connection = connect()
        except BaseException as error:
            waits.record(time.perf_counter() - began, {**name, "error.type": type(error).__name__})
            raise
        waits.record(time.perf_counter() - began, name)
        return connection

    pool.connect = timed

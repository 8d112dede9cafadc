"""Sees one batch of commands through a transaction, whatever fails: every waiter gets an answer of its own."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Protocol

from opentelemetry import trace
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind
from ticketcap_chassis.concurrency.slices import in_slices
from ticketcap_chassis.database.errors import (
    ConstraintViolated,
    Contended,
    NoFreeConnection,
    OutcomeUnknown,
    StoreUnavailable,
)
from ticketcap_chassis.errors import InternalError, ServiceError
from ticketcap_observability import Telemetry, get_logger, schema, sentry

from ticketcap_registration.domain.commands import ChangeEvent, Claim, Command
from ticketcap_registration.domain.confirmation_code import new_code
from ticketcap_registration.domain.errors import SlugTaken
from ticketcap_registration.lanes.seat_metrics import SeatMetrics
from ticketcap_registration.lanes.seat_transaction import Committed, Decided
from ticketcap_registration.lanes.waiter import Answer, Waiter
from ticketcap_registration.store.directory import EventKey
from ticketcap_registration.store.events import SLUG_TAKEN
from ticketcap_registration.store.registrations import CODE_TAKEN

_PAUSES: Final = (0.05, 0.2, 0.8)
"""Seconds before each further try when nothing was done: the database may be starting again."""
_TRIES_SECONDS: Final = 5.0
"""No further try after it: callers learn that the database is unavailable before their deadline tells them less."""

_NOTHING_DONE: Final = (StoreUnavailable, NoFreeConnection)

_log = get_logger(__name__)


class Transaction(Protocol):
    """Runs commands of one event in one transaction; see ``SeatTransactions``."""

    async def run(self, key: EventKey, commands: Sequence[Command]) -> Committed:
        """Return one outcome per command."""


class Batches:
    """Runs batches. A batch that fails as a whole is halved until what poisons it stands alone."""

    def __init__(self, transaction: Transaction, telemetry: Telemetry) -> None:
        self._transaction = transaction
        self._tracer = telemetry.tracer
        self._metrics = SeatMetrics(telemetry)

    async def run(self, event: EventKey, waiters: Sequence[Waiter], waited_ms: float) -> bool:
        """Answer every waiter, under one span that is linked to all that are served.

        Returns False when another transaction held the rows: nothing was done for those without an answer.
        """
        spans = [waiter.span for waiter in waiters if waiter.span.is_valid and waiter.span.trace_flags.sampled]
        with self._tracer.start_as_current_span(
            schema.BATCH,
            context=trace.set_span_in_context(NonRecordingSpan(spans[0])) if spans else None,
            kind=SpanKind.INTERNAL,
            links=[Link(span) for span in spans],
            attributes={
                schema.EVENT_ID: str(event.id),
                schema.SCHOOL_ID: str(event.school.id),
                schema.SCHOOL_SLUG: event.school.slug,
                schema.BATCH_SIZE: len(waiters),
                schema.BATCH_WAIT_MS: waited_ms,
            },
            record_exception=False,
        ) as span:
            self._metrics.begun(len(waiters), waited_ms / 1000)
            try:
                await self._answer_all(event, waiters, span.get_span_context())
            except Contended as error:
                _log.warning("lane.retry", event_id=str(event.id), reason=error.reason, pause_seconds=0.0)
                return False
            return True

    async def _answer_all(self, event: EventKey, waiters: Sequence[Waiter], span: SpanContext) -> None:
        try:
            committed = await self._committed(event, [waiter.command for waiter in waiters])
        except OutcomeUnknown as error:
            await self._ask_again(event, waiters, span, error)
        except Contended:
            # Waiting here would hold a turn that other events need: the lane takes another one for it.
            raise
        except ServiceError as error:
            _refuse_all(waiters, error)
        except Exception as error:  # noqa: BLE001 - a poisoned item may raise anything; it is isolated and logged
            await self._isolate(event, waiters, span, error)
        else:
            self._tell(event, committed)
            await _give_all(waiters, committed, span)

    def _tell(self, event: EventKey, committed: Committed) -> None:
        self._metrics.committed(committed)
        self._tell_moves(event, committed.decided)

    def _tell_moves(self, event: EventKey, decided: Decided) -> None:
        """Draw into the batch's trace who was promoted and whose hold expired beside what was asked for."""
        for name, counted, spots in (
            (schema.EXPIRE, schema.EXPIRED, decided.expired),
            (schema.PROMOTE, schema.PROMOTED, decided.promoted),
        ):
            if spots:
                attributes: dict[str, str | int] = {schema.EVENT_ID: str(event.id), schema.SPOTS: sum(spots)}
                attributes[counted] = len(spots)
                self._tracer.start_span(name, start_time=decided.began, attributes=attributes).end(decided.ended)

    async def _ask_again(
        self, event: EventKey, waiters: Sequence[Waiter], span: SpanContext, error: OutcomeUnknown
    ) -> None:
        """The commit may have happened: repeat what gives the first answer again, say so to the others."""
        _refuse_all([waiter for waiter in waiters if not waiter.command.repeatable], error)
        again = [waiter for waiter in waiters if waiter.command.repeatable]
        if not again:
            return
        try:
            committed = await self._committed(
                event, [waiter.command for waiter in again], retried=(*_NOTHING_DONE, Contended)
            )
        except ServiceError:
            _refuse_all(again, error)
        else:
            self._tell(event, committed)
            await _give_all(again, committed, span)

    async def _isolate(self, event: EventKey, waiters: Sequence[Waiter], span: SpanContext, error: Exception) -> None:
        if len(waiters) == 1:
            _log.error("lane.poisoned_item", event_id=str(event.id), exc_info=error)
            with sentry.scope(schema.BATCH):
                sentry.set_school(event.school.slug, event.school.id)
                sentry.set_event(str(event.id))
                sentry.report(error)
            waiters[0].refuse(InternalError("this request can't be processed; the log has it under this trace id"))
            return
        middle = len(waiters) // 2
        await self._answer_all(event, waiters[:middle], span)
        await self._answer_all(event, waiters[middle:], span)

    async def _committed(
        self,
        event: EventKey,
        commands: Sequence[Command],
        *,
        retried: tuple[type[ServiceError], ...] = _NOTHING_DONE,
    ) -> Committed:
        """Try again, a bounded number of times, while nothing was done."""
        last_try_at = time.monotonic() + _TRIES_SECONDS
        for pause in _PAUSES:
            try:
                return await self._transaction.run(event, commands)
            except retried as error:
                if isinstance(error, StoreUnavailable) and time.monotonic() > last_try_at:
                    raise
                _log.warning("lane.retry", event_id=str(event.id), reason=error.reason, pause_seconds=pause)
                await asyncio.sleep(pause)
            except ConstraintViolated as error:
                commands = _changed_for(error, commands)
        return await self._transaction.run(event, commands)


def _changed_for(error: ConstraintViolated, commands: Sequence[Command]) -> list[Command]:
    """Return what to try after a unique rule was violated, or raise what it means."""
    if error.constraint == CODE_TAKEN:
        return [_with_new_code(command) for command in commands]
    if error.constraint == SLUG_TAKEN:
        raise SlugTaken("event", _slug_of(commands)) from None
    # Not a ServiceError: one item of the batch is to blame, and it is found by halving.
    raise PoisonedBatch(error.constraint) from error


class PoisonedBatch(Exception):
    """The database refused a row of this batch; the argument names the rule."""


def _with_new_code(command: Command) -> Command:
    return replace(command, confirmation_code=new_code()) if isinstance(command, Claim) else command


def _slug_of(commands: Sequence[Command]) -> str:
    return next((command.fields.get("slug", "") for command in commands if isinstance(command, ChangeEvent)), "")


def _refuse_all(waiters: Sequence[Waiter], error: ServiceError) -> None:
    for waiter in waiters:
        waiter.refuse(error)


async def _give_all(waiters: Sequence[Waiter], committed: Committed, span: SpanContext) -> None:
    async for waiter, outcome in in_slices(list(zip(waiters, committed.outcomes, strict=True))):
        if isinstance(outcome, ServiceError):
            waiter.refuse(outcome)
        else:
            waiter.give(Answer(outcome, committed.decided, span))

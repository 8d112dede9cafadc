"""Take one batch of commands through a transaction, and through every failure.

Every waiter gets an outcome or an error of its own. The failures, and what follows:

- The rules refuse a command: that command fails alone, in the ledger.
- Nothing was done (no connection, a lost one before the commit): the batch is tried again, a bounded number of times.
- A generated value is taken (a confirmation code): the batch is tried again with new values.
- Another transaction holds the rows: the batch returns to its lane, which waits in another turn.
- The outcome of the commit is unknown: repeatable commands run again, all others fail with that error.
- Any other error: one command poisons the batch. Halves of it run alone, until that command stands alone.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Protocol

from ticketcap_chassis.concurrency.slices import in_slices
from ticketcap_chassis.database.errors import (
    ConstraintViolated,
    Contended,
    NoFreeConnection,
    OutcomeUnknown,
    StoreUnavailable,
)
from ticketcap_chassis.errors import InternalError, ServiceError
from ticketcap_observability import get_logger

from ticketcap_registration.domain.commands import ChangeEvent, Claim, Command
from ticketcap_registration.domain.confirmation_code import new_code
from ticketcap_registration.domain.errors import SlugTaken
from ticketcap_registration.domain.keys import EventKey
from ticketcap_registration.domain.ledger import Decision
from ticketcap_registration.lanes.waiter import Applied, Waiter
from ticketcap_registration.store.models import CODE_TAKEN, EVENT_SLUG_TAKEN
from ticketcap_registration.telemetry.lanes import LaneTelemetry, SpanReference

_PAUSES: Final = (0.05, 0.2, 0.8)
"""Seconds before each further try when nothing was done: the database may be starting again."""
_TRIES_SECONDS: Final = 5.0
"""No further try after it: UNAVAILABLE tells callers more than their own deadline would."""

_NOTHING_DONE: Final = (StoreUnavailable, NoFreeConnection)

_log = get_logger(__name__)


class Transaction(Protocol):
    """Runs commands of one event in one transaction; see ``SeatTransactions``."""

    async def run(self, key: EventKey, commands: Sequence[Command]) -> Decision:
        """Return the committed decision."""


class PoisonedBatch(Exception):
    """The database rejected a row of this batch; the argument names the constraint."""


class Batches:
    """Runs batches of any event."""

    def __init__(self, transaction: Transaction, telemetry: LaneTelemetry) -> None:
        self._transaction = transaction
        self._telemetry = telemetry

    async def run(self, event: EventKey, waiters: Sequence[Waiter], waited_ms: float) -> bool:
        """Complete every waiter, under one span that is linked to those of all of them.

        Returns False when another transaction held the rows: nothing was done for waiters that are not complete.
        """
        with self._telemetry.batch(event, [waiter.span for waiter in waiters], waited_ms) as span:
            try:
                await self._complete_all(event, waiters, span)
            except Contended as error:
                _log.warning("lane.retry", event_id=str(event.id), reason=error.reason, pause_seconds=0.0)
                return False
            return True

    async def _complete_all(self, event: EventKey, waiters: Sequence[Waiter], span: SpanReference) -> None:
        try:
            decision = await self._commit(event, [waiter.command for waiter in waiters])
        except OutcomeUnknown as error:
            await self._repeat(event, waiters, span, error)
        except Contended:
            # Waiting here would hold a turn that other events need: the lane takes another one for this batch.
            raise
        except ServiceError as error:
            _reject_all(waiters, error)
        except Exception as error:  # noqa: BLE001 - a poisoned command may raise anything; it is isolated and logged
            await self._isolate(event, waiters, span, error)
        else:
            self._telemetry.committed(event, decision)
            await _resolve_all(waiters, decision, span)

    async def _repeat(
        self, event: EventKey, waiters: Sequence[Waiter], span: SpanReference, error: OutcomeUnknown
    ) -> None:
        """The commit may have happened: run repeatable commands again, reject the others with ``error``.

        A repeated claim finds its first outcome by its idempotency key, so it has one effect either way.
        """
        _reject_all([waiter for waiter in waiters if not waiter.command.repeatable], error)
        again = [waiter for waiter in waiters if waiter.command.repeatable]
        if not again:
            return
        try:
            # Contended counts here: the server may still be ending the lost connection's transaction.
            decision = await self._commit(
                event, [waiter.command for waiter in again], retried=(*_NOTHING_DONE, Contended)
            )
        except ServiceError:
            _reject_all(again, error)
        else:
            self._telemetry.committed(event, decision)
            await _resolve_all(again, decision, span)

    async def _isolate(self, event: EventKey, waiters: Sequence[Waiter], span: SpanReference, error: Exception) -> None:
        if len(waiters) == 1:
            self._telemetry.poisoned(event, error)
            waiters[0].reject(InternalError("this request can't be processed; the log has it under this trace id"))
            return
        middle = len(waiters) // 2
        # In order: the halves are two transactions, and an earlier command still decides first.
        await self._complete_all(event, waiters[:middle], span)
        await self._complete_all(event, waiters[middle:], span)

    async def _commit(
        self,
        event: EventKey,
        commands: Sequence[Command],
        *,
        retried: tuple[type[ServiceError], ...] = _NOTHING_DONE,
    ) -> Decision:
        """Run the transaction; try again, a bounded number of times, while nothing was done."""
        last_try_at = time.monotonic() + _TRIES_SECONDS
        for pause in _PAUSES:
            try:
                return await self._transaction.run(event, commands)
            except retried as error:
                if isinstance(error, StoreUnavailable) and time.monotonic() > last_try_at:
                    raise
                _log.warning("lane.retry", event_id=str(event.id), reason=error.reason, pause_seconds=pause)
                # This holds the lane's turn: the other lanes would meet the same database.
                await asyncio.sleep(pause)
            except ConstraintViolated as error:
                commands = _with_new_values(error, commands)
        return await self._transaction.run(event, commands)


def _with_new_values(error: ConstraintViolated, commands: Sequence[Command]) -> list[Command]:
    """Return the commands to try after a unique constraint was violated, or raise its meaning."""
    if error.constraint == CODE_TAKEN:
        return [
            replace(command, confirmation_code=new_code()) if isinstance(command, Claim) else command
            for command in commands
        ]
    if error.constraint == EVENT_SLUG_TAKEN:
        slugs = (command.fields.get("slug", "") for command in commands if isinstance(command, ChangeEvent))
        raise SlugTaken("event", next(slugs, "")) from None
    # Not a ServiceError: one command of the batch is to blame, and halving finds it.
    raise PoisonedBatch(error.constraint) from error


def _reject_all(waiters: Sequence[Waiter], error: ServiceError) -> None:
    for waiter in waiters:
        waiter.reject(error)


async def _resolve_all(waiters: Sequence[Waiter], decision: Decision, span: SpanReference) -> None:
    # In slices: each completed caller has work to do, and 256 of them at once would hold up every other event.
    async for waiter, outcome in in_slices(list(zip(waiters, decision.outcomes, strict=True))):
        if isinstance(outcome, ServiceError):
            waiter.reject(outcome)
        else:
            waiter.resolve(Applied(outcome, decision, span))

"""One event's queue, flushed into one transaction after another.

A lane has a task only while something waits. It flushes when the transaction
before has returned: an idle event pays nothing, a hot one batches by itself.

All lanes share few turns. A turn ends after one try, and a try in an ordinary
turn waits for locks a moment at most. Where another transaction holds the rows
longer, the batch goes back to the head of the queue, and the lane's next try
takes a patient turn: those are a few of their own. So an event whose row stays
locked costs the other events nothing.
"""

import asyncio
import contextvars
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from opentelemetry import trace
from ticketcap_chassis import deadlines
from ticketcap_chassis.database.errors import Contended
from ticketcap_chassis.errors import InternalError
from ticketcap_observability import get_logger, sentry

from ticketcap_registration.domain.commands import ChangeEvent, Claim, Command
from ticketcap_registration.domain.errors import IdempotencyInFlight, LaneFull, WaitedTooLong
from ticketcap_registration.lanes.batch import Batches
from ticketcap_registration.lanes.waiter import Answer, Waiter
from ticketcap_registration.store.directory import EventKey

_PAUSE_SECONDS: Final = 0.05

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneLimits:
    """Bounds of lanes; numbers of commands unless told otherwise."""

    queue: int = 4096
    """What waits for one event; more is refused with LaneFull."""
    batch: int = 256
    """What one transaction takes."""
    transactions: int = 4
    """Transactions of different events at the same time."""
    patient: int = 2
    """Transactions beside those, of events whose rows another transaction holds."""
    patience_seconds: float = 12.0
    """How long a command without a deadline is tried again while another transaction holds the rows."""


@dataclass(frozen=True, slots=True)
class Turns:
    """A kind of turns: what runs a batch in one, and how many lanes have one at the same time."""

    batches: Batches
    places: asyncio.Semaphore


class Lane:
    """The queue of one event. ``on_empty`` is called when nothing waits any more."""

    def __init__(
        self,
        event: EventKey,
        limits: LaneLimits,
        *,
        ordinary: Turns,
        patient: Turns,
        on_empty: Callable[[], None],
    ) -> None:
        self._event = event
        self._limits = limits
        self._ordinary = ordinary
        self._patient = patient
        self._on_empty = on_empty
        self._waiting: deque[Waiter] = deque()
        self._keys: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    async def submit(self, command: Command) -> Answer:
        """Wait for the command's turn and return its answer.

        Raises WaitedTooLong, LaneFull or IdempotencyInFlight before anything is
        done, and otherwise what the rules or the store raise.
        """
        left = deadlines.remaining()
        if left is not None and left <= 0:
            raise WaitedTooLong(self._event.id)
        if len(self._waiting) >= self._limits.queue:
            raise LaneFull(self._event.id, self._limits.queue)
        if isinstance(command, Claim):
            if command.idempotency_key in self._keys:
                raise IdempotencyInFlight
            self._keys.add(command.idempotency_key)
        waiter = Waiter(
            command,
            deadline=None if left is None else time.monotonic() + left,
            span=trace.get_current_span().get_span_context(),
            answer=asyncio.get_running_loop().create_future(),
        )
        self._waiting.append(waiter)
        self._run()
        return await waiter.answer

    @property
    def depth(self) -> int:
        """How many commands wait."""
        return len(self._waiting)

    async def drained(self) -> None:
        """Wait until nothing waits."""
        if self._task is not None:
            await asyncio.shield(self._task)

    def cancel(self) -> None:
        """Give up what waits; its callers are cancelled."""
        if self._task is not None:
            self._task.cancel()

    def _run(self) -> None:
        if self._task is None:
            # The task belongs to the lane: the caller that happens to start it may go at any time.
            self._task = asyncio.get_running_loop().create_task(self._flush_all(), context=contextvars.Context())

    async def _flush_all(self) -> None:
        try:
            turns = self._ordinary
            while self._waiting:
                # The places are first come, first served, and each lane asks for one at a time: a hot event's next
                # batch comes after one batch of every event that waits.
                async with turns.places:
                    done = await self._flush(turns.batches, self._take())
                if done:
                    turns = self._ordinary
                else:
                    turns = self._patient
                    # Outside of the turn: rows that fail at once are tried a bounded number of times a second.
                    await asyncio.sleep(_PAUSE_SECONDS)
        finally:
            self._task = None
            for waiter in self._waiting:
                waiter.answer.cancel()
            self._waiting.clear()
            self._on_empty()

    async def _flush(self, batches: Batches, batch: list[Waiter]) -> bool:
        """Run a batch; False when its rows were locked and it waits again."""
        if not batch:
            return True
        waited_ms = (time.monotonic() - batch[0].entered_at) * 1000
        try:
            if not await batches.run(self._event, batch, waited_ms):
                batch = self._put_back(batch)
                return False
        except Exception as error:  # noqa: BLE001 - the lane outlives whatever a batch raises; it is logged
            _log.error("lane.batch_failed", event_id=str(self._event.id), exc_info=error)
            sentry.report(error)
        finally:
            for waiter in batch:
                waiter.refuse(InternalError("this request was not answered; ask again with the same key"))
                self._forget(waiter)
        return True

    def _put_back(self, batch: list[Waiter]) -> list[Waiter]:
        """Return a batch to the head of the queue, in its order; return those whose time is over, refused."""
        over = [waiter for waiter in batch if waiter.answer.done() or self._is_out_of_patience(waiter)]
        self._waiting.extendleft(waiter for waiter in reversed(batch) if waiter not in over)
        return over

    def _is_out_of_patience(self, waiter: Waiter) -> bool:
        if time.monotonic() - waiter.entered_at < self._limits.patience_seconds:
            return False
        waiter.refuse(Contended())
        return True

    def _take(self) -> list[Waiter]:
        """Take the next batch out of the queue. A change of the event itself goes alone."""
        batch: list[Waiter] = []
        while self._waiting and len(batch) < self._limits.batch:
            changes_event = isinstance(self._waiting[0].command, ChangeEvent)
            if changes_event and batch:
                break
            waiter = self._waiting.popleft()
            if self._is_wanted(waiter):
                batch.append(waiter)
                if changes_event:
                    break
        return batch

    def _is_wanted(self, waiter: Waiter) -> bool:
        """Drop a waiter whose caller has gone or is out of time; nothing was done for it."""
        if waiter.is_late:
            waiter.refuse(WaitedTooLong(self._event.id))
        if waiter.answer.done():
            self._forget(waiter)
            return False
        return True

    def _forget(self, waiter: Waiter) -> None:
        if isinstance(waiter.command, Claim):
            self._keys.discard(waiter.command.idempotency_key)

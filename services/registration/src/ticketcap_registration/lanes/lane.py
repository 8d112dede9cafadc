"""Queue one event's commands and flush them batch by batch.

A lane has a task only while a command waits. It flushes when the transaction
before has returned: an idle event pays nothing, a hot one batches by itself.

All lanes share few turns. A turn ends after one try, and a try in an ordinary
turn waits for locks a moment at most. Where another transaction holds the rows
longer, the batch returns to the head of the queue, and the lane's next try takes
a patient turn, of which there are a few more. So an event whose row stays locked
costs the other events nothing.

The states of a waiter, and who may complete it:

- Queued (in ``_queue``). ``_take`` rejects it when its deadline has passed. The end of the lane's task cancels it.
- In a batch (out of the queue). ``Batches.run`` resolves or rejects it. ``_flush`` rejects it when that left it out.
- Queued again, at the head, when its rows were locked. ``_put_back`` rejects it after ``patience_seconds``.
- Complete. Its caller may do that at any moment by leaving, which cancels the future. The first completion counts.

Everything here runs on the event loop, so only an await lets another coroutine in. A claim's idempotency key is in
``_keys`` from ``submit`` until its waiter leaves queue and batch: a second claim with it is refused meanwhile.
"""

import asyncio
import contextvars
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ticketcap_chassis.database.errors import Contended
from ticketcap_chassis.errors import InternalError
from ticketcap_observability import get_logger

from ticketcap_registration.domain.commands import ChangeEvent, Claim, Command
from ticketcap_registration.domain.errors import IdempotencyInFlight, LaneFull, WaitedTooLong
from ticketcap_registration.domain.keys import EventKey
from ticketcap_registration.lanes.batch import Batches
from ticketcap_registration.lanes.waiter import Applied, Waiter
from ticketcap_registration.telemetry.lanes import current_span, report

_PAUSE_SECONDS: Final = 0.05

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneLimits:
    """Bounds of lanes, in commands unless a field says otherwise."""

    queue: int = 4096
    """Commands that wait for one event; more are refused with LaneFull."""
    batch: int = 256
    """Commands in one transaction."""
    transactions: int = 4
    """Transactions of different events at the same time."""
    patient: int = 2
    """Transactions beside those, of events whose rows another transaction holds."""
    patience_seconds: float = 12.0
    """How long a command without a deadline is tried again while another transaction holds the rows."""


@dataclass(frozen=True, slots=True)
class Turns:
    """A kind of turns: the runner of a batch, and as many slots as lanes may have a turn at the same time."""

    batches: Batches
    slots: asyncio.Semaphore


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
        self._queue: deque[Waiter] = deque()
        self._keys: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    async def submit(self, command: Command, left: float | None = None) -> Applied:
        """Wait for the command's turn, ``left`` seconds at most; return its outcome.

        Raises LaneFull, IdempotencyInFlight or WaitedTooLong before anything is done, and otherwise the errors of the
        rules and the store.
        """
        if len(self._queue) >= self._limits.queue:
            raise LaneFull(self._event.id, self._limits.queue)
        if isinstance(command, Claim):
            if command.idempotency_key in self._keys:
                raise IdempotencyInFlight
            self._keys.add(command.idempotency_key)
        waiter = Waiter(
            command,
            deadline=None if left is None else time.monotonic() + left,
            span=current_span(),
            future=asyncio.get_running_loop().create_future(),
        )
        # No await from the look-up of this lane to here: the lane can't end before its queue holds the waiter.
        self._queue.append(waiter)
        self._start()
        # A caller that is cancelled here cancels the future and nothing else: its waiter stays queued until ``_take``
        # drops it, or its batch commits without it.
        return await waiter.future

    @property
    def depth(self) -> int:
        """How many commands wait."""
        return len(self._queue)

    async def drained(self) -> None:
        """Wait until nothing waits. A cancelled caller does not stop the lane."""
        if self._task is not None:
            await asyncio.shield(self._task)

    def cancel(self) -> None:
        """Cancel the lane's task, and with it every queued waiter."""
        if self._task is not None:
            self._task.cancel()

    def _start(self) -> None:
        if self._task is None:
            # The task and its context belong to the lane: the caller that starts it may leave at any time, and its
            # trace and deadline must not become those of every later batch.
            self._task = asyncio.get_running_loop().create_task(
                self._flush_all(), name=f"lane of event {self._event.id}", context=contextvars.Context()
            )

    async def _flush_all(self) -> None:
        try:
            turns = self._ordinary
            while self._queue:
                # The slots are first come, first served, and each lane waits for one at a time: a hot event's next
                # batch follows one batch of every event that waits. The batch is taken inside of the turn, so that it
                # holds all commands that arrived during the wait.
                async with turns.slots:
                    done = await self._flush(turns.batches, self._take())
                if done:
                    turns = self._ordinary
                else:
                    turns = self._patient
                    # Outside of the turn: rows that fail at once are tried a bounded number of times a second.
                    await asyncio.sleep(_PAUSE_SECONDS)
        finally:
            # No await from the look at the empty queue to here: a new waiter starts a new task. Only a cancelled task
            # finds waiters left.
            self._task = None
            for waiter in self._queue:
                waiter.future.cancel()
            self._queue.clear()
            self._on_empty()

    async def _flush(self, batches: Batches, batch: list[Waiter]) -> bool:
        """Run a batch; return False when its rows were locked and it is queued again."""
        if not batch:
            return True
        waited_ms = (time.monotonic() - batch[0].entered_at) * 1000
        try:
            # New waiters are queued during this await; none of them is in ``batch``.
            if not await batches.run(self._event, batch, waited_ms):
                batch = self._put_back(batch)
                return False
        except Exception as error:  # noqa: BLE001 - no error of a batch may end the lane; it is logged and reported
            _log.error("lane.batch_failed", event_id=str(self._event.id), exc_info=error)
            report(error)
        finally:
            # Also on cancellation: every caller gets an answer. A complete waiter ignores this one.
            for waiter in batch:
                waiter.reject(InternalError("this request was not answered; repeat it with the same key"))
                self._forget(waiter)
        return True

    def _put_back(self, batch: list[Waiter]) -> list[Waiter]:
        """Queue a batch again, at the head and in its order; return its complete waiters, and those out of patience."""
        over = [waiter for waiter in batch if waiter.future.done() or self._is_out_of_patience(waiter)]
        self._queue.extendleft(waiter for waiter in reversed(batch) if waiter not in over)
        return over

    def _is_out_of_patience(self, waiter: Waiter) -> bool:
        if time.monotonic() - waiter.entered_at < self._limits.patience_seconds:
            return False
        waiter.reject(Contended())
        return True

    def _take(self) -> list[Waiter]:
        """Take the next batch out of the queue. A change of the event itself is a batch of its own."""
        batch: list[Waiter] = []
        while self._queue and len(batch) < self._limits.batch:
            changes_event = isinstance(self._queue[0].command, ChangeEvent)
            if changes_event and batch:
                break
            waiter = self._queue.popleft()
            if self._is_pending(waiter):
                batch.append(waiter)
                if changes_event:
                    break
        return batch

    def _is_pending(self, waiter: Waiter) -> bool:
        """Drop a waiter whose caller has left or whose deadline has passed; nothing was done for it."""
        if waiter.is_late:
            waiter.reject(WaitedTooLong(self._event.id))
        if waiter.future.done():
            self._forget(waiter)
            return False
        return True

    def _forget(self, waiter: Waiter) -> None:
        if isinstance(waiter.command, Claim):
            self._keys.discard(waiter.command.idempotency_key)

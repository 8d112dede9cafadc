"""Merge the claims of many callers into few RegisterBatch calls.

Each event has a queue and a few slots of its own, and a batch holds claims of
one event: an event that answers slowly, or never, delays no other. A claim is
sent at once while a slot of its event is free. While all are taken, claims wait,
and leave together when a slot comes free: no timer, so an idle event pays
nothing and a rush batches by itself.

A claim waits in its event's queue, then is in flight in one batch, then has an
answer. Its caller, its timer and its batch may each complete the answer; the
first one wins, and the others see that it is done.
"""

import asyncio
import contextvars
import copy
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Final, Protocol

from ticketcap.registration.v1 import registration_pb2 as pb
from ticketcap_chassis import deadlines
from ticketcap_chassis.concurrency.slices import in_slices
from ticketcap_chassis.errors import Busy, DeadlineExceeded, InternalError, ServiceError, Unavailable
from ticketcap_chassis.rpc.channel import DEFAULT_TIMEOUT_SECONDS
from ticketcap_chassis.rpc.status import from_status
from ticketcap_observability import get_logger

from ticketcap_gateway import telemetry

EVENT_IN_FLIGHT: Final = 2
"""Batches of one event in flight: the registration service prepares one while it commits the other."""
MAX_IN_FLIGHT: Final = 512
"""Batches of all events in flight: a quarter of the calls that a replica of the registration service serves."""
MAX_BATCH: Final = 64
"""Claims of one batch: more save little, and keep both ends longer from other events."""

_EventName = tuple[str, str]

_log = get_logger(__name__)


class BatchRegistrar(Protocol):
    """Takes batches of claims."""

    async def register_batch(self, request: pb.RegisterBatchRequest) -> pb.RegisterBatchResponse:
        """Return one result per item, in the batch's order, or raise a ServiceError."""
        ...


@dataclass(slots=True, eq=False)
class _WaitingClaim:
    """One caller's claim and the future of its answer. ``deadline`` is on the monotonic clock."""

    request: pb.RegisterRequest
    traceparent: str
    deadline: float
    answer: asyncio.Future[pb.RegisterResponse]
    context: contextvars.Context

    def refuse(self, error: ServiceError) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)

    def expire(self) -> None:
        self.refuse(DeadlineExceeded("the answer did not come in time; try again with the same Idempotency-Key"))

    def resolve(self, result: pb.RegisterBatchResponse.Result) -> None:
        if self.answer.done():
            return
        kind = result.WhichOneof("result")
        if kind == "response":
            self.answer.set_result(result.response)
        elif kind == "error":
            self.refuse(from_status(result.error))
        else:
            self.refuse(InternalError("the registration service returned no answer to this claim"))


@dataclass(slots=True, eq=False)
class _EventQueue:
    """One event's claims: those that wait, and the numbers of claims and batches in flight."""

    event: _EventName
    waiting: deque[_WaitingClaim] = field(default_factory=deque)
    batches_in_flight: int = 0
    claims_in_flight: int = 0
    has_turn: bool = False

    @property
    def claims(self) -> int:
        return len(self.waiting) + self.claims_in_flight

    @property
    def may_send(self) -> bool:
        return bool(self.waiting) and self.batches_in_flight < EVENT_IN_FLIGHT

    def next_batch(self) -> list[_WaitingClaim]:
        batch: list[_WaitingClaim] = []
        now = time.monotonic()
        while self.waiting and len(batch) < MAX_BATCH:
            claim = self.waiting.popleft()
            # A claim whose caller left, or whose time is over, is dropped: the service never sees it.
            if not claim.answer.done() and claim.deadline > now:
                batch.append(claim)
        return batch


class ClaimCoalescer:
    """Sends claims in batches of one event; events take turns, and one has at most two batches in flight.

    ``max_waiting`` bounds the waiting claims of all events, ``max_of_event``
    those of one event that wait or are in flight: each holds a connection of
    its caller, and other events need connections too. A caller that leaves
    never harms its batch.
    """

    def __init__(self, registrar: BatchRegistrar, *, max_waiting: int, max_of_event: int) -> None:
        self._registrar = registrar
        self._max_waiting = max_waiting
        self._max_of_event = max_of_event
        self._waiting = 0
        # Events with a claim that waits or is in flight; dropped when they have none.
        self._events: dict[_EventName, _EventQueue] = {}
        # Events that may send, each once, in the order of their turns.
        self._turns: deque[_EventQueue] = deque()
        self._sending: set[asyncio.Task[None]] = set()
        self._flush_is_due = False
        self._closed = False

    async def register(self, request: pb.RegisterRequest) -> pb.RegisterResponse:
        """Return the final answer to one claim.

        Raises the claim's own ServiceError; Busy when too many claims wait, or too many of this event;
        DeadlineExceeded when the current deadline passes first.
        """
        if self._closed:
            raise Unavailable("the gateway is stopping; try again")
        event = _event_of(request)
        self._must_have_room(event)
        loop = asyncio.get_running_loop()
        timeout = deadlines.bounded(DEFAULT_TIMEOUT_SECONDS)
        claim = _WaitingClaim(
            request=request,
            traceparent=telemetry.current_traceparent(),
            deadline=time.monotonic() + timeout,
            answer=loop.create_future(),
            context=contextvars.copy_context(),
        )
        timer = loop.call_later(timeout, claim.expire)
        self._add(event, claim)
        self._flush_soon()
        try:
            # A cancelled caller cancels the future, not the batch: a claim in flight may still be committed, and its
            # idempotency key finds the outcome.
            return await claim.answer
        finally:
            timer.cancel()

    async def close(self) -> None:
        """Refuse the waiting claims and cancel the batches in flight; idempotency keys find their outcome again."""
        self._closed = True
        for queue in self._events.values():
            for claim in queue.waiting:
                claim.refuse(Unavailable("the gateway is stopping; try again"))
            queue.waiting.clear()
        self._turns.clear()
        for task in self._sending:
            task.cancel()
        # Each task answers its callers before it ends; nothing starts a new one, since all queues are empty.
        await asyncio.gather(*self._sending, return_exceptions=True)

    def _must_have_room(self, event: _EventName) -> None:
        if self._waiting >= self._max_waiting:
            raise Busy(f"{self._max_waiting} claims are waiting already; try again", reason="TOO_MANY_CLAIMS")
        queue = self._events.get(event)
        if queue is not None and queue.claims >= self._max_of_event:
            raise Busy(
                f"{self._max_of_event} claims of this event are waiting already; try again", reason="TOO_MANY_CLAIMS"
            )

    def _add(self, event: _EventName, claim: _WaitingClaim) -> None:
        queue = self._events.setdefault(event, _EventQueue(event))
        queue.waiting.append(claim)
        self._waiting += 1
        self._take_turn(queue)

    def _take_turn(self, queue: _EventQueue) -> None:
        """Queue an event that may send for its turn: once, behind the events that wait already."""
        if queue.may_send and not queue.has_turn:
            queue.has_turn = True
            self._turns.append(queue)

    def _flush_soon(self) -> None:
        # Not at once: claims that arrive in the same iteration of the loop travel in the same batch.
        if not self._flush_is_due and self._turns and len(self._sending) < MAX_IN_FLIGHT:
            self._flush_is_due = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_is_due = False
        while self._turns and len(self._sending) < MAX_IN_FLIGHT:
            queue = self._turns.popleft()
            queue.has_turn = False
            waiting = len(queue.waiting)
            batch = queue.next_batch()
            self._waiting -= waiting - len(queue.waiting)
            if batch:
                self._start(queue, batch)
            self._take_turn(queue)
            self._drop_if_idle(queue)

    def _start(self, queue: _EventQueue, batch: list[_WaitingClaim]) -> None:
        queue.batches_in_flight += 1
        queue.claims_in_flight += len(batch)
        # A lone claim's call belongs to its caller's trace; a batch has a trace of its own. Neither is cancelled with
        # a caller, since the task belongs to the coalescer.
        context = batch[0].context if len(batch) == 1 else contextvars.Context()
        task = asyncio.get_running_loop().create_task(self._send(batch), context=context)
        self._sending.add(task)
        task.add_done_callback(lambda task: self._sent(task, queue, len(batch)))

    def _sent(self, task: asyncio.Task[None], queue: _EventQueue, claims: int) -> None:
        # A callback, not the end of _send: a task that is cancelled before it starts must free its slot too.
        self._sending.discard(task)
        queue.batches_in_flight -= 1
        queue.claims_in_flight -= claims
        self._take_turn(queue)
        self._drop_if_idle(queue)
        self._flush()

    def _drop_if_idle(self, queue: _EventQueue) -> None:
        if not queue.claims:
            del self._events[queue.event]

    async def _send(self, batch: list[_WaitingClaim]) -> None:
        try:
            now = time.monotonic()
            with deadlines.within(max(claim.deadline for claim in batch) - now):
                response = await self._registrar.register_batch(_batch_request(batch, now))
            # Inside the try: the gateway may stop between two slices of answers.
            await _resolve_all(batch, response)
        except ServiceError as error:
            _refuse_all(batch, error)
        except asyncio.CancelledError:
            _refuse_all(batch, Unavailable("the gateway is stopping; try again"))
            raise
        except Exception as error:  # noqa: BLE001 - the callers wait for an answer in any case
            _log.error("claims.unexpected_error", exc_info=error)
            telemetry.report_error(error)
            _refuse_all(batch, InternalError("an unexpected error; the log has it"))


def _event_of(request: pb.RegisterRequest) -> _EventName:
    """Return the event's name; an id is the same one in capitals."""
    return request.school, request.event.lower()


def _batch_request(batch: list[_WaitingClaim], now: float) -> pb.RegisterBatchRequest:
    message = pb.RegisterBatchRequest()
    for claim in batch:
        # Built in place: an item passed to the constructor would be copied once more.
        message.items.add(
            request=claim.request,
            traceparent=claim.traceparent,
            timeout_ms=max(1, int((claim.deadline - now) * 1000)),
        )
    return message


async def _resolve_all(batch: list[_WaitingClaim], response: pb.RegisterBatchResponse) -> None:
    if len(response.results) != len(batch):
        _log.error("claims.results_do_not_match", sent=len(batch), received=len(response.results))
        _refuse_all(batch, InternalError("the registration service did not answer every claim"))
        return
    async for claim, result in in_slices(list(zip(batch, response.results, strict=True))):
        claim.resolve(result)


def _refuse_all(batch: list[_WaitingClaim], error: ServiceError) -> None:
    for claim in batch:
        # An error of its own for each: one exception raised in many tasks mixes their tracebacks.
        claim.refuse(copy.copy(error))

"""Merges the claims of many callers into few RegisterBatch calls.

Each event has a queue and a few slots of its own, and a batch holds claims of
one event: an event that answers slowly, or never, delays no other. A claim goes
at once while a slot of its event is free. While all are taken, claims wait, and
leave together when a slot comes back: no timer, so an idle event pays nothing
and a rush batches by itself.
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
from ticketcap_observability import get_logger, sentry, traceparent_of

EVENT_IN_FLIGHT: Final = 2
"""Batches of one event: the registration service prepares one while it commits the other."""
MAX_IN_FLIGHT: Final = 512
"""Batches of all events: a quarter of the calls that a replica of the registration service serves at once."""
MAX_BATCH: Final = 64
"""Claims of one batch: more save little, and both ends spend longer on one event before they turn to another."""

_EventName = tuple[str, str]

_log = get_logger(__name__)


class BatchRegistrar(Protocol):
    """Whoever takes a batch of claims."""

    async def register_batch(self, request: pb.RegisterBatchRequest) -> pb.RegisterBatchResponse:
        """Answer every item of the batch, in its order, or raise a ServiceError."""
        ...


@dataclass(slots=True, eq=False)
class _Claim:
    """One caller's claim and where its answer goes. ``deadline`` is on the monotonic clock."""

    request: pb.RegisterRequest
    traceparent: str
    deadline: float
    answer: asyncio.Future[pb.RegisterResponse]
    context: contextvars.Context

    def refuse(self, error: ServiceError) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)

    def expire(self) -> None:
        self.refuse(DeadlineExceeded("the answer did not come in time; ask again with the same Idempotency-Key"))

    def settle(self, result: pb.RegisterBatchResponse.Result) -> None:
        if self.answer.done():
            return
        kind = result.WhichOneof("result")
        if kind == "response":
            self.answer.set_result(result.response)
        elif kind == "error":
            self.refuse(from_status(result.error))
        else:
            self.refuse(InternalError("the registration service gave this claim no answer"))


@dataclass(slots=True, eq=False)
class _EventQueue:
    """One event's claims: those that wait, and how many are under way in how many batches."""

    waiting: deque[_Claim] = field(default_factory=deque)
    in_flight: int = 0
    claims_in_flight: int = 0
    has_turn: bool = False

    @property
    def claims(self) -> int:
        return len(self.waiting) + self.claims_in_flight

    @property
    def may_send(self) -> bool:
        return bool(self.waiting) and self.in_flight < EVENT_IN_FLIGHT

    def next_batch(self) -> list[_Claim]:
        batch: list[_Claim] = []
        now = time.monotonic()
        while self.waiting and len(batch) < MAX_BATCH:
            claim = self.waiting.popleft()
            if not claim.answer.done() and claim.deadline > now:
                batch.append(claim)
        return batch


class ClaimCoalescer:
    """Sends claims in batches of one event; events take turns, and one has at most two batches under way.

    ``max_waiting`` bounds the claims of all events that wait, ``max_of_event`` those of one event that wait or are
    under way: each holds a connection of its caller, and other events need connections too.

    A caller that leaves never hurts its batch; a claim whose caller left, or
    whose time is over, before it was sent is not sent.
    """

    def __init__(self, registrar: BatchRegistrar, *, max_waiting: int, max_of_event: int) -> None:
        self._registrar = registrar
        self._max_waiting = max_waiting
        self._max_of_event = max_of_event
        self._waiting = 0
        # Events with a claim that waits or is under way; dropped when they have none.
        self._events: dict[_EventName, _EventQueue] = {}
        # Events that may send, each once, in the order of their turns.
        self._turns: deque[_EventName] = deque()
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
        claim = _Claim(
            request=request,
            traceparent=traceparent_of(),
            deadline=time.monotonic() + timeout,
            answer=loop.create_future(),
            context=contextvars.copy_context(),
        )
        timer = loop.call_later(timeout, claim.expire)
        self._add(event, claim)
        self._flush_soon()
        try:
            return await claim.answer
        finally:
            timer.cancel()

    async def close(self) -> None:
        """Refuse what waits, and cancel what is under way. Idempotency keys find its outcome again."""
        self._closed = True
        for queue in self._events.values():
            for claim in queue.waiting:
                claim.refuse(Unavailable("the gateway is stopping; try again"))
            queue.waiting.clear()
        self._turns.clear()
        for task in self._sending:
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)

    def _must_have_room(self, event: _EventName) -> None:
        if self._waiting >= self._max_waiting:
            raise Busy(f"{self._max_waiting} claims are waiting already; try again", reason="TOO_MANY_CLAIMS")
        queue = self._events.get(event)
        if queue is not None and queue.claims >= self._max_of_event:
            raise Busy(
                f"{self._max_of_event} claims of this event are waiting already; try again", reason="TOO_MANY_CLAIMS"
            )

    def _add(self, event: _EventName, claim: _Claim) -> None:
        queue = self._events.setdefault(event, _EventQueue())
        queue.waiting.append(claim)
        self._waiting += 1
        self._take_turn(event, queue)

    def _take_turn(self, event: _EventName, queue: _EventQueue) -> None:
        """Let an event that may send wait for its turn: once, behind the events that wait already."""
        if queue.may_send and not queue.has_turn:
            queue.has_turn = True
            self._turns.append(event)

    def _flush_soon(self) -> None:
        # Not at once: what else arrived in this turn of the loop shall travel along.
        if not self._flush_is_due and self._turns and len(self._sending) < MAX_IN_FLIGHT:
            self._flush_is_due = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_is_due = False
        while self._turns and len(self._sending) < MAX_IN_FLIGHT:
            event = self._turns.popleft()
            queue = self._events[event]
            queue.has_turn = False
            waiting = len(queue.waiting)
            batch = queue.next_batch()
            self._waiting -= waiting - len(queue.waiting)
            if batch:
                self._start(event, queue, batch)
            self._take_turn(event, queue)
            self._drop_if_idle(event, queue)

    def _start(self, event: _EventName, queue: _EventQueue, batch: list[_Claim]) -> None:
        queue.in_flight += 1
        queue.claims_in_flight += len(batch)
        # A lone claim's call belongs to its caller's trace; a batch has a trace of its own.
        context = batch[0].context if len(batch) == 1 else contextvars.Context()
        task = asyncio.get_running_loop().create_task(self._send(batch), context=context)
        self._sending.add(task)
        task.add_done_callback(lambda task: self._sent(task, event, queue, len(batch)))

    def _sent(self, task: asyncio.Task[None], event: _EventName, queue: _EventQueue, claims: int) -> None:
        self._sending.discard(task)
        queue.in_flight -= 1
        queue.claims_in_flight -= claims
        self._take_turn(event, queue)
        self._drop_if_idle(event, queue)
        self._flush()

    def _drop_if_idle(self, event: _EventName, queue: _EventQueue) -> None:
        if not queue.claims:
            del self._events[event]

    async def _send(self, batch: list[_Claim]) -> None:
        try:
            now = time.monotonic()
            with deadlines.within(max(claim.deadline for claim in batch) - now):
                response = await self._registrar.register_batch(_batch_request(batch, now))
            # Inside: the gateway may stop between two slices of answers.
            await _settle_all(batch, response)
        except ServiceError as error:
            _refuse_all(batch, error)
        except asyncio.CancelledError:
            _refuse_all(batch, Unavailable("the gateway is stopping; try again"))
            raise
        except Exception as error:  # noqa: BLE001 - the callers wait for an answer whatever happens
            _log.error("claims.unexpected_error", exc_info=error)
            sentry.report(error)
            _refuse_all(batch, InternalError("an unexpected error; the log has it"))


def _event_of(request: pb.RegisterRequest) -> _EventName:
    """Return the event's name; an id is the same one in capitals."""
    return request.school, request.event.lower()


def _batch_request(batch: list[_Claim], now: float) -> pb.RegisterBatchRequest:
    item = pb.RegisterBatchRequest.Item
    return pb.RegisterBatchRequest(
        items=[
            item(
                request=claim.request,
                traceparent=claim.traceparent,
                timeout_ms=max(1, int((claim.deadline - now) * 1000)),
            )
            for claim in batch
        ]
    )


async def _settle_all(batch: list[_Claim], response: pb.RegisterBatchResponse) -> None:
    if len(response.results) != len(batch):
        _log.error("claims.results_do_not_match", sent=len(batch), received=len(response.results))
        _refuse_all(batch, InternalError("the registration service did not answer each claim"))
        return
    async for claim, result in in_slices(list(zip(batch, response.results, strict=True))):
        claim.settle(result)


def _refuse_all(batch: list[_Claim], error: ServiceError) -> None:
    for claim in batch:
        # An error of its own for each: one exception raised in many tasks mixes their tracebacks.
        claim.refuse(copy.copy(error))

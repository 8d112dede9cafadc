"""Merges the claims of many callers into few RegisterBatch calls.

A claim goes at once while a slot is free. While both are taken, claims wait,
and all of them leave together when a slot comes back: no timer, so an idle
event pays nothing and a rush batches by itself.
"""

import asyncio
import contextvars
import copy
import time
from collections import deque
from dataclasses import dataclass
from typing import Final, Protocol

from ticketcap.registration.v1 import registration_pb2 as pb
from ticketcap_chassis import deadlines
from ticketcap_chassis.errors import Busy, DeadlineExceeded, InternalError, ServiceError, Unavailable
from ticketcap_chassis.grpc_channel import DEFAULT_TIMEOUT_SECONDS
from ticketcap_chassis.status import from_status
from ticketcap_observability import get_logger, sentry, traceparent_of

MAX_IN_FLIGHT: Final = 2
MAX_BATCH: Final = 256

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


class ClaimCoalescer:
    """Sends claims in batches of at most 256, at most two batches at a time.

    A caller that leaves never hurts its batch; a claim whose caller left, or
    whose time is over, before it was sent is not sent.
    """

    def __init__(self, registrar: BatchRegistrar, *, max_waiting: int) -> None:
        self._registrar = registrar
        self._max_waiting = max_waiting
        self._waiting: deque[_Claim] = deque()
        self._sending: set[asyncio.Task[None]] = set()
        self._flush_is_due = False
        self._closed = False

    async def register(self, request: pb.RegisterRequest) -> pb.RegisterResponse:
        """Return the final answer to one claim.

        Raises the claim's own ServiceError; Busy when too many wait already;
        DeadlineExceeded when the current deadline passes first.
        """
        if self._closed:
            raise Unavailable("the gateway is stopping; try again")
        if len(self._waiting) >= self._max_waiting:
            raise Busy(f"{self._max_waiting} claims are waiting already; try again", reason="TOO_MANY_CLAIMS")
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
        self._waiting.append(claim)
        self._flush_soon()
        try:
            return await claim.answer
        finally:
            timer.cancel()

    async def close(self) -> None:
        """Refuse what waits, and cancel what is under way. Idempotency keys find its outcome again."""
        self._closed = True
        for claim in self._waiting:
            claim.refuse(Unavailable("the gateway is stopping; try again"))
        self._waiting.clear()
        for task in self._sending:
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)

    def _flush_soon(self) -> None:
        # Not at once: what else arrived in this turn of the loop shall travel along.
        if not self._flush_is_due and len(self._sending) < MAX_IN_FLIGHT:
            self._flush_is_due = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_is_due = False
        while len(self._sending) < MAX_IN_FLIGHT and (batch := self._next_batch()):
            # A lone claim's call belongs to its caller's trace; a batch belongs to nobody's.
            context = batch[0].context if len(batch) == 1 else contextvars.Context()
            task = asyncio.get_running_loop().create_task(self._send(batch), context=context)
            self._sending.add(task)
            task.add_done_callback(self._sent)

    def _sent(self, task: asyncio.Task[None]) -> None:
        self._sending.discard(task)
        self._flush()

    def _next_batch(self) -> list[_Claim]:
        batch: list[_Claim] = []
        now = time.monotonic()
        while self._waiting and len(batch) < MAX_BATCH:
            claim = self._waiting.popleft()
            if not claim.answer.done() and claim.deadline > now:
                batch.append(claim)
        return batch

    async def _send(self, batch: list[_Claim]) -> None:
        try:
            now = time.monotonic()
            with deadlines.within(max(claim.deadline for claim in batch) - now):
                response = await self._registrar.register_batch(_batch_request(batch, now))
        except ServiceError as error:
            _refuse_all(batch, error)
        except asyncio.CancelledError:
            _refuse_all(batch, Unavailable("the gateway is stopping; try again"))
            raise
        except Exception as error:  # noqa: BLE001 - the callers wait for an answer whatever happens
            _log.error("claims.unexpected_error", exc_info=error)
            sentry.report(error)
            _refuse_all(batch, InternalError("an unexpected error; the log has it"))
        else:
            _settle_all(batch, response)


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


def _settle_all(batch: list[_Claim], response: pb.RegisterBatchResponse) -> None:
    if len(response.results) != len(batch):
        _log.error("claims.results_do_not_match", sent=len(batch), received=len(response.results))
        _refuse_all(batch, InternalError("the registration service did not answer each claim"))
        return
    for claim, result in zip(batch, response.results, strict=True):
        claim.settle(result)


def _refuse_all(batch: list[_Claim], error: ServiceError) -> None:
    for claim in batch:
        # An error of its own for each: one exception raised in many tasks mixes their tracebacks.
        claim.refuse(copy.copy(error))

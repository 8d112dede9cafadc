"""A caller waiting in a lane: what it wants, how long it still waits, and its answer when it comes."""

import asyncio
import time
from dataclasses import dataclass, field

from opentelemetry.trace import SpanContext
from ticketcap_chassis.errors import ServiceError

from ticketcap_registration.domain.commands import Command
from ticketcap_registration.domain.ledger import Outcome
from ticketcap_registration.lanes.seat_transaction import Decided


@dataclass(frozen=True, slots=True)
class Answer:
    """A command's outcome, and the batch and the decision that it was part of."""

    outcome: Outcome
    decided: Decided
    batch: SpanContext


@dataclass(slots=True, eq=False)
class Waiter:
    """One command in a lane. ``deadline`` is on the monotonic clock, None without one."""

    command: Command
    deadline: float | None
    span: SpanContext
    answer: asyncio.Future[Answer]
    entered_at: float = field(default_factory=time.monotonic)

    @property
    def is_late(self) -> bool:
        """Whether the caller's deadline has passed."""
        return self.deadline is not None and time.monotonic() >= self.deadline

    def give(self, answer: Answer) -> None:
        """Answer, unless the caller has gone."""
        if not self.answer.done():
            self.answer.set_result(answer)

    def refuse(self, error: ServiceError) -> None:
        """Answer with an error, unless the caller has gone."""
        if not self.answer.done():
            self.answer.set_exception(error)

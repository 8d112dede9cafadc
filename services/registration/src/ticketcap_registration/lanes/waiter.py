"""Hold a command while it waits in a lane."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import NamedTuple

from ticketcap_chassis.errors import ServiceError

from ticketcap_registration.domain.commands import Command
from ticketcap_registration.domain.ledger import Decision, Outcome
from ticketcap_registration.telemetry.lanes import SpanReference


class Applied(NamedTuple):
    """A command's outcome, the decision that it was part of, and the span of its batch."""

    outcome: Outcome
    decision: Decision
    batch: SpanReference


@dataclass(slots=True, eq=False)
class Waiter:
    """One command in a lane, and the future that its caller awaits. ``deadline`` is on the monotonic clock.

    The first completion counts: a caller that leaves cancels the future, and every later one is a no-op.
    """

    command: Command
    deadline: float | None
    span: SpanReference
    future: asyncio.Future[Applied]
    entered_at: float = field(default_factory=time.monotonic)

    @property
    def is_late(self) -> bool:
        """Whether the caller's deadline has passed."""
        return self.deadline is not None and time.monotonic() >= self.deadline

    def resolve(self, applied: Applied) -> None:
        """Complete with an outcome."""
        if not self.future.done():
            self.future.set_result(applied)

    def reject(self, error: ServiceError) -> None:
        """Complete with an error."""
        if not self.future.done():
            self.future.set_exception(error)

"""Track how long the current caller still waits.

The deadline belongs to the task's context, and every call that the task makes passes it on.
"""

import contextvars
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_deadline: Final[contextvars.ContextVar[float | None]] = contextvars.ContextVar("deadline", default=None)


def remaining() -> float | None:
    """Return the seconds that the current caller still waits; None without a deadline, negative after it."""
    deadline = _deadline.get()
    return None if deadline is None else deadline - time.monotonic()


def bounded(timeout: float) -> float:
    """Return the shorter of ``timeout`` and the rest of the current deadline, in seconds; never below 0."""
    left = remaining()
    return timeout if left is None else max(0.0, min(timeout, left))


def without() -> contextvars.Context:
    """Return a copy of the current context without a deadline, for work that outlives its caller."""
    context = contextvars.copy_context()
    context.run(_deadline.set, None)
    return context


@contextmanager
def within(seconds: float | None) -> Iterator[None]:
    """Set a deadline ``seconds`` from now for the code inside (None: no new one); an earlier outer deadline stays."""
    outer = _deadline.get()
    inner = outer if seconds is None else time.monotonic() + seconds
    token = _deadline.set(inner if outer is None or inner is None else min(outer, inner))
    try:
        yield
    finally:
        _deadline.reset(token)

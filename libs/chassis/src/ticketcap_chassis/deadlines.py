"""How long the current caller still waits: kept for the task, passed on by every call it makes."""

import contextvars
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_deadline: Final[contextvars.ContextVar[float | None]] = contextvars.ContextVar("deadline", default=None)


def remaining() -> float | None:
    """Return the seconds that the current caller still waits; None where there is no deadline."""
    deadline = _deadline.get()
    return None if deadline is None else deadline - time.monotonic()


def bounded(timeout: float) -> float:
    """Return ``timeout`` seconds, or what is left of the current deadline if that is less; never below 0."""
    left = remaining()
    return timeout if left is None else max(0.0, min(timeout, left))


def without() -> contextvars.Context:
    """Return a copy of the current context in which nobody waits: for work that outlives its caller."""
    context = contextvars.copy_context()
    context.run(_deadline.set, None)
    return context


@contextmanager
def within(seconds: float | None) -> Iterator[None]:
    """Give the code inside at most ``seconds`` (None: no limit of its own); an outer deadline still holds."""
    outer = _deadline.get()
    inner = outer if seconds is None else time.monotonic() + seconds
    token = _deadline.set(inner if outer is None or inner is None else min(outer, inner))
    try:
        yield
    finally:
        _deadline.reset(token)

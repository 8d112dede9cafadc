"""Play every case once in one system with faults."""

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from tests.traces.cases import Case, Phase
from tests.traces.world import Answered, World, until

_SENT_SECONDS: Final = 1.3
"""After it a service has sent its spans: it keeps them for a second."""
_AT_ONCE: Final = 8

SETTINGS: Final = {
    "REGISTRATIONS_PER_HOUR": "3",
    "TRUSTED_PROXIES": "127.0.0.1",
    "MAX_STREAMS": "2",
    "REQUEST_SECONDS": "4",
    "PAYMENT_SECONDS": "4",
    "RETURN_SECONDS": "4",
    "EXPORT_SECONDS": "4",
    # A turn that falls between a commit and its delivery would take the delivery out of the request's trace.
    "OUTBOX_POLL_SECONDS": "2",
    "YAADPAY_MONEY_SECONDS": "3",
    "OUTBOX_LEASE_SECONDS": "4",
}


@dataclass(frozen=True)
class Played:
    """How a case ended: its answer, or why there is none, and the spans of its trace that arrived."""

    answered: Answered | None
    error: str = ""
    spans: Sequence[Mapping[str, Any]] = ()


def play(world: World, cases: Sequence[Case], more: Callable[[], None]) -> dict[str, Played]:
    """Return how every case ended. ``more`` is done before anything breaks."""
    if world.stack.event("shared").get("id") is None:
        world.stack.open_event("shared", capacity=1000)
    outcomes = _played(world, cases, Phase.UP, at_once=1)
    # A process that is killed takes along what it has not sent.
    time.sleep(_SENT_SECONDS)
    more()
    world.is_reached("registration", "payment")
    time.sleep(_SENT_SECONDS)
    for process in (world.stack.registration, world.stack.payment):
        os.kill(process.pid, signal.SIGSTOP)
    outcomes |= _played(world, cases, Phase.FROZEN, at_once=40)
    for process in (world.stack.registration, world.stack.payment):
        process.kill()
    outcomes |= _played(world, cases, Phase.DOWN, at_once=_AT_ONCE)
    world.stack.payment.start()
    world.is_reached("payment")
    outcomes |= _played(world, cases, Phase.WITHOUT_REGISTRATION, at_once=1)
    world.stack.registration.start()
    world.is_reached("registration")
    return _with_spans(world, outcomes)


def _played(world: World, cases: Sequence[Case], phase: Phase, *, at_once: int) -> dict[str, Played]:
    mine = [case for case in cases if case.phase is phase]
    if at_once == 1:
        return {case.name: _one(world, case) for case in mine}
    with ThreadPoolExecutor(at_once) as threads:
        return dict(zip([case.name for case in mine], threads.map(lambda case: _one(world, case), mine), strict=True))


def _one(world: World, case: Case) -> Played:
    try:
        return Played(case.act(world))
    except Exception as error:  # noqa: BLE001 - the case's own test tells of it
        return Played(None, repr(error))


def _with_spans(world: World, outcomes: dict[str, Played]) -> dict[str, Played]:
    """Wait until everything has arrived that will: no trace grows any more."""
    until(lambda: all(_spans(world, outcomes).values()))
    before: dict[str, int] = {}
    while (now := {name: len(spans) for name, spans in _spans(world, outcomes).items()}) != before:
        before = now
        time.sleep(_SENT_SECONDS)
    arrived = _spans(world, outcomes)
    return {name: Played(how.answered, how.error, arrived.get(name, ())) for name, how in outcomes.items()}


def _spans(world: World, outcomes: Mapping[str, Played]) -> dict[str, Sequence[Mapping[str, Any]]]:
    return {name: world.spans(how.answered.trace_id) for name, how in outcomes.items() if how.answered}

"""Apply a fault to a request: action, delay and reply."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from ticketcap_yaadpay_simulator.faults import Fault
from ticketcap_yaadpay_simulator.protocol.parameters import Call
from ticketcap_yaadpay_simulator.protocol.replies import Reply, code, failure
from ticketcap_yaadpay_simulator.simulator import Simulator


class Pauses:
    """Waits that end at once when the process stops."""

    def __init__(self) -> None:
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """End all waits, now and from now on."""
        self._stopping.set()

    async def wait(self, seconds: float) -> None:
        """Wait, at most until the process stops."""
        if seconds:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), seconds)


async def struck(sim: Simulator, pauses: Pauses, call: Call, fault: Fault, usual: Callable[[], Reply]) -> Reply:
    """Return what is answered under ``fault``; ``usual`` does the request's work."""
    behaviour = fault.behaviour
    done = usual() if behaviour.done else None
    await pauses.wait(fault.wait_seconds if behaviour.waits else 0.0)
    if behaviour.answer == "ccode":
        return code(fault.ccode or 0, call.parameters, sim.knobs)
    return answer_under(fault, done)


def answer_under(fault: Fault, usual: Reply | None) -> Reply:
    """Return the answer that takes the place of ``usual``."""
    answer = fault.behaviour.answer
    if usual is not None and answer == "as_usual":
        return usual
    if usual is not None and answer == "cut":
        return replace(usual, body=_cut(usual.body))
    return _REPLACEMENTS.get(answer, Reply(body=b""))


_REPLACEMENTS: Final = {
    "close": Reply(body=b"", drop="close"),
    "reset": Reply(body=b"", drop="reset"),
    "html": failure(),
    "http_500": failure(status=500),
}


def _cut(body: bytes) -> bytes:
    """End in the middle of the word CCode, or of the whole where it does not stand."""
    position = body.find(b"CCode=")
    return body[: position + 3] if position >= 0 else body[: len(body) // 2]

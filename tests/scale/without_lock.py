"""Run the registration service without the lock on the event's row.

It is the negative control of the races between replicas. A pause after the look-up lets transactions overlap.
"""

import asyncio
import runpy
from typing import Any, Final

from ticketcap_registration.store import seats
from ticketcap_registration.store.seats import SeatConnection

_LOCKED: Final = "FOR NO KEY UPDATE"
_PAUSE_SECONDS: Final = 0.03
_lock = SeatConnection.lock


async def _look_up_slowly(self: SeatConnection, *arguments: Any, **options: Any) -> Any:
    found = await _lock(self, *arguments, **options)
    await asyncio.sleep(_PAUSE_SECONDS)
    return found


def _sabotage() -> None:
    if _LOCKED not in seats.LOCK:
        raise RuntimeError("seats.LOCK takes no lock that could be left out: adapt this control")
    setattr(seats, "LOCK", seats.LOCK.replace(_LOCKED, ""))  # noqa: B010 - a constant is replaced on purpose
    setattr(SeatConnection, "lock", _look_up_slowly)  # noqa: B010 - a method is replaced on purpose


if __name__ == "__main__":
    _sabotage()
    runpy.run_module("ticketcap_registration", run_name="__main__", alter_sys=True)

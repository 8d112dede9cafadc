"""Say how a delivery ends and when it is retried."""

from dataclasses import dataclass
from typing import Final

_FIRST_SECONDS: Final = 0.5
_LONGEST_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Done:
    """The work is finished, or escalated."""


@dataclass(frozen=True, slots=True)
class Retry:
    """The work is due again later; ``reason`` is one of few words, for the log."""

    reason: str


DeliveryResult = Done | Retry


def pause_after(tries: int) -> float:
    """Return the seconds before the next try: half a second, doubled each time, a minute at most."""
    return float(min(_LONGEST_SECONDS, _FIRST_SECONDS * 2 ** min(tries - 1, 10)))

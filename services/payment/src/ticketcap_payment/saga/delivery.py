"""How a delivery ends, and when it is tried again."""

from dataclasses import dataclass
from typing import Final

_FIRST_SECONDS: Final = 0.5
_LONGEST_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Done:
    """Nothing is left to do, or a person has it in hand."""


@dataclass(frozen=True, slots=True)
class Later:
    """It is to be tried again; ``why`` is one of few words, for the log."""

    why: str


Ending = Done | Later


def pause_after(tries: int) -> float:
    """Return the seconds before the next try: half a second, doubled each time, a minute at most."""
    return float(min(_LONGEST_SECONDS, _FIRST_SECONDS * 2 ** min(tries - 1, 10)))

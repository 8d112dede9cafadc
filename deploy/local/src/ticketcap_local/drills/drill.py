"""The shape of a drill: what it is called, what it breaks, and the faults that it is made of."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from ticketcap_local.drills.ground import Ground

FOR_TWO_MINUTES: Final = 300.0
FOR_FIVE_MINUTES: Final = 600.0
FOR_TEN_MINUTES: Final = 1200.0
"""How long (seconds) a drill lasts, by how long its rule wants to see the fault, and as much again to look at it."""


class Fault(Protocol):
    """One thing that goes wrong."""

    async def begin(self, ground: Ground) -> None:
        """Make it go wrong; raise CannotDrill where it can't."""

    async def end(self, ground: Ground) -> None:
        """Put it right, within a bound, however far ``begin`` came."""


@dataclass
class Drill:
    """``breaks`` is one sentence for whoever runs it; ``seconds`` is how long it lasts unless it is told otherwise."""

    name: str
    breaks: str
    faults: Sequence[Fault]
    seconds: float = FOR_FIVE_MINUTES
    _begun: list[Fault] = field(default_factory=list, init=False, repr=False)

    @property
    def alert(self) -> str:
        """The alert that it makes fire."""
        return "".join(word.capitalize() for word in self.name.split("-"))

    @property
    def runbook(self) -> str:
        """What to do about it, from the repository's root."""
        return f"docs/runbooks/{self.name}.md"

    async def begin(self, ground: Ground) -> None:
        """Make its faults happen, in order."""
        for fault in self.faults:
            self._begun.append(fault)
            await fault.begin(ground)

    async def end(self, ground: Ground) -> None:
        """Undo what was begun, the last first; what can't be undone keeps nothing else from being undone."""
        failures: list[Exception] = []
        while self._begun:
            try:
                await self._begun.pop().end(ground)
            except Exception as error:  # noqa: BLE001 - raised again below, when the rest is undone
                failures.append(error)
        if failures:
            raise NotUndone(self.name, failures) from failures[0]


class NotUndone(Exception):
    """Something of a drill is still broken."""

    def __init__(self, name: str, failures: Sequence[Exception]) -> None:
        told = "; ".join(f"{type(failure).__name__}: {failure}" for failure in failures)
        super().__init__(f"{name} is not undone wholly ({told}); look at 'ticketcap status', or start the stack anew")

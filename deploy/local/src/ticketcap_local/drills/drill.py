"""Describe a drill: its alert, its fault, its duration."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from ticketcap_local.drills.target import Target

FOR_TWO_MINUTES: Final = 300.0
FOR_FIVE_MINUTES: Final = 600.0
FOR_TEN_MINUTES: Final = 1200.0
"""Duration (seconds) of a drill, by how long its rule waits before it fires, and as long again to look at it."""


@dataclass(frozen=True)
class Drill:
    """``breaks`` is one sentence about the fault; ``begin`` makes it and registers its undo steps at the target."""

    name: str
    breaks: str
    begin: Callable[[Target], Awaitable[None]]
    seconds: float = FOR_FIVE_MINUTES

    @property
    def alert(self) -> str:
        """The alert that fires."""
        return "".join(word.capitalize() for word in self.name.split("-"))

    @property
    def runbook(self) -> str:
        """The alert's runbook, from the repository's root."""
        return f"docs/runbooks/{self.name}.md"

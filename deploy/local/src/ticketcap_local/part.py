"""What the supervisor keeps alive: the shape that every part of the stack has."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol


class PartError(Exception):
    """A part did not get ready; the message says why and where to look."""


class Part(Protocol):
    """One part of the stack. It may be started again after it ended."""

    @property
    def name(self) -> str:
        """What people call it."""

    @property
    def address(self) -> str:
        """Where it answers; empty for what is done once it is up."""

    @property
    def needs(self) -> Sequence[str]:
        """Names of the parts that must be ready before this one is started."""

    @property
    def log_file(self) -> Path:
        """Where it writes."""

    @property
    def pid(self) -> int | None:
        """Its process id, None while it is down."""

    async def start(self) -> None:
        """Start it and return when it is ready; raise PartError."""

    async def ended(self) -> str:
        """Wait until it is no more and say how it ended."""

    async def stop(self) -> None:
        """Ask it to stop and wait, within a bound."""

    def kill(self) -> None:
        """End it at once."""

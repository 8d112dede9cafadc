"""Define the interface of a part of the stack."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol


class PartError(Exception):
    """A part did not start; the message says why and names its log."""


class Part(Protocol):
    """One part of the stack. The supervisor restarts it after it ends."""

    @property
    def name(self) -> str:
        """Its name in messages and in ``needs``."""

    @property
    def address(self) -> str:
        """Its address; empty for a command that ends by itself."""

    @property
    def needs(self) -> Sequence[str]:
        """Names of the parts that must be ready before this one is started."""

    @property
    def log_file(self) -> Path:
        """Its log."""

    @property
    def pid(self) -> int | None:
        """Its process id, None while it is down."""

    async def start(self) -> None:
        """Start it and return when it is ready; raise PartError."""

    async def ended(self) -> str:
        """Wait until it ends and return how it ended."""

    async def stop(self) -> None:
        """Stop it and wait; kill it after a limit."""

    def kill(self) -> None:
        """Kill it."""

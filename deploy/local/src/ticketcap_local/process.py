"""Run programs as parts: services that stay, commands that end."""

import asyncio
import os
import shutil
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ticketcap_local.part import PartError

_POLL_SECONDS: Final = 0.05
_LAST_LINES: Final = 8

Environment = Callable[[], Mapping[str, str]]
"""Called at each start: some values exist only after other parts started."""


@dataclass(kw_only=True)
class _ProcessPart:
    name: str
    argv: Sequence[str]
    env: Environment
    log_file: Path
    needs: Sequence[str] = ()
    address: str = ""
    stop_seconds: float = 15.0
    _process: asyncio.subprocess.Process | None = field(default=None, init=False, repr=False)

    @property
    def pid(self) -> int | None:
        """Its process id, None while it is down."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def _spawn(self) -> asyncio.subprocess.Process:
        with self.log_file.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *dies_with_parent("TERM"),
                *self.argv,
                env={**os.environ, **self.env()},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C in the terminal reaches the stack only, which then stops its parts in order.
                start_new_session=True,
            )
        return self._process

    async def stop(self) -> None:
        """Stop it; kill it after ``stop_seconds``."""
        if self._process is None or self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            async with asyncio.timeout(self.stop_seconds):
                await self._process.wait()
        except TimeoutError:
            self.kill()
            await self._process.wait()

    def kill(self) -> None:
        """Kill it and its children."""
        if self._process is not None and self._process.returncode is None:
            os.killpg(self._process.pid, signal.SIGKILL)

    def _early_end(self, code: int) -> PartError:
        lines = self.log_file.read_text(errors="replace").strip().splitlines()[-_LAST_LINES:]
        output = "\n    ".join(lines) or "no output"
        return PartError(
            f"{self.name} ended ({_ending(code)}) before it was ready:\n    {output}\n    log: {self.log_file}"
        )


@dataclass(kw_only=True)
class ServicePart(_ProcessPart):
    """A process that stays; ``ready`` returns whether it answers."""

    ready: Callable[[], Awaitable[bool]]
    start_seconds: float = 60.0

    async def start(self) -> None:
        """Start it and return when it is ready; raise PartError."""
        process = await self._spawn()
        try:
            async with asyncio.timeout(self.start_seconds):
                while not await self.ready():
                    if process.returncode is not None:
                        raise self._early_end(process.returncode)
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            raise PartError(f"{self.name} was not ready within {self.start_seconds:g} s, see {self.log_file}") from None

    async def ended(self) -> str:
        """Wait until its process ends and return how it ended."""
        return "not started" if self._process is None else _ending(await self._process.wait())


@dataclass(kw_only=True)
class CommandPart(_ProcessPart):
    """A command that must end before others start."""

    seconds: float = 120.0

    async def start(self) -> None:
        """Run it to its end; raise PartError when it fails or exceeds ``seconds``."""
        process = await self._spawn()
        try:
            async with asyncio.timeout(self.seconds):
                code = await process.wait()
        except TimeoutError:
            self.kill()
            raise PartError(f"{self.name} did not end within {self.seconds:g} s, see {self.log_file}") from None
        if code:
            raise self._early_end(code)

    async def ended(self) -> str:
        """Wait until cancelled: the supervisor does not restart a command."""
        await asyncio.Event().wait()
        return ""


def _ending(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def dies_with_parent(number: str) -> list[str]:
    """Return the command prefix that sends a process the signal ``number`` when its parent dies."""
    program = shutil.which("setpriv")
    return [program, "--pdeathsig", number, "--"] if program else []

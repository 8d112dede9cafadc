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
class ServicePart:
    """A process that stays; ``ready`` returns whether it answers."""

    name: str
    argv: Sequence[str]
    env: Environment
    address: str
    log_file: Path
    ready: Callable[[], Awaitable[bool]]
    needs: Sequence[str] = ()
    start_seconds: float = 60.0
    stop_seconds: float = 15.0
    _process: asyncio.subprocess.Process | None = field(default=None, init=False, repr=False)

    @property
    def pid(self) -> int | None:
        """Its process id, None while it is down."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def start(self) -> None:
        """Start it and return when it is ready; raise PartError."""
        self._process = process = await _spawn(self.argv, self.env(), self.log_file)
        try:
            async with asyncio.timeout(self.start_seconds):
                while not await self.ready():
                    if process.returncode is not None:
                        raise PartError(_start_failure(self.name, process.returncode, self.log_file))
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            raise PartError(f"{self.name} was not ready within {self.start_seconds:g} s, see {self.log_file}") from None

    async def ended(self) -> str:
        """Wait until its process ends and return how it ended."""
        return "not started" if self._process is None else _ending(await self._process.wait())

    async def stop(self) -> None:
        """Stop it; kill it after ``stop_seconds``."""
        if self._process is not None:
            await _stop(self._process, self.stop_seconds)

    def kill(self) -> None:
        """Kill it and its children."""
        if self._process is not None:
            _signal_group(self._process, signal.SIGKILL)


@dataclass(kw_only=True)
class CommandPart:
    """A command that must end before others start."""

    name: str
    argv: Sequence[str]
    env: Environment
    log_file: Path
    needs: Sequence[str] = ()
    seconds: float = 120.0
    address: str = ""
    pid: int | None = None
    _process: asyncio.subprocess.Process | None = field(default=None, init=False, repr=False)

    async def start(self) -> None:
        """Run it to its end; raise PartError when it fails or exceeds ``seconds``."""
        self._process = process = await _spawn(self.argv, self.env(), self.log_file)
        try:
            async with asyncio.timeout(self.seconds):
                code = await process.wait()
        except TimeoutError:
            self.kill()
            raise PartError(f"{self.name} did not end within {self.seconds:g} s, see {self.log_file}") from None
        if code:
            raise PartError(_start_failure(self.name, code, self.log_file))

    async def ended(self) -> str:
        """Wait until cancelled: a command that ended is not restarted."""
        await asyncio.Event().wait()
        return ""

    async def stop(self) -> None:
        """Stop it, finished or not."""
        if self._process is not None:
            await _stop(self._process, seconds=5.0)

    def kill(self) -> None:
        """Kill it and its children."""
        if self._process is not None:
            _signal_group(self._process, signal.SIGKILL)


async def _spawn(argv: Sequence[str], env: Mapping[str, str], log_file: Path) -> asyncio.subprocess.Process:
    with log_file.open("ab") as log:
        return await asyncio.create_subprocess_exec(
            *_dies_with_parent(),
            *argv,
            env={**os.environ, **env},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # Ctrl-C in the terminal reaches the stack only, which then stops its parts in order.
            start_new_session=True,
        )


async def _stop(process: asyncio.subprocess.Process, seconds: float) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(seconds):
            await process.wait()
    except TimeoutError:
        _signal_group(process, signal.SIGKILL)
        await process.wait()


def _signal_group(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    if process.returncode is None:
        os.killpg(process.pid, number)


def _start_failure(name: str, code: int, log_file: Path) -> str:
    lines = log_file.read_text(errors="replace").strip().splitlines()[-_LAST_LINES:]
    output = "\n    ".join(lines) or "no output"
    return f"{name} ended ({_ending(code)}) before it was ready:\n    {output}\n    log: {log_file}"


def _ending(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _dies_with_parent() -> list[str]:
    program = shutil.which("setpriv")
    return [program, "--pdeathsig", "TERM", "--"] if program else []

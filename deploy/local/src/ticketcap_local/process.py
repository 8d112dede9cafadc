"""Parts that are programs: services, which stay, and commands, which do their work once."""

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
"""Asked at each start: some values are known only once other parts are up."""


@dataclass(kw_only=True)
class ServicePart:
    """A process that stays; ``ready`` tells when it answers."""

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
                        raise PartError(_why(self.name, process.returncode, self.log_file))
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            raise PartError(f"{self.name} was not ready within {self.start_seconds:g} s, see {self.log_file}") from None

    async def ended(self) -> str:
        """Wait until its process is no more and say how it ended."""
        return "not started" if self._process is None else _ending(await self._process.wait())

    async def stop(self) -> None:
        """Ask it to stop; kill it when it takes too long."""
        if self._process is not None:
            await _stop(self._process, self.stop_seconds)

    def kill(self) -> None:
        """End it at once, with whatever it started."""
        if self._process is not None:
            _signal_group(self._process, signal.SIGKILL)


@dataclass(kw_only=True)
class CommandPart:
    """A command that must have done its work before others start."""

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
        """Run it to its end; raise PartError when it fails or takes too long."""
        self._process = process = await _spawn(self.argv, self.env(), self.log_file)
        try:
            async with asyncio.timeout(self.seconds):
                code = await process.wait()
        except TimeoutError:
            self.kill()
            raise PartError(f"{self.name} was not done within {self.seconds:g} s, see {self.log_file}") from None
        if code:
            raise PartError(_why(self.name, code, self.log_file))

    async def ended(self) -> str:
        """Wait for ever: what is done does not end."""
        await asyncio.Event().wait()
        return ""

    async def stop(self) -> None:
        """Stop it in the middle of its work."""
        if self._process is not None:
            await _stop(self._process, seconds=5.0)

    def kill(self) -> None:
        """End it at once."""
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
            # Ctrl-C in the terminal reaches the stack alone, which then stops its parts in order.
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


def _why(name: str, code: int, log_file: Path) -> str:
    lines = log_file.read_text(errors="replace").strip().splitlines()[-_LAST_LINES:]
    told = "\n    ".join(lines) or "it said nothing"
    return f"{name} ended ({_ending(code)}) before it was ready:\n    {told}\n    log: {log_file}"


def _ending(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _dies_with_parent() -> list[str]:
    program = shutil.which("setpriv")
    return [program, "--pdeathsig", "TERM", "--"] if program else []

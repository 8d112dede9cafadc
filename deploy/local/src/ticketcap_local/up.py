"""Run the stack from the first port check to the last stop."""

import asyncio
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

from ticketcap_local import stack
from ticketcap_local.errors import CommandError
from ticketcap_local.part import Part, PartError
from ticketcap_local.paths import short_path
from ticketcap_local.ports import is_free
from ticketcap_local.seed import EVENT, PAID_EVENT, SCHOOL, SeedError, seed
from ticketcap_local.settings import StackSettings
from ticketcap_local.state import InUse, PartStatus, StateFolder
from ticketcap_local.supervisor import Say, Supervisor, step

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Parts = Callable[[StackSettings, StateFolder], Sequence[Part]]
Seed = Callable[[str, str], Awaitable[None]]


class StackError(CommandError):
    """The stack can't run; the message says why and what to do."""


async def up(settings: StackSettings, say: Say, *, parts: Parts = stack.parts, fill: Seed = seed) -> None:
    """Run until SIGINT, SIGTERM or SIGHUP; raise StackError when a part does not start."""
    state = StateFolder(settings.state_dir)
    state.prepare()
    try:
        with state.locked():
            _ports_must_be_free(settings)
            state.rotate_logs()
            await _Run(settings, state, parts(settings, state), say).go(fill)
    except (InUse, PartError, SeedError) as error:
        raise StackError(str(error)) from error


def _ports_must_be_free(settings: StackSettings) -> None:
    for needed in stack.needed_ports(settings):
        if not is_free(needed.port):
            raise StackError(
                f"port {needed.port} ({needed.name}) is taken: stop the program that uses it, or set {needed.variable}"
            )


class _Run:
    def __init__(self, settings: StackSettings, state: StateFolder, parts: Sequence[Part], say: Say) -> None:
        self._settings = settings
        self._state = state
        self._parts = parts
        self._say = say
        self._supervisor = Supervisor(parts, say=say, changed=self._record)
        self._interrupts = 0

    async def go(self, fill: Seed) -> None:
        work = asyncio.create_task(self._work(fill))
        for number in _SIGNALS:
            # nohup's ignored SIGHUP stays ignored; a SIGINT that a shell ignores for a background job does not.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                asyncio.get_running_loop().add_signal_handler(number, self._interrupt, work)
        try:
            await asyncio.wait([work])
        finally:
            work.cancel()
            await self._bring_down()
        if not work.cancelled():
            work.result()

    def _interrupt(self, work: "asyncio.Task[None]") -> None:
        """Stop in order; kill every part at the second signal."""
        self._interrupts += 1
        if self._interrupts == 1:
            work.cancel()
        else:
            self._supervisor.kill()

    async def _work(self, fill: Seed) -> None:
        began = time.monotonic()
        self._record()
        await self._supervisor.bring_up()
        filling = time.monotonic()
        await fill(self._settings.gateway_url, self._state.secrets()["JWT_SECRET"])
        self._say(step("demo school", f"{SCHOOL} with {EVENT} and {PAID_EVENT}", time.monotonic() - filling))
        self._say(f"\nready in {time.monotonic() - began:.1f} s\n{_hints(self._settings)}")
        await self._supervisor.keep_alive()

    async def _bring_down(self) -> None:
        began = time.monotonic()
        self._say("\nstopping; Ctrl-C again stops at once")
        await self._supervisor.bring_down()
        self._say(f"stopped in {time.monotonic() - began:.1f} s")

    def _record(self) -> None:
        self._state.record([self._status(part) for part in self._parts if part.address])

    def _status(self, part: Part) -> PartStatus:
        state = "running" if self._supervisor.is_ready(part) else "starting" if part.pid else "down"
        return PartStatus(part.name, state, part.pid, part.address, str(part.log_file))


def _hints(settings: StackSettings) -> str:
    event = f"{settings.gateway_url}/api/v1/schools/{SCHOOL}/events/{EVENT}"
    command = short_path(Path(sys.argv[0]).absolute())
    token = f"token --school {SCHOOL} --role OWNER"
    return f"""
  open    {settings.gateway_url}/docs
          {event}
          {settings.yaadpay_base_url or settings.yaadpay_url + "/simulator/"}   YaadPay's simulator

  try     curl -s {event}/registrations \\
            -H 'Content-Type: application/json' -H "Idempotency-Key: $(cat /proc/sys/kernel/random/uuid)" \\
            -d '{{"name": "דנה כהן", "phone": "050-123-4567", "spots": 1}}'

  then    {command} {"traffic":<{len(token)}}   2,000 parents at once
          {command} {"traces":<{len(token)}}   the newest requests, as trees
          {command} {token}   to act as an organiser
          {command} {"status":<{len(token)}}   the parts and their logs

  Ctrl-C stops everything; registrations stay in {short_path(settings.state_dir)}
"""

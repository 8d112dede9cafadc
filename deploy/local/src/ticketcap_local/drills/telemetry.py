"""Faults of what watches: a collector that takes nothing, an Alertmanager whose messages nobody gets."""

import asyncio
import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from ticketcap_local.drills.ground import CannotDrill, Ground, call, good
from ticketcap_local.drills.repeated import Repeated
from ticketcap_local.monitoring import alertmanager_config

_HOST: Final = "127.0.0.1"
_TOLD_EVERY_SECONDS: Final = 2.0
_REFUSED_SECONDS: Final = 5.0
_READ_SECONDS: Final = 5.0


@dataclass
class FullCollector:
    """The trace sink refuses what it is sent, as a collector does whose memory is full."""

    _asking: Repeated | None = field(default=None, init=False, repr=False)

    async def begin(self, ground: Ground) -> None:
        """Ask it to refuse, again and again: by itself it takes everything a few seconds after the last asking."""
        ground.part("traces")
        self._asking = Repeated(lambda here: _refuse(here, _REFUSED_SECONDS), pause=1.0)
        await self._asking.begin(ground)

    async def end(self, ground: Ground) -> None:
        """Let it take everything."""
        if self._asking is not None:
            await self._asking.end(ground)
            await _refuse(ground, 0)


async def _refuse(ground: Ground, seconds: float) -> None:
    base = ground.part("traces").address.partition("/api/")[0]
    path = f"/api/refuse?seconds={seconds:g}"
    good(await call(base, "POST", path), f"POST {path}")


class RevokedAddress:
    """A receiver of Alertmanager's whose address was revoked, and alerts that go there and nowhere else.

    Everybody else is told as before. ``ALERTMANAGER_URL`` says where Alertmanager is, ``ALERTMANAGER_CONFIG`` which
    file it reads.
    """

    def __init__(self) -> None:
        self._file: Path | None = None
        self._before = ""
        self._server: asyncio.Server | None = None
        self._alerts: Repeated | None = None
        self._number = 0

    async def begin(self, ground: Ground) -> None:
        """Put the receiver into the file, have it read, and begin to send alerts there."""
        url, file = self._where(ground)
        before = file.read_text()
        self._server = await asyncio.start_server(_revoked, _HOST, 0)
        port = self._server.sockets[0].getsockname()[1]
        changed = with_receiver(before, f"http://{_HOST}:{port}/")
        self._file, self._before = file, before
        file.write_text(changed)
        good(await call(url, "POST", "/-/reload"), "POST /-/reload")
        self._alerts = Repeated(self._alert, pause=_TOLD_EVERY_SECONDS)
        await self._alerts.begin(ground)

    def _where(self, ground: Ground) -> tuple[str, Path]:
        url, file = (ground.environ.get(name, "") for name in ("ALERTMANAGER_URL", "ALERTMANAGER_CONFIG"))
        own = ground.parts().get("alertmanager")
        if not url and own is not None:
            url, file = own.address, str(alertmanager_config(ground.settings))
        if not url or not Path(file).is_file():
            raise CannotDrill(
                "no Alertmanager runs: start the stack with 'ticketcap up --monitoring', or set ALERTMANAGER_URL "
                "(http://127.0.0.1:9093) to one on this machine and ALERTMANAGER_CONFIG to the file that it reads"
            )
        return url.rstrip("/"), Path(file)

    async def _alert(self, ground: Ground) -> None:
        url, _ = self._where(ground)
        self._number += 1
        ends_at = datetime.now(UTC) + timedelta(seconds=_TOLD_EVERY_SECONDS)
        labels = {"alertname": "Drill", "severity": "info", "drill": "true", "number": str(self._number)}
        await call(url, "POST", "/api/v2/alerts", [{"labels": labels, "endsAt": ends_at.isoformat()}])

    async def end(self, ground: Ground) -> None:
        """Put the file back as it was."""
        if self._alerts is not None:
            await self._alerts.end(ground)
        if self._file is not None:
            url, file = self._where(ground)
            file.write_text(self._before)
            good(await call(url, "POST", "/-/reload"), "POST /-/reload")
        if self._server is not None:
            self._server.close()


def with_receiver(config: str, url: str) -> str:
    """Return Alertmanager's ``config`` with one more receiver at ``url`` for alerts of the drill; raise CannotDrill."""
    route = {"receiver": "drill", "matchers": ['drill="true"'], "group_by": ["number"], "group_wait": "1s"}
    receiver = {"name": "drill", "webhook_configs": [{"url": url, "send_resolved": False}]}
    for key, item in (("routes", route), ("receivers", receiver)):
        # JSON is YAML: one line, put in before the first item and as far to the right.
        first = re.compile(rf"^( *{key}:\n(?: *#.*\n)*)( *)- ", re.MULTILINE)
        config, found = first.subn(lambda match, item=item: _with(match, json.dumps(item)), config, count=1)  # type: ignore[misc]  # bound in each turn
        if not found:
            raise CannotDrill(f"ALERTMANAGER_CONFIG: has no list of {key} to add the drill's own to")
    return config


def _with(match: "re.Match[str]", item: str) -> str:
    return f"{match[1]}{match[2]}- {item}\n{match[2]}- "


async def _revoked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer as a service does that knows the address no more."""
    try:
        async with asyncio.timeout(_READ_SECONDS):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            await writer.drain()
    except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError):
        pass  # it is no matter how one of them ends
    finally:
        writer.close()

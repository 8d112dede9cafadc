"""Break the monitoring: a full collector, a revoked receiver of alerts."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Final

from ticketcap_local.drills.repeat import repeat
from ticketcap_local.drills.target import CannotDrill, Target, success
from ticketcap_local.monitoring import alertmanager_config

_HOST: Final = "127.0.0.1"
_ALERT_SECONDS: Final = 2.0
_REFUSE_SECONDS: Final = 5.0
_READ_SECONDS: Final = 5.0


async def fill_collector(target: Target) -> None:
    """Let the trace sink refuse spans, as a collector does whose memory is full.

    Each request lasts five seconds, so the sink accepts spans again soon after the drill dies.
    """
    url = target.part("traces").address.partition("/api/")[0]

    async def refuse(seconds: float) -> None:
        success(await target.call(url, "POST", f"/api/refuse?seconds={seconds:g}"))

    target.undo(lambda: refuse(0))
    repeat(target, lambda: refuse(_REFUSE_SECONDS), pause=1.0)


async def revoke_receiver(target: Target) -> None:
    """Add a receiver with a revoked address to Alertmanager, and send it alerts of the drill.

    Other receivers get their alerts as before. Outside the stack, ``ALERTMANAGER_URL`` names an Alertmanager and
    ``ALERTMANAGER_CONFIG`` the file that it reads.
    """
    url, file = _alertmanager(target)
    original = file.read_text()
    server = await asyncio.start_server(_answer_gone, _HOST, 0)
    changed = with_receiver(original, f"http://{_HOST}:{server.sockets[0].getsockname()[1]}/")

    async def restore() -> None:
        server.close()
        file.write_text(original)
        success(await target.call(url, "POST", "/-/reload"))

    target.undo(restore)
    file.write_text(changed)
    success(await target.call(url, "POST", "/-/reload"))
    repeat(target, _alerting(target, url), pause=_ALERT_SECONDS)


def _alertmanager(target: Target) -> tuple[str, Path]:
    """Return the URL of Alertmanager and the file that it reads; raise CannotDrill."""
    url, file = (target.environ.get(name, "") for name in ("ALERTMANAGER_URL", "ALERTMANAGER_CONFIG"))
    own = target.parts().get("alertmanager")
    if not url and own is not None:
        url, file = own.address, str(alertmanager_config(target.settings))
    if not url or not Path(file).is_file():
        raise CannotDrill(
            "no Alertmanager runs: start the stack with 'ticketcap up --monitoring', or set ALERTMANAGER_URL "
            "(http://127.0.0.1:9093) to one on this machine and ALERTMANAGER_CONFIG to the file that it reads"
        )
    return url.rstrip("/"), Path(file)


def _alerting(target: Target, url: str) -> Callable[[], Awaitable[None]]:
    numbers = count(1)

    async def work() -> None:
        ends_at = datetime.now(UTC) + timedelta(seconds=_ALERT_SECONDS)
        labels = {"alertname": "Drill", "severity": "info", "drill": "true", "number": str(next(numbers))}
        await target.call(url, "POST", "/api/v2/alerts", [{"labels": labels, "endsAt": ends_at.isoformat()}])

    return work


def with_receiver(config: str, url: str) -> str:
    """Return Alertmanager's ``config`` with a receiver at ``url`` for alerts of the drill; raise CannotDrill."""
    route = {"receiver": "drill", "matchers": ['drill="true"'], "group_by": ["number"], "group_wait": "1s"}
    receiver = {"name": "drill", "webhook_configs": [{"url": url, "send_resolved": False}]}
    for key, item in (("routes", route), ("receivers", receiver)):
        # JSON is YAML: one line goes before the first item of the list, with the same indentation.
        first = re.compile(rf"^( *{key}:\n(?: *#.*\n)*)( *)- ", re.MULTILINE)
        config, found = first.subn(lambda match, item=item: _with(match, json.dumps(item)), config, count=1)  # type: ignore[misc]  # bound in each turn
        if not found:
            raise CannotDrill(f"ALERTMANAGER_CONFIG: no list of {key} to extend")
    return config


def _with(match: "re.Match[str]", item: str) -> str:
    return f"{match[1]}{match[2]}- {item}\n{match[2]}- "


async def _answer_gone(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer 410, as a service does after it revoked an address."""
    try:
        async with asyncio.timeout(_READ_SECONDS):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            await writer.drain()
    except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError):
        pass  # Alertmanager counts the notification as failed in any case
    finally:
        writer.close()

"""Give a drill the running stack: addresses, processes, databases, tokens, undo steps."""

import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import httpx

from ticketcap_local.errors import CommandError
from ticketcap_local.seed import SCHOOL
from ticketcap_local.settings import StackSettings
from ticketcap_local.sql import database_url
from ticketcap_local.state import PartStatus, StateFolder
from ticketcap_local.tokens import make_token

_CALL_SECONDS: Final = 30.0
_PRODUCTION: Final = "production"

Undo = Callable[[], Awaitable[None]]


class CannotDrill(CommandError):
    """The drill can't run here; the message says why and what to do."""

    exit_code = 2


class UnexpectedResponse(Exception):
    """The stack answered a call of the drill with an error."""


class UndoFailed(CommandError):
    """A fault of the drill remains; the message names it."""


EXPECTED_ERRORS: Final = (OSError, httpx.HTTPError, UnexpectedResponse)
"""Errors that callers of a broken stack meet."""


class Target:
    """The embedded stack over ``settings``. ``environ`` may name an Alertmanager outside the stack."""

    def __init__(self, settings: StackSettings, environ: Mapping[str, str] = os.environ) -> None:
        self.settings = settings
        self.environ = environ
        self._undo: list[Undo] = []
        # A connection of its own for each call: a paused or killed process breaks those that it holds.
        self._client = httpx.AsyncClient(
            timeout=_CALL_SECONDS,
            trust_env=False,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
        )

    def check(self) -> None:
        """Raise CannotDrill in production, and where no stack runs."""
        if self.environ.get("DEPLOYMENT_ENVIRONMENT", "").strip().lower() == _PRODUCTION:
            raise CannotDrill("DEPLOYMENT_ENVIRONMENT is production: drills break things, run them on your own stack")
        if not self.parts():
            raise CannotDrill(f"no stack runs over {self.settings.state_dir}; start one with 'make run'")

    def undo(self, step: Undo) -> None:
        """Register a step that repairs a fault. Register it before the fault: the fault may fail halfway."""
        self._undo.append(step)

    async def undo_all(self) -> None:
        """Run the registered steps, the newest first, and each one even after another failed; raise UndoFailed."""
        failures: list[Exception] = []
        while self._undo:
            try:
                await self._undo.pop()()
            except Exception as error:  # noqa: BLE001 - raised again below, after the other steps
                failures.append(error)
        await self._client.aclose()
        if failures:
            causes = "; ".join(f"{type(failure).__name__}: {failure}" for failure in failures)
            raise UndoFailed(
                f"the drill is not undone completely ({causes}): look at 'ticketcap status', or restart the stack"
            ) from failures[0]

    def parts(self) -> dict[str, PartStatus]:
        """Return the parts of the stack by name."""
        return {part.name: part for part in StateFolder(self.settings.state_dir).parts()}

    def part(self, name: str) -> PartStatus:
        """Return one part; raise CannotDrill when an external one replaces it."""
        found = self.parts().get(name)
        if found is None:
            raise CannotDrill(f"this stack has no {name} of its own (see 'ticketcap status'), so it can't be broken")
        return found

    def database_url(self, name: str) -> str:
        """Return the URL of a database of the stack's own server."""
        self.part("postgres")
        return database_url(self.settings, name)

    def token(self, role: str, school: str | None = None) -> dict[str, str]:
        """Return the authorization header of ``role``."""
        secret = StateFolder(self.settings.state_dir).secrets()["JWT_SECRET"]
        return {"Authorization": f"Bearer {make_token(secret, role=role, school=school, subject='drill')}"}

    def owner(self) -> dict[str, str]:
        """Return the authorization header of the demo school's owner."""
        return self.token("OWNER", SCHOOL)

    async def call(
        self, base_url: str, method: str, path: str, body: Any = None, *, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        """Send one request. Raises httpx.HTTPError."""
        return await self._client.request(method, base_url + path, json=body, headers=headers)

    async def gateway(
        self, method: str, path: str, body: Any = None, *, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        """Call the gateway. Raises httpx.HTTPError."""
        return await self.call(self.part("gateway").address, method, path, body, headers=headers)

    async def simulator(self, method: str, path: str, body: Any = None) -> Any:
        """Call the simulator's control plane and return the JSON; raise httpx.HTTPError or UnexpectedResponse."""
        base_url = self.part("yaadpay").address.partition("/simulator")[0]
        return success(await self.call(base_url, method, f"/simulator/{path}", body))


def success(response: httpx.Response) -> Any:
    """Return the JSON of a successful response, None without a body; raise UnexpectedResponse for another status."""
    if not response.is_success:
        request = f"{response.request.method} {response.request.url.path}"
        raise UnexpectedResponse(f"{request}: {response.status_code} {response.text}")
    return response.json() if response.content else None

"""What a drill works on: the stack that runs, its addresses, processes, databases and tokens."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ticketcap_local.http_client import HttpAnswer, HttpConnection
from ticketcap_local.seed import SCHOOL
from ticketcap_local.settings import StackSettings
from ticketcap_local.state import Running, StateFolder
from ticketcap_local.tokens import make_token

_CALL_SECONDS: Final = 30.0
_PRODUCTION: Final = "production"


class CannotDrill(Exception):
    """A drill can't be run here; the message says why and what to do."""


class Refused(Exception):
    """The stack answered a call of the drill with something else than hoped for."""


@dataclass(frozen=True)
class Ground:
    """The embedded stack over ``settings``. ``environ`` says where Alertmanager is, where there is one."""

    settings: StackSettings
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def must_be_fit(self) -> None:
        """Raise CannotDrill in production, and where no stack runs."""
        if self.environ.get("DEPLOYMENT_ENVIRONMENT", "").strip().lower() == _PRODUCTION:
            raise CannotDrill("DEPLOYMENT_ENVIRONMENT is production: drills break things, run them on your own stack")
        if not self.parts():
            raise CannotDrill(f"nothing runs over {self.settings.state_dir}; start it with 'make run'")

    def parts(self) -> dict[str, Running]:
        """Return the parts that run, or should, by name."""
        return {part.name: part for part in StateFolder(self.settings.state_dir).running()}

    def part(self, name: str) -> Running:
        """Return one of them; raise CannotDrill when the stack works without it."""
        found = self.parts().get(name)
        if found is None:
            raise CannotDrill(f"this stack has no {name} of its own (see 'ticketcap status'), so it can't be broken")
        return found

    def pid(self, name: str) -> int | None:
        """Return the process of a part, None while it is down."""
        return self.part(name).pid

    def database_url(self, name: str) -> str:
        """Return the address of a database of the stack's own server."""
        from ticketcap_local.postgres import EmbeddedPostgres

        port = int(self.part("postgres").address.rpartition(":")[2])
        return EmbeddedPostgres(self.settings.state_dir / "postgres" / "data", port).url(name)

    def token(self, role: str, school: str | None = None) -> dict[str, str]:
        """Return the header of somebody with ``role``."""
        secret = StateFolder(self.settings.state_dir).secrets()["JWT_SECRET"]
        return {"Authorization": f"Bearer {make_token(secret, role=role, school=school, subject='drill')}"}

    def owner(self) -> dict[str, str]:
        """Return the header of the demo school's owner."""
        return self.token("OWNER", SCHOOL)

    async def gateway(
        self, method: str, path: str, body: Any = None, *, headers: dict[str, str] | None = None
    ) -> HttpAnswer:
        """Call the gateway. Raises OSError, EOFError or TimeoutError."""
        return await call(self.part("gateway").address, method, path, body, headers=headers)

    async def simulator(self, method: str, path: str, body: Any = None) -> Any:
        """Call the control plane of YaadPay's simulator and return what it answers; raise Refused."""
        base = self.part("yaadpay").address.partition("/simulator")[0]
        answer = await call(base, method, f"/simulator/{path}", body)
        return good(answer, f"{method} /simulator/{path}")


async def call(
    base_url: str, method: str, path: str, body: Any = None, *, headers: dict[str, str] | None = None
) -> HttpAnswer:
    """Send one request over a connection of its own. Raises OSError, EOFError or TimeoutError."""
    connection = HttpConnection(base_url)
    try:
        return await connection.request(method, path, body, headers=headers, seconds=_CALL_SECONDS)
    finally:
        connection.close()


def good(answer: HttpAnswer, what: str) -> Any:
    """Return the body of an answer that is a success; raise Refused."""
    if not 200 <= answer.status < 300:  # noqa: PLR2004 - what HTTP calls a success
        raise Refused(f"{what} was answered {answer.status} {answer.body}")
    return answer.body

"""Whether the gateway is up, ready, and able to reach what it needs."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, Literal

from starlette.requests import Request
from starlette.responses import Response
from ticketcap_chassis.errors import NotFound, ServiceError
from ticketcap_chassis.identity.roles import SUPER_ADMINS

from ticketcap_gateway import schemas
from ticketcap_gateway.access.callers import Access
from ticketcap_gateway.edge.operation import Answer, Caller, Operation
from ticketcap_gateway.edge.responses import json
from ticketcap_gateway.health.draining import Draining
from ticketcap_gateway.services.client import ServiceClient
from ticketcap_gateway.services.payment import PaymentClient
from ticketcap_gateway.services.registration import RegistrationClient

_TOPIC: Final = "Health"
_CHECK_SECONDS: Final = 3.0
# The health service's names of what is checked: a service as a whole, its database, registration's seat changes.
_WHOLE: Final = ""
_DATABASE: Final = "database"
_SEAT_ANNOUNCEMENTS: Final = "seat_announcements"
_IDENTITY: Final = "identity"
_SERVES: Final = frozenset({"ok", "stale"})

Check = Literal["ok", "stale", "failing", "unreachable"]


class Health:
    """Serves the health calls."""

    def __init__(
        self,
        registration: RegistrationClient,
        payment: PaymentClient,
        draining: Draining,
        access: Access,
        *,
        version: str,
        has_test_error: bool,
    ) -> None:
        self._registration = registration
        self._payment = payment
        self._draining = draining
        self._access = access
        self._version = version
        self._has_test_error = has_test_error

    def operations(self) -> Sequence[Operation]:
        """Return every health call."""
        return (
            Operation(
                method="GET",
                path="/api/health",
                name="getHealth",
                summary="Whether both services, their databases and the feed of seat changes answer; within 4 seconds.",
                topic=_TOPIC,
                handler=self.health,
                answers=[
                    Answer(
                        status=200,
                        description="All is well; a check that is stale still serves, with the identity provider's "
                        "last good keys.",
                        body=schemas.Health,
                    ),
                    Answer(status=503, description="Something is not.", body=schemas.Health),
                ],
            ),
            Operation(
                method="GET",
                path="/livez",
                name="isLive",
                summary="The process is up.",
                topic=_TOPIC,
                handler=self.live,
                answers=[Answer(status=200, description="It is.", body=schemas.Readiness)],
            ),
            Operation(
                method="GET",
                path="/readyz",
                name="isReady",
                summary="Ready to take traffic.",
                topic=_TOPIC,
                handler=self.ready,
                answers=[
                    Answer(status=200, description="It is.", body=schemas.Readiness),
                    Answer(status=503, description="Draining, or registration is not there.", body=schemas.Readiness),
                ],
            ),
            Operation(
                method="GET",
                path="/api/test-error",
                name="testError",
                summary="Raise an error, so that the way to the operators can be seen to work. SUPER_ADMIN.",
                topic=_TOPIC,
                handler=self.test_error,
                caller=Caller.ORGANISER,
                answers=[],
            ),
        )

    async def health(self, request: Request) -> Response:  # noqa: ARG002 - the shape of a handler
        """Say how the services are."""
        asked = {
            "registration": self._check(self._registration, _WHOLE),
            "database": self._check(self._registration, _DATABASE),
            "seat_announcements": self._check(self._registration, _SEAT_ANNOUNCEMENTS),
            "payment": self._check(self._payment, _WHOLE),
            "payment_database": self._check(self._payment, _DATABASE),
        }
        keys = self._access.verifier.keys
        if keys is not None:
            # Each service fetches the provider's keys for itself; these are the gateway's.
            asked["registration_identity"] = self._check(self._registration, _IDENTITY)
            asked["payment_identity"] = self._check(self._payment, _IDENTITY)
        results = await asyncio.gather(*asked.values())
        checks: dict[str, Check] = dict(zip(asked, results, strict=True))
        if keys is not None:
            checks["identity"] = keys.value
        healthy = _SERVES.issuperset(checks.values())
        answer = schemas.Health(
            status="healthy" if healthy else "unhealthy",
            timestamp=datetime.now(UTC),
            version=self._version,
            checks=checks,
        )
        return json(answer, 200 if healthy else 503)

    async def live(self, request: Request) -> Response:  # noqa: ARG002 - the shape of a handler
        """Say that the process is up."""
        return json(schemas.Readiness(status="live"))

    async def ready(self, request: Request) -> Response:  # noqa: ARG002 - the shape of a handler
        """Say whether traffic is welcome. Without payments it is: free registrations, and most calls, go on."""
        if self._draining.has_begun:
            return json(schemas.Readiness(status="draining"), 503)
        if await self._check(self._registration, _WHOLE) != "ok":
            return json(schemas.Readiness(status="unavailable"), 503)
        return json(schemas.Readiness(status="ready"))

    async def test_error(self, request: Request) -> Response:
        """Raise."""
        await self._access.organiser(request, SUPER_ADMINS)
        if not self._has_test_error:
            raise NotFound("the test error is switched off here; TEST_ERROR_ENABLED switches it on")
        raise RuntimeError("the test error that an operator asked for")

    async def _check(self, client: ServiceClient, service: str) -> Check:
        try:
            serving = await client.is_serving(service, within=_CHECK_SECONDS)
        except ServiceError:
            return "unreachable"
        return "ok" if serving else "failing"

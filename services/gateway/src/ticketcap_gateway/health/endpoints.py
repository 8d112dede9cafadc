"""Serve the health calls: health, liveness, readiness and the test error."""

import asyncio
from datetime import UTC, datetime
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from ticketcap_chassis.errors import NotFound, ServiceError
from ticketcap_chassis.identity.roles import SUPER_ADMINS

from ticketcap_gateway.access.callers import ORGANISER, Access
from ticketcap_gateway.edge.operation import ResponseSpec, call
from ticketcap_gateway.edge.responses import json
from ticketcap_gateway.health import schemas
from ticketcap_gateway.health.draining import Draining
from ticketcap_gateway.health.schemas import Check
from ticketcap_gateway.services.client import ServiceClient
from ticketcap_gateway.services.payment import PaymentClient
from ticketcap_gateway.services.registration import RegistrationClient

_CHECK_SECONDS: Final = 3.0
# Names of gRPC's health service: a service as a whole, its database, registration's seat announcements.
_WHOLE: Final = ""
_DATABASE: Final = "database"
_SEAT_ANNOUNCEMENTS: Final = "seat_announcements"
_IDENTITY: Final = "identity"
_SERVES: Final = frozenset({"ok", "stale"})


class Health:
    """Serves the health calls."""

    topic = "Health"

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

    @call(
        "GET",
        "/api/health",
        name="getHealth",
        summary="Whether both services, their databases and the seat announcements are healthy; in 4 seconds.",
        responses=[
            ResponseSpec(
                200,
                "Healthy; a check that is stale still serves, with the identity provider's last good keys.",
                schemas.HealthReport,
            ),
            ResponseSpec(503, "Unhealthy: a check fails.", schemas.HealthReport),
        ],
    )
    async def health(self, request: Request) -> Response:  # noqa: ARG002 - the shape of a handler
        """Report the health of the services."""
        checks_of = {
            "registration": self._check(self._registration, _WHOLE),
            "database": self._check(self._registration, _DATABASE),
            "seat_announcements": self._check(self._registration, _SEAT_ANNOUNCEMENTS),
            "payment": self._check(self._payment, _WHOLE),
            "payment_database": self._check(self._payment, _DATABASE),
        }
        keys = self._access.verifier.keys
        if keys is not None:
            # Each service fetches the provider's keys for itself; these are the gateway's.
            checks_of["registration_identity"] = self._check(self._registration, _IDENTITY)
            checks_of["payment_identity"] = self._check(self._payment, _IDENTITY)
        results = await asyncio.gather(*checks_of.values())
        checks: dict[str, Check] = dict(zip(checks_of, results, strict=True))
        if keys is not None:
            checks["identity"] = keys.value
        healthy = _SERVES.issuperset(checks.values())
        answer = schemas.HealthReport(
            status="healthy" if healthy else "unhealthy",
            timestamp=datetime.now(UTC),
            version=self._version,
            checks=checks,
        )
        return json(answer, 200 if healthy else 503)

    @call(
        "GET",
        "/livez",
        name="isLive",
        summary="Whether the process is up.",
        responses=[ResponseSpec(200, "Yes.", schemas.Readiness)],
    )
    async def live(self, request: Request) -> Response:  # noqa: ARG002 - the shape of a handler
        """Say that the process is up."""
        return json(schemas.Readiness(status="live"))

    @call(
        "GET",
        "/readyz",
        name="isReady",
        summary="Whether the process is ready to take traffic.",
        responses=[
            ResponseSpec(200, "Yes.", schemas.Readiness),
            ResponseSpec(503, "Draining, or registration is unavailable.", schemas.Readiness),
        ],
    )
    async def ready(self, request: Request) -> Response:  # noqa: ARG002 - the shape of a handler
        """Say whether to send traffic. Payment may be down: free registrations, and most calls, still work."""
        if self._draining.has_begun:
            return json(schemas.Readiness(status="draining"), 503)
        if await self._check(self._registration, _WHOLE) != "ok":
            return json(schemas.Readiness(status="unavailable"), 503)
        return json(schemas.Readiness(status="ready"))

    @call(
        "GET",
        "/api/test-error",
        name="testError",
        summary="Raise an error, to test the path of reports to the operators. SUPER_ADMIN.",
        caller=ORGANISER,
        responses=[],
    )
    async def test_error(self, request: Request) -> Response:
        """Raise."""
        await self._access.organiser(request, SUPER_ADMINS)
        if not self._has_test_error:
            raise NotFound("the test error is disabled; TEST_ERROR_ENABLED enables it")
        raise RuntimeError("the test error that an operator requested")

    async def _check(self, client: ServiceClient, service: str) -> Check:
        try:
            serving = await client.is_serving(service, within=_CHECK_SECONDS)
        except ServiceError:
            return "unreachable"
        return "ok" if serving else "failing"

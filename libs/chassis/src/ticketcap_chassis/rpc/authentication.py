"""Authenticate the caller of the current call."""

import contextvars
from typing import Final

from ticketcap_observability import sentry

from ticketcap_chassis.errors import Unauthenticated
from ticketcap_chassis.identity.roles import Principal
from ticketcap_chassis.identity.tokens import TokenVerifier, bearer_token

authorization: Final[contextvars.ContextVar[str]] = contextvars.ContextVar("authorization", default="")
"""The current call's authorization header; the server's interceptor sets it."""


async def caller(verifier: TokenVerifier) -> Principal:
    """Return the principal that makes the current call.

    Raises Unauthenticated without a valid token, and Unavailable while the identity provider's keys are missing.
    """
    token = bearer_token(authorization.get())
    if not token:
        raise Unauthenticated("authentication required: send 'authorization: Bearer <token>'")
    principal = await verifier.verify(token)
    sentry.set_user(principal.subject, principal.role)
    return principal


async def caller_or_none(verifier: TokenVerifier) -> Principal | None:
    """Return the principal that makes the current call, or None when the call carries no token."""
    return await caller(verifier) if bearer_token(authorization.get()) else None

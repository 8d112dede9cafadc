"""Tell other services who is calling: a token of role SERVICE."""

import time
from typing import Final, Self

import jwt
from pydantic import SecretStr, model_validator

from ticketcap_chassis.settings import IdentitySettings

_SECONDS: Final = 300
_RENEWED_SECONDS: Final = 60
"""A token is renewed when it has less than this left."""


class ServiceIdentity:
    """Hands out the token: the one that the platform gave, or one made with the shared secret.

    ``subject`` is the calling service's name.
    """

    def __init__(self, subject: str, *, secret: str = "", issuer: str, audience: str = "", given: str = "") -> None:
        if bool(secret) == bool(given):
            raise ValueError("set exactly one of JWT_SECRET and SERVICE_TOKEN")
        self._secret = secret
        self._claims = {"sub": subject, "role": "SERVICE", "iss": issuer, **({"aud": audience} if audience else {})}
        self._token = given
        self._renew_at = float("inf") if given else 0.0

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Return what goes along with a call."""
        now = time.time()
        if now >= self._renew_at:
            claims = {**self._claims, "exp": int(now) + _SECONDS}
            self._token = jwt.encode(claims, self._secret, algorithm="HS256")
            self._renew_at = now + _SECONDS - _RENEWED_SECONDS
        return (("authorization", f"Bearer {self._token}"),)


class CallerSettings(IdentitySettings):
    """How a service verifies its callers, and who it is when it calls another service."""

    service_token: SecretStr = SecretStr("")
    """A token of role SERVICE, where an identity provider makes them; else one is made with JWT_SECRET."""

    @model_validator(mode="after")
    def _one_identity(self) -> Self:
        if bool(self.service_token.get_secret_value()) == bool(self.jwt_secret.get_secret_value()):
            raise ValueError("SERVICE_TOKEN: must be set with JWT_JWKS_URL, and only then")
        return self

    def identity(self, subject: str) -> ServiceIdentity:
        """Return what tells other services that ``subject`` is calling."""
        return ServiceIdentity(
            subject,
            secret=self.jwt_secret.get_secret_value(),
            issuer=self.jwt_issuer,
            audience=self.jwt_audience,
            given=self.service_token.get_secret_value(),
        )

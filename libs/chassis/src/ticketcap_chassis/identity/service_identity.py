"""Prove to other services which service calls."""

import time
from typing import Final

import jwt

SERVICE_AUTHORIZATION: Final = "service-authorization"
"""The metadata key of the calling service's token, beside ``authorization`` with the token of a person."""
_SECONDS: Final = 300
_RENEW_SECONDS: Final = 60
"""A token is renewed when it is valid for less than this."""


class ServiceIdentity:
    """Hold a token of role SERVICE: ``token`` from the platform, or one signed with ``secret`` and renewed here.

    ``subject`` is the calling service's name. Raises ValueError unless exactly one of the two is set.
    """

    def __init__(self, subject: str, *, secret: str = "", issuer: str, audience: str = "", token: str = "") -> None:
        if bool(secret) == bool(token):
            raise ValueError("set exactly one of JWT_SECRET and SERVICE_TOKEN")
        self._secret = secret
        self._claims = {"sub": subject, "role": "SERVICE", "iss": issuer, **({"aud": audience} if audience else {})}
        self._token = token
        self._renew_at = float("inf") if token else 0.0

    @property
    def bearer(self) -> str:
        """The value of an authorization header, with a token that is valid for at least a minute."""
        now = time.time()
        if now >= self._renew_at:
            claims = {**self._claims, "exp": int(now) + _SECONDS}
            self._token = jwt.encode(claims, self._secret, algorithm="HS256")
            self._renew_at = now + _SECONDS - _RENEW_SECONDS
        return f"Bearer {self._token}"

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Return the metadata of a call that the service makes for itself."""
        return (("authorization", self.bearer),)

"""Who the payment service is to other services: a token of role SERVICE."""

import time
from typing import Final

import jwt

_SECONDS: Final = 300
_RENEWED_SECONDS: Final = 60
"""A token is made anew when it has less than this left."""


class ServiceIdentity:
    """Hands out the token: the one that the platform gave, or one made with the shared secret."""

    def __init__(self, *, secret: str = "", issuer: str, audience: str = "", given: str = "") -> None:
        if bool(secret) == bool(given):
            raise ValueError("set exactly one of JWT_SECRET and SERVICE_TOKEN")
        self._secret = secret
        self._claims = {"sub": "payment", "role": "SERVICE", "iss": issuer, **({"aud": audience} if audience else {})}
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

"""Verify JSON Web Tokens."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import jwt

from ticketcap_chassis.errors import Unauthenticated
from ticketcap_chassis.identity.roles import Principal, Role

if TYPE_CHECKING:
    from ticketcap_chassis.identity.provider_keys import ProviderKeys

ISSUER: Final = "ticketcap"
NO_KEYS: Final = "IDENTITY_PROVIDER_UNAVAILABLE"
"""The reason of Unavailable when a token can't be verified; a call without a token may still be served."""
_LEEWAY_SECONDS: Final = 10
_MAX_TOKEN_LENGTH: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyLimits:
    """Times of the key set, in seconds.

    ``fetch`` limits one fetch. Keys older than ``refresh`` are fetched again, and keys older than ``stale`` are
    reported. ``pause`` is the least time between two fetches, so that neither an outage nor tokens with invented key
    ids flood the provider.
    """

    fetch: float = 3.0
    refresh: float = 60.0
    stale: float = 180.0
    pause: float = 2.0


class KeyState(enum.StrEnum):
    """The state of the keys, as health reports it."""

    OK = "ok"
    STALE = "stale"
    """The provider has not answered for a while; the last good keys still verify tokens."""
    MISSING = "failing"
    """The provider has never answered; no token can be verified."""


class TokenVerifier:
    """Verify tokens with a shared secret (HS256) or an identity provider's keys (JWKS).

    Provider's tokens are accepted with asymmetric algorithms only, so that a public key never serves as a secret.
    """

    def __init__(
        self,
        *,
        secret: str = "",
        jwks_url: str = "",
        audience: str = "",
        issuer: str = ISSUER,
        limits: KeyLimits | None = None,
    ) -> None:
        if bool(secret) == bool(jwks_url):
            raise ValueError("set exactly one of JWT_SECRET and JWT_JWKS_URL")
        self._secret = secret
        self._keys = _provider_keys(jwks_url, limits) if jwks_url else None
        self._audience = audience or None
        self._issuer = issuer or None

    @property
    def keys(self) -> KeyState | None:
        """The state of the identity provider's keys; None with a shared secret."""
        return None if self._keys is None else self._keys.state

    async def refresh(self) -> None:
        """Fetch the provider's keys when they are due. Called every second, it spares requests the wait."""
        if self._keys is not None:
            await self._keys.refresh()

    async def verify(self, token: str) -> Principal:
        """Return the caller that ``token`` names; raise Unauthenticated if it is invalid or expired.

        Raises Unavailable when the token's key is unknown and the provider does not answer.
        """
        if len(token) > _MAX_TOKEN_LENGTH:
            raise Unauthenticated(f"the token is longer than {_MAX_TOKEN_LENGTH} characters")
        try:
            return _principal(await self._claims(token))
        except jwt.ExpiredSignatureError:
            raise Unauthenticated("the token has expired; get a new one", reason="TOKEN_EXPIRED") from None
        except (jwt.PyJWTError, ValueError):
            raise Unauthenticated("the token is invalid; get a new one", reason="TOKEN_INVALID") from None

    async def _claims(self, token: str) -> dict[str, Any]:
        if self._keys is None:
            return self._decode(token, self._secret, ["HS256"])
        kid = jwt.get_unverified_header(token).get("kid")
        if not kid:
            raise jwt.InvalidTokenError("the token names no key")
        key = await self._keys.key(kid)
        return self._decode(token, key.key, ["RS256", "ES256", "EdDSA"])

    def _decode(self, token: str, key: Any, algorithms: Sequence[str]) -> dict[str, Any]:
        return jwt.decode(
            token,
            key,
            algorithms=list(algorithms),
            audience=self._audience,
            issuer=self._issuer,
            leeway=_LEEWAY_SECONDS,
            options={"require": ["sub", "role", "exp"], "verify_aud": self._audience is not None},
        )


def _provider_keys(url: str, limits: KeyLimits | None) -> "ProviderKeys":
    # httpx is large, and only an identity provider needs it.
    from ticketcap_chassis.identity.provider_keys import ProviderKeys

    return ProviderKeys(url, limits)


def _principal(claims: dict[str, Any]) -> Principal:
    role = Role(claims["role"])
    school = claims.get("school")
    if role in {Role.SUPER_ADMIN, Role.SERVICE}:
        return Principal(subject=str(claims["sub"]), role=role, school=None)
    if not isinstance(school, str) or not school:
        raise ValueError("the claim school is missing")
    return Principal(subject=str(claims["sub"]), role=role, school=school)


def looks_like_jwt(token: str) -> bool:
    """Return whether ``token`` is a JSON Web Token rather than a manage token, which has no dots."""
    return token.count(".") == 2  # noqa: PLR2004 - header.payload.signature


def bearer_token(header: str) -> str:
    """Return the token of an Authorization header, or "" without one."""
    scheme, _, token = header.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""

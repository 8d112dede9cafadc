"""Read how a service verifies its callers and names itself."""

from typing import Annotated, Final, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings

from ticketcap_chassis.identity.service_identity import ServiceIdentity
from ticketcap_chassis.identity.tokens import KeyLimits, TokenVerifier
from ticketcap_chassis.production import Rule, is_https
from ticketcap_chassis.settings import check_secret

_STALE_REFRESHES: Final = 3
"""The keys are stale after this many failed refreshes."""


def _http_or_nothing(value: str) -> str:
    parts = urlsplit(value)
    if value and (parts.scheme not in {"http", "https"} or not parts.hostname):
        raise ValueError("must be an http or https address, like https://login.example.org/.well-known/jwks.json")
    return value


class IdentitySettings(BaseSettings):
    """The source of the keys that verify tokens: a shared secret locally, an identity provider in production."""

    jwt_secret: SecretStr = SecretStr("")
    jwt_jwks_url: Annotated[str, AfterValidator(_http_or_nothing)] = ""
    jwt_jwks_seconds: float = Field(default=3.0, gt=0, le=30)
    """Longest time in seconds of one fetch of the identity provider's keys."""
    jwt_jwks_refresh_seconds: float = Field(default=60.0, gt=0, le=3600)
    """Age in seconds at which keys are fetched again; at three times this age they are stale but still verify."""
    jwt_issuer: str = "ticketcap"
    jwt_audience: str = ""

    @model_validator(mode="after")
    def _one_source_of_keys(self) -> Self:
        if bool(self.jwt_secret.get_secret_value()) == bool(self.jwt_jwks_url):
            raise ValueError("set exactly one of JWT_SECRET and JWT_JWKS_URL")
        if not self.jwt_jwks_url:
            check_secret(self.jwt_secret)
        return self

    def verifier(self) -> TokenVerifier:
        """Return a verifier of tokens with these settings."""
        return TokenVerifier(
            secret=self.jwt_secret.get_secret_value(),
            jwks_url=self.jwt_jwks_url,
            audience=self.jwt_audience,
            issuer=self.jwt_issuer,
            limits=KeyLimits(
                fetch=self.jwt_jwks_seconds,
                refresh=self.jwt_jwks_refresh_seconds,
                stale=self.jwt_jwks_refresh_seconds * _STALE_REFRESHES,
            ),
        )


IDENTITY_RULES: Final = (
    Rule(
        "JWT_SECRET",
        "must not be set: a secret that several services share signs tokens of every role; set JWT_JWKS_URL instead",
        lambda settings: not settings.jwt_secret.get_secret_value(),
    ),
    Rule(
        "JWT_JWKS_URL",
        "must be the https address of the identity provider's keys",
        lambda settings: is_https(settings.jwt_jwks_url),
    ),
    Rule(
        "JWT_AUDIENCE",
        "must name this system: without it a token that was made for another application is accepted",
        lambda settings: bool(settings.jwt_audience.strip()),
    ),
    Rule(
        "JWT_ISSUER",
        "must name the identity provider, as its tokens do",
        lambda settings: bool(settings.jwt_issuer.strip()),
    ),
)
"""The rules of production for every service that verifies tokens."""


CALLER_RULES: Final = (
    *IDENTITY_RULES,
    Rule(
        "SERVICE_TOKEN",
        "must be the identity provider's token for this service, of role SERVICE",
        lambda settings: bool(settings.service_token.get_secret_value()),
    ),
)
"""The rules of production for every service that calls another service."""


class CallerSettings(IdentitySettings):
    """The settings of a service that verifies callers and calls other services."""

    service_token: SecretStr = SecretStr("")
    """The identity provider's token of role SERVICE; without a provider, JWT_SECRET signs one."""

    @model_validator(mode="after")
    def _one_identity(self) -> Self:
        if bool(self.service_token.get_secret_value()) == bool(self.jwt_secret.get_secret_value()):
            raise ValueError("SERVICE_TOKEN: must be set with JWT_JWKS_URL, and only then")
        return self

    def identity(self, subject: str) -> ServiceIdentity:
        """Return the identity that ``subject`` (this service's name) shows to other services."""
        return ServiceIdentity(
            subject,
            secret=self.jwt_secret.get_secret_value(),
            issuer=self.jwt_issuer,
            audience=self.jwt_audience,
            token=self.service_token.get_secret_value(),
        )

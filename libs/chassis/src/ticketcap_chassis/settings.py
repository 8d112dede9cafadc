"""Typed settings, read once from the environment at start."""

import os
import sys
from collections.abc import Mapping
from typing import Annotated, ClassVar, Final, Literal, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict

from ticketcap_chassis.connection_string import connection_parameters
from ticketcap_chassis.identity import KeyLimits, TokenVerifier
from ticketcap_chassis.production import DATABASE_RULES, Rule, is_https, violations

_MIN_SECRET_LENGTH = 32
_UNSAFE: Final = "unsafe_in_production"
_STALE_REFRESHES: Final = 3
"""After so many refreshes that failed the keys are stale."""


def _host_and_port(value: str) -> str:
    host, colon, port = value.rpartition(":")
    if not (host and colon and port.isdigit() and int(port) < 65536):  # noqa: PLR2004 - the ports there are
        raise ValueError("must be host:port")
    return value


def _long_enough(value: SecretStr) -> SecretStr:
    if len(value.get_secret_value()) < _MIN_SECRET_LENGTH:
        raise ValueError(f"must have at least {_MIN_SECRET_LENGTH} characters")
    return value


def _http_or_nothing(value: str) -> str:
    parts = urlsplit(value)
    if value and (parts.scheme not in {"http", "https"} or not parts.hostname):
        raise ValueError("must be an http or https address, like https://login.example.org/.well-known/jwks.json")
    return value


def _host_and_port_or_nothing(value: str) -> str:
    return _host_and_port(value) if value else value


def _a_connection_string(value: str) -> str:
    connection_parameters(value)
    return value


Address = Annotated[str, AfterValidator(_host_and_port)]
"""host:port"""

OptionalAddress = Annotated[str, AfterValidator(_host_and_port_or_nothing)]
"""host:port, or nothing"""

DatabaseUrl = Annotated[str, Field(repr=False), AfterValidator(_a_connection_string)]
"""A connection string that libpq reads; never printed: it may hold a password."""

Secret = Annotated[SecretStr, AfterValidator(_long_enough)]
"""At least 32 characters; never printed."""


class ServiceSettings(BaseSettings):
    """What every service reads. A field's name in capitals is its variable."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    production_rules: ClassVar[tuple[Rule, ...]] = ()
    """What production demands of this service, all of it."""

    deployment_environment: Literal["development", "staging", "production"] = "development"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    drain_seconds: float = Field(default=10.0, ge=0, le=300)
    """How long a draining service lets its calls finish."""

    @model_validator(mode="after")
    def _safe_in_production(self) -> Self:
        if self.in_production and (broken := violations(self, self.production_rules)):
            raise PydanticCustomError(_UNSAFE, "{broken}", {"broken": "\n".join(broken)})
        return self

    @property
    def in_production(self) -> bool:
        """Whether the strict rules of production hold."""
        return self.deployment_environment == "production"


class ServedSettings(ServiceSettings):
    """What serving needs to begin telemetry."""

    metrics_address: OptionalAddress = ""
    """Where Prometheus reads /metrics; nothing: nowhere."""


class MigrateSettings(ServiceSettings):
    """What ``migrate`` needs."""

    production_rules = DATABASE_RULES

    database_url: DatabaseUrl


class IdentitySettings(BaseSettings):
    """How tokens are verified: a shared secret locally, an identity provider's keys in production."""

    jwt_secret: SecretStr = SecretStr("")
    jwt_jwks_url: Annotated[str, AfterValidator(_http_or_nothing)] = ""
    jwt_jwks_seconds: float = Field(default=3.0, gt=0, le=30)
    """How long the identity provider may take to answer with its keys."""
    jwt_jwks_refresh_seconds: float = Field(default=60.0, gt=0, le=3600)
    """How old keys are fetched again; three times as old they are reported as stale, and go on serving."""
    jwt_issuer: str = "ticketcap"
    jwt_audience: str = ""

    @model_validator(mode="after")
    def _one_source_of_keys(self) -> Self:
        if bool(self.jwt_secret.get_secret_value()) == bool(self.jwt_jwks_url):
            raise ValueError("set exactly one of JWT_SECRET and JWT_JWKS_URL")
        if not self.jwt_jwks_url:
            _long_enough(self.jwt_secret)
        return self

    def verifier(self) -> TokenVerifier:
        """Return what verifies tokens by these settings."""
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
"""What production demands of every service that verifies tokens."""


_Settings = TypeVar("_Settings", bound=BaseSettings)


def load(kind: type[_Settings]) -> _Settings:
    """Read settings of ``kind`` from the environment.

    Stops the process, naming each wrong variable, when one does not hold.
    """
    try:
        return kind()
    except ValidationError as error:
        sys.exit(explain(error))


def explain(error: ValidationError) -> str:
    """Say which variables are wrong and how, without their values."""
    lines = []
    for problem in error.errors(include_input=False, include_url=False):
        if problem["type"] == _UNSAFE:
            lines += problem["msg"].split("\n")  # each line names its variable
            continue
        variable = "_".join(str(part) for part in problem["loc"]).upper()
        lines.append(f"{variable or 'settings'}: {problem['msg'].removeprefix('Value error, ')}")
    if len(lines) == 1:
        return f"the environment's settings are wrong: {lines[0]}"
    return "the environment's settings are wrong:\n  " + "\n  ".join(lines)


def release(environ: Mapping[str, str] = os.environ, version: str = "0.1.0") -> str:
    """Return the release as every signal names it: ``ticketcap@<version>+<git sha>``.

    SENTRY_RELEASE names it where it is set; else the sha comes from GIT_SHA, which the build sets; "dev" without it.
    """
    return environ.get("SENTRY_RELEASE") or f"ticketcap@{version}+{environ.get('GIT_SHA', 'dev') or 'dev'}"

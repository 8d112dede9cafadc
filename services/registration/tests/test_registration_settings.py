"""Test each rule of production, and all of them at once."""

from typing import Any

import pytest
from pydantic import ValidationError
from ticketcap_chassis.settings import explain
from ticketcap_registration.settings import PRODUCTION_RULES, Settings

MANAGE = "3f9a1c0b7e5d2846b0c1d2e3f4a59687"
GOOD: dict[str, Any] = {
    "deployment_environment": "production",
    "database_url": "postgresql://login:hunter2@db.example.org/registration?sslmode=require",
    "jwt_jwks_url": "https://login.example.org/jwks",
    "jwt_audience": "ticketcap",
    "jwt_issuer": "https://login.example.org",
    "manage_token_secret": MANAGE,
    "manage_token_secret_old": MANAGE[::-1],
}
BROKEN: list[tuple[str, dict[str, Any]]] = [
    ("JWT_SECRET", {"jwt_secret": "0123456789abcdef-0123456789ABCDEF"}),
    ("JWT_JWKS_URL", {"jwt_jwks_url": "http://login.example.org/jwks"}),
    ("JWT_AUDIENCE", {"jwt_audience": ""}),
    ("JWT_ISSUER", {"jwt_issuer": ""}),
    ("DATABASE_JOBS_URL", {"database_jobs_url": "postgresql://login:hunter2@db.example.org/d?sslmode=disable"}),
    ("DATABASE_JOBS_URL", {"database_jobs_url": "postgresql://login:local-development@127.0.0.1/d"}),
    ("DATABASE_DIRECT_URL", {"database_direct_url": "postgresql://login:hunter2@db.example.org/d?sslmode=disable"}),
    ("DATABASE_DIRECT_URL", {"database_direct_url": "postgresql://login:local-development@127.0.0.1/d"}),
    ("DATABASE_URL", {"database_url": "postgresql://login:hunter2@db.example.org/registration?sslmode=disable"}),
    ("DATABASE_URL", {"database_url": "postgresql://login:local-development@127.0.0.1/registration"}),
    ("MANAGE_TOKEN_SECRET", {"manage_token_secret": "local-development-manage-secret-of-compose"}),
    ("MANAGE_TOKEN_SECRET", {"manage_token_secret": "m" * 32}),
    ("MANAGE_TOKEN_SECRET_OLD", {"manage_token_secret_old": "local-development-manage-secret-of-compose"}),
    ("MANAGE_TOKEN_SECRET_OLD", {"manage_token_secret_old": "mn" * 16}),
    ("MANAGE_TOKEN_SECRET", {"manage_token_secret_old": MANAGE}),
]


def violations_of(**changed: Any) -> list[str]:
    """Return the lines that stop the start with settings that are good but for these."""
    with pytest.raises(ValidationError) as refused:
        Settings(**{**GOOD, **changed})
    return [line.strip() for line in explain(refused.value).partition("wrong:")[2].strip().splitlines()]


@pytest.mark.parametrize(("name", "changed"), BROKEN)
def test_each_rule_is_reported_by_name_without_a_value(name: str, changed: dict[str, Any]) -> None:
    """One change to settings that production accepts; development accepts the same value."""
    Settings(**GOOD)
    [line] = violations_of(**changed)
    assert line.startswith(f"{name}: in production")
    assert not any(value in line for value in changed.values() if value)
    if name != "JWT_SECRET":
        Settings(**{**GOOD, **changed, "deployment_environment": "development"})


def test_every_rule_has_a_case() -> None:
    """No rule is without a test."""
    lines = {line for _, changed in BROKEN for line in violations_of(**changed)}
    assert lines == {f"{rule.variable}: in production it {rule.demanded}" for rule in PRODUCTION_RULES}


def test_everything_that_is_broken_is_reported_at_once() -> None:
    """Compose's own settings, moved to production."""
    compose = {
        "database_url": "postgresql://ticketcap:local-development@postgres:5432/registration",
        "jwt_secret": "local-development-secret-of-docker-compose",
        "jwt_jwks_url": "",
        "jwt_audience": "",
        "manage_token_secret": "local-development-secret-of-docker-compose",
        "manage_token_secret_old": None,
    }
    names = [line.split(":")[0] for line in violations_of(**compose)]
    assert names == [
        *("JWT_SECRET", "JWT_JWKS_URL", "JWT_AUDIENCE"),
        *("DATABASE_URL", "DATABASE_URL", "MANAGE_TOKEN_SECRET", "MANAGE_TOKEN_SECRET"),
    ]

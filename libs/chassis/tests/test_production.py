"""Check that production rejects unsafe settings without quoting them."""

from typing import Any

import pytest
from ticketcap_chassis.database.settings import MigrateSettings
from ticketcap_chassis.identity.identity_settings import IDENTITY_RULES, IdentitySettings
from ticketcap_chassis.production import PUBLISHED, differs_from, is_local, secret_rules, violations
from ticketcap_chassis.settings import Secret, ServiceSettings, load

GOOD_SECRET = "3f9a1c0b7e5d2846b0c1d2e3f4a59687"


class Settings(IdentitySettings, ServiceSettings):
    production_rules = (
        *IDENTITY_RULES,
        *secret_rules("manage_token_secret"),
        differs_from("manage_token_secret", "jwt_secret"),
    )

    manage_token_secret: Secret


GOOD = {
    "DEPLOYMENT_ENVIRONMENT": "production",
    "JWT_JWKS_URL": "https://login.example.org/jwks",
    "JWT_AUDIENCE": "ticketcap",
    "JWT_ISSUER": "https://login.example.org",
    "MANAGE_TOKEN_SECRET": GOOD_SECRET,
}


def report(monkeypatch: pytest.MonkeyPatch, kind: type[Any], environment: dict[str, str]) -> str:
    """Return what stops the start, or "" when nothing does."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    try:
        load(kind)
    except SystemExit as stopped:
        return str(stopped.code)
    return ""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("JWT_SECRET", GOOD_SECRET[::-1]),
        ("JWT_JWKS_URL", "http://login.example.org/jwks"),
        ("JWT_JWKS_URL", ""),
        ("JWT_JWKS_URL", "file:///etc/keys.json"),
        ("JWT_AUDIENCE", ""),
        ("JWT_AUDIENCE", " "),
        ("JWT_ISSUER", ""),
        ("MANAGE_TOKEN_SECRET", "a" * 40),
        ("MANAGE_TOKEN_SECRET", "ab" * 20),
        ("MANAGE_TOKEN_SECRET", "abcdefgh" * 5),
        ("MANAGE_TOKEN_SECRET", "a" * 39 + "b"),
        ("MANAGE_TOKEN_SECRET", "local-development-manage-secret-of-compose"),
        ("MANAGE_TOKEN_SECRET", "local-development-secret-of-docker-compose"),
        ("MANAGE_TOKEN_SECRET", "the secret of the end-to-end tests, long enough"),
    ],
)
def test_each_rule_stops_the_start(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """The variable is named and its value is not shown; outside production the good case and this one start."""
    assert report(monkeypatch, Settings, GOOD) == ""
    message = report(monkeypatch, Settings, {name: value})
    assert name in message
    assert not value.strip() or value not in message


def test_all_that_is_broken_is_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line for each rule; a shared secret that is used twice breaks three."""
    shared = "local-development-secret-of-docker-compose"
    unsafe = {"JWT_SECRET": shared, "MANAGE_TOKEN_SECRET": shared, "JWT_JWKS_URL": "", "JWT_AUDIENCE": ""}
    message = report(monkeypatch, Settings, {**GOOD, **unsafe})
    assert message.splitlines()[0] == "the environment's settings are wrong:"
    names = [line.split(":")[0].strip() for line in message.splitlines()[1:]]
    assert names == ["JWT_SECRET", "JWT_JWKS_URL", "JWT_AUDIENCE", "MANAGE_TOKEN_SECRET", "MANAGE_TOKEN_SECRET"]
    assert shared not in message


def test_development_takes_what_production_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compose and `make run` start with their own secrets."""
    for environment in ("development", "staging"):
        local = {"DEPLOYMENT_ENVIRONMENT": environment, "JWT_SECRET": "a" * 32, "MANAGE_TOKEN_SECRET": "b" * 32}
        assert report(monkeypatch, Settings, {**GOOD, "JWT_JWKS_URL": "", "JWT_AUDIENCE": "", **local}) == ""


def test_keys_come_over_http_in_every_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is never an identity provider."""
    for address in ("file:///etc/keys.json", "ftp://login.example.org/jwks", "data:,{}", "login.example.org/jwks"):
        message = report(
            monkeypatch, Settings, {**GOOD, "DEPLOYMENT_ENVIRONMENT": "development", "JWT_JWKS_URL": address}
        )
        assert "JWT_JWKS_URL" in message


@pytest.mark.parametrize(
    ("address", "safe"),
    [
        ("postgresql://login:pw@db.example.org/x?sslmode=require", True),
        ("postgresql://login:pw@db.example.org/x?sslmode=verify-full", True),
        ("postgresql://login:pw@db.example.org/x?sslmode=disable", False),
        ("postgresql://login:pw@db.example.org/x?sslmode=allow", False),
        ("postgresql://login:pw@db.example.org/x?sslmode=prefer", False),
        ("postgresql://login:pw@db.example.org/x", False),
        ("postgresql://login:pw@10.0.0.7:5432/x?sslmode=disable", False),
        ("postgresql://login:pw@db.example.org/x?sslmode=require&sslmode=disable", False),
        ("postgresql://login:pw@/x?host=db.example.org&sslmode=disable", False),
        ("postgresql://login:pw@/x?host=localhost:1&host=db.example.org:2&sslmode=disable", False),
        ("postgresql://login:pw@localhost/x?hostaddr=10.0.0.7&sslmode=disable", False),
        ("postgresql://login:pw@127.0.0.1:5432/x?sslmode=disable", True),
        ("postgresql://login:pw@localhost/x", True),
        ("postgresql://login:pw@[::1]:5432/x", True),
        ("postgresql://login:pw@/x?host=/run/postgresql", True),
        ("postgresql://login:local-development@127.0.0.1/x", False),
        ("postgresql://login:local-development@db.example.org/x?sslmode=require", False),
    ],
)
def test_a_database_elsewhere_is_reached_encrypted(monkeypatch: pytest.MonkeyPatch, address: str, safe: bool) -> None:
    """The migration rejects it too; a string may name several hosts, and a local host needs no encryption."""
    message = report(monkeypatch, MigrateSettings, {"DEPLOYMENT_ENVIRONMENT": "production", "DATABASE_URL": address})
    assert ("DATABASE_URL" in message) is not safe
    assert "login:" not in message
    assert report(monkeypatch, MigrateSettings, {"DEPLOYMENT_ENVIRONMENT": "development"}) == ""


LOOPBACK = ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "0.0.0.0", "::ffff:127.0.0.1"]


@pytest.mark.parametrize("host", ["", "localhost", "LOCALHOST.", "a.localhost", "/run/postgresql", *LOOPBACK])
def test_local_hosts(host: str) -> None:
    """Loopback in every spelling, and sockets of this machine."""
    assert is_local(host)


@pytest.mark.parametrize("host", ["example.org", "10.0.0.1", "localhost.example.org", "notlocalhost", "fd00::1"])
def test_hosts_elsewhere(host: str) -> None:
    """Private networks are other machines too."""
    assert not is_local(host)


def test_no_rule_says_a_value() -> None:
    """Each demand is one text in code and documentation."""
    for rule in Settings.production_rules:
        assert not any(secret in rule.demanded for secret in PUBLISHED if len(secret) > 8)
    assert violations(object(), ()) == []

"""Check the settings, and the errors of wrong ones."""

from collections.abc import Mapping

import pytest
from ticketcap_chassis.settings import load
from ticketcap_gateway.registrations.translation import PayLinks
from ticketcap_gateway.settings import PRODUCTION_RULES, GatewaySettings
from ticketcap_testing.service_fakes import SECRET

PRODUCTION = {
    "DEPLOYMENT_ENVIRONMENT": "production",
    "PUBLIC_URL": "https://tickets.example.org",
    "TRUSTED_PROXIES": "100.64.0.0/10,fd00::/8",
    "JWT_JWKS_URL": "https://login.example.org/jwks",
    "JWT_AUDIENCE": "ticketcap",
    "JWT_ISSUER": "https://login.example.org",
    "SERVICE_TOKEN": "a token of the provider",
}
BROKEN = [
    ("PUBLIC_URL", "http://tickets.example.org"),
    ("PUBLIC_URL", "https://localhost"),
    ("PUBLIC_URL", "https://127.0.0.1:8443"),
    ("PUBLIC_URL", "https://[::1]"),
    ("TRUSTED_PROXIES", "0.0.0.0/0"),
    ("TRUSTED_PROXIES", "::/0"),
    ("TRUSTED_PROXIES", "0.0.0.0/1,128.0.0.0/1"),
    ("TRUSTED_PROXIES", "10.0.0.0/8,2000::/3"),
    ("TEST_ERROR_ENABLED", "true"),
    ("JWT_SECRET", "0123456789abcdef-0123456789ABCDEF"),
    ("JWT_JWKS_URL", "http://login.example.org/jwks"),
    ("JWT_AUDIENCE", ""),
    ("JWT_ISSUER", ""),
    ("SERVICE_TOKEN", ""),
]


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JWT_SECRET", SECRET)


def startup_errors(monkeypatch: pytest.MonkeyPatch, changed: Mapping[str, str]) -> list[str]:
    """Return the lines that stop the start with settings that production takes but for these."""
    monkeypatch.delenv("JWT_SECRET")
    for name, value in {**PRODUCTION, **changed}.items():
        monkeypatch.setenv(name, value)
    try:
        load(GatewaySettings)
    except SystemExit as stopped:
        return [line.strip() for line in str(stopped.code).partition("wrong:")[2].strip().splitlines()]
    return []


@pytest.mark.parametrize(("name", "value"), BROKEN)
def test_production_refuses_open_doors(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """Each rule is reported by name, without the value; development accepts the same value."""
    [line] = startup_errors(monkeypatch, {name: value})
    assert line.startswith(f"{name}: in production")
    assert not value or value not in line
    monkeypatch.setenv("DEPLOYMENT_ENVIRONMENT", "development")
    if name not in {"JWT_SECRET", "SERVICE_TOKEN"}:
        load(GatewaySettings)


def test_every_rule_has_a_case_and_all_are_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No rule is without a test, and one start reports all that are broken."""
    assert startup_errors(monkeypatch, {}) == []
    monkeypatch.setenv("JWT_SECRET", "")
    lines = startup_errors(monkeypatch, dict(reversed(BROKEN)))
    assert lines == [f"{rule.variable}: in production it {rule.demanded}" for rule in PRODUCTION_RULES]


@pytest.mark.parametrize(
    ("environment", "setting", "limit"),
    [
        ("development", "", None),
        ("development", "5", 5),
        ("staging", "", 300),
        ("production", "", 300),
        ("production", "0", None),
    ],
)
def test_the_rate_limit_depends_on_the_environment(
    monkeypatch: pytest.MonkeyPatch, environment: str, setting: str, limit: int | None
) -> None:
    """300 in production, off in development, unless it is set."""
    if environment == "production":
        monkeypatch.delenv("JWT_SECRET")
        for name, value in PRODUCTION.items():
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("DEPLOYMENT_ENVIRONMENT", environment)
    if setting:
        monkeypatch.setenv("REGISTRATIONS_PER_HOUR", setting)
    settings = load(GatewaySettings)
    assert settings.public_writes_per_hour == limit
    assert settings.refused_returns_per_hour == (limit and min(limit, 20))
    assert settings.has_test_error is (environment != "production")


def test_trusted_proxies_are_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Separated by commas, addresses or networks."""
    monkeypatch.setenv("TRUSTED_PROXIES", "10.0.0.0/8, 192.0.2.1,2001:db8::/32")
    assert [str(network) for network in load(GatewaySettings).trusted_proxies] == [
        "10.0.0.0/8",
        "192.0.2.1/32",
        "2001:db8::/32",
    ]
    monkeypatch.setenv("TRUSTED_PROXIES", "")
    assert load(GatewaySettings).trusted_proxies == ()


def test_links_begin_with_the_public_url(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scheme and host, with or without a slash at the end; a token is written so that it stays one."""
    monkeypatch.setenv("PUBLIC_URL", "https://tickets.example.org/")
    links = PayLinks(load(GatewaySettings).public_url)
    assert links.of("id", "a+b&c") == "https://tickets.example.org/pay/id?token=a%2Bb%26c"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TRUSTED_PROXIES", "10.0.0.0/8,nonsense"),
        ("LISTEN_ADDRESS", "8080"),
        ("MAX_BODY_BYTES", "many"),
        ("REGISTRATIONS_PER_HOUR", "-1"),
        ("JWT_SECRET", "short"),
        ("PAYMENT_TARGET", ""),
        ("PUBLIC_URL", "tickets.example.org"),
        ("PUBLIC_URL", "ftp://tickets.example.org"),
        ("PUBLIC_URL", "https://tickets.example.org/pay"),
        ("PUBLIC_URL", "https://user@tickets.example.org"),
        ("PUBLIC_URL", "https://tickets.example.org/?a=b"),
        ("PAYMENT_SECONDS", "0"),
        ("RETURN_SECONDS", "301"),
        ("SERVICE_TOKEN", "beside a shared secret"),
    ],
)
def test_a_wrong_setting_stops_the_start_with_its_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """The message names the variable and never its value."""
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as stopped:
        load(GatewaySettings)
    message = str(stopped.value)
    assert name in message or (name == "JWT_SECRET" and "32 characters" in message)
    assert "short" not in message


def test_with_an_identity_provider_the_gateway_has_a_token_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it every batch of claims would be refused: the start stops instead."""
    monkeypatch.delenv("JWT_SECRET")
    monkeypatch.setenv("JWT_JWKS_URL", "https://id.example.org/keys")
    with pytest.raises(SystemExit, match="SERVICE_TOKEN"):
        load(GatewaySettings)
    monkeypatch.setenv("SERVICE_TOKEN", "a.b.c")
    assert load(GatewaySettings).identity("gateway").metadata() == (("authorization", "Bearer a.b.c"),)

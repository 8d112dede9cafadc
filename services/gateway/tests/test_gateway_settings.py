"""What the environment says, and what it says when it is wrong."""

import pytest
from ticketcap_chassis.settings import load
from ticketcap_gateway.http.links import Links
from ticketcap_gateway.settings import GatewaySettings
from ticketcap_gateway.testing import SECRET


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JWT_SECRET", SECRET)


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
    links = Links(load(GatewaySettings).public_url)
    assert links.pay("id", "a+b&c") == "https://tickets.example.org/pay/id?token=a%2Bb%26c"


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

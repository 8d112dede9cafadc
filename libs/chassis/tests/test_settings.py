"""Check that invalid settings are named without their values."""

import pytest
from ticketcap_chassis.identity.identity_settings import IdentitySettings
from ticketcap_chassis.settings import Address, Secret, ServiceSettings, load, release


class Settings(ServiceSettings, IdentitySettings):
    listen_address: Address = "127.0.0.1:1"
    manage_token_secret: Secret


GOOD = {"JWT_SECRET": "j" * 32, "MANAGE_TOKEN_SECRET": "m" * 32}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_good_settings_load(environment: pytest.MonkeyPatch) -> None:
    """Defaults stand where the environment is silent; secrets do not print."""
    environment.setenv("LISTEN_ADDRESS", "0.0.0.0:50051")
    loaded = load(Settings)
    assert loaded.listen_address == "0.0.0.0:50051"
    assert not loaded.in_production
    assert "mmmm" not in repr(loaded)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LISTEN_ADDRESS", "nowhere"),
        ("LISTEN_ADDRESS", "host:99999"),
        ("MANAGE_TOKEN_SECRET", "short"),
        ("JWT_SECRET", "short"),
        ("DEPLOYMENT_ENVIRONMENT", "moon"),
        ("DRAIN_SECONDS", "-1"),
    ],
)
def test_a_wrong_setting_stops_the_service_by_name(environment: pytest.MonkeyPatch, name: str, value: str) -> None:
    """The message has the variable's name and not its value."""
    environment.setenv(name, value)
    with pytest.raises(SystemExit) as caught:
        load(Settings)
    message = str(caught.value.code)
    assert name in message or name == "JWT_SECRET"
    assert "short" not in message


def test_two_sources_of_keys_are_refused(environment: pytest.MonkeyPatch) -> None:
    """A secret and an identity provider at once."""
    environment.setenv("JWT_JWKS_URL", "https://keys.example/jwks")
    with pytest.raises(SystemExit, match="exactly one"):
        load(Settings)


def test_the_release_is_version_and_commit() -> None:
    """The same words in every signal."""
    assert release({"GIT_SHA": "abc1234"}, "1.2.3") == "ticketcap@1.2.3+abc1234"
    assert release({}, "1.2.3") == "ticketcap@1.2.3+dev"

"""Check that production refuses test settings and that messages hide values."""

from typing import Any

import pytest
from pydantic import ValidationError
from ticketcap_chassis.identity.service_identity import ServiceIdentity
from ticketcap_chassis.settings import explain
from ticketcap_payment.settings import PRODUCTION_RULES, Settings

SECRET = "a secret of the tests, long enough for HS256"
REAL: dict[str, Any] = {
    "deployment_environment": "production",
    "database_url": "postgresql://login:hunter2@db/payment?sslmode=require",
    "jwt_jwks_url": "https://login.example.org/jwks",
    "jwt_audience": "ticketcap",
    "jwt_issuer": "https://login.example.org",
    "service_token": SECRET,
    "yaadpay_base_url": "https://pay.hyp.co.il/p/",
    "yaadpay_masof": "4501234567",
    "yaadpay_key": "the key of the real terminal",
    "yaadpay_passp": "the password of the real terminal",
}


def test_a_real_terminal_at_the_real_address_is_taken() -> None:
    """The good case, so that the refusals below are about what they name."""
    assert Settings(**REAL).payment_mode == "two_phase"


BROKEN: list[tuple[str, dict[str, Any]]] = [
    ("YAADPAY_BASE_URL", {"yaadpay_base_url": "http://127.0.0.1:8090/p/"}),
    ("YAADPAY_BASE_URL", {"yaadpay_base_url": "http://pay.hyp.co.il/p/"}),
    ("YAADPAY_BASE_URL", {"yaadpay_base_url": "https://pay.hyp.co.il.example.com/p/"}),
    ("YAADPAY_BASE_URL", {"yaadpay_base_url": "https://pay.hyp.co.il@example.com/p/"}),
    ("YAADPAY_BASE_URL", {"yaadpay_base_url": "https://yaadpay-simulator:8090/p/"}),
    ("YAADPAY_BASE_URL", {"yaadpay_base_url": "https://pay.hyp.co.il:8443/p/"}),
    ("YAADPAY_PAGE_URL", {"yaadpay_page_url": "http://127.0.0.1:8090/p/"}),
    ("YAADPAY_MASOF", {"yaadpay_masof": "0010131918"}),
    ("YAADPAY_MASOF", {"yaadpay_masof": "0010070211"}),
    ("YAADPAY_KEY", {"yaadpay_key": "7110eda4d09e062aa5e4a390b0a572ac0d2c0220"}),
    ("YAADPAY_PASSP", {"yaadpay_passp": "yaad"}),
    ("YAADPAY_PASSP", {"yaadpay_passp": "the key of the real terminal"}),
    ("YAADPAY_CHECK_SIGN", {"yaadpay_check_sign": False, "yaadpay_verify_postponed": False}),
    ("SERVICE_TOKEN", {"service_token": ""}),
    ("JWT_SECRET", {"jwt_secret": "0123456789abcdef-0123456789ABCDEF"}),
    ("JWT_JWKS_URL", {"jwt_jwks_url": "http://login.example.org/jwks"}),
    ("JWT_AUDIENCE", {"jwt_audience": ""}),
    ("JWT_ISSUER", {"jwt_issuer": ""}),
    ("DATABASE_JOBS_URL", {"database_jobs_url": "postgresql://login:hunter2@db.example.org/d?sslmode=disable"}),
    ("DATABASE_JOBS_URL", {"database_jobs_url": "postgresql://login:local-development@127.0.0.1/d"}),
    ("DATABASE_URL", {"database_url": "postgresql://login:hunter2@db/payment?sslmode=disable"}),
    ("DATABASE_URL", {"database_url": "postgresql://login:local-development@127.0.0.1/payment"}),
]


def problem_lines(**changed: Any) -> list[str]:
    """Return the lines that stop the start with settings that are good but for these."""
    with pytest.raises(ValidationError) as refused:
        Settings(**{**REAL, **changed})
    return [line.strip() for line in explain(refused.value).partition("wrong:")[2].strip().splitlines()]


@pytest.mark.parametrize(("name", "changed"), BROKEN)
def test_production_refuses_play_money_and_open_doors(name: str, changed: dict[str, Any]) -> None:
    """Each rule is reported by name, without a value; development accepts the same value."""
    [line] = problem_lines(**changed)
    assert line.startswith(f"{name}: in production")
    assert not any(value in line for value in changed.values() if value)
    if name not in {"JWT_SECRET", "SERVICE_TOKEN"}:
        Settings(**{**REAL, **changed, "deployment_environment": "development"})


@pytest.mark.parametrize(
    "changed",
    [
        {"yaadpay_check_sign": False},
        {"yaadpay_verify_postponed": False},
        {"yaadpay_base_url": "https://icom.yaad.net/p/"},
        {"yaadpay_base_url": "https://pay.hyp.co.il:443/p/"},
    ],
)
def test_production_takes_what_is_safe(changed: dict[str, Any]) -> None:
    """One of the two checks is enough; both of YaadPay's hosts are YaadPay."""
    Settings(**{**REAL, **changed})


def test_every_rule_has_a_case() -> None:
    """No rule is without a test."""
    lines = {line for _, changed in BROKEN for line in problem_lines(**changed)}
    assert lines == {f"{rule.variable}: in production it {rule.demanded}" for rule in PRODUCTION_RULES}


def test_everything_that_is_broken_is_reported_at_once() -> None:
    """Compose's own settings, moved to production."""
    compose = {
        "database_url": "postgresql://ticketcap:local-development@postgres:5432/payment",
        "jwt_secret": "local-development-secret-of-docker-compose",
        "jwt_jwks_url": "",
        "jwt_audience": "",
        "service_token": "",
        "yaadpay_base_url": "http://yaadpay-simulator:8090/p/",
        "yaadpay_page_url": "http://127.0.0.1:8090/p/",
        "yaadpay_masof": "0010131918",
        "yaadpay_key": "7110eda4d09e062aa5e4a390b0a572ac0d2c0220",
        "yaadpay_passp": "yaad",
    }
    assert [line.split(":")[0] for line in problem_lines(**compose)] == [
        *("JWT_SECRET", "JWT_JWKS_URL", "JWT_AUDIENCE", "SERVICE_TOKEN", "DATABASE_URL", "DATABASE_URL"),
        *("YAADPAY_KEY", "YAADPAY_PASSP", "YAADPAY_BASE_URL", "YAADPAY_PAGE_URL", "YAADPAY_MASOF"),
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("yaadpay_base_url", "pay.hyp.co.il/p/"),
        ("yaadpay_base_url", "https://pay.hyp.co.il/p"),
        ("yaadpay_masof", "12345"),
        ("yaadpay_key", ""),
        ("payment_mode", "hopeful"),
        ("yaadpay_cancel_cutoff", "late"),
        ("outbox_lease_seconds", 10),
        ("service_token", ""),
    ],
)
def test_a_wrong_value_is_named_and_not_shown(name: str, value: Any) -> None:
    """Nor is any secret beside it."""
    with pytest.raises(ValidationError) as error:
        Settings(**{**REAL, name: value})
    said = explain(error.value)
    assert name.upper() in said
    for secret in (SECRET, "hunter2", "the key of", "the password of"):
        assert secret not in said


def test_secrets_do_not_show_themselves() -> None:
    """The printed or logged settings contain no secret."""
    text = repr(Settings(**REAL))
    assert "the key of" not in text
    assert "the password of" not in text


def test_a_service_has_one_identity() -> None:
    """Made with the shared secret, or given by the platform; never both, never none."""
    (_, authorization) = ServiceIdentity("payment", secret=SECRET, issuer="ticketcap").metadata()[0]
    assert authorization.startswith("Bearer ey")
    assert ServiceIdentity("payment", token="given", issuer="x").metadata() == (("authorization", "Bearer given"),)
    for both in ({"secret": SECRET, "token": "x"}, {}):
        with pytest.raises(ValueError, match="exactly one"):
            ServiceIdentity("payment", issuer="x", **both)

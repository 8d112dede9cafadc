"""A production never starts with play money, and no message about a setting holds its value."""

from typing import Any

import pytest
from pydantic import ValidationError
from ticketcap_chassis.service_identity import ServiceIdentity
from ticketcap_chassis.settings import explain
from ticketcap_payment.settings import Settings

SECRET = "a secret of the tests, long enough for HS256"
REAL: dict[str, Any] = {
    "deployment_environment": "production",
    "database_url": "postgresql://login:hunter2@db/payment",
    "jwt_secret": SECRET,
    "yaadpay_base_url": "https://pay.hyp.co.il/p/",
    "yaadpay_masof": "4501234567",
    "yaadpay_key": "the key of the real terminal",
    "yaadpay_passp": "the password of the real terminal",
}


def test_a_real_terminal_at_the_real_address_is_taken() -> None:
    """The good case, so that the refusals below are about what they name."""
    assert Settings(**REAL).payment_mode == "two_phase"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("yaadpay_base_url", "http://127.0.0.1:8090/p/"),
        ("yaadpay_base_url", "http://pay.hyp.co.il/p/"),
        ("yaadpay_base_url", "https://pay.hyp.co.il.example.com/p/"),
        ("yaadpay_base_url", "https://yaadpay-simulator:8090/p/"),
        ("yaadpay_base_url", "https://pay.hyp.co.il:8443/p/"),
        ("yaadpay_page_url", "http://127.0.0.1:8090/p/"),
        ("yaadpay_masof", "0010131918"),
        ("yaadpay_masof", "0010070211"),
    ],
)
def test_production_refuses_play_money(name: str, value: str) -> None:
    """The simulator's address, another's, or a public test terminal; in development they are what one uses."""
    with pytest.raises(ValidationError, match=name.upper()):
        Settings(**{**REAL, name: value})
    Settings(**{**REAL, name: value, "deployment_environment": "development"})


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
        ("service_token", "both"),
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
    """Printed or logged whole, the settings tell none."""
    shown = repr(Settings(**REAL))
    assert "the key of" not in shown
    assert "the password of" not in shown


def test_a_service_has_one_identity() -> None:
    """Made with the shared secret, or given by the platform; never both, never none."""
    (_, made) = ServiceIdentity("payment", secret=SECRET, issuer="ticketcap").metadata()[0]
    assert made.startswith("Bearer ey")
    assert ServiceIdentity("payment", given="given", issuer="x").metadata() == (("authorization", "Bearer given"),)
    for both in ({"secret": SECRET, "given": "x"}, {}):
        with pytest.raises(ValueError, match="exactly one"):
            ServiceIdentity("payment", issuer="x", **both)

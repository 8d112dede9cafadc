"""What the environment says to the payment service."""

from datetime import time
from typing import Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator
from ticketcap_chassis.database.settings import DATABASE_RULES, DatabaseSettings, DatabaseUrl
from ticketcap_chassis.identity.identity_settings import CALLER_RULES, CallerSettings
from ticketcap_chassis.production import Rule, differs_from, vendor_secret_rules
from ticketcap_chassis.settings import Address, OptionalAddress, ServedSettings

_HOSTS: Final = frozenset({"pay.hyp.co.il", "icom.yaad.net"})
"""Where YaadPay answers; production speaks to nobody else."""
# Published by the vendor, with their passwords: whoever charges there charges nobody.
_PUBLIC_TERMINALS: Final = frozenset({"0010131918", "0010345518", "0010020610", "0010072619", "0010070211"})


def _is_yaadpay(address: str) -> bool:
    parts = urlsplit(address)
    return parts.scheme == "https" and parts.netloc.lower().removesuffix(":443") in _HOSTS


PRODUCTION_RULES: Final = (
    *CALLER_RULES,
    *DATABASE_RULES,
    *vendor_secret_rules("yaadpay_key"),
    *vendor_secret_rules("yaadpay_passp"),
    differs_from("yaadpay_passp", "yaadpay_key"),
    Rule(
        "YAADPAY_BASE_URL",
        f"must be https at one of {', '.join(sorted(_HOSTS))}",
        lambda settings: _is_yaadpay(settings.yaadpay_base_url),
    ),
    Rule("YAADPAY_PAGE_URL", "must not be set", lambda settings: not settings.yaadpay_page_url),
    Rule(
        "YAADPAY_MASOF",
        "must not be a public test terminal",
        lambda settings: settings.yaadpay_masof not in _PUBLIC_TERMINALS,
    ),
    Rule(
        "YAADPAY_CHECK_SIGN",
        "must be true when YAADPAY_VERIFY_POSTPONED is false: one of both must vouch for a return",
        lambda settings: settings.yaadpay_check_sign or settings.yaadpay_verify_postponed,
    ),
)
"""What production demands of this service."""


class Settings(CallerSettings, ServedSettings, DatabaseSettings):
    """A field's name in capitals is its variable. Times are in seconds."""

    production_rules = PRODUCTION_RULES

    listen_address: Address = "127.0.0.1:50052"
    metrics_address: OptionalAddress = "127.0.0.1:9462"
    database_url: DatabaseUrl
    """As libpq reads it: postgresql://user:password@host:port/database; the login that ran the migrations."""
    registration_target: str = Field(default="127.0.0.1:50051", min_length=1)

    yaadpay_base_url: str = "https://pay.hyp.co.il/p/"
    yaadpay_page_url: str = ""
    """Where a browser goes, when that is not YAADPAY_BASE_URL: a simulator inside a network of containers."""
    yaadpay_masof: str = Field(pattern=r"^[0-9]{10}$")
    yaadpay_key: SecretStr = Field(min_length=1)
    yaadpay_passp: SecretStr = Field(min_length=1)
    yaadpay_seconds: float = Field(default=20.0, gt=0, le=60)
    """How long YaadPay may take to answer what moves no money."""
    yaadpay_money_seconds: float = Field(default=45.0, gt=0, le=120)
    """How long it may take to answer what moves money."""

    drain_seconds: float = Field(default=50.0, ge=0, le=300)
    """Longer than YaadPay may take: a refund that is cut off in the middle needs a person."""
    payment_mode: Literal["two_phase", "immediate"] = "two_phase"
    page_seconds: float = Field(default=1200.0, ge=1, le=86_400)
    """How long a page may be paid on; YaadPay's own limit."""
    secure_seconds: int = Field(default=900, ge=1, le=86_400)
    """How long a seat is made sure of around a capture."""
    refund_by_cancelling: bool = True
    """Whether a whole charge of today is undone rather than refunded."""

    # What YaadPay's documents leave open; each default is the careful one.
    yaadpay_verify_postponed: bool = True
    """Whether VERIFY works for postponed returns; without it their Sign alone vouches for them."""
    yaadpay_check_sign: bool = True
    """Whether Sign is checked here before YaadPay is asked."""
    yaadpay_committed_means_charged: bool = True
    """Whether 250 after a lost answer to commitTrans says that it was charged; without it a person is asked."""
    yaadpay_cancel_cutoff: time = time(22, 0)
    """Until when a charge of today can be undone, in Israel."""

    database_connections: int = Field(default=8, ge=2, le=100)
    outbox_poll_seconds: float = Field(default=0.5, gt=0, le=60)
    outbox_lease_seconds: float = Field(default=120.0, gt=0, le=600)
    """After it what a killed process was at is taken over; longer than YAADPAY_MONEY_SECONDS."""
    feed_poll_seconds: float = Field(default=1.0, gt=0, le=60)
    reconcile_seconds: float = Field(default=10.0, gt=0, le=3600)
    give_up_seconds: float = Field(default=1800.0, gt=0, le=259_200)
    """How long something is tried before a person is asked."""
    money_tries: int = Field(default=8, ge=1, le=50)
    """How often a charge whose outcome is not known is asked for before a person is."""

    @field_validator("yaadpay_base_url", "yaadpay_page_url")
    @classmethod
    def _an_address(cls, value: str, info: ValidationInfo) -> str:
        if not value and info.field_name == "yaadpay_page_url":
            return value
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname or not parts.path.endswith("/"):
            raise ValueError("must be an address like https://pay.hyp.co.il/p/, with the slash at its end")
        return value

    @model_validator(mode="after")
    def _leases_outlast_calls(self) -> Self:
        if self.outbox_lease_seconds <= self.yaadpay_money_seconds:
            raise ValueError("OUTBOX_LEASE_SECONDS: must be more than YAADPAY_MONEY_SECONDS")
        return self

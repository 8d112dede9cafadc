"""Read the payment service's settings from the environment."""

from datetime import time
from typing import Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator
from ticketcap_chassis.database.settings import DatabaseSettings, database_rules
from ticketcap_chassis.identity.identity_settings import CALLER_RULES, CallerSettings
from ticketcap_chassis.production import Rule, differs_from, vendor_secret_rules
from ticketcap_chassis.settings import Address, OptionalAddress, ServedSettings

_HOSTS: Final = frozenset({"pay.hyp.co.il", "icom.yaad.net"})
"""YaadPay's own hosts; production calls no other."""
# The vendor publishes these with their passwords; a charge there takes no money.
_PUBLIC_TERMINALS: Final = frozenset({"0010131918", "0010345518", "0010020610", "0010072619", "0010070211"})


def _is_yaadpay(address: str) -> bool:
    parts = urlsplit(address)
    return parts.scheme == "https" and parts.netloc.lower().removesuffix(":443") in _HOSTS


PRODUCTION_RULES: Final = (
    *CALLER_RULES,
    *database_rules("database_url", "database_jobs_url"),
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
"""The rules that production adds."""


class Settings(CallerSettings, ServedSettings, DatabaseSettings):
    """A field's name in capitals is its variable. Times are in seconds."""

    production_rules = PRODUCTION_RULES

    listen_address: Address = "127.0.0.1:50052"
    metrics_address: OptionalAddress = "127.0.0.1:9462"
    registration_target: str = Field(default="127.0.0.1:50051", min_length=1)

    yaadpay_base_url: str = "https://pay.hyp.co.il/p/"
    yaadpay_page_url: str = ""
    """The browser's address of YaadPay, where it differs: a simulator inside a network of containers."""
    yaadpay_masof: str = Field(pattern=r"^[0-9]{10}$")
    yaadpay_key: SecretStr = Field(min_length=1)
    yaadpay_passp: SecretStr = Field(min_length=1)
    yaadpay_seconds: float = Field(default=20.0, gt=0, le=60)
    """The limit of a call that moves no money."""
    yaadpay_money_seconds: float = Field(default=45.0, gt=0, le=120)
    """The limit of a call that moves money."""

    drain_seconds: float = Field(default=50.0, ge=0, le=300)
    """Longer than a money call: a refund that is interrupted needs a person."""
    payment_mode: Literal["two_phase", "immediate"] = "two_phase"
    page_seconds: float = Field(default=1200.0, ge=1, le=86_400)
    """The life of a page; YaadPay's own limit."""
    secure_seconds: int = Field(default=900, ge=1, le=86_400)
    """The length of the hold around a capture."""
    refund_by_cancelling: bool = True
    """Whether a whole charge of today is cancelled rather than refunded."""

    # YaadPay's documents leave these open; each default is the careful one.
    yaadpay_verify_postponed: bool = True
    """Whether VERIFY works for postponed returns; if not, their Sign alone proves them genuine."""
    yaadpay_check_sign: bool = True
    """Whether Sign is checked here before YaadPay is called."""
    yaadpay_committed_means_charged: bool = True
    """Whether 250 after a lost answer to commitTrans proves the charge; if not, the payment is escalated."""
    yaadpay_cancel_cutoff: time = time(22, 0)
    """The time of day in Israel until which a charge of today can be cancelled."""

    outbox_poll_seconds: float = Field(default=0.5, gt=0, le=60)
    outbox_lease_seconds: float = Field(default=120.0, gt=0, le=600)
    """After it another process repeats a killed process's delivery; longer than YAADPAY_MONEY_SECONDS."""
    feed_poll_seconds: float = Field(default=1.0, gt=0, le=60)
    reconcile_seconds: float = Field(default=10.0, gt=0, le=3600)
    give_up_seconds: float = Field(default=1800.0, gt=0, le=259_200)
    """The time after which work that can't be done is escalated."""
    money_tries: int = Field(default=8, ge=1, le=50)
    """The number of charges with an unknown outcome before an escalation."""

    @property
    def most_connections(self) -> int:
        """The most database connections of this process: those of its two pools."""
        return self.database_connections + self.database_jobs_connections

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

"""Describe the terminal: credentials, addresses and permissions."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from ticketcap_yaadpay_simulator.checks import (
    Check,
    WrongInput,
    boolean,
    checked,
    integer,
    one_of,
    optional,
    text,
    texts,
    web_address,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Auth:
    """How a caller proves who it is; each method that is on must agree."""

    password: bool = True
    ip: tuple[str, ...] = ()
    """Addresses that may call; empty means the method is off."""
    domain: tuple[str, ...] = ()
    """Hosts that a Referer may name; empty means the method is off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    """One terminal. It begins with the test credentials that the vendor publishes for everybody."""

    success_url: str
    failure_url: str | None = None
    masof: str = "0010131918"
    passp: str = "yaad"
    key: str = "7110eda4d09e062aa5e4a390b0a572ac0d2c0220"
    zpass: str = "zpass"
    auth: Auth = field(default_factory=Auth)
    verify_by_signature: bool = True
    currencies: tuple[int, ...] = (1, 2, 3, 4)
    max_payments: int = 12
    allow_tokens: bool = True
    allow_refund: bool = True
    allow_payrequest: bool = True
    allow_hk: bool = True
    invoice_module: str = "ezcount"
    is_test: bool = True

    def patched(self, values: Mapping[str, Any]) -> "Terminal":
        """Return it with ``values`` changed; raise WrongInput."""
        changes = checked(values, TERMINAL_CHECKS, "terminal field")
        if "auth" in changes:
            changes["auth"] = replace(self.auth, **changes["auth"])
        return replace(self, **changes)

    def as_json(self) -> dict[str, Any]:
        """Return it for the control plane."""
        return asdict(self)


def _auth(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("must be an object of password, ip and domain")  # noqa: TRY004 - becomes a 422
    try:
        return checked(value, {"password": boolean, "ip": texts(50), "domain": texts(50)}, "method")
    except WrongInput as error:
        raise ValueError(str(error)) from None


def _currencies(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or not value or len(value) > 4:  # noqa: PLR2004 - the four there are
        raise ValueError("must be a list of 1 (ILS), 2 (USD), 3 (EUR), 4 (GBP)")
    return tuple(integer(1, 4)(coin) for coin in value)


TERMINAL_CHECKS: Final[Mapping[str, Check]] = {
    "masof": text(10, r"\d{10}"),
    "passp": text(100, r"\S+"),
    "key": text(200, r"[!-~]+"),
    "zpass": text(100, r"\S+"),
    "auth": _auth,
    "verify_by_signature": boolean,
    "success_url": web_address,
    "failure_url": optional(web_address),
    "currencies": _currencies,
    "max_payments": integer(1, 99),
    "allow_tokens": boolean,
    "allow_refund": boolean,
    "allow_payrequest": boolean,
    "allow_hk": boolean,
    "invoice_module": one_of("none", "legacy", "ezcount"),
    "is_test": boolean,
}

"""Set the gateway's uncertain behaviours: each doubt is a knob."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from ticketcap_yaadpay_simulator.checks import (
    Check,
    boolean,
    checked,
    clock_time,
    either,
    integer,
    one_of,
    optional,
    seconds,
    text,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Knobs:
    """The knobs and where they stand at first."""

    nonzero_ok_goes_to: str = "failure_url"
    """Where 600, 700 and 800 lead; without a failure URL always the success URL."""
    per_request_urls: str = "ignore"
    """The effect of SuccessUrl, ErrorUrl and similar parameters of a page."""
    echo_encoding: str = "percent"
    """``raw`` leaves # & ? = % + of free text as they are in the redirect."""
    order_filter: str = "none"
    sign_without_flag: str = "no_signature"
    verify_mismatch_code: int = 902
    page_signature_check: str = "canonical"
    api_error_body: str = "ccode_only"
    verify_on_800: str = "ok"
    link_expiry_seconds: float | None = None
    """Counted from SIGN, or from the first opening of a page that was signed elsewhere."""
    signed_link_single_use: bool = False
    duplicate_guard: str | int = "off"
    """``off``, or within how many minutes the same card and amount are refused."""
    refund_33_counts_previous: bool = True
    double_capture: str = "refuse"
    gettoken_repeat: str = "same"
    cancel_cutoff: str = "22:00"
    """HH:MM in Israel."""
    cancel_j5: str = "single_payment_same_day"
    hold_days: int = 5
    late_field_case: str = "SpType"
    trailing_newline: bool = True
    hesh_value: str = "0"
    userid_placeholder: bool = False
    payrequest_return_has_sign: bool = False
    slow_amount_seconds: float = 50.0
    """How long an amount ending in .98 takes to be answered."""

    def patched(self, values: Mapping[str, Any]) -> "Knobs":
        """Return them with ``values`` changed; raise WrongInput."""
        return replace(self, **checked(values, KNOB_CHECKS, "knob"))

    def as_json(self) -> dict[str, Any]:
        """Return them for the control plane."""
        return asdict(self)


KNOB_CHECKS: Final[Mapping[str, Check]] = {
    "nonzero_ok_goes_to": one_of("failure_url", "success_url"),
    "per_request_urls": one_of("ignore", "honour", "902_if_unregistered"),
    "echo_encoding": one_of("percent", "raw"),
    "order_filter": one_of("none", "alnum_only"),
    "sign_without_flag": one_of("no_signature"),
    "verify_mismatch_code": one_of(902, 200),
    "page_signature_check": one_of("canonical", "verbatim"),
    "api_error_body": one_of("ccode_only", "with_fields"),
    "verify_on_800": one_of("ok", "fail_902"),
    "link_expiry_seconds": optional(seconds(366 * 86_400)),
    "signed_link_single_use": boolean,
    "duplicate_guard": either(one_of("off"), integer(1, 1440)),
    "refund_33_counts_previous": boolean,
    "double_capture": one_of("refuse", "allow"),
    "gettoken_repeat": one_of("same", "new"),
    "cancel_cutoff": clock_time,
    "cancel_j5": one_of("single_payment_same_day", "always_920"),
    "hold_days": integer(1, 60),
    "late_field_case": one_of("SpType", "spType"),
    "trailing_newline": boolean,
    "hesh_value": text(10, r"EZ|\d{1,10}"),
    "userid_placeholder": boolean,
    "payrequest_return_has_sign": boolean,
    "slow_amount_seconds": seconds(600),
}

"""List the problems of payments with their own status or members."""

from collections.abc import Mapping
from typing import Final

from ticketcap_gateway.edge.problems import ReasonRule

RULES: Final[Mapping[str, ReasonRule]] = {
    # YaadPay did not send this: it is no request at all.
    "RETURN_REFUSED": ReasonRule(status=400),
    # The hold existed, and never comes back.
    "HOLD_EXPIRED": ReasonRule(status=410),
    "PAYMENT_RUNNING": ReasonRule(members=("payment_id", "state", "redirect_url")),
}

"""What was asked lately: names of parameters and headers, never a secret, a card or a person."""

from collections import deque
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from ticketcap_yaadpay_simulator.protocol.parameters import Call

_KEPT: Final = 1000
_SECRETS: Final = frozenset({"KEY", "PassP", "zPass", "CC", "cvv", "Pass", "WalletToken"})
_SHOWN_LENGTH: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One request, without what is secret in it."""

    at: datetime
    method: str
    path: str
    action: str
    what: str
    parameter_names: list[str]
    header_names: list[str]
    order: str
    trans_id: str
    secret_in_url: bool
    """Whether a credential or card data stood in the query string."""

    def as_json(self) -> dict[str, Any]:
        """Return it for the control plane."""
        return {**asdict(self), "at": self.at.isoformat()}


class RequestLog:
    """The newest requests."""

    def __init__(self) -> None:
        self._seen: deque[Seen] = deque(maxlen=_KEPT)

    def add(self, call: Call, now: datetime) -> None:
        """Note a request."""
        self._seen.append(
            Seen(
                at=now,
                method=call.method,
                path=call.path,
                action=shown(call.action),
                what=shown(call.parameters.get("What")),
                parameter_names=[shown(name) for name in call.parameters.names],
                header_names=sorted(call.headers),
                order=call.parameters.get("Order")[:200],
                trans_id=shown(call.parameters.get("TransId")),
                secret_in_url=not _SECRETS.isdisjoint(call.in_url.names),
            )
        )

    def items(self, action: str | None = None) -> list[Seen]:
        """Return them oldest first; ``action`` also takes SIGN and VERIFY."""
        return [seen for seen in self._seen if action is None or action in {seen.action, seen.what}]

    def clear(self) -> None:
        """Forget them."""
        self._seen.clear()


def shown(value: str) -> str:
    """Return a value of a caller fit for one line of a log."""
    return "".join(letter if letter.isprintable() else "?" for letter in value[:_SHOWN_LENGTH])

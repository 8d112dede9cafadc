"""Record recent requests without secrets, cards or persons."""

from collections import deque
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from ticketcap_yaadpay_simulator.protocol.parameters import Call

_MAX_REQUESTS: Final = 1000
_SECRETS: Final = frozenset({"KEY", "PassP", "zPass", "CC", "cvv", "Pass", "WalletToken"})
_SHOWN_LENGTH: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRequest:
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
        self._requests: deque[RecordedRequest] = deque(maxlen=_MAX_REQUESTS)

    def add(self, call: Call, now: datetime) -> None:
        """Note a request."""
        self._requests.append(
            RecordedRequest(
                at=now,
                method=call.method,
                path=call.path,
                action=printable(call.action),
                what=printable(call.parameters.get("What")),
                parameter_names=[printable(name) for name in call.parameters.names],
                header_names=sorted(call.headers),
                order=call.parameters.get("Order")[:200],
                trans_id=printable(call.parameters.get("TransId")),
                secret_in_url=not _SECRETS.isdisjoint(call.in_url.names),
            )
        )

    def items(self, action: str | None = None) -> list[RecordedRequest]:
        """Return them oldest first; ``action`` also takes SIGN and VERIFY."""
        return [request for request in self._requests if action is None or action in {request.action, request.what}]

    def clear(self) -> None:
        """Forget them."""
        self._requests.clear()


def printable(value: str) -> str:
    """Return a value of a caller fit for one line of a log."""
    return "".join(letter if letter.isprintable() else "?" for letter in value[:_SHOWN_LENGTH])

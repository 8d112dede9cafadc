"""getToken: the number that stands for a transaction's card."""

import secrets
from typing import Final

from ticketcap_yaadpay_simulator.protocol.parameters import Call
from ticketcap_yaadpay_simulator.protocol.replies import Reply, code, flat
from ticketcap_yaadpay_simulator.simulator import Simulator

_NOT_FOUND: Final = 250
_UNSUITABLE: Final = 910
_UNREADABLE: Final = 990
_NOT_ALLOWED: Final = 996
_SUITABLE: Final = (0, 600, 700, 800, 998)


def answer(sim: Simulator, call: Call) -> Reply:
    """Reply with token and expiry (YYMM)."""
    parameters = call.parameters
    if not sim.terminal.allow_tokens:
        return code(_NOT_ALLOWED, parameters, sim.knobs)
    transaction = sim.book.get(parameters.get("TransId"))
    if transaction is None:
        return code(_NOT_FOUND, parameters, sim.knobs)
    if transaction.status not in _SUITABLE and not parameters.flag("allowFalse"):
        return code(_UNSUITABLE, parameters, sim.knobs)
    if transaction.card is None:
        return code(_UNREADABLE, parameters, sim.knobs)
    token = transaction.card.token if sim.knobs.gettoken_repeat == "same" else _new_token()
    sim.book.add_token(token, transaction.card)
    fields = [("Id", str(transaction.id)), ("CCode", "0"), ("Token", token), ("Tokef", transaction.card.tokef)]
    return flat([*fields, *echoed(call)], parameters, sim.knobs)


def echoed(call: Call) -> list[tuple[str, str]]:
    """Return the merchant's own three fields as they came."""
    return [(name, call.parameters.get(name)) for name in ("Fild1", "Fild2", "Fild3")]


def _new_token() -> str:
    return str(10**18 + secrets.randbelow(9 * 10**18))

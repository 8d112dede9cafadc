"""Refuse or dispatch a request.

The checks come in this order: terminal, perimeter, action, password, key.
"""

from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urlsplit

from ticketcap_yaadpay_simulator.protocol import (
    agreements,
    cancel,
    commit,
    documents,
    links,
    refund,
    sign,
    soft,
    tokens,
    verify,
)
from ticketcap_yaadpay_simulator.protocol.parameters import Call
from ticketcap_yaadpay_simulator.protocol.replies import Reply, code, masof_error, perimeter, unknown_action
from ticketcap_yaadpay_simulator.protocol.signatures import same
from ticketcap_yaadpay_simulator.simulator import Simulator

Handler = Callable[[Simulator, Call], Reply]

_REFUSED: Final = 902
_NO_WHAT: Final = 904
_MASOF_LENGTH: Final = 10
_BROWSER_ACTIONS: Final = frozenset({"pay", "PrintHesh"})


def refusal(sim: Simulator, call: Call) -> Reply | None:
    """Return the refusal of a request, None when it may pass."""
    masof = call.parameters.get("Masof")
    if not (masof.isascii() and masof.isdecimal() and len(masof) == _MASOF_LENGTH):
        return masof_error()
    if masof != sim.terminal.masof:
        return code(_REFUSED, call.parameters, sim.knobs)
    if not _is_inside(sim, call):
        return perimeter(call.client, call.headers.get("referer", ""))
    if call.action not in _HANDLERS and call.action not in {"pay", "APISign"}:
        return unknown_action()
    if call.action not in _BROWSER_ACTIONS and not _has_password(sim, call):
        return code(_REFUSED, call.parameters, sim.knobs)
    return _apisign_refusal(sim, call) if call.action == "APISign" else None


def dispatch(sim: Simulator, call: Call) -> Reply:
    """Return the answer to a request that passed; the hosted page has a door of its own."""
    handler = _APISIGN[call.name] if call.action == "APISign" else _HANDLERS[call.action]
    return handler(sim, call)


def _apisign_refusal(sim: Simulator, call: Call) -> Reply | None:
    if call.parameters.get("What") not in _APISIGN:
        return code(_NO_WHAT, call.parameters, sim.knobs)
    if not same(call.parameters.get("KEY"), sim.terminal.key):
        return code(_REFUSED, call.parameters, sim.knobs)
    return None


def _is_inside(sim: Simulator, call: Call) -> bool:
    auth = sim.terminal.auth
    by_server = call.action not in _BROWSER_ACTIONS
    ip_is_right = not auth.ip or not by_server or call.client in auth.ip
    by_domain = call.action in {"pay", "APISign"} and auth.domain
    return ip_is_right and (not by_domain or _host(call.headers.get("referer", "")) in auth.domain)


def _has_password(sim: Simulator, call: Call) -> bool:
    return not sim.terminal.auth.password or same(call.parameters.get("PassP"), sim.terminal.passp)


def _host(referer: str) -> str:
    try:
        return urlsplit(referer).hostname or ""
    except ValueError:
        return ""


_APISIGN: Final[Mapping[str, Handler]] = {"SIGN": sign.answer, "VERIFY": verify.answer}
_HANDLERS: Final[Mapping[str, Handler]] = {
    "soft": soft.answer,
    "getToken": tokens.answer,
    "commitTrans": commit.answer,
    "CancelTrans": cancel.answer,
    "zikoyAPI": refund.answer,
    "HKStatus": agreements.answer,
    "hkstatus": agreements.answer,
    "payRequest": links.answer,
    "PrintHesh": documents.answer,
}

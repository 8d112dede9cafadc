"""Stop or resume a recurring agreement (HKStatus)."""

from typing import Final

from ticketcap_yaadpay_simulator.protocol.parameters import Call
from ticketcap_yaadpay_simulator.protocol.replies import Reply, code, flat
from ticketcap_yaadpay_simulator.simulator import Simulator

_NOT_ALLOWED: Final = 901
_WRONG_STATE: Final = 905
_UNKNOWN: Final = 906


def answer(sim: Simulator, call: Call) -> Reply:
    """Stop (1) or resume (2)."""
    parameters = call.parameters
    if not sim.terminal.allow_hk:
        return code(_NOT_ALLOWED, parameters, sim.knobs)
    if parameters.get("NewStat") not in {"1", "2"}:
        return code(_WRONG_STATE, parameters, sim.knobs)
    agreement = parameters.get("HKId")
    if not sim.book.change_agreement(agreement, int(parameters.get("NewStat"))):
        return code(_UNKNOWN, parameters, sim.knobs)
    return flat([("HKId", agreement), ("CCode", "0")], parameters, sim.knobs)

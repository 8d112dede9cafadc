"""Verify that a redirect's values were signed here (APISign, VERIFY).

The gateway stores no verification, so a repeat gets the same reply.
"""

from typing import Final

from ticketcap_yaadpay_simulator.protocol.charge import POSTPONED
from ticketcap_yaadpay_simulator.protocol.encoding import to_bytes, to_text
from ticketcap_yaadpay_simulator.protocol.parameters import Call, Parameters
from ticketcap_yaadpay_simulator.protocol.replies import Reply, code
from ticketcap_yaadpay_simulator.protocol.signatures import RETURN_FIELDS, digest, return_string, same
from ticketcap_yaadpay_simulator.simulator import Simulator

_GENUINE: Final = 0
_MISSING: Final = 200
_REFUSED: Final = 902


def answer(sim: Simulator, call: Call) -> Reply:
    """Reply 0 for genuine values, 902 (or what the knob says) for others, 200 when some are missing."""
    return code(_verdict(sim, call.parameters), call.parameters, sim.knobs)


def _verdict(sim: Simulator, parameters: Parameters) -> int:
    if not all(parameters.has(name) for name in (*RETURN_FIELDS, "Sign")):
        return _MISSING
    if not parameters.get("Id").isdecimal():
        return _MISSING
    if not sim.terminal.verify_by_signature:
        return _REFUSED
    if sim.knobs.verify_on_800 == "fail_902" and parameters.get("CCode") == str(POSTPONED):
        return _REFUSED
    return _GENUINE if _is_genuine(sim.terminal.key, parameters) else sim.knobs.verify_mismatch_code


def _is_genuine(key: str, parameters: Parameters) -> bool:
    sign = parameters.get("Sign")
    names = (*(["HKId"] if parameters.has("HKId") else []), *RETURN_FIELDS)
    received = [(name, parameters.raw(name) or b"") for name in names]
    texts = [(name, to_text(value, utf8=True)) for name, value in received]
    # Callers forward bytes, or text that they decoded and encoded again; either is the value that was signed.
    forms = [received, *([(name, to_bytes(text, utf8=utf8)) for name, text in texts] for utf8 in (True, False))]
    return any(same(sign, digest(key, return_string(form))) for form in forms)

"""Sign a page's parameters (APISign, SIGN)."""

from typing import Final

from ticketcap_yaadpay_simulator.protocol.fields import TOO_MANY_PAYMENTS, too_many_payments
from ticketcap_yaadpay_simulator.protocol.parameters import Call
from ticketcap_yaadpay_simulator.protocol.redirect import has_unregistered_url
from ticketcap_yaadpay_simulator.protocol.replies import Reply, code, flat_text
from ticketcap_yaadpay_simulator.protocol.signatures import digest, page_string
from ticketcap_yaadpay_simulator.simulator import Simulator

_REFUSED: Final = 902


def answer(sim: Simulator, call: Call) -> Reply:
    """Sign a payment page, or a link to an invoice when ACTION asks for one."""
    parameters = call.parameters
    is_invoice = parameters.get("ACTION") == "PrintHesh"
    if too_many_payments(parameters, sim.terminal):
        return code(TOO_MANY_PAYMENTS, parameters, sim.knobs)
    if sim.knobs.per_request_urls == "902_if_unregistered" and has_unregistered_url(sim, parameters):
        return code(_REFUSED, parameters, sim.knobs)
    content = page_string(parameters.pairs, "PrintHesh" if is_invoice else "pay")
    if not (is_invoice or (parameters.flag("Sign") and sim.terminal.verify_by_signature)):
        return flat_text(content, parameters, sim.knobs)
    signature = digest(sim.terminal.key, content)
    sim.book.note_signed(signature, sim.clock.now())
    return flat_text(f"{content}&signature={signature}", parameters, sim.knobs)

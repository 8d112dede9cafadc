"""payRequest: payment links that can be listed and withdrawn."""

import json
import re
from typing import Final

from ticketcap_yaadpay_simulator.book import Link
from ticketcap_yaadpay_simulator.money import agorot
from ticketcap_yaadpay_simulator.protocol.fields import INVALID, NO_NAME, coin
from ticketcap_yaadpay_simulator.protocol.parameters import Call
from ticketcap_yaadpay_simulator.protocol.replies import Reply, code, flat, flat_text
from ticketcap_yaadpay_simulator.protocol.signatures import digest, page_string
from ticketcap_yaadpay_simulator.simulator import Simulator

CANCELLED: Final = 0
OPEN: Final = 1
PAID: Final = 3
_LISTED: Final = 500
_NOT_ALLOWED: Final = 901
_NOT_FOUND: Final = 250
_WAS_PAID: Final = 995
_UNKNOWN_COMMAND: Final = 904
_NEVER_STORED: Final = frozenset({"action", "iCommand", "PassP", "KEY"})


def answer(sim: Simulator, call: Call) -> Reply:
    """Reply one of the three commands."""
    if not sim.terminal.allow_payrequest:
        text = "payRequest API is not enabled for this terminal"
        return code(_NOT_ALLOWED, call.parameters, sim.knobs, text=text)
    commands = {"CREATE": _create, "LIST": _list, "DELETE": _delete}
    command = commands.get(call.parameters.get("iCommand"))
    return command(sim, call) if command else code(_UNKNOWN_COMMAND, call.parameters, sim.knobs)


def _create(sim: Simulator, call: Call) -> Reply:
    parameters = call.parameters
    if not parameters.get("ClientName").strip():
        return code(NO_NAME, parameters, sim.knobs)
    can_be_sent = parameters.get("email") or re.fullmatch(r"05\d{8}", parameters.get("cell"), re.ASCII)
    if not agorot(parameters.get("Amount")) or not can_be_sent or coin(parameters) not in sim.terminal.currencies:
        return code(INVALID, parameters, sim.knobs)
    parameters_to_store = {name: parameters.get(name) for name in parameters.names if name not in _NEVER_STORED}
    link_id = sim.book.add_link(parameters_to_store)
    fields = [("CCode", "0"), ("payRequestId", str(link_id)), ("paymentURL", _address(sim, link_id))]
    return flat(fields, parameters, sim.knobs)


def _address(sim: Simulator, link_id: int) -> str:
    pairs = [("Masof", sim.terminal.masof.encode()), ("PayRequest", str(link_id).encode())]
    content = page_string(pairs)
    return f"{sim.settings.public_url}/p/?{content}&signature={digest(sim.terminal.key, content)}"


def _list(sim: Simulator, call: Call) -> Reply:
    rows = [_row(link) for link in sim.book.links(_LISTED)]
    return flat_text(json.dumps(rows), call.parameters, sim.knobs)


def _row(link: Link) -> dict[str, str]:
    row = {"payRequestId": str(link.id), "status": str(link.status)}
    return row if link.transaction_id is None else {**row, "transId": str(link.transaction_id)}


def _delete(sim: Simulator, call: Call) -> Reply:
    link = sim.book.link(call.parameters.get("PayRequest"))
    if link is None or link.status == CANCELLED:
        return code(_NOT_FOUND, call.parameters, sim.knobs)
    if link.status == PAID:
        return code(_WAS_PAID, call.parameters, sim.knobs)
    sim.book.change_link(link.id, CANCELLED)
    return code(0, call.parameters, sim.knobs)

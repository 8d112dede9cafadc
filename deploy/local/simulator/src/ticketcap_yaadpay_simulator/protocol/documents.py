"""Number invoices and show the page of PrintHesh."""

from ticketcap_yaadpay_simulator.book import Transaction
from ticketcap_yaadpay_simulator.protocol.parameters import Call
from ticketcap_yaadpay_simulator.protocol.replies import Reply, authentication_error, html_error
from ticketcap_yaadpay_simulator.protocol.signatures import digest, page_string, same
from ticketcap_yaadpay_simulator.simulator import Simulator


def number_for(sim: Simulator, transaction: Transaction) -> str:
    """Return the number of a transaction's document, ``0`` without an invoice module."""
    return "0" if sim.terminal.invoice_module == "none" else str(transaction.id % 1_000_000)


def mark_for(sim: Simulator) -> str:
    """Return what a cancellation says of its credit document."""
    return {"none": "0", "legacy": "1", "ezcount": "EZ"}[sim.terminal.invoice_module]


def answer(sim: Simulator, call: Call) -> Reply:
    """Show the document of a transaction for a signed link or the terminal's password."""
    parameters = call.parameters
    expected = digest(sim.terminal.key, page_string(parameters.signed_part(), "PrintHesh"))
    if not (same(parameters.get("signature"), expected) or same(parameters.get("PassP"), sim.terminal.passp)):
        return authentication_error()
    transaction = sim.book.get(parameters.get("TransId"))
    if transaction is None or not transaction.is_charge:
        return html_error("המסמך לא נמצא")
    return html_error(f"מסמך {number_for(sim, transaction)} (סימולטור): {transaction.amount_text}")

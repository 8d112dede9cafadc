"""Serve a request of the protocol, faults included."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ticketcap_yaadpay_simulator import page_view
from ticketcap_yaadpay_simulator.faults import Fault
from ticketcap_yaadpay_simulator.protocol.dispatch import dispatch, refusal
from ticketcap_yaadpay_simulator.protocol.page import OpenPage, Outcome, Typed, expired_page, is_stale, open_page, press
from ticketcap_yaadpay_simulator.protocol.parameters import OWN_PREFIX, Call
from ticketcap_yaadpay_simulator.protocol.replies import Reply, failure
from ticketcap_yaadpay_simulator.simulator import Simulator
from ticketcap_yaadpay_simulator.striking import Pauses, answer_under, struck
from ticketcap_yaadpay_simulator.typing_form import typed_from


async def serve(sim: Simulator, pauses: Pauses, call: Call) -> Reply:
    """Return the answer; what was done stands in the book before this returns."""
    if call.action == "pay":
        answer = await _page(sim, pauses, call)
    else:
        fault = sim.faults.take(_fault_name(call), order_of(sim, call))
        answer = await struck(sim, pauses, call, fault, lambda: _api(sim, call)) if fault else _api(sim, call)
    await pauses.wait(answer.delay_seconds)
    return answer


def _api(sim: Simulator, call: Call) -> Reply:
    with sim.book.atomic():
        return refusal(sim, call) or dispatch(sim, call)


def order_of(sim: Simulator, call: Call) -> str:
    """Return the merchant's order that a request concerns, or "" if it is unknown."""
    if order := call.parameters.get("Order"):
        return order
    transaction = sim.book.get(call.parameters.get("TransId"))
    return transaction.order if transaction else ""


def _fault_name(call: Call) -> str:
    return "HKStatus" if call.action == "hkstatus" else call.name


async def _page(sim: Simulator, pauses: Pauses, call: Call) -> Reply:
    with sim.book.atomic():
        page = refusal(sim, call) or open_page(sim, call)
    if isinstance(page, Reply):
        return page
    english = page_view.is_english(page, call)
    if not call.in_body.has(f"{OWN_PREFIX}button"):
        return page_view.form(sim, page, english=english)
    if is_stale(page, call.in_body.get(f"{OWN_PREFIX}opened"), sim.clock.now()):
        return expired_page()
    pressed = press_button(sim, page, typed_from(_form(call)))
    if pressed.fault:
        await pauses.wait(pressed.fault.wait_seconds if pressed.fault.behaviour.waits else 0.0)
    return _reply_to(sim, page, pressed, english=english)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pressed:
    """A button was pressed: what came of it (None: nothing was done) and which fault struck."""

    outcome: Outcome | None
    fault: Fault | None


def press_button(sim: Simulator, page: OpenPage, typed: Typed) -> Pressed:
    """Do what the customer's button says, in the same way for a browser and for a test."""
    order = page.parameters.get("Order")
    fault = sim.faults.take("pay", order) if typed.button != "abandon" else None
    if fault and not fault.behaviour.done and fault.kind != "ccode":
        return Pressed(outcome=None, fault=fault)
    with sim.book.atomic():
        return Pressed(outcome=press(sim, page, typed, fault), fault=fault)


def replaced_answer(pressed: Pressed) -> Reply | None:
    """Return what the browser gets in place of any result, None when it gets the result."""
    fault, outcome = pressed.fault, pressed.outcome
    if outcome and outcome.effects.broken:
        return failure(status=500)
    if fault and fault.behaviour.answer not in {"as_usual", "ccode"}:
        return answer_under(fault, Reply(body=b"") if outcome else None)
    return None


def _reply_to(sim: Simulator, page: OpenPage, pressed: Pressed, *, english: bool) -> Reply:
    if replaced := replaced_answer(pressed):
        return replaced
    outcome = pressed.outcome
    assert outcome is not None  # noqa: S101 - only a fault leaves none, and it replaces the answer
    waiting = 0.0 if pressed.fault and pressed.fault.behaviour.waits else outcome.effects.delay_seconds
    return replace(page_view.result(sim, page, outcome, english=english), delay_seconds=waiting)


def _form(call: Call) -> Mapping[str, str]:
    # The page of this simulator is UTF-8, so what its form sends is too.
    return {name: value.decode("utf-8", "replace") for name, value in call.in_body.pairs}

"""Pay as a customer without a browser, for tests."""

from typing import Any, Final
from urllib.parse import urlsplit

from ticketcap_yaadpay_simulator.checks import WrongInput, text
from ticketcap_yaadpay_simulator.control.views import as_json
from ticketcap_yaadpay_simulator.handling import Pressed, press_button, replaced_answer
from ticketcap_yaadpay_simulator.protocol.dispatch import refusal
from ticketcap_yaadpay_simulator.protocol.page import open_page
from ticketcap_yaadpay_simulator.protocol.parameters import Call, TooManyParameters
from ticketcap_yaadpay_simulator.protocol.replies import Reply
from ticketcap_yaadpay_simulator.simulator import Simulator
from ticketcap_yaadpay_simulator.typing_form import typed_by_test

_PAGE_URL: Final = text(16 * 1024, r"[!-~]+")
_HEADERS: Final = {"user-agent": "simulated customer"}


def pay(sim: Simulator, values: dict[str, Any], paths: tuple[str, ...]) -> dict[str, Any]:
    """Do what a person would do with ``page_url``; visit no redirect. Raise WrongInput."""
    rest = dict(values)
    call = _call(rest.pop("page_url", None), paths)
    typed = typed_by_test(rest)
    sim.requests.add(call, sim.clock.now())
    with sim.book.atomic():
        page = refusal(sim, call) or open_page(sim, call)
    if isinstance(page, Reply):
        return _result(sim, None, status="error", html_error=page)
    pressed = press_button(sim, page, typed)
    if pressed.outcome and pressed.outcome.error:
        return _result(sim, pressed, status="error", html_error=pressed.outcome.error)
    return _result(
        sim, pressed, status=pressed.outcome.status if pressed.outcome else "error", html_error=_replaced_reply(pressed)
    )


def _call(page_url: object, paths: tuple[str, ...]) -> Call:
    try:
        parts = urlsplit(_PAGE_URL(page_url))
    except ValueError as error:
        raise WrongInput(f"page_url: {error}") from None
    call = Call(method="GET", path=parts.path, query=parts.query, body="", headers=_HEADERS, client="127.0.0.1")
    try:
        action = call.action
    except TooManyParameters as error:
        raise WrongInput(f"page_url: {error}") from None
    if parts.path not in paths or (action != "pay" and action):
        raise WrongInput("page_url: must be the address of a payment page")
    return call


def _replaced_reply(pressed: Pressed) -> Reply | None:
    replaced = replaced_answer(pressed)
    return replaced if replaced and replaced.body and not replaced.drop else None


def _result(sim: Simulator, pressed: Pressed | None, *, status: str, html_error: Reply | None) -> dict[str, Any]:
    outcome = pressed.outcome if pressed else None
    redirects = list(outcome.redirects) if outcome else []
    is_lost = bool(pressed and (replaced_answer(pressed) or (outcome and outcome.effects.lost)))
    fault = pressed.fault if pressed else None
    waits = fault.wait_seconds if fault and fault.behaviour.waits else 0.0
    return {
        "status": status,
        "transaction": as_json(sim, outcome.transaction) if outcome and outcome.transaction else None,
        "redirects": [] if is_lost else redirects,
        "lost": is_lost,
        "lost_redirects": redirects if is_lost else [],
        "delay_seconds": max(waits, outcome.effects.delay_seconds if outcome else 0.0),
        "fault": fault.kind if fault else None,
        "html_error": html_error.body.decode("cp1255", "replace") if html_error else None,
    }

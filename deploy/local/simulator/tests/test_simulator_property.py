"""Check that the book adds up after any order of actions."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ticketcap_yaadpay_simulator.protocol import cancel, commit, page, refund
from ticketcap_yaadpay_simulator.protocol.page import OpenPage, Typed
from ticketcap_yaadpay_simulator.protocol.parameters import Call, Parameters
from ticketcap_yaadpay_simulator.protocol.replies import Reply
from ticketcap_yaadpay_simulator.settings import Settings
from ticketcap_yaadpay_simulator.simulator import Simulator

CARDS = ("5253360311315452", "4580458045804580", "5253360000008004")
STEPS = st.one_of(
    st.tuples(st.just("pay"), st.sampled_from("AB"), st.sampled_from(CARDS), st.booleans(), st.integers(1, 9_999)),
    st.tuples(st.just("commit"), st.integers(0, 30)),
    st.tuples(st.just("cancel"), st.integers(0, 30)),
    st.tuples(st.just("refund"), st.integers(0, 30), st.integers(0, 9_999)),
    st.tuples(st.just("wait"), st.sampled_from([60.0, 9 * 3600.0, 86_400.0])),
)


@pytest.fixture(scope="module")
def sim() -> Iterator[Simulator]:
    simulator = Simulator.open(Settings())
    yield simulator
    simulator.book.close()


class Model:
    """The expected book: simple sums over the replies."""

    def __init__(self, sim: Simulator) -> None:
        self.sim = sim
        self.ids: list[int] = []
        self.order_of: dict[int, str] = {}
        self.amount_of: dict[int, int] = {}
        self.net = {"A": 0, "B": 0}

    def pay(self, order: str, card: str, postpone: bool, agorot: int) -> None:
        values = {"Amount": f"{agorot / 100:.2f}", "Order": order, "Info": "x", "Postpone": str(postpone)}
        opened = OpenPage(parameters=Parameters.of(values), address="", signature="")
        transaction = page.press(self.sim, opened, Typed(card=card)).transaction
        assert transaction is not None
        self._note(transaction.id, order, agorot)
        self.net[order] += agorot if transaction.ccode == 0 else 0

    def commit(self, place: int) -> None:
        target = self._target(place)
        answer = fields(commit.answer(self.sim, call(TransId=str(target))))
        if answer["CCode"] == "0":
            self._note(int(answer["Id"]), self.order_of[target], self.amount_of[target])
            self.net[self.order_of[target]] += self.amount_of[target]

    def cancel(self, place: int) -> None:
        target = self._target(place)
        if fields(cancel.answer(self.sim, call(TransId=str(target))))["CCode"] == "0":
            self.net[self.order_of[target]] -= self.amount_of[target]

    def refund(self, place: int, agorot: int) -> None:
        target = self._target(place)
        amount = f"{agorot / 100:.2f}"
        answer = fields(refund.answer(self.sim, call(TransId=str(target), Amount=amount)))
        if answer["CCode"] == "0":
            self._note(int(answer["Id"]), self.order_of[target], agorot)
            self.net[self.order_of[target]] -= agorot

    def wait(self, seconds: float) -> None:
        self.sim.clock.advance(seconds)

    def _note(self, transaction_id: int, order: str, agorot: int) -> None:
        self.ids.append(transaction_id)
        self.order_of[transaction_id] = order
        self.amount_of[transaction_id] = agorot

    def _target(self, place: int) -> int:
        return self.ids[place % len(self.ids)] if self.ids else 1


def call(**values: str) -> Call:
    """A request with these parameters."""
    body = "&".join(f"{name}={value}" for name, value in values.items())
    return Call(method="POST", path="/p/", query="", body=body, headers={}, client="127.0.0.1")


def fields(answer: Reply) -> dict[str, str]:
    """An answer's fields."""
    return dict(part.split("=", 1) for part in answer.body.decode().strip().split("&"))


@settings(
    max_examples=settings().max_examples,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=st.lists(STEPS, max_size=25))
def test_the_book_adds_up(sim: Simulator, steps: list[tuple[str, ...]]) -> None:
    sim.forget()
    model = Model(sim)
    for name, *arguments in steps:
        getattr(model, name)(*arguments)
        totals = {one["order"]: one for one in sim.book.totals()}
        for order, net in model.net.items():
            one = totals.get(order, {"net_agorot": 0, "charged_agorot": 0, "refunded_agorot": 0, "cancelled_agorot": 0})
            assert one["net_agorot"] == net >= 0
            assert net == one["charged_agorot"] - one["refunded_agorot"] - one["cancelled_agorot"]

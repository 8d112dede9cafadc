"""Run YaadPay's simulator in this process and call it."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import parse_qsl

import httpx
from ticketcap_yaadpay_simulator.app import application
from ticketcap_yaadpay_simulator.server import Server
from ticketcap_yaadpay_simulator.settings import Settings
from ticketcap_yaadpay_simulator.simulator import Simulator
from ticketcap_yaadpay_simulator.striking import Pauses

MASOF: Final = "0010131918"
PASSP: Final = "yaad"
KEY: Final = "7110eda4d09e062aa5e4a390b0a572ac0d2c0220"
RETURN: Final = "http://127.0.0.1:8080/api/v1/payments/yaadpay/return"
PAGE: Final = {
    "Sign": "True",
    "Amount": "49.90",
    "Order": "A1001",
    "Info": "Demo order",
    "UTF8": "True",
    "UTF8out": "True",
    "MoreData": "True",
    "Coin": "1",
    "PageLang": "HEB",
    "ClientName": "דנה",
    "ClientLName": "כהן",
    "email": "dana@example.com",
}
_START_SECONDS: Final = 10.0


class Gateway:
    """A plain client of a running simulator: of its protocol and of its control plane."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = httpx.Client(base_url=url, timeout=10.0, trust_env=False)

    def close(self) -> None:
        """Close its connections."""
        self.http.close()

    def post(self, action: str, **parameters: str) -> httpx.Response:
        """Send an action with the terminal's credentials, in a form."""
        form = {"action": action, "Masof": MASOF, "PassP": PASSP, "UTF8": "True", "UTF8out": "True", **parameters}
        return self.http.post("/p/", data=form)

    def call(self, action: str, **parameters: str) -> dict[str, str]:
        """Send an action and return the fields of its answer."""
        return fields_of(self.post(action, **parameters).text)

    def sign(self, **parameters: str) -> str:
        """Have a page signed and return its query string."""
        response = self.post("APISign", What="SIGN", KEY=KEY, **{**PAGE, **parameters})
        return response.text.strip()

    def page_url(self, **parameters: str) -> str:
        """Have a page signed and return its address."""
        return f"{self.url}/p/?{self.sign(**parameters)}"

    def verify(self, query: str) -> str:
        """Have a redirect's query verified as it is and return the CCode."""
        own = f"action=APISign&What=VERIFY&Masof={MASOF}&KEY={KEY}&PassP={PASSP}"
        answer = self.http.get(f"/p/?{own}&{query}").text
        return fields_of(answer).get("CCode", answer)

    def customer(self, page_url: str, **typed: Any) -> dict[str, Any]:
        """Let the simulator's customer pay."""
        response = self.http.post("/simulator/customer", json={"page_url": page_url, **typed})
        response.raise_for_status()
        return dict(response.json())

    def paid(self, typed: dict[str, Any] | None = None, /, **parameters: str) -> dict[str, Any]:
        """Have a page signed and paid; return what came of it."""
        return self.customer(self.page_url(**parameters), **(typed or {}))

    def postponed(self, **parameters: str) -> str:
        """Have a payment postponed and return its Id."""
        return str(self.paid(Postpone="True", **parameters)["transaction"]["id"])

    def charged(self, **parameters: str) -> str:
        """Have a payment charged at once and return its Id."""
        return str(self.paid(**parameters)["transaction"]["id"])

    def fault(self, action: str, kind: str, **more: Any) -> None:
        """Queue a fault."""
        self.http.post("/simulator/faults", json={"action": action, "kind": kind, **more}).raise_for_status()

    def set(self, **values: Any) -> None:
        """Turn knobs and change the terminal."""
        self.http.patch("/simulator/terminal", json=values).raise_for_status()

    def advance(self, seconds: float) -> None:
        """Move the clock."""
        self.http.post("/simulator/clock", json={"advance_seconds": seconds}).raise_for_status()

    def at(self, moment: str) -> None:
        """Set the clock."""
        self.http.post("/simulator/clock", json={"now": moment}).raise_for_status()

    def transactions(self, **query: str) -> list[dict[str, Any]]:
        """Return the transactions."""
        return list(self.http.get("/simulator/transactions", params=query).json()["items"])

    def book(self, order: str = "A1001") -> dict[str, Any]:
        """Return an order's totals; empty when nothing was ever tried for it."""
        orders = self.http.get("/simulator/book", params={"order": order}).json()["orders"]
        return dict(orders[0]) if orders else {}

    def forget(self) -> None:
        """Reset the simulator."""
        self.http.delete("/simulator/state").raise_for_status()


@contextmanager
def running(settings: Settings | None = None) -> Iterator[Gateway]:
    """Run a simulator in a thread while the code inside runs."""
    sim = Simulator.open(settings or Settings(port=0))
    pauses = Pauses()
    server = Server(application(sim, pauses), pauses, host="127.0.0.1", port=0)
    started = threading.Event()

    async def serve() -> None:
        serving = asyncio.create_task(server.serve())
        while not (server.started or serving.done()):  # noqa: ASYNC110 - uvicorn tells it by nothing else
            await asyncio.sleep(0.005)
        loops.append(asyncio.get_running_loop())
        started.set()
        await serving

    loops: list[asyncio.AbstractEventLoop] = []
    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    if not started.wait(_START_SECONDS):
        raise RuntimeError("the simulator did not start")
    gateway = Gateway(f"http://{server.address}")
    try:
        yield gateway
    finally:
        gateway.close()
        loops[0].call_soon_threadsafe(server.stop)
        thread.join(_START_SECONDS)
        sim.book.close()


def fields_of(body: str) -> dict[str, str]:
    """Read a flat answer, or a redirect's query."""
    return dict(parse_qsl(body.strip(), keep_blank_values=True))

"""Hold the simulator's whole state in one place."""

from dataclasses import dataclass, field

from ticketcap_yaadpay_simulator.book import Book
from ticketcap_yaadpay_simulator.clock import Clock
from ticketcap_yaadpay_simulator.faults import Faults
from ticketcap_yaadpay_simulator.knobs import Knobs
from ticketcap_yaadpay_simulator.requests_log import RequestLog
from ticketcap_yaadpay_simulator.settings import Settings
from ticketcap_yaadpay_simulator.terminal import Terminal


@dataclass(kw_only=True)
class Simulator:
    """The state that requests read and change. The book outlives the process, the rest does not."""

    settings: Settings
    book: Book
    terminal: Terminal
    knobs: Knobs = field(default_factory=Knobs)
    clock: Clock = field(default_factory=Clock)
    faults: Faults = field(default_factory=Faults)
    requests: RequestLog = field(default_factory=RequestLog)

    @classmethod
    def open(cls, settings: Settings) -> "Simulator":
        """Open the book and begin with the defaults; raise BookInUse."""
        return cls(settings=settings, book=Book(settings.state), terminal=first_terminal(settings))

    def forget(self) -> None:
        """Forget everything: transactions, faults, requests, knobs, clock."""
        self.book.forget()
        self.faults.clear()
        self.requests.clear()
        self.clock.reset()
        self.knobs = Knobs()
        self.terminal = first_terminal(self.settings)


def first_terminal(settings: Settings) -> Terminal:
    """Return the terminal as it is at the beginning."""
    return Terminal(success_url=settings.success_url, failure_url=settings.failure_url)

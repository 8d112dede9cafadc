"""Queue the faults that strike the next requests."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from ticketcap_yaadpay_simulator.checks import Check, WrongInput, checked, integer, mapping, one_of, seconds, text
from ticketcap_yaadpay_simulator.magic_amounts import Effects

_MAX_QUEUED: Final = 1000
_WAIT_SECONDS: Final = 60.0
_SLOW_SECONDS: Final = 5.0
ACTIONS: Final = (
    *("SIGN", "VERIFY", "pay", "soft", "getToken", "commitTrans", "CancelTrans", "zikoyAPI", "HKStatus"),
    *("payRequest", "PrintHesh", "*"),
)


@dataclass(frozen=True, slots=True)
class Behaviour:
    """The effect of a kind of fault on a reply."""

    done: bool
    """Return True while the request's work continues."""
    answer: str
    """close, reset, html, empty, cut, http_500, ccode, or as_usual."""
    waits: bool = False


BEHAVIOURS: Final[Mapping[str, Behaviour]] = {
    "timeout_before": Behaviour(done=False, answer="close", waits=True),
    "timeout_after": Behaviour(done=True, answer="close", waits=True),
    "reset_before": Behaviour(done=False, answer="reset"),
    "reset_after": Behaviour(done=True, answer="reset"),
    "html": Behaviour(done=False, answer="html"),
    "html_after": Behaviour(done=True, answer="html"),
    "empty": Behaviour(done=False, answer="empty"),
    "empty_after": Behaviour(done=True, answer="empty"),
    "cut_after": Behaviour(done=True, answer="cut"),
    "http_500": Behaviour(done=False, answer="http_500"),
    "http_500_after": Behaviour(done=True, answer="http_500"),
    "slow": Behaviour(done=True, answer="as_usual", waits=True),
    "ccode": Behaviour(done=False, answer="ccode"),
}
REDIRECT_KINDS: Final = (
    *("redirect_twice", "lost_redirect", "late_redirect", "tampered_redirect", "duplicate_parameter"),
    "windows_1255",
)


@dataclass(slots=True, kw_only=True)
class Fault:
    """One fault in the queue."""

    action: str
    kind: str
    times: int = 1
    """How often it still strikes."""
    seconds: float | None = None
    """How long it waits; each kind has a default."""
    order: str | None = None
    """It strikes only requests about this order."""
    ccode: int | None = None
    set: dict[str, str] = field(default_factory=dict)

    @property
    def behaviour(self) -> Behaviour:
        """Its effect on the reply; none for the faults of a redirect."""
        return BEHAVIOURS.get(self.kind, Behaviour(done=True, answer="as_usual"))

    @property
    def wait_seconds(self) -> float:
        """How long it waits."""
        default = _WAIT_SECONDS if self.kind.startswith("timeout") else _SLOW_SECONDS
        waits = self.behaviour.waits or self.kind == "late_redirect"
        return (default if self.seconds is None else self.seconds) if waits else 0.0

    @property
    def effects(self) -> Effects:
        """Its effect on a payment's redirect."""
        return Effects(
            lost=self.kind == "lost_redirect",
            delay_seconds=self.wait_seconds if self.kind in {"late_redirect", "slow"} else 0.0,
            twice=self.kind == "redirect_twice",
            windows_1255=self.kind == "windows_1255",
            tampered=self.set if self.kind == "tampered_redirect" else {},
            duplicated=(self.set or {"CCode": "0"}) if self.kind == "duplicate_parameter" else {},
        )

    def as_json(self) -> dict[str, Any]:
        """Return it for the control plane."""
        return asdict(self)


class Faults:
    """The queue; the oldest that fits strikes first."""

    def __init__(self) -> None:
        self._queue: list[Fault] = []
        self.struck: Counter[str] = Counter()
        """How often each kind struck since the last clearing."""

    def add(self, values: Mapping[str, Any]) -> Fault:
        """Queue a fault; raise WrongInput."""
        if len(self._queue) >= _MAX_QUEUED:
            raise WrongInput(f"faults: at most {_MAX_QUEUED} may be queued")
        fault = _fault(values)
        self._queue.append(fault)
        return fault

    def take(self, action: str, order: str) -> Fault | None:
        """Return the fault that strikes a request, and count it off."""
        for fault in self._queue:
            if fault.action in {action, "*"} and fault.order in {None, order}:
                fault.times -= 1
                if not fault.times:
                    self._queue.remove(fault)
                self.struck[fault.kind] += 1
                return fault
        return None

    def queued(self) -> list[Fault]:
        """Return what has not struck yet."""
        return list(self._queue)

    def clear(self) -> None:
        """Forget them all."""
        self._queue.clear()
        self.struck.clear()


_CHECKS: Final[Mapping[str, Check]] = {
    "action": one_of(*ACTIONS),
    "kind": one_of(*BEHAVIOURS, *REDIRECT_KINDS),
    "times": integer(1, 1_000_000),
    "seconds": seconds(600),
    "order": text(200),
    "ccode": integer(0, 999),
    "set": mapping(30),
}


def _fault(values: Mapping[str, Any]) -> Fault:
    fields = checked(values, _CHECKS, "field of a fault")
    for needed in ("action", "kind"):
        if needed not in fields:
            raise WrongInput(f"{needed}: is missing")
    fault = Fault(**fields)
    if fault.kind in REDIRECT_KINDS and fault.action != "pay":
        raise WrongInput(f"kind: {fault.kind} strikes a redirect, so action must be pay")
    if (fault.kind == "ccode") != (fault.ccode is not None):
        raise WrongInput("ccode: belongs to the kind ccode, which needs it")
    if fault.kind == "tampered_redirect" and not fault.set:
        raise WrongInput("set: is missing")
    return fault

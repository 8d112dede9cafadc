"""Draw one round of faults and actions from a seed."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from ticketcap_payment.steps import Step

GOOD: Final = "5253360311315452"
REFUSED: Final = "4580458045804580"
REFUSED_AT_COMMIT: Final = "5253360000008004"

_FAULTS: Final = {
    "SIGN": ("html", "empty", "http_500", "reset_before", "slow"),
    "VERIFY": ("html", "empty", "http_500", "timeout_before", "reset_after", "slow"),
    "commitTrans": (
        *("html", "html_after", "empty", "empty_after", "cut_after", "http_500", "http_500_after"),
        *("timeout_before", "timeout_after", "reset_before", "reset_after", "slow"),
    ),
    "CancelTrans": ("html", "html_after", "empty_after", "timeout_before", "timeout_after", "reset_after", "slow"),
    "zikoyAPI": ("html", "html_after", "empty_after", "cut_after", "timeout_after", "reset_before", "slow"),
}
# YaadPay's answers instead of the action: wrong credentials, a duplicate, nothing known, cancelled, too late.
_CODES: Final = {
    "SIGN": (902,),
    "VERIFY": (902, 200, 999),
    "commitTrans": (902, 425, 999, 4),
    "CancelTrans": (902, 920, 998, 999),
    "zikoyAPI": (902, 999),
}
_VICTIMS: Final = ("payment", "payment", "registration")


@dataclass(frozen=True, slots=True)
class Parent:
    """One parent's actions after registering. Times in seconds."""

    number: int
    spots: int
    begins_after: float
    cards: Sequence[str]
    """Paid with on the page, one after the other, until one brings a redirect."""
    redirect: str
    """delivered, twice, at_once (eight times), lost or late."""
    cancels_after: float | None
    refunds: Sequence[int]
    """The school's refund afterwards, in agorot. It may be too large."""


@dataclass(frozen=True, slots=True)
class Kill:
    """SIGKILL of ``victim`` the ``nth`` time that a step is reached."""

    step: Step
    nth: int
    victim: str


@dataclass(frozen=True, slots=True)
class Schedule:
    """One round."""

    seed: int
    capacity: int
    hold_seconds: int
    parents: Sequence[Parent]
    faults: Sequence[dict[str, Any]]
    kills: Sequence[Kill]
    prices: Sequence[tuple[float, int]] = ()
    """The school's change of the price: after how many seconds, to how many agorot."""

    def __str__(self) -> str:
        lines = [f"seed {self.seed}: capacity {self.capacity}, holds of {self.hold_seconds} s"]
        lines += [f"  {parent}" for parent in self.parents]
        lines += [f"  fault {fault}" for fault in self.faults]
        lines += [f"  price {agorot} after {seconds} s" for seconds, agorot in self.prices]
        return "\n".join([*lines, *(f"  {kill}" for kill in self.kills)])


def schedule(seed: int) -> Schedule:
    """Return the round of a seed: always the same one."""
    dice = random.Random(seed)
    parents = [_parent(dice, number) for number in range(dice.randint(2, 6))]
    return Schedule(
        seed=seed,
        capacity=dice.randint(1, sum(parent.spots for parent in parents)),
        hold_seconds=dice.choice([1, 2, 30, 30]),
        parents=parents,
        faults=[_fault(dice) for _ in range(dice.randint(0, 5))],
        kills=[_kill(dice) for _ in range(dice.randint(0, 2))],
        prices=[_price(dice) for _ in range(dice.choice([0, 0, 1, 2]))],
    )


def _price(dice: random.Random) -> tuple[float, int]:
    return dice.choice([0.1, 0.3, 0.6, 1.0]), dice.choice([0, 0, 9990])


def _parent(dice: random.Random, number: int) -> Parent:
    cards = [dice.choices([GOOD, REFUSED, REFUSED_AT_COMMIT], [8, 1, 1])[0] for _ in range(dice.randint(0, 1))]
    return Parent(
        number=number,
        spots=dice.choice([1, 1, 1, 2]),
        begins_after=dice.choice([0, 0, 0.2, 0.5]),
        cards=[*cards, GOOD],
        redirect=dice.choices(["delivered", "twice", "at_once", "lost", "late"], [6, 2, 1, 1, 2])[0],
        cancels_after=dice.choice([None, None, None, 0.1, 0.5, 1.5]),
        refunds=[dice.choice([1, 500, 4990, 10**6]) for _ in range(dice.choice([0, 0, 0, 1, 2]))],
    )


def _fault(dice: random.Random) -> dict[str, Any]:
    action = dice.choices(list(_FAULTS), [1, 2, 4, 2, 2])[0]
    kind = dice.choice([*_FAULTS[action], "ccode", "ccode"])
    if kind == "ccode":
        return {"action": action, "kind": kind, "times": dice.choice([1, 2]), "ccode": dice.choice(_CODES[action])}
    waits = kind.startswith("timeout") or kind == "slow"
    return {"action": action, "kind": kind, "times": dice.choice([1, 1, 2]), **({"seconds": 1.0} if waits else {})}


def _kill(dice: random.Random) -> Kill:
    return Kill(dice.choice(list(Step)), dice.randint(1, 3), dice.choice(_VICTIMS))

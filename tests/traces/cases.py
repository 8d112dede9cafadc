"""Name each traced call, its state of the system, and its contract."""

import enum
from collections.abc import Callable
from dataclasses import dataclass

from tests.traces.contract import Expected, contract
from tests.traces.world import Answered, World

Act = Callable[[World], Answered]


class Phase(enum.IntEnum):
    """The states of the system, in the order in which they are played."""

    UP = 1
    FROZEN = 2
    """The services take connections and answer nothing."""
    DOWN = 3
    WITHOUT_REGISTRATION = 4
    """Payment is back, registration is not."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One way one call ends: its HTTP status and its trace."""

    operation: str
    what: str
    status: int
    tree: str
    act: Act
    phase: Phase = Phase.UP

    @property
    def name(self) -> str:
        return f"{self.operation} {self.what}"

    @property
    def contract(self) -> Expected:
        return contract(self.tree, PARTS)


CASES: list[Case] = []


def case(operation: str, status: int, tree: str, phase: Phase = Phase.UP) -> Callable[[Act], Act]:
    """Let a function be a case; its name says what happens."""

    def add(act: Act) -> Act:
        what = act.__name__.replace("_", " ").strip()
        CASES.append(Case(operation=operation, what=what, status=status, tree=tree, act=act, phase=phase))
        return act

    return add


_BATCH = "span registration.batch event.id school.id school.slug=herzl batch.size=1 batch.wait_ms"

_SEAT = """
    rpc registration {rpc} OK school.id school.slug=herzl
      ? sql directory.tagged
      sql tenant.enter
      sql directory.registration
      span registration.batch event.id school.id school.slug=herzl batch.size=1 batch.wait_ms -> {rpc}
        sql seats.lock
        sql seats.write
      use rows
"""

PARTS = {
    # A cached value is looked up now and then.
    "event": """
        ? sql directory.school
        ? sql directory.event
    """,
    "rows": """
        sql tenant.enter
        sql SELECT registrations
    """,
    "money": """
        sql tenant.enter
        sql SELECT payments
        sql SELECT refunds
    """,
    "row of payment": """
        sql tenant.enter
        sql payments.serial
        sql SELECT payments
    """,
    "hold": """
        rpc registration GetHold OK school.id school.slug=herzl
          ? sql directory.tagged
          sql tenant.enter
          sql directory.registration
          sql tenant.enter
          sql SELECT events
          use rows
    """,
    "claimed": """
        rpc registration RegisterBatch OK
    """,
    "batch of claim": f"""
        {_BATCH} -> registration.transaction
          sql seats.lock
          sql seats.write
    """,
    "refused batch of claim": f"""
        {_BATCH} -> registration.transaction
          sql seats.lock
    """,
    "seat secured": _SEAT.format(rpc="ReclaimHold"),
    "seat confirmed": _SEAT.format(rpc="ConfirmHold"),
    "under way": """
        * sql outbox.lease
        * sql outbox.open
    """,
    "done": """
        sql tenant.enter
        sql outbox.done
    """,
}

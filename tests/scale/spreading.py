"""Run a gateway that spreads some events over all replicas.

Replicas decide one event together when the gateways know different addresses, as in a deployment. Here the events
whose slug begins with ``spread-`` show it at every call.
"""

import runpy
from typing import Any, Final

from ticketcap_gateway.services import registration
from ticketcap_gateway.services.affinity import event_key

_SPREAD: Final = "/spread-"


def _spread_key(request: Any) -> str:
    key = event_key(request)
    return "" if _SPREAD in key else key


if __name__ == "__main__":
    setattr(registration, "event_key", _spread_key)  # noqa: B010 - a function is replaced on purpose
    runpy.run_module("ticketcap_gateway", run_name="__main__", alter_sys=True)

"""Check that gRPC knows each option, since it ignores unknown ones silently."""

import ast
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pytest
from ticketcap_chassis.rpc import channel, server
from ticketcap_chassis.rpc.connection_age import ConnectionAge

_SPEC = find_spec("grpc._cython.cygrpc")
assert _SPEC is not None
_LIBRARY: Final = Path(str(_SPEC.origin)).read_bytes()
OPTIONS: Final = (*channel.OPTIONS, *server.OPTIONS, *ConnectionAge().options)


def is_known(name: str) -> bool:
    """Say whether the library holds this name to its end, which is a zero."""
    return name.encode() + b"\0" in _LIBRARY


@pytest.mark.parametrize(
    "name", sorted({name for name, _ in (*channel.OPTIONS, *server.OPTIONS, *ConnectionAge().options)})
)
def test_every_option_is_one_of_the_librarys(name: str) -> None:
    """Misspelled, it would be as if it had not been set."""
    assert is_known(name)


def test_a_misspelled_option_is_noticed() -> None:
    """The control: such a name once let idle connections be closed."""
    assert not is_known("grpc.http2.min_recv_ping_interval_without_data_ms")
    assert not is_known("grpc.http2.min_ping_interval")


def test_a_server_takes_pings_as_often_as_our_channels_send_them() -> None:
    """It closes a connection that pings more often, with the call that comes next."""
    allowed, sent = dict(server.OPTIONS), dict(channel.OPTIONS)
    assert allowed["grpc.http2.min_ping_interval_without_data_ms"] < sent["grpc.keepalive_time_ms"]
    assert allowed["grpc.keepalive_permit_without_calls"] == sent["grpc.keepalive_permit_without_calls"] == 1


def calls(*names: str) -> list[tuple[str, set[str | None]]]:
    """Return the calls of functions with these names in services: the module, and the arguments named."""
    root = Path(__file__).resolve().parents[3]
    paths = [path for folder in ("libs", "services") for path in (root / folder).glob("*/src/**/*.py")]
    assert len(paths) > 100
    return [
        (path.name, {keyword.arg for keyword in node.keywords})
        for path in paths
        if "stubs" not in path.relative_to(root).parts
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in names
    ]


def test_every_call_to_a_peer_has_a_limit_on_this_side() -> None:
    """One module makes every channel and gives each call a deadline. Every HTTP client has a timeout."""
    assert {module for module, _ in calls("insecure_channel", "secure_channel")} == {"channel.py"}
    clients = calls("AsyncClient", "Client", "HTTPConnection", "HTTPSConnection", "urlopen")
    assert {module for module, _ in clients} >= {"client.py", "provider_keys.py"}
    assert [module for module, named in clients if "timeout" not in named] == []

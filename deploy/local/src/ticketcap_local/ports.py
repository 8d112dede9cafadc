"""Check whether a port is free."""

import socket


def is_free(port: int) -> bool:
    """Return whether a server could listen on 127.0.0.1 at ``port`` now."""
    with socket.socket() as probe:
        # Servers reuse a port whose last connections are in TIME_WAIT.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True

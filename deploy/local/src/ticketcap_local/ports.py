"""Which ports are free."""

import socket


def is_free(port: int) -> bool:
    """Say whether a server could listen on 127.0.0.1 at ``port`` now."""
    with socket.socket() as probe:
        # A port whose last connections are still being forgotten is free for a server.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True

"""The gateway's side of the protocol: what comes in, what is decided, what goes out."""

"""The control plane: what tests and people may see and change, apart from the protocol."""

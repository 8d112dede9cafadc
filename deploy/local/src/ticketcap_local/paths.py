"""How a path is shown to people."""

import os
from pathlib import Path


def shown(path: Path) -> str:
    """Return a path relative to where the reader is, when it lies below."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)

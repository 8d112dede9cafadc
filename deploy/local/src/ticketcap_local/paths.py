"""Format paths for messages."""

import os
from pathlib import Path


def short_path(path: Path) -> str:
    """Return ``path`` relative to the working directory if it lies below, else unchanged."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)

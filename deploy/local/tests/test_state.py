"""Check the stack's secrets."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ticketcap_local.state import StateFolder


def test_secrets_are_created_once_by_concurrent_readers(tmp_path: Path) -> None:
    """Commands that start together all get what the first one wrote, and nothing else is left."""
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: StateFolder(tmp_path).secrets(), range(32)))
    assert all(secrets == found[0] for secrets in found)
    assert json.loads((tmp_path / "secrets.json").read_text()) == found[0]
    assert [path.name for path in tmp_path.iterdir() if "secrets" in path.name] == ["secrets.json"]
    assert (tmp_path / "secrets.json").stat().st_mode & 0o077 == 0

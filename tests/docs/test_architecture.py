"""Check that docs/architecture.md names rooms and modules that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs/architecture.md").read_text()
PACKAGES = [path.parent for path in ROOT.glob("services/*/src/*/__init__.py")]


def test_every_room_exists() -> None:
    """Each room of the table is a folder or a module of some service."""
    table = TEXT[TEXT.index("| room |") :].partition("\n\n")[0]
    rooms = re.findall(r"`(\w+)`", "\n".join(line.split("|")[1] for line in table.splitlines()))
    assert len(rooms) > 10
    assert [
        room
        for room in rooms
        if not any((package / room).is_dir() or (package / f"{room}.py").exists() for package in PACKAGES)
    ] == []


def test_every_module_exists() -> None:
    """A path such as ``domain/ledger.py`` is relative to a service's package."""
    modules = re.findall(r"`(\w+/\w+\.py)`", TEXT)
    assert len(modules) > 10
    assert [name for name in modules if not any((package / name).exists() for package in PACKAGES)] == []

"""Check that documents name only files that exist."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LISTED = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, check=True, capture_output=True, text=True)
DOCUMENTS = [ROOT / name for name in LISTED.stdout.split()]
TOP = "|".join(path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith("."))
PATH = re.compile(rf"`((?:{TOP})/[\w./-]+)`")
LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_named_file_exists(document: Path) -> None:
    """Links are relative to the document; paths in backquotes begin at the root."""
    text = document.read_text()
    named = [document.parent / link for link in LINK.findall(text)] + [ROOT / path for path in PATH.findall(text)]
    assert [str(path) for path in named if not path.exists()] == []

"""Check that one module names the version and documents repeat it."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from ticketcap_chassis.version import VERSION

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = [*ROOT.glob("libs/*/pyproject.toml"), *ROOT.glob("services/*/pyproject.toml"),
            *ROOT.glob("deploy/local/**/pyproject.toml")]  # fmt: skip
RELEASE = re.compile(r"ticketcap@([\d.]+)\+")


@pytest.mark.parametrize("file", PACKAGES, ids=lambda file: file.parent.name)
def test_a_package_takes_its_version_from_the_chassis(file: Path) -> None:
    project = tomllib.loads(file.read_text())
    source = file.parent / project["tool"]["hatch"]["version"]["path"]
    assert source.resolve() == ROOT / "libs/chassis/src/ticketcap_chassis/version.py"
    assert version(project["project"]["name"]) == VERSION


def test_documents_name_the_current_version() -> None:
    documents = [*ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/*/README.md")]
    releases = {release for document in documents for release in RELEASE.findall(document.read_text())}
    assert releases <= {VERSION}
    assert f"\n## {VERSION}\n" in (ROOT / "CHANGELOG.md").read_text()

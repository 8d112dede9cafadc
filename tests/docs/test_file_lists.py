"""Check that READMEs list the modules' current first lines."""

from pathlib import Path

import pytest
from file_lists import ROOT, filled, readmes


@pytest.mark.parametrize("readme", readmes(), ids=lambda readme: readme.relative_to(ROOT).as_posix())
def test_a_readme_has_the_current_list(readme: Path) -> None:
    """``make docs`` writes the lists."""
    assert readme.read_text() == filled(readme)


def test_a_list_names_modules_and_packages(tmp_path: Path) -> None:
    package = tmp_path / "src" / "shop"
    for path, text in {
        "__init__.py": "",
        "main.py": '"""Wire everything.\n\nMore."""',
        "store/__init__.py": '"""Store rows."""',
        "store/rows.py": "",
        "store/migrations/__init__.py": '"""Change the schema."""',
        "store/migrations/first.py": '"""Hidden."""',
    }.items():
        (package / path).parent.mkdir(parents=True, exist_ok=True)
        (package / path).write_text(text)
    readme = tmp_path / "README.md"
    readme.write_text("# Shop\n<!-- files -->\nold\n<!-- /files -->\nend\n")
    assert filled(readme) == (
        "# Shop\n<!-- files -->\n```text\nsrc/shop/\n"
        "  main.py        Wire everything.\n"
        "  store/         Store rows.\n"
        "    rows.py\n"
        "    migrations/  Change the schema.\n"
        "```\n<!-- /files -->\nend\n"
    )

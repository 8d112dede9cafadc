"""Fill the file lists of READMEs from the modules' first lines.

A list stands between ``<!-- files -->`` and ``<!-- /files -->``. It shows the package in ``src`` beside the
README, or the README's own folder where there is no ``src``. ``make docs`` writes it.
"""

import argparse
import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from known_offenders import listed

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"(?<=<!-- files -->\n).*?(?=<!-- /files -->)", re.DOTALL)
# A folder whose files need no line each.
CLOSED = ("migrations",)


def first_line(module: Path) -> str:
    """Return the first line of a module's docstring, empty without one."""
    docstring = ast.get_docstring(ast.parse(module.read_text())) if module.exists() else None
    return docstring.partition("\n")[0] if docstring else ""


def entries(folder: Path, depth: int = 1) -> Iterator[tuple[str, str]]:
    """Yield the indented name and the first line of each module and package below ``folder``, modules first."""
    indent = "  " * depth
    for module in sorted(folder.glob("*.py")):
        if module.name != "__init__.py":
            yield f"{indent}{module.name}", first_line(module)
    for package in sorted(path.parent for path in folder.glob("*/__init__.py")):
        yield f"{indent}{package.name}/", first_line(package / "__init__.py")
        if package.name not in CLOSED:
            yield from entries(package, depth + 1)


def file_list(readme: Path) -> str:
    """Return the block that belongs into ``readme``."""
    top = next((path.parent for path in readme.parent.glob("src/*/__init__.py")), readme.parent)
    rows = [*entries(top)]
    width = max((len(name) for name, _ in rows), default=0)
    lines = [f"{name:{width}}  {text}".rstrip() for name, text in rows]
    name = top.relative_to(readme.parent).as_posix() if top != readme.parent else top.name
    return "\n".join(["```text", f"{name}/", *lines, "```", ""])


def filled(readme: Path) -> str:
    """Return the README's text with its list as it should be; unchanged where it has no markers."""
    return BLOCK.sub(lambda _: file_list(readme), readme.read_text())


def readmes(root: Path = ROOT) -> list[Path]:
    """Return every README that git knows."""
    return [root / path for path in listed(root) if path.endswith("README.md")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", nargs="?", choices=["write", "check"], default="write")
    command = parser.parse_args().command
    stale = [readme for readme in readmes() if filled(readme) != readme.read_text()]
    names = ", ".join(readme.relative_to(ROOT).as_posix() for readme in stale)
    if command == "check" and stale:
        sys.exit(f"file lists differ from the modules' first lines, run `make docs`: {names}")
    for readme in stale:
        readme.write_text(filled(readme))
    if stale:
        print(f"wrote {names}")


if __name__ == "__main__":
    main()

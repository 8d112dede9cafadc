"""Compare a lint's findings with the known number in each package."""

import argparse
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

NUMBERS = Path(__file__).with_name("known_offenders.toml")
PACKAGE_ROOTS = ("libs", "services", "deploy")


class Finding(Protocol):
    """A problem that a lint reports; ``path`` is relative to the root."""

    @property
    def path(self) -> str:
        """Return the file's path."""


def package(path: str) -> str:
    """Return the folder that a path is counted under: two levels deep where packages stand side by side."""
    parts = path.split("/")
    if len(parts) == 1:
        return "."
    return "/".join(parts[:2]) if parts[0] in PACKAGE_ROOTS and len(parts) > 2 else parts[0]  # noqa: PLR2004 - root/package/file


def git(folder: Path, *arguments: str) -> str:
    """Run git in ``folder`` and return its output."""
    return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout


def root() -> Path:
    """Return the top folder of the repository that the command runs in."""
    return Path(git(Path.cwd(), "rev-parse", "--show-toplevel").strip())


def listed(folder: Path, only: Iterable[str] = ()) -> list[str]:
    """Return the existing files that git does not ignore, all or those below ``only``, relative to ``folder``."""
    options = ["-z", "--cached", "--others", "--exclude-standard"]
    below = [str(Path(each).resolve()) for each in only]
    names = set(git(folder, "ls-files", *options, "--", *below).split("\0"))
    return sorted(name for name in names if (folder / name).is_file())


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that ``finish`` reads."""
    parser.add_argument("--only", nargs="+", default=[], metavar="PATH", help="check these files and folders alone")
    parser.add_argument("--counts", action="store_true", help="print only the number of problems of each package")
    parser.add_argument("--update", action="store_true", help="write the numbers into known_offenders.toml")


def finish(lint: str, found: Sequence[Finding], options: argparse.Namespace) -> None:
    """Print the findings that the options ask for; exit with 1 when a package has more than its known number."""
    counts = Counter(package(finding.path) for finding in found)
    limits = {} if options.only else known_counts().get(lint, {})
    if options.update:
        _write(lint, counts)
    elif options.counts:
        print(*(f"{number:6} {name}" for name, number in counts.most_common()), sep="\n")
    else:
        over = {name for name, number in counts.items() if number > limits.get(name, 0)}
        print(*(finding for finding in found if package(finding.path) in over), sep="\n", end="\n" if over else "")
        for name in sorted(over):
            print(f"{lint}: {counts[name]} problems in {name}, {limits.get(name, 0)} known", file=sys.stderr)
        if over:
            sys.exit(1)
        print(f"{lint}: {len(found)} known problems" if found else f"{lint}: no problems")


def known_counts() -> dict[str, dict[str, int]]:
    """Return the known number of problems by lint and package."""
    return tomllib.loads(NUMBERS.read_text()) if NUMBERS.exists() else {}


def _write(lint: str, counts: Counter[str]) -> None:
    everything = {**known_counts(), lint: dict(sorted(counts.items()))}
    lines = ["# How many problems of each lint a package may still have. `--update` writes this."]
    for name, numbers in sorted(everything.items()):
        if numbers:
            lines += ["", f"[{name}]", *(f'"{folder}" = {number}' for folder, number in numbers.items())]
    if len(lines) > 1:
        NUMBERS.write_text("\n".join(lines) + "\n")
    else:
        NUMBERS.unlink(missing_ok=True)

"""Check names: unique classes, few equal modules, nouns and plain verbs."""

import argparse
import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import known_offenders

# A participle names no thing: the noun does (announcement, span_name, stored_answer, snapshot).
PARTICIPLES = frozenset("told made kept shown wanted given known".split())  # noqa: SIM905
VERBS = {
    "tell": "announce, record, send",
    "wish": "request",
    "ask": "fetch, query, request",
    "drive": "resolve, requeue, run",
    "give": "return, assign",
}
CTE = re.compile(r"\b(\w+) AS (?:MATERIALIZED |NOT MATERIALIZED )?\(")
# Feature rooms of the gateway have these side by side.
ROOM_MODULES = frozenset({"endpoints", "schemas", "translation"})
SERVICES = re.compile(r"^(?P<package>(?:services|libs)/\w+|deploy/local(?:/simulator)?)/src/")
EXEMPT = re.compile(r"^libs/stubs/|/migrations/versions/|^tools/names\.py$|^tests/docs/test_names\.py$")


@dataclass(frozen=True, slots=True)
class Problem:
    """A name that breaks a rule. ``path`` is relative to the root."""

    path: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}"


def word_problems(path: str, text: str) -> Iterator[Problem]:
    """Yield names of one file that are a participle or a verb that means nothing in the field."""
    stem = PurePosixPath(path).stem
    for line, name, is_function in [(1, stem, False), *_names(text)]:
        word = name.strip("_").lower()
        if word in PARTICIPLES:
            yield Problem(path, line, f"`{name}` is a participle: name the thing with a noun")
        elif is_function and word in VERBS:
            yield Problem(path, line, f"`{name}` says little: {VERBS[word]}")


def _names(text: str) -> Iterator[tuple[int, str, bool]]:
    """Yield line and name of each definition, and whether it is a function."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.lineno, node.name, True
        elif isinstance(node, ast.ClassDef):
            yield node.lineno, node.name, False
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg, False
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id, False
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr, False
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            for match in CTE.finditer(node.value):
                yield node.lineno + node.value.count("\n", 0, match.start()), match[1], False


def package_problems(files: dict[str, str]) -> Iterator[Problem]:
    """Yield classes that share their name in one package, and module names that stand three times in it."""
    classes: dict[tuple[str, str], list[tuple[str, int]]] = defaultdict(list)
    modules: dict[tuple[str, str], list[str]] = defaultdict(list)
    for path, text in files.items():
        match = SERVICES.match(path)
        if match is None:
            continue
        package, stem = match["package"], PurePosixPath(path).stem
        if stem != "__init__" and not (package == "services/gateway" and stem in ROOM_MODULES):
            modules[package, stem].append(path)
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef):
                classes[package, node.name.lstrip("_")].append((path, node.lineno))
    for (package, name), definitions in classes.items():
        for path, line in definitions[1:]:
            first, line_of_first = definitions[0]
            yield Problem(path, line, f"{package} has a class `{name}` already, in {first}:{line_of_first}")
    for (package, stem), paths in modules.items():
        for path in paths[2:]:
            yield Problem(path, 1, f"{package} has {len(paths)} modules `{stem}`: {', '.join(paths)}")


def problems(files: dict[str, str]) -> Iterator[Problem]:
    """Yield every problem of ``files``, a map of paths (relative to the root) to texts."""
    for path, text in files.items():
        yield from word_problems(path, text)
    yield from package_problems(files)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    known_offenders.add_options(parser)
    options = parser.parse_args()
    root = known_offenders.root()
    paths = [path for path in known_offenders.listed(root, options.only) if not EXEMPT.search(path)]
    files = {path: Path(root, path).read_text() for path in paths if path.endswith(".py")}
    known_offenders.finish("names", [*problems(files)], options)


if __name__ == "__main__":
    main()

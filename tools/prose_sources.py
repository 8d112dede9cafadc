"""Extract the prose of a file: paragraphs, docstrings, comments and messages."""

import ast
import io
import re
import tokenize
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import cast

CODE = re.compile(r"``.+?``|`[^`\n]+`", re.DOTALL)
SQL = re.compile(r"\s*(?:--|SELECT|INSERT|UPDATE|DELETE|WITH|CREATE|ALTER|GRANT|SET|LOCK|DROP|NOTIFY)\b")
MESSAGE_WORDS = 3


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of prose. ``line`` (from 1) is where it begins; its lines are the file's lines."""

    line: int
    text: str


def is_prose(path: str) -> bool:
    """Say whether a file of this name holds prose."""
    name = PurePosixPath(path)
    return (name.suffix or name.name) in EXTRACTORS


def passages(path: str, text: str) -> Iterator[Passage]:
    """Yield the prose of a file without inline code; ``path`` (relative to the root) says of which kind it is."""
    name = PurePosixPath(path)
    yield from map(_without_code, EXTRACTORS[name.suffix or name.name](text))
    if name.suffix == ".py" and "tests" not in name.parts:
        yield from map(_without_code, messages(text))


def _without_code(passage: Passage) -> Passage:
    return Passage(passage.line, CODE.sub(_blank, passage.text))


def _blank(code: re.Match[str]) -> str:
    """Replace code by a word of the same number of lines."""
    return "`" + "\n" * code[0].count("\n") + "`"


def markdown(text: str) -> Iterator[Passage]:
    """Yield the document with the lines of its code blocks emptied."""
    yield Passage(1, "\n".join("" if is_code else line for line, is_code in markdown_lines(text)))


def markdown_lines(text: str) -> Iterator[tuple[str, bool]]:
    """Yield each line, and whether it belongs to a fenced or an indented code block."""
    fenced = in_list = in_block = False
    before = ""
    for line in text.splitlines():
        indented = line.startswith("    ")
        if line.lstrip().startswith("```"):
            fenced = not fenced
            yield line, True
        else:
            in_block = not in_list and indented and (in_block or not before.strip())
            yield line, fenced or in_block
            if line.strip() and not line.startswith(" "):
                in_list = re.match(r"[-*]\s|\d+\.\s", line) is not None
        before = line


def python(text: str) -> Iterator[Passage]:
    """Yield blocks of comments and docstrings, those of attributes too."""
    yield from _comment_blocks(text)
    yield from (Passage(node.lineno, node.value) for node in _docstrings(ast.parse(text)))


def messages(text: str) -> Iterator[Passage]:
    """Yield the literals of a Python file that have three words or more; of SQL, its comments."""
    tree = ast.parse(text)
    seen = {id(node) for node in _docstrings(tree)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            seen |= {id(part) for part in node.values}
            parts = [part.value if isinstance(part, ast.Constant) else "`" for part in node.values]
            yield from _literal(node.lineno, "".join(str(part) for part in parts))
        elif id(node) not in seen and isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from _literal(node.lineno, node.value)


def module_docstring(text: str) -> Passage | None:
    """Return the module's docstring, or None."""
    tree = ast.parse(text)
    first = next(_docstrings(tree), None)
    return Passage(first.lineno, first.value) if first and tree.body[0].lineno == first.lineno else None


class _Docstring(ast.Constant):
    """A constant whose value is a text."""

    value: str


def _docstrings(tree: ast.AST) -> Iterator[_Docstring]:
    """Yield every text that is a statement of its own, in the order of breadth."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield cast("_Docstring", node.value)


def _literal(line: int, text: str) -> Iterator[Passage]:
    if SQL.match(text):
        for offset, each in enumerate(text.splitlines()):
            if "--" in each:
                yield Passage(line + offset, each.partition("--")[2])
    elif len(text.split()) >= MESSAGE_WORDS:
        yield Passage(line, text)


def _comment_blocks(text: str) -> Iterator[Passage]:
    """Yield comments; those on consecutive lines are one passage."""
    block: list[str] = []
    begin = 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type != tokenize.COMMENT:
            continue
        line = token.start[0]
        if block and line != begin + len(block):
            yield Passage(begin, "\n".join(block))
            block = []
        begin = begin if block else line
        block.append(token.string.lstrip("#: "))
    if block:
        yield Passage(begin, "\n".join(block))


def commented(*marks: str) -> Callable[[str], Iterator[Passage]]:
    """Return an extractor of comments that begin with one of ``marks``; consecutive ones are one passage."""
    pattern = re.compile(rf"(?:^|\s)(?:{'|'.join(marks)})\s?(.*)$")

    def extract(text: str) -> Iterator[Passage]:
        found = [pattern.search(line) for line in text.splitlines()]
        yield Passage(1, "\n".join(match[1] if match else "" for match in found))

    return extract


def whole(text: str) -> Iterator[Passage]:
    """Yield everything: files whose values are texts, too."""
    yield Passage(1, text)


EXTRACTORS: dict[str, Callable[[str], Iterator[Passage]]] = {
    ".md": markdown,
    ".py": python,
    ".proto": commented("//"),
    ".yml": whole,
    ".yaml": whole,
    ".html": whole,
    ".toml": commented("#"),
    ".sh": commented("#"),
    "run": commented("#"),
    "Dockerfile": commented("#"),
    "Makefile": commented("##?"),
}

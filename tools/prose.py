"""Check that prose follows the style: phrases, module docstrings, widths, commit subjects.

Known offenders stand in ``known_offenders.toml``: a folder may have as many problems as
it lists there and no more. ``--update`` lowers the numbers.
"""

import argparse
import re
import subprocess
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import known_offenders
from prose_sources import is_prose, markdown_lines, module_docstring, passages

STYLE = tomllib.loads(Path(__file__).with_name("prose.toml").read_text())
# Texts of others, generated code, and the files that must name the phrases.
EXEMPT = re.compile(
    r"(?:^|/)(?:LICENSE|requirements\.lock)$|^libs/stubs/src/|/migrations/versions/"
    r"|^tools/prose\.toml$|^tests/docs/test_(?:prose|names)\.py$"
)
MARKDOWN_WIDTH = 100
DOCSTRING_WORDS = 12
SUBJECT_LENGTH = 72
SUBJECT = re.compile(r"(?P<package>[a-z.][\w./-]*(?:, [a-z.][\w./-]*)*): (?P<change>\S.*)")
# The first commit whose successors follow the rule of subjects.
SUBJECTS_SINCE = "9a2aa39b8e05c28fdb171be6cbc902f307878964"


@dataclass(frozen=True, slots=True)
class Problem:
    """One line that breaks the style. ``path`` is relative to the root, or a commit."""

    path: str
    line: int
    text: str
    suggestion: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text} → {self.suggestion}"


def banned_phrases() -> list[tuple[re.Pattern[str], str]]:
    """Return each banned phrase as a pattern, with its suggestion."""
    groups = STYLE["phrases"].values()
    return [(_pattern(phrase), suggestion) for group in groups for phrase, suggestion in group.items()]


def _pattern(phrase: str) -> re.Pattern[str]:
    anywhere = phrase.replace(" ", r"\s+")
    return re.compile(rf"(?<![\w-])(?:{anywhere})(?![\w-])", re.IGNORECASE)


def phrase_problems(path: str, text: str) -> Iterator[Problem]:
    """Yield each banned phrase in a file's prose."""
    for passage in passages(path, text):
        for pattern, suggestion in BANNED:
            for match in pattern.finditer(passage.text):
                line = passage.line + passage.text.count("\n", 0, match.start())
                yield Problem(path, line, " ".join(match[0].split()), suggestion)


def docstring_problems(path: str, source: str) -> Iterator[Problem]:
    """Yield what is wrong with the form of a module's docstring; a module without one passes."""
    docstring = module_docstring(source)
    if docstring is None:
        return
    first, _, rest = docstring.text.partition("\n")
    wrong = []
    if rest.partition("\n")[0].strip() or not first.endswith("."):
        wrong.append("end the first line with a period and an empty line")
    if len(first.split()) > DOCSTRING_WORDS:
        wrong.append(f"use at most {DOCSTRING_WORDS} words")
    if not imperative(first):
        wrong.append("begin with a verb in the imperative")
    if wrong:
        yield Problem(path, docstring.line, first, "; ".join(wrong))


def imperative(sentence: str) -> bool:
    """Say whether a sentence may begin with an imperative: its first two words are no sign of something else."""
    rules = {name: words.split() for name, words in STYLE["imperative"].items()}
    verb, second = [*sentence.lower().split(), "", ""][:2]
    verb = verb.rstrip(",:")
    if verb in rules["accepted"]:
        return True
    return (
        verb.isalpha()
        and verb not in rules["rejected"]
        and not verb.endswith(tuple(rules["rejected_endings"]))
        and second not in rules["rejected_second"]
    )


def width_problems(path: str, document: str) -> Iterator[Problem]:
    """Yield lines that are too wide; tables, code blocks and the targets of links may be."""
    for number, (line, is_code) in enumerate(markdown_lines(document), 1):
        text = re.sub(r"\]\([^)]*\)|https?://\S+", "]", line)
        if not is_code and not line.lstrip().startswith("|") and len(text) > MARKDOWN_WIDTH:
            yield Problem(path, number, f"{len(text)} columns", f"wrap at {MARKDOWN_WIDTH}")


def subject_problems(subjects: Iterable[tuple[str, str]]) -> Iterator[Problem]:
    """Yield commits, each a pair of id and subject, whose subject is not ``package: imperative``."""
    for commit, subject in subjects:
        if subject.startswith("Revert "):
            continue
        match = SUBJECT.fullmatch(subject)
        wrong = []
        if match is None:
            wrong.append("write `package: imperative`")
        elif not imperative(match["change"]):
            wrong.append("begin the change with a verb in the imperative")
        if len(subject) > SUBJECT_LENGTH:
            wrong.append(f"use at most {SUBJECT_LENGTH} characters")
        if subject.endswith("."):
            wrong.append("drop the period")
        if wrong:
            yield Problem(commit, 1, subject, "; ".join(wrong))


def new_subjects(root: Path, since: str = SUBJECTS_SINCE) -> list[tuple[str, str]]:
    """Return id and subject of the commits after ``since``; of a shallow clone, of those that it holds."""
    command = ["git", "cat-file", "-e", f"{since}^{{commit}}"]
    is_here = subprocess.run(command, cwd=root, capture_output=True, check=False).returncode == 0
    commits = f"{since}..HEAD" if is_here else "HEAD"
    shallow = known_offenders.git(root, "rev-parse", "--is-shallow-repository").strip() == "true"
    if commits == "HEAD" and not shallow:
        return []
    log = known_offenders.git(root, "log", "--no-merges", "--format=%h %s", commits)
    return [(line.partition(" ")[0], line.partition(" ")[2]) for line in log.splitlines()]


def file_problems(path: str, text: str) -> Iterator[Problem]:
    """Yield every problem of one file; ``path`` is relative to the root."""
    if EXEMPT.search(path):
        return
    yield from phrase_problems(path, text)
    if path.endswith(".py"):
        yield from docstring_problems(path, text)
    elif path.endswith(".md"):
        yield from width_problems(path, text)


BANNED = banned_phrases()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known_offenders.add_options(parser)
    options = parser.parse_args()
    root = known_offenders.root()
    paths = [path for path in known_offenders.listed(root, options.only) if is_prose(path)]
    found = [problem for path in paths for problem in file_problems(path, (root / path).read_text())]
    if not options.only:
        found += subject_problems(new_subjects(root))
    known_offenders.finish("prose", found, options)


if __name__ == "__main__":
    main()

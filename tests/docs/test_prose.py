"""Check that the prose lint finds each kind of offence, and nothing in plain English."""

import subprocess
from pathlib import Path

import pytest
from prose import file_problems, imperative, new_subjects, subject_problems

PLAIN = '"""Parse a customer\'s return from YaadPay."""\n'


def found(path: str, text: str) -> list[tuple[int, str]]:
    return [(problem.line, problem.text) for problem in file_problems(path, text)]


@pytest.mark.parametrize(
    ("path", "text", "line"),
    [
        ("docs/a.md", "# Title\n\nThe token does not\nhold.\n", 3),
        ("docs/a.md", "| call | meaning |\n|---|---|\n| a | the service is away |\n", 3),
        ("services/a.py", PLAIN + "# Nobody is\n# waiting.\n", 2),
        ("services/a.py", PLAIN + 'def f() -> None:\n    """Retry a row.\n\n    The row is kept.\n    """\n', 5),
        ("services/a.py", PLAIN + 'raise ValueError("the token does not hold")\n', 2),
        ("services/a.py", PLAIN + 'raise ValueError(f"{name} of whatever kind")\n', 2),
        ("services/a.py", PLAIN + 'Q = """-- a.b: Find rows that nobody has.\nSELECT 1"""\n', 2),
        ("protos/a.proto", "syntax = 1;\n// Whoever calls.\n", 2),
        ("deploy/a.yml", "rules:\n  description: Places are gone.\n", 2),
        ("Makefile", "docs: ## Write everything anew\n", 1),
        (".ci/run", "# What a machine lacks.\n", 1),
    ],
)
def test_a_banned_phrase_is_found_on_its_line(path: str, text: str, line: int) -> None:
    assert [number for number, _ in found(path, text)] == [line]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("docs/a.md", "Call `place` in\n```\nnobody\n```\n\n    whoever\n"),
        ("docs/a.md", "What does it cost? An error says what was wrong, in its place.\n"),
        ("services/a.py", PLAIN + "# A never oversold event; look at it in two decimal places.\n"),
        ("services/a.py", PLAIN + 'SQL = "SELECT sold FROM places"\nWORD = "whoever"\n'),
        ("services/tests/a.py", PLAIN + 'KEY = "whatever a test needs"\n'),
        ("libs/stubs/src/a.py", '"""Whatever."""\n'),
    ],
)
def test_code_and_plain_english_pass(path: str, text: str) -> None:
    assert found(path, text) == []


@pytest.mark.parametrize(
    "docstring",
    [
        "Parse a return",
        "Parse a return,\nand store it.",
        "Parse a return that came from the page of YaadPay and store it at once.",
        "A parser of returns.",
        "Finds stuck payments.",
        "Parsing of returns.",
        "How a browser comes back.",
        "From a return to a payment.",
        "YaadPay's answers.",
        "Registration of schools.",
        "List of errors.",
        "``errors`` of the service.",
    ],
)
def test_a_module_docstring_is_one_imperative_sentence(docstring: str) -> None:
    assert len(found("services/a.py", f'"""{docstring}"""\n')) == 1


def test_a_second_paragraph_is_allowed() -> None:
    assert found("services/a.py", '"""Parse a return.\n\nThe signature comes first.\n"""\n') == []
    assert found("services/a.py", "VALUE = 1\n") == []


@pytest.mark.parametrize("sentence", ["Process a return.", "Check that names match.", "Bring Sentry up to date."])
def test_verbs_that_look_like_nouns(sentence: str) -> None:
    assert imperative(sentence)


def test_markdown_wraps_at_100_columns() -> None:
    wide = "word " * 21
    assert found("docs/a.md", f"{wide}\n- {wide}\n  - a\n    {wide}\n") == [
        (1, "105 columns"), (2, "107 columns"), (4, "109 columns")
    ]  # fmt: skip
    assert found("docs/a.md", f"| {wide} |\n\n```\n{wide}\n```\n\n    {wide}\n\n[a](https://x/{'y' * 99})\n") == []


@pytest.mark.parametrize(
    "subject",
    [
        "Fix a bug",
        "payment: fixes a bug",
        "payment: refund of a deposit",
        "payment: refund a deposit.",
        "payment: " + "refund " * 10,
        "payment:refund a deposit",
    ],
)
def test_a_subject_names_its_package_and_commands(subject: str) -> None:
    assert len([*subject_problems([("abc", subject)])]) == 1
    assert [*subject_problems([("abc", "payment, .ci: refund a deposit"), ("abd", 'Revert "payment: refund"')])] == []


def test_subjects_of_a_shallow_clone(tmp_path: Path) -> None:
    """A clone that lacks the first commit checks the commits it has; a whole one those after the first commit."""

    def git(folder: Path, *arguments: str) -> str:
        command = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@example.com", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    origin = tmp_path / "origin"
    git(tmp_path, "init", "--quiet", str(origin))
    for subject in ("Begin", "a: first", "a: second", "a: third"):
        git(origin, "commit", "--quiet", "--allow-empty", "-m", subject)
    first = git(origin, "rev-parse", "HEAD~3")
    git(tmp_path, "clone", "--quiet", "--depth", "2", f"file://{origin}", "shallow")
    assert [subject for _, subject in new_subjects(origin, first)] == ["a: third", "a: second", "a: first"]
    assert [subject for _, subject in new_subjects(tmp_path / "shallow", first)] == ["a: third", "a: second"]
    assert new_subjects(origin, "0" * 40) == []

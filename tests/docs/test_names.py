"""Check that the names lint finds each kind of offence."""

import pytest
from names import problems

PAYMENT = "services/payment/src/ticketcap_payment"
GATEWAY = "services/gateway/src/ticketcap_gateway"


def found(files: dict[str, str]) -> list[tuple[str, int]]:
    return [(problem.path, problem.line) for problem in problems(files)]


@pytest.mark.parametrize(
    "text",
    [
        "made = 1",
        "for _told in []: ...",
        "def f(kept): ...",
        "class _Shown: ...",
        "def given(): ...",
        "x.wanted = 1",
        "known: int = 1",
        "if (told := 1): ...",
        'SQL = """WITH made AS (SELECT 1)"""',
        "def _tell(): ...",
        "async def ask(): ...",
    ],
)
def test_a_participle_or_a_vague_verb_is_found(text: str) -> None:
    assert found({"tests/a.py": f"\n{text}\n"}) == [("tests/a.py", 2)]


def test_a_module_named_by_a_participle_is_found() -> None:
    assert found({"tests/told.py": ""}) == [("tests/told.py", 1)]


def test_adjectives_and_uses_pass() -> None:
    assert found({"tests/a.py": "is_known = library.made(kept=1)\nknown_hosts = []\nheld = 2\n"}) == []


def test_two_classes_of_one_name_are_found_in_one_service() -> None:
    """Private ones are found too; two services may each have one."""
    files = {
        f"{PAYMENT}/rpc/a.py": "class Answer: ...\n",
        f"{PAYMENT}/yaadpay/b.py": "\n\nclass _Answer: ...\n",
        f"{GATEWAY}/c.py": "class Answer: ...\n",
        "tests/d.py": "class Answer: ...\n",
    }
    assert found(files) == [(f"{PAYMENT}/yaadpay/b.py", 3)]


def test_a_module_name_stands_twice_at_most() -> None:
    rooms = ("events", "schools", "payments")
    assert found({f"{PAYMENT}/{room}/schemas.py": "" for room in rooms}) == [(f"{PAYMENT}/payments/schemas.py", 1)]
    assert found({f"{GATEWAY}/{room}/schemas.py": "" for room in rooms}) == []
    assert found({f"{PAYMENT}/{room}/__init__.py": "" for room in rooms}) == []
    assert found({f"{GATEWAY}/{room}/errors.py": "" for room in rooms}) == [(f"{GATEWAY}/payments/errors.py", 1)]

"""Check that examples for newcomers use random idempotency keys."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PLACES = ("README.md", "deploy/local/src/ticketcap_local/up.py")


def test_examples_use_random_idempotency_keys() -> None:
    """A copied key would return the first caller's registration again, with its manage token."""
    lines = [line for place in PLACES for line in (ROOT / place).read_text().splitlines()]
    examples = [line for line in lines if "-H" in line and "Idempotency-Key: " in line]
    assert len(examples) == len(PLACES)
    assert all("$(cat /proc/sys/kernel/random/uuid)" in line for line in examples)

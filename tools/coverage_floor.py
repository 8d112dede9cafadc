"""Say when the floor of the coverage can rise."""

import tomllib
from pathlib import Path

from coverage import Coverage

ROOT = Path(__file__).resolve().parent.parent
SLACK_POINTS = 2


def advice(measured: float, floor: float) -> str:
    """Return what to do about the floor, empty when there is nothing to do. Both are in per cent."""
    if measured < floor + SLACK_POINTS:
        return ""
    points = measured - floor
    return f"coverage is {measured:.1f} %, {points:.1f} points above its floor: raise fail_under in pyproject.toml"


def main() -> None:
    floor = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["coverage"]["report"]["fail_under"]
    coverage = Coverage()
    coverage.load()
    with Path("/dev/null").open("w") as nowhere:
        measured = coverage.report(file=nowhere)
    if text := advice(measured, floor):
        print(text)


if __name__ == "__main__":
    main()

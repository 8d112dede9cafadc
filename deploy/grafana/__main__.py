"""Write every dashboard as JSON, or with ``--check`` name stale files."""

import argparse
import json
import sys
from pathlib import Path
from typing import Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.grafana.lanes import LANES
from deploy.grafana.payments import PAYMENTS
from deploy.grafana.production import PRODUCTION
from deploy.grafana.rpc import RPC
from deploy.grafana.telemetry import TELEMETRY

FOLDER: Final = Path(__file__).with_name("dashboards")
FILES: Final = {
    f"{board.uid}.json": json.dumps(board, cls=JSONEncoder, sort_keys=True, indent=2, ensure_ascii=False) + "\n"
    for board in (PRODUCTION, RPC, LANES, PAYMENTS, TELEMETRY)
}
"""The text of each dashboard by the name of its file."""


def stale() -> list[str]:
    """Return the names of files that are missing, outdated or surplus."""
    actual = {path.name: path.read_text() for path in FOLDER.glob("*.json")}
    return sorted({name for name, _ in FILES.items() ^ actual.items()})


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m deploy.grafana", description=__doc__)
    parser.add_argument("--check", action="store_true")
    if parser.parse_args().check:
        if names := stale():
            sys.exit(f"run `make dashboards`: {', '.join(names)}")
        return
    for path in FOLDER.glob("*.json"):
        path.unlink()
    for name, text in FILES.items():
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    main()

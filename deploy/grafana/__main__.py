"""Write every dashboard as JSON, or with ``--check`` name stale files."""

import argparse
import json
import sys
from pathlib import Path
from typing import Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.grafana.lanes import lanes
from deploy.grafana.payments import payments
from deploy.grafana.production import production
from deploy.grafana.rpc import rpc
from deploy.grafana.telemetry import telemetry

FOLDER: Final = Path(__file__).with_name("dashboards")
DASHBOARDS: Final = (production, rpc, lanes, payments, telemetry)


def files() -> dict[Path, str]:
    """Return the text of every file."""
    texts = {}
    for make in DASHBOARDS:
        built = make().build()
        # Grafana numbers panels without a number by itself; the saved dashboard would then differ from the file.
        for number, panel in enumerate(built.panels or [], start=1):
            panel.id_val = number
        text = json.dumps(built, cls=JSONEncoder, sort_keys=True, indent=2, ensure_ascii=False)
        texts[FOLDER / f"{built.uid}.json"] = text + "\n"
    return texts


def stale() -> list[str]:
    """Return the names of files that are missing, outdated or surplus."""
    expected = files()
    wrong = {path.name for path, text in expected.items() if not path.exists() or path.read_text() != text}
    return sorted(wrong | {path.name for path in FOLDER.glob("*.json")} - {path.name for path in expected})


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m deploy.grafana", description=__doc__)
    parser.add_argument("--check", action="store_true")
    if parser.parse_args().check:
        if wrong := stale():
            sys.exit(f"run `make dashboards`: {', '.join(wrong)}")
        return
    for path in FOLDER.glob("*.json"):
        path.unlink()
    for path, text in files().items():
        path.write_text(text)


if __name__ == "__main__":
    main()

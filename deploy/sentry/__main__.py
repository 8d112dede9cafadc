"""Apply the files to Sentry, or register a release.

SENTRY_AUTH_TOKEN, SENTRY_ORG and SENTRY_PROJECT name the project; SENTRY_URL replaces https://sentry.io.
"""

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence

from deploy.sentry.apply import apply
from deploy.sentry.client import SentryApi, SentryError, SentrySettings
from deploy.sentry.releases import archive_old, register


def run(arguments: Sequence[str], environ: Mapping[str, str], say: Callable[[str], None]) -> None:
    """Run the command; raise SentryError."""
    parser = argparse.ArgumentParser(prog="python -m deploy.sentry", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("apply", help="dashboard, alerts and project settings")
    one.add_argument("--dry-run", action="store_true", help="print the differences, change nothing")
    two = commands.add_parser("release", help="register a release and its deploy; archive all but the newest ten")
    two.add_argument("--release", default=environ.get("SENTRY_RELEASE"), help="ticketcap@<version>+<git sha>")
    two.add_argument("--environment", default=environ.get("SENTRY_ENVIRONMENT", "production"))
    options = parser.parse_args(arguments)
    api = SentryApi(SentrySettings.read(environ))
    try:
        if options.command == "apply":
            apply(api, say, dry_run=options.dry_run)
            return
        if not options.release:
            raise SentryError("SENTRY_RELEASE: not set, and no --release given")
        register(api, options.release, options.environment, say)
        archive_old(api, say)
    finally:
        api.close()


def main() -> None:
    """Run the command and exit with 1 on an error."""
    try:
        run(sys.argv[1:], os.environ, print)
    except SentryError as error:
        sys.exit(f"sentry: {error}")


if __name__ == "__main__":
    main()

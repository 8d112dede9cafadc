"""Configure Sentry from files, and register releases."""

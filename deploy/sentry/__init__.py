"""Sentry as files: ``python -m deploy.sentry apply`` puts them there, ``… release`` registers what was deployed."""
